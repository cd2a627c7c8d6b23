"""Hostile files and damaged ones, made from a seed, and a process that reads them all and watches what happens.

    PYTHONPATH=tests python -m interop.hostile --hostile 1000 --damaged 5000

Every file must end in an `InputError` (a damaged one may also still be whole), within 5 s of processor time and twice
its size + 256 MB of memory, and nothing in it may run: an audit hook sees every import, every program or thread
started, every connection and every file written meanwhile. The last line printed is a report in JSON.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from interop.hostile_archives import ARCHIVES
from interop.hostile_bombs import BOMBS, cut
from interop.hostile_calls import FORMS, Trap, as_global, hidden, wishes

SECONDS, EXTRA_BYTES = 5.0, 256 << 20
HANGS_SECONDS = 120
PROBE = "hostile_probe_module"
# fmt: off
FORBIDDEN = frozenset({
    "import", "exec", "compile", "pickle.find_class", "marshal.loads", "code.__new__", "ctypes.dlopen", "ctypes.dlsym",
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen",
    "socket.__new__", "socket.connect", "socket.getaddrinfo", "urllib.Request", "webbrowser.open", "os.remove",
    "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate", "os.putenv", "os.kill",
    "shutil.rmtree", "shutil.copyfile", "signal.pthread_kill", "_thread.start_new_thread", "builtins.input",
    "builtins.breakpoint",
})
# fmt: on
READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True)
class BadFile:
    """A file and the family it is from. `whole`: whether reading it may succeed."""

    family: str
    data: bytes
    suffix: str = ".pkl"
    whole: bool = False


def hostile_files(count: int, seed: int, trap: Trap) -> Iterator[BadFile]:
    """`count` hostile files: of every six, four make a call, one is a bomb and one a `.pt` file."""
    rng = random.Random(seed)
    wanted = wishes(trap)
    for n in range(count):
        call = wanted[(n * 7 + rng.randrange(7)) % len(wanted)]
        if n % 6 < 4:
            form = FORMS[(n // 6 * 4 + n % 6) % len(FORMS)]
            yield BadFile(form.__name__, hidden(rng, form(*call)))
        elif n % 6 == 4:
            bomb = BOMBS[n // 6 % len(BOMBS)]
            protocol = b"" if bomb is cut else b"\x80\x04"
            yield BadFile(bomb.__name__, protocol + bomb(rng))
        else:
            archive = ARCHIVES[n // 6 % len(ARCHIVES)]
            yield BadFile(archive.__name__, archive(rng, as_global(*call)), ".pt")


Mutation = Callable[[random.Random, bytearray, int], None]


def flip_bit(rng: random.Random, data: bytearray, at: int) -> None:
    data[at] ^= 1 << rng.randrange(8)


def set_byte(rng: random.Random, data: bytearray, at: int) -> None:
    data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, *b".(R0]}{[\"'\n", rng.randrange(256)))


def set_word(rng: random.Random, data: bytearray, at: int) -> None:
    """A number of 1, 2, 4 or 8 bytes at its limits, or next to what it was."""
    width = rng.choice((1, 2, 4, 8))
    old = int.from_bytes(data[at : at + width], "little")
    top = 1 << 8 * width
    new = rng.choice((0, 1, top - 1, top // 2, top // 2 - 1, old + 1, old - 1, old * 2)) % top
    data[at : at + width] = new.to_bytes(width, "little")


def remove(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at : at + rng.choice((1, 2, 7, 64))]


def insert(rng: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = rng.choice((b"[" * 5_000, b'{"a":' * 3_000, bytes(rng.choices(range(256), k=rng.randrange(1, 32)))))


def copy_part(rng: random.Random, data: bytearray, at: int) -> None:
    other = rng.randrange(len(data))
    size = rng.choice((1, 4, 16, 100))
    data[at : at + size] = data[other : other + size]


def cut_off(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at:]


MUTATIONS: tuple[Mutation, ...] = (flip_bit, set_byte, set_word, remove, insert, copy_part, cut_off)
HEADER_BYTES = 4096


def header_place(rng: random.Random, data: bytearray) -> int:
    """Mostly where the structure is: the first bytes, where sizes stand; the beginning; the end, where ZIP has it."""
    size = len(data)
    width, from_end = rng.choice(
        ((64, False), (HEADER_BYTES, False), (HEADER_BYTES, False), (1024, True), (size, False))
    )
    at = rng.randrange(min(size, width))
    return size - 1 - at if from_end else at


def damaged_files(count: int, seed: int, originals: Sequence[tuple[str, bytes]]) -> Iterator[BadFile]:
    """`count` files, each one of `originals` (name, bytes) with one to three mutations of its structure."""
    rng = random.Random(seed)
    for n in range(count):
        name, good = originals[n % len(originals)]
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 3))):
            if data:
                rng.choice(MUTATIONS)(rng, data, header_place(rng, data))
        yield BadFile(f"damaged {name}", bytes(data), Path(name).suffix, whole=True)


@dataclass
class Watch:
    """What happened while a file was read."""

    armed: bool = False
    events: list[str] = field(default_factory=list)
    own_types: frozenset[str] = field(default_factory=lambda: own_annotations())
    expected: int = 0

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook. It cannot be removed from a process, only disarmed."""
        if not self.armed or self.is_own(event, args):
            return
        writes = event == "open" and isinstance(args[2], int) and args[2] & ~READ_ONLY
        if event in FORBIDDEN or writes:
            self.events.append(f"{event} {str(args)[:200]}")

    def is_own(self, event: str, args: tuple[Any, ...]) -> bool:
        """Whether it is `typing` at the annotations of our own configuration: one `compile`, then one `exec`."""
        if event == "compile" and args[1] == "<string>":
            source = args[0].decode() if isinstance(args[0], bytes) else args[0]
            self.expected += source in self.own_types
            return source in self.own_types
        if event == "exec" and self.expected and args[0].co_filename == "<string>":
            self.expected -= 1
            return True
        return False

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Armed while the block runs."""
        self.events, self.armed = [], True
        try:
            yield
        finally:
            self.armed = False


def own_annotations() -> frozenset[str]:
    """The types that our configuration is annotated with, as text."""
    from openstylegan import config

    classes = [value for value in vars(config).values() if isinstance(value, type)]
    return frozenset(text for cls in classes for text in vars(cls).get("__annotations__", {}).values())


def resident_bytes(peak: bool = False) -> int:
    """The memory of this process, now or at its peak since `forget_peak`."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) << 10
    raise AssertionError("no memory in /proc/self/status")


