"""Whether the other processes of a run are alive: each is connected with process 0, and all say so every second.

A process that dies takes its connections with it, and one whose machine or network fails is silent: either way process
0 knows within seconds, tells the others which it was, and all end. Without this, those that wait for a dead process in
the middle of a collective would do so for half an hour. Nothing is lost but the steps since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch.distributed as dist

from openstylegan.errors import InputError, ProcessFailed
from openstylegan.training.signals import Stopped

BEAT_SECONDS, SILENCE_SECONDS, GRACE_SECONDS, CONNECT_SECONDS = 1.0, 6.0, 1.0, 60.0
SILENCE_VARIABLE = "OPENSTYLEGAN_SILENCE_SECONDS"
INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
EXIT_CODE = 1
LONGEST_LINE = 1 << 16


def own_address(master: str, port: int) -> str:
    """The address of this machine from which it reaches `master`, or that of the interface which the user chose."""
    chosen = next((os.environ[name] for name in INTERFACE_VARIABLES if os.environ.get(name)), None)
    if chosen is not None and (found := address_of(chosen)) is not None:
        return found
    family, kind, *_, place = socket.getaddrinfo(master, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)  # sends nothing
        return str(probe.getsockname()[0])


def address_of(interface: str) -> str | None:
    """The first address of a network interface."""
    import psutil

    kinds = (socket.AF_INET, socket.AF_INET6)
    own = psutil.net_if_addrs().get(interface, [])
    return next((a.address.partition("%")[0] for kind in kinds for a in own if a.family == kind), None)


def interface_of(address: str) -> str | None:
    """The network interface that has an address."""
    import psutil

    every = psutil.net_if_addrs().items()
    return next((name for name, own in every if any(a.address.partition("%")[0] == address for a in own)), None)


def choose_interface() -> None:
    """Tells gloo which interface the machines see each other on: it goes by the host's name, which may be loopback's.

    Only where several machines take part and the user has not chosen one.
    """
    several = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"])) < int(os.environ["WORLD_SIZE"])
    if not several or os.environ.get("GLOO_SOCKET_IFNAME"):
        return
    with contextlib.suppress(OSError):
        address = own_address(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        found = interface_of(address)
        if found is not None and not address.startswith("127."):
            os.environ["GLOO_SOCKET_IFNAME"] = found


@dataclass
class Peer:
    """Another process, at the other end of a connection."""

    rank: int
    where: str
    connection: socket.socket
    heard_at: float = field(default_factory=time.monotonic)
    received: bytes = b""
    gone: bool = False

    def send(self, **message: Any) -> None:
        """A message, as far as it can be sent now; whether it arrives is found out by silence."""
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that have come; None at the end of the connection."""
        try:
            data = self.connection.recv(LONGEST_LINE)
        except BlockingIOError:
            return []
        except OSError:
            return None
        self.received += data
        *lines, self.received = self.received.split(b"\n")
        if not data or len(self.received) > LONGEST_LINE:
            return None
        self.heard_at = time.monotonic()
        return [message for line in lines if isinstance(message := json.loads(line), dict)]


