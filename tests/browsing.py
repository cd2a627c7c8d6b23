"""What tests the viewer's page: a real server of tiny networks, a run to watch, a damaged file; the browser."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from synthetic_run import write_run
from tiny import tiny_generator

from openstylegan.config import Component
from openstylegan.networks.base import Generator
from openstylegan.snapshot import write_snapshot
from openstylegan.viewer.guard import Guard
from openstylegan.viewer.hub import Hub
from openstylegan.viewer.models import ModelList
from openstylegan.viewer.server import Server

STYLEGAN2 = {
    "z_dim": 8,
    "w_dim": 8,
    "c_dim": 3,
    "img_resolution": 16,
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 4},
}
STYLEGAN3 = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "channel_base": 128, "channel_max": 8, "num_layers": 4}
SNAPSHOTS = (128, 144, 160)
TOKEN = "a-token-of-the-tests"


def find_chromium() -> str | None:
    """The browser's program: as `OPENSTYLEGAN_CHROMIUM` says, else of the usual names."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("OPENSTYLEGAN_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def write_network(path: Path, name: str, options: dict[str, Any], seed: int = 0) -> Generator:
    """A snapshot of a tiny generator."""
    G = tiny_generator(name, seed, **options)
    about = {"cur_nimg": 1000 * seed}
    write_snapshot(path, {"G_ema": G}, {"G": Component(name, {**options})}, about)
    return G


@dataclass
class Shelf:
    """Files to look at: a run with three snapshots, a StyleGAN3 that is named first, a damaged file."""

    folder: Path
    run: Path = field(init=False)

    def __post_init__(self) -> None:
        self.run = write_run(self.folder / "00000-shapes", num_ticks=160, num_grids=5)
        for path in self.run.glob("network-snapshot-*"):
            path.unlink()
        for n, kimg in enumerate(SNAPSHOTS):
            write_network(self.run / f"network-snapshot-{kimg:06d}.safetensors", "stylegan2", STYLEGAN2, seed=n)
        write_network(self.moving, "stylegan3", STYLEGAN3)
        self.broken.write_bytes(b"not a network at all")

    @property
    def newest(self) -> Path:
        """The run's newest snapshot: a StyleGAN2 with three classes."""
        return self.run / f"network-snapshot-{SNAPSHOTS[-1]:06d}.safetensors"

    @property
    def moving(self) -> Path:
        """A StyleGAN3."""
        return self.folder / "moving.safetensors"

    @property
    def broken(self) -> Path:
        """A file that holds no network."""
        return self.folder / "broken.safetensors"


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@dataclass
class Served:
    """A server in a thread of its own that can be stopped and started again at the same address."""

    names: list[Path]
    port: int = field(default_factory=free_port)
    server: Server | None = None
    thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to be opened."""
        return f"http://127.0.0.1:{self.port}/?token={TOKEN}"

    def start(self) -> Served:
        """Begins to serve."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        hub, ready = Hub(ModelList(self.names), torch.device("cpu")), threading.Event()
        self.server = Server(hub, Guard(TOKEN), ready.set)
        self.thread = threading.Thread(target=self.server.serve_at, args=(listening,), daemon=True)
        self.thread.start()
        assert ready.wait(20)
        return self

    def stop(self) -> None:
        """Goes away, as when the program is ended."""
        assert self.server is not None and self.thread is not None
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def serving(names: list[Path]) -> Iterator[Served]:
    """A server of these networks while the block runs."""
    served = Served(names).start()
    try:
        yield served
    finally:
        served.stop()


def until(true: Callable[[], Any], seconds: float = 15.0) -> Any:
    """What `true` gives once it is true; fails when it stays false."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.03)
    return value
