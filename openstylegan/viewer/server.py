"""The viewer's server: one page, its files, and a WebSocket.

GET /?token=...     the page        GET /NAME   its files, a fixed list        GET /healthz
/ws                 see `messages.py`
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from openstylegan.viewer.connection import Connection
from openstylegan.viewer.guard import HEADERS, Guard
from openstylegan.viewer.hub import Hub
from openstylegan.viewer.messages import MAX_MESSAGE_BYTES
from openstylegan.viewer.requests import Requests
from openstylegan.viewer.stream import ViewStream

PAGE = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
MOST_PAGES = 16
MOST_WAITING_BYTES = 64 * 1024


def page_files() -> dict[str, Path]:
    """The files of the page by name. Only these are ever served."""
    return {path.name: path for path in sorted(PAGE.iterdir()) if path.suffix in TYPES and path.is_file()}


def make_app(hub: Hub, guard: Guard) -> Callable[..., Any]:
    """The application."""
    files, pages = page_files(), set[Connection]()

    async def index(request: Request) -> Response:
        if not guard.token_given(request.scope):
            return PlainTextResponse("Open the address that `openstylegan view` printed: it has a token.\n", 403)
        response = file_response(files["index.html"])
        response.set_cookie(guard.cookie, guard.token, httponly=True, samesite="strict")
        return response

    async def file(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        return PlainTextResponse("There is no such file.\n", 404) if path is None else file_response(path)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def pages_socket(websocket: WebSocket) -> None:
        if not guard.origin_allowed(dict(websocket.scope["headers"])) or not guard.token_given(websocket.scope):
            await websocket.close(1008)
            return
        if len(pages) >= MOST_PAGES:
            await websocket.close(1013)
            return
        page = connect(hub, websocket)
        pages.add(page)
        try:
            await page.serve()
        finally:
            pages.discard(page)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        hub.close()

    routes = [
        Route("/", index),
        Route("/healthz", healthz),
        Route("/{name}", file),
        WebSocketRoute("/ws", pages_socket),
    ]
    return guarded(Starlette(routes=routes, lifespan=lifespan), guard)


def connect(hub: Hub, websocket: WebSocket) -> Connection:
    """A page's connection, with those who answer it."""
    page = Connection(hub, websocket)
    page.handlers = Requests(page).handlers(ViewStream(page))
    return page


def file_response(path: Path) -> Response:
    """A file of the page."""
    return Response(path.read_bytes(), media_type=None, headers={"content-type": TYPES[path.suffix]})


def guarded(app: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    """`app` behind the check of the Host, with the headers that every answer has."""

    async def checked(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        if scope["type"] in ("http", "websocket") and not guard.host_allowed(dict(scope["headers"])):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await PlainTextResponse("This server answers to localhost only.\n", 421)(scope, receive, send_with_headers)
            return
        await app(scope, receive, send_with_headers if scope["type"] == "http" else send)

    return checked


class Server(uvicorn.Server):
    """A uvicorn server that says when it listens."""

    def __init__(self, hub: Hub, guard: Guard, ready: Callable[[], None] = lambda: None):
        config = uvicorn.Config(
            make_app(hub, guard),
            log_level="error",
            access_log=False,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=MOST_WAITING_BYTES,
            http="h11",
        )
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen."""
        await super().startup(sockets)
        self.ready()

    def serve_at(self, listening: socket.socket) -> None:
        """Serves until Ctrl-C, or until `should_exit` is set."""
        asyncio.run(self.serve([listening]))
