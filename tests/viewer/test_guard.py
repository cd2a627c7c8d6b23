"""Who is let in: token, Host, Origin, paths, and what the browser is told."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("starlette")

from viewing import TOKEN, Running, running, write_tiny
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from openstylegan.viewer.guard import Guard
from openstylegan.viewer.server import page_files


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([write_tiny(tmp_path_factory.mktemp("networks") / "one.safetensors")]) as found:
        yield found


def get(
    server: Running, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b""
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("localhost", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    given = {"Host": f"localhost:{server.port}", **(headers or {})}
    for name, value in given.items():
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    response = connection.getresponse()
    response.text = response.read().decode("utf-8", "replace")  # type: ignore[attr-defined]
    connection.close()
    return response


def test_the_page_needs_the_token_once(server: Running) -> None:
    for path in ("/", "/?token=", "/?token=wrong", f"/?token={TOKEN}x", "/?nonsense=%ff"):
        assert get(server, path).status == 403
    response = get(server, f"/?token={TOKEN}")
    assert response.status == 200 and "<script" in response.text  # type: ignore[attr-defined]
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert get(server, "/", {"Cookie": cookie.partition(";")[0]}).status == 200
    assert get(server, "/", {"Cookie": f"{Guard(TOKEN).cookie}=wrong"}).status == 403
    assert get(server, "/", {"Cookie": "\x01=;;;=\xff"}).status == 403


def test_nothing_runs_or_loads_in_the_page_but_its_files(server: Running) -> None:
    for path in (f"/?token={TOKEN}", "/healthz", "/style.css", "/missing"):
        headers = get(server, path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    for name in page_files():
        response = get(server, f"/{name}")
        assert response.status == 200
        text = response.text  # type: ignore[attr-defined]
        assert "<script>" not in text and "style=" not in text.split("</head>")[0]
        assert "https://" not in text and not [w for w in text.split() if "http://" in w and "www.w3.org" not in w]


PATHS = (
    "/../server.py",
    "/..%2fserver.py",
    "/%2e%2e/server.py",
    "/....//server.py",
    "/page/../../server.py",
    "//etc/passwd",
    "/etc/passwd",
    "/%00",
    "/index.html%00.js",
    "/\\..\\server.py",
    "/style.css/../../guard.py",
    "/" + "a" * 5000,
)


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_the_page(server: Running, path: str) -> None:
    response = get(server, path)
    assert response.status in (400, 404), response.status
    assert "import" not in response.text and "root:" not in response.text  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_posted(server: Running, method: str) -> None:
    for path in ("/", "/style.css", "/ws", "/healthz"):
        try:
            response = get(server, f"{path}?token={TOKEN}", method=method, body=b"x" * 10_000_000)
        except (BrokenPipeError, ConnectionResetError):
            continue  # it is not even read to its end
        assert response.status in (404, 405)
    assert get(server, "/healthz").status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "10.0.0.7"]
)
def test_other_hosts_are_refused(server: Running, host: str) -> None:
    assert get(server, f"/?token={TOKEN}", {"Host": host}).status == 421
    assert get(server, "/healthz", {"Host": host}).status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:80", "[::1]:7", "LOCALHOST"])
def test_tunnels_may_have_other_ports(server: Running, host: str) -> None:
    assert get(server, "/healthz", {"Host": host}).status == 200


def try_socket(server: Running, token: str = TOKEN, **options: Any) -> str:
    """Connects, and gives the first message."""
    with connect(f"ws://localhost:{server.port}/ws?token={token}", **options) as socket:
        return str(socket.recv(timeout=10))


def test_a_socket_needs_token_host_and_origin(server: Running) -> None:
    own = f"http://localhost:{server.port}"
    assert "hello" in try_socket(server, origin=own)
    cookie = {"Cookie": f"{Guard(TOKEN).cookie}={TOKEN}"}
    assert "hello" in try_socket(server, token="", additional_headers=cookie)
    refused = (InvalidStatus, ConnectionClosed, ConnectionError)
    for token in ("", "wrong", TOKEN + "x"):
        with pytest.raises(refused):
            try_socket(server, token=token)
    for origin in (
        "http://evil.example",
        f"http://evil.example:{server.port}",
        "null",
        f"http://localhost:{server.port + 1}",
    ):
        with pytest.raises(refused):
            try_socket(server, origin=origin)
    with pytest.raises(refused):
        try_socket(server, additional_headers={"Host": "evil.example"})


def test_a_public_server_takes_other_names(tmp_path: Path) -> None:
    with running([write_tiny(tmp_path / "one.safetensors")], public=True) as server:
        assert get(server, f"/?token={TOKEN}", {"Host": "machine.example:99"}).status == 200
        assert get(server, "/", {"Host": "machine.example:99"}).status == 403
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            try_socket(server, origin="http://evil.example")


def test_two_hundred_requests_at_once(server: Running) -> None:
    paths = [("/healthz", 200), ("/style.css", 200), ("/none", 404), ("/", 403)]
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda n: get(server, paths[n % 4][0]).status == paths[n % 4][1], range(200)))
    assert all(found)


def test_not_more_pages_than_there_are_places(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            socket = stack.enter_context(connect(f"ws://localhost:{server.port}/ws?token={TOKEN}"))
            assert "hello" in str(socket.recv(timeout=10))
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            try_socket(server)