def forget_peak() -> None:
    """Lets the peak begin again from now."""
    Path("/proc/self/clear_refs").write_text("5")


class Reader:
    """Reads files one by one and lists what went wrong: (family, number, what)."""

    def __init__(self, folder: Path, trap: Trap, read: Callable[[Path], Any]):
        from openstylegan.errors import InputError

        self.folder, self.trap, self.read, self.error = folder, trap, read, InputError
        self.process = psutil.Process()
        self.watch = Watch()
        sys.addaudithook(self.watch.hook)
        self.failures: list[str] = []
        self.endings: collections.Counter[str] = collections.Counter()
        self.slowest, self.largest = (0.0, ""), (0, "")

    def read_all(self, files: Iterator[BadFile]) -> None:
        """Reads every file. What breaks the process itself is seen by who started it."""
        for number, file in enumerate(files):
            path = self.folder / f"file{file.suffix}"
            path.write_bytes(file.data)
            faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True)
            problems = self.problems(file, path)
            faulthandler.cancel_dump_traceback_later()
            self.failures += [f"{file.family} {number}: {problem}" for problem in problems]

    def problems(self, file: BadFile, path: Path) -> list[str]:
        """Reads one file; what is wrong with how that went."""
        num_bytes = len(file.data)
        forget_peak()
        before, started = resident_bytes(), time.process_time()
        with self.watch.on():
            found = self.outcome(file, path)
        seconds, grown = time.process_time() - started, resident_bytes(peak=True) - before
        self.slowest = max(self.slowest, (seconds, file.family))
        self.largest = max(self.largest, (grown - 2 * num_bytes, file.family))
        if seconds > SECONDS:
            found.append(f"took {seconds:.1f} s")
        if grown > 2 * num_bytes + EXTRA_BYTES:
            found.append(f"took {grown >> 20} MB for a file of {num_bytes >> 10} KB")
        return found + self.traces()

    def outcome(self, file: BadFile, path: Path) -> list[str]:
        """Reads the file; what is wrong with how that ended."""
        try:
            self.read(path)
        except self.error as error:
            self.endings[type(error).__name__] += 1
            return [] if str(error).isprintable() else [f"an error that is not one line: {error!r}"]
        except BaseException as error:
            return [f"ended in {type(error).__name__}: {error}"]
        self.endings["read"] += 1
        return [] if file.whole else ["was read"]

    def traces(self) -> list[str]:
        """What a file that got its way would have left."""
        found = [f"caused {event}" for event in self.watch.events]
        if os.path.lexists(self.trap.canary):
            found.append("touched the canary")
        if PROBE in sys.modules:
            found.append("imported the probe")
        if self.process.children() or threading.active_count() > self.threads:
            found.append("started a process or a thread")
        return found

    @property
    def threads(self) -> int:
        """The threads that belong here: this one, and the one that listens at the port."""
        return 2


