"""A viewer's server in a thread of its own, and a page that asks it things."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tiny import tiny_generator
from websockets.sync.client import ClientConnection, connect

from openstylegan.config import Component
from openstylegan.snapshot import write_snapshot
from openstylegan.viewer.address import listen
from openstylegan.viewer.guard import Guard
from openstylegan.viewer.hub import Hub
from openstylegan.viewer.models import ModelList
from openstylegan.viewer.pictures import Picture, read_picture
from openstylegan.viewer.server import Server

TOKEN = "token-of-the-tests"
TINY = {
    "z_dim": 8,
    "w_dim": 8,
    "img_resolution": 16,
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 4},
}


def write_tiny(path: Path, seed: int = 0, **about: Any) -> Path:
    """A snapshot of a tiny StyleGAN2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    G = tiny_generator(seed=seed)
    write_snapshot(path, {"G_ema": G}, {"G": Component("stylegan2", TINY)}, about)
    return path


@dataclass
class Running:
    """A server that runs; `port` is where."""

    hub: Hub
    port: int
    server: Server

    @contextlib.contextmanager
    def page(self, **options: Any) -> Iterator[Page]:
        """A page that is connected; its hello is read."""
        address = f"ws://localhost:{self.port}/ws?token={TOKEN}"
        with connect(address, max_size=None, compression=None, **options) as socket:
            page = Page(socket)
            page.hello = page.text("hello")
            yield page


@dataclass
class Page:
    """What a page does, without one."""

    socket: ClientConnection
    acknowledges: bool = True
    hello: dict[str, Any] = field(default_factory=dict)
    pictures: list[tuple[Picture, bytes]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)

    def send(self, what: str, number: int = 0, /, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": what, "id": number, **fields}))

    def receive(self, timeout: float = 30) -> dict[str, Any] | tuple[Picture, bytes]:
        message = self.socket.recv(timeout=timeout)
        if isinstance(message, bytes):
            found = read_picture(message)
            if self.acknowledges:
                self.send("ack", found[0].id)
            self.pictures.append(found)
            return found
        self.texts.append(json.loads(message))
        return self.texts[-1]

    def text(self, *kinds: str) -> dict[str, Any]:
        """The next text of one of these kinds."""
        while True:
            found = self.receive()
            if isinstance(found, dict) and found["type"] in kinds:
                return found

    def picture(self, number: int | None = None) -> tuple[Picture, bytes]:
        """The next picture (that answers `number`); fails on an error."""
        while True:
            found = self.receive()
            if isinstance(found, tuple) and number in (None, found[0].id):
                return found
            assert isinstance(found, tuple) or found["type"] != "error", found

    def ask(self, what: str, /, *answers: str, number: int = 0, **fields: Any) -> dict[str, Any]:
        self.send(what, number, **fields)
        return self.text(*answers, "error")

    def draw(self, number: int = 1, quality: str = "fast", width: int = 0, **view: Any) -> tuple[Picture, bytes]:
        """A view of the first network."""
        self.send("view", number, view={"model": self.hello["first"], **view}, quality=quality, width=width)
        return self.picture(number)


@contextlib.contextmanager
def running(
    named: Sequence[Path], browse: Path | None = None, capture_dir: Path | None = None, public: bool = False
) -> Iterator[Running]:
    """A server at a free port, until the block ends."""
    torch.set_num_threads(1)
    listening, ready = listen("localhost", 0, False), threading.Event()
    hub = Hub(ModelList(named, browse), torch.device("cpu"), capture_dir)
    server = Server(hub, Guard(TOKEN, public), ready.set)
    thread = threading.Thread(target=server.serve_at, args=(listening,), daemon=True)
    with listening:
        port = listening.getsockname()[1]
        thread.start()
        assert ready.wait(120)
        try:
            yield Running(hub, port, server)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