class Watch:
    """Watches over the processes of a group while a block runs; ends this process when another one has.

    `store`: what the group came together by. The block's own failure is told to the others. Raises `ProcessFailed` in
    place of what a collective raises when a process it waits for is gone.
    """

    def __init__(self, store: dist.Store, rank: int, world_size: int):
        self.store, self.rank, self.world_size = store, rank, world_size
        self.silence = float(os.environ.get(SILENCE_VARIABLE, SILENCE_SECONDS))
        self.verdict: str | None = None
        self._decided, self._leaving = threading.Event(), threading.Event()
        self._peers: list[Peer] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Watch:
        if self.world_size > 1:
            self._peers = self._listen() if self.rank == 0 else [self._connect()]
            threading.Thread(target=self._run, name="liveness", daemon=True).start()
        return self

    def _listen(self) -> list[Peer]:
        """Process 0: waits until all others are connected. Raises `ProcessFailed` naming those that are not."""
        address = own_address(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, 0), family=family, backlog=self.world_size) as server:
            token = secrets.token_hex(16)
            self.store.set("liveness", json.dumps([address, server.getsockname()[1], token]))
            found: dict[int, Peer] = {}
            deadline = time.monotonic() + CONNECT_SECONDS
            while len(found) < self.world_size - 1:
                server.settimeout(max(0.01, deadline - time.monotonic()))
                try:
                    peer = greeted(server.accept()[0], token)
                except TimeoutError:
                    missing = [n for n in range(1, self.world_size) if n not in found]
                    raise ProcessFailed(unreachable(missing, address)) from None
                if peer is not None:
                    found[peer.rank] = peer
        return list(found.values())

    def _connect(self) -> Peer:
        """The others: connects with process 0. Raises `ProcessFailed` when it cannot be reached."""
        address, port, token = json.loads(self.store.get("liveness"))
        try:
            connection = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
        except OSError as error:
            raise ProcessFailed(f"{unreachable([0], address)} ({error.strerror or error})") from error
        hello = {"token": token, "rank": self.rank, "host": socket.gethostname()}
        connection.sendall(json.dumps(hello).encode() + b"\n")
        connection.setblocking(False)
        return Peer(0, f"at {address}", connection)

    def _run(self) -> None:
        """The thread: beats, listens, and decides."""
        with selectors.DefaultSelector() as selector:
            for peer in self._peers:
                selector.register(peer.connection, selectors.EVENT_READ, peer)
            beat_at = 0.0
            while not self._leaving.is_set() and self.verdict is None:
                if time.monotonic() >= beat_at:
                    self._tell(beat=1)
                    beat_at = time.monotonic() + BEAT_SECONDS
                for key, _ in selector.select(BEAT_SECONDS / 4):
                    self._hear(key.data)
                    if key.data.gone:
                        selector.unregister(key.fileobj)
                self._check_silence()
        if self.verdict is not None and not self._leaving.wait(GRACE_SECONDS):
            print(f"openstylegan: {self.verdict}", file=sys.stderr, flush=True)
            os._exit(EXIT_CODE)  # the main thread waits for a process that is gone

    def _hear(self, peer: Peer) -> None:
        """What a process says, or that it ended without a word."""
        messages = peer.receive()
        if messages is None:
            peer.gone = True
            return self._decide(f"process {peer.rank} ({peer.where}) has died")
        for message in messages:
            if "bye" in message:
                peer.gone = True
            elif "failed" in message:
                self._decide(f"process {peer.rank} ({peer.where}) failed: {message['failed']}")
            elif "lost" in message:
                self._decide(str(message["lost"]))
        return None

    def _check_silence(self) -> None:
        now = time.monotonic()
        for peer in self._peers:
            if not peer.gone and now - peer.heard_at > self.silence:
                self._decide(f"process {peer.rank} ({peer.where}) has been silent for {self.silence:g} s")

    def _decide(self, verdict: str) -> None:
        """The first verdict counts; process 0 passes it on."""
        if self.verdict is None:
            self.verdict = verdict
            if self.rank == 0:
                self._tell(lost=verdict)
            self._decided.set()

    def _tell(self, **message: Any) -> None:
        with self._lock:
            for peer in self._peers:
                if not peer.gone:
                    peer.send(**message)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world_size == 1:
            return
        if error is None or isinstance(error, Stopped):
            self._tell(bye=1)
        elif isinstance(error, RuntimeError) and self._decided.wait(self.silence + 2 * BEAT_SECONDS):
            self._leave()
            raise ProcessFailed(f"{self.verdict}; `openstylegan train --resume RUN` goes on") from None
        else:
            self._tell(failed=" ".join(str(error).split())[:500] or type(error).__name__)
        self._leave()

    def _leave(self) -> None:
        self._leaving.set()
        for peer in self._peers:
            peer.gone = True
            with contextlib.suppress(OSError):
                peer.connection.shutdown(socket.SHUT_WR)


def greeted(connection: socket.socket, token: str) -> Peer | None:
    """The process at the other end, if it says the token; anything else that connects is hung up on."""
    connection.settimeout(CONNECT_SECONDS / 10)
    try:
        # unbuffered: a process that fails at once has already said so, and a buffer would swallow it
        with contextlib.closing(connection.makefile("rb", buffering=0)) as file:
            hello = json.loads(file.readline(LONGEST_LINE))
        if secrets.compare_digest(str(hello["token"]), token):
            address = connection.getpeername()[0]
            connection.setblocking(False)
            return Peer(int(hello["rank"]), f"on {hello['host']}, {address}", connection)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    connection.close()
    return None


def unreachable(ranks: list[int], address: str) -> str:
    """What to do when processes do not find each other."""
    names = ", ".join(map(str, ranks))
    return (
        f"expected process {names} and {address} to reach each other, but they do not; open the network between the "
        "machines (all ports), or set GLOO_SOCKET_IFNAME to the interface they share"
    )


def await_all(store: dist.Store, rank: int, world_size: int, seconds: float) -> None:
    """Waits until every process of the group is there. Raises `ProcessFailed` naming those that are not."""
    from datetime import timedelta

    store.set(str(rank), "here")
    try:
        store.wait([str(n) for n in range(world_size)], timedelta(seconds=seconds))
    except (RuntimeError, dist.DistError) as error:
        missing = [str(n) for n in range(world_size) if not store.check([str(n)])]
        raise ProcessFailed(
            f"expected {world_size} processes within {seconds:.0f} s, but {', '.join(missing) or 'some'} did not come; "
            "see the output on the other machines"
        ) from error


def check_alike(what: str, value: str) -> None:
    """Raises `InputError` on every process when `value` is not the same on all of them."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    every: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(every, value)
    odd = next((n for n, other in enumerate(every) if other != every[0]), None)
    if odd is not None:
        raise InputError(
            f"expected the same {what} for every process, got {every[0]} for process 0, {every[odd]} for process {odd}"
        )