def small_originals(folder: Path) -> list[tuple[str, bytes]]:
    """A small good file of every kind that is read: (name, bytes)."""
    from interop.originals import write_originals

    return [(path.name, path.read_bytes()) for path in write_originals(folder)]


def listen(seen: list[Any]) -> int:
    """A port that notes who calls it."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            seen.append(server.accept())

    threading.Thread(target=accept, daemon=True).start()
    return int(server.getsockname()[1])


def read_twice(path: Path) -> Any:
    """Reads a file of networks as users do, and before that by the reader of its ending, whatever it seems to be."""
    from openstylegan.errors import InputError
    from openstylegan.interop import load
    from openstylegan.interop.torch_files import read_pt
    from openstylegan.interop.unpickle import read_pickle_file

    if path.suffix in (".pkl", ".pt"):
        with contextlib.suppress(InputError):
            (read_pt if path.suffix == ".pt" else read_pickle_file)(path)
    return load(path)


def main(num_hostile: int, num_damaged: int, seed: int) -> dict[str, Any]:
    """Reads that many files of each kind and gives the report."""
    callers: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trap = Trap(str(folder / "canary"), PROBE, listen(callers))
        (folder / f"{PROBE}.py").write_text(f"open({trap.canary!r}, 'w').close()\n")
        sys.path.insert(0, name)
        originals = small_originals(folder / "good")
        for path in sorted((folder / "good").iterdir()):
            read_twice(path)  # whatever reading imports for the first time, it imports now
        reader = Reader(folder, trap, read_twice)
        reader.read_all(hostile_files(num_hostile, seed, trap))
        reader.read_all(damaged_files(num_damaged, seed, originals))
    return {
        "hostile": num_hostile,
        "damaged": num_damaged,
        "seed": seed,
        "endings": dict(reader.endings),
        "slowest_seconds": [round(reader.slowest[0], 2), reader.slowest[1]],
        "largest_beyond_twice_its_size_mb": [reader.largest[0] >> 20, reader.largest[1]],
        "callers": len(callers),
        "failures": reader.failures,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hostile", type=int, default=1000)
    parser.add_argument("--damaged", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = main(given.hostile, given.damaged, given.seed)
    print(json.dumps(report))
    sys.exit(1 if report["failures"] or report["callers"] else 0)
