"""The processes of a run: one, several started here (`--gpus N`), or those that torchrun started.

Unless told otherwise, processes on GPUs talk by NCCL, on a CPU by gloo (where they share the cores).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from openstylegan.distributed import is_distributed, is_main
from openstylegan.errors import InputError, ProcessFailed
from openstylegan.training.liveness import Watch, await_all, choose_interface
from openstylegan.training.signals import Stopped, StopRequest, listen

J = TypeVar("J")
R = TypeVar("R")
GRACE_SECONDS = 60.0
JOIN_SECONDS = 300.0


def under_torchrun() -> bool:
    """Whether torchrun (or something like it) started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def pick_device(name: str = "auto") -> torch.device:
    """The device of this process: "auto" is its own GPU if there is one, else the CPU. Raises `InputError`."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise InputError(f"expected device auto, cpu or cuda, got '{name}'")
    if not torch.cuda.is_available():
        raise InputError("expected a CUDA GPU, but torch sees none; use --device cpu, or see openstylegan doctor")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise InputError(f"expected at most {torch.cuda.device_count()} processes (one a GPU); lower --gpus")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def join_group(device: str, backend: str = "auto") -> Watch:
    """Joins the processes that the environment names, and shares the cores with those on this machine.

    Returns what watches over them. Raises `ProcessFailed` when some do not come.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if not on_gpu:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    choose_interface()
    store, rank, count = next(rendezvous("env://"))
    await_all(dist.PrefixStore("here", store), rank, count, JOIN_SECONDS)
    dist.init_process_group(pick_backend(backend, on_gpu), store=store, rank=rank, world_size=count)
    return Watch(dist.PrefixStore("watch", store), rank, count)


def pick_backend(name: str, on_gpu: bool) -> str:
    """What processes talk by: nccl between GPUs and gloo on CPUs where `name` is "auto". Raises `InputError`."""
    if name not in ("auto", "nccl", "gloo"):
        raise InputError(f"expected backend auto, nccl or gloo, got '{name}'")
    if name == "nccl" and not on_gpu:
        raise InputError("expected GPUs for --backend nccl, but processes are on the CPU; use gloo, or leave it out")
    return name if name != "auto" else "nccl" if on_gpu else "gloo"


def share_path(make: Callable[[], Path]) -> Path:
    """What the main process's `make` returns, on every process."""
    if not is_distributed():
        return make()
    box = [str(make()) if is_main() else ""]
    dist.broadcast_object_list(box, src=0)
    return Path(box[0])


def run_processes(
    function: Callable[[J], R], job: J, num: int, device: str = "auto", backend: str = "auto"
) -> R | None:
    """Runs `function(job)` in `num` processes (in this one alone, or as one of torchrun's), and waits for their end.

    Returns what the function returns in this process, or None where it ran in others only. Raises what the function
    raises: `InputError`, `Stopped`; or `ProcessFailed` when a process died. `backend`: see `pick_backend`.
    """
    if num < 1:
        raise InputError(f"expected at least 1 process, got {num}; check --gpus")
    if under_torchrun():
        return run_as_one_of_several(function, job, device, backend)
    if num == 1:
        if backend != "auto":
            raise InputError(f"--backend {backend} has no effect on one process; leave it out, or see --gpus")
        return function(job)
    spawn(function, job, num, device, backend)
    return None


def run_as_one_of_several(function: Callable[[J], R], job: J, device: str, backend: str) -> R:
    """This process's part; when another one dies, this one ends too. Raises what the function raises."""
    watch = join_group(device, backend)
    try:
        with watch:
            return function(job)
    finally:
        dist.destroy_process_group()


def spawn(function: Callable[[J], R], job: J, num: int, device: str, backend: str) -> None:
    """Starts `num` processes here and watches over them: the first that fails ends all."""
    if device != "cpu" and torch.cuda.is_available() and num > torch.cuda.device_count():
        raise InputError(f"expected at most {torch.cuda.device_count()} processes (one a GPU), got {num}; lower --gpus")
    pick_backend(backend, device != "cpu" and torch.cuda.is_available())  # raises before anything is started
    context = multiprocessing.get_context("spawn")
    port = free_port()
    children: list[BaseProcess] = []
    pipes: list[Connection] = []
    stop = StopRequest()
    with listen(stop):
        for rank in range(num):
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=child_main, args=(rank, num, port, (device, backend), function, job, theirs))
            child.start()
            theirs.close()
            children.append(child)
            pipes.append(ours)
        watch(children, stop)
    reports = []
    for pipe in pipes:
        with contextlib.suppress(EOFError):  # the child closed it without a report
            reports.append(pipe.recv())
    for kind, text, number in sorted(reports, key=lambda report: report[0] == "lost"):
        raise_reported(kind, text, number, stop)
    failed = [n for n, child in enumerate(children) if child.exitcode != 0]
    if failed:
        codes = ", ".join(f"process {n}: {children[n].exitcode}" for n in failed)
        raise ProcessFailed(f"expected all {num} processes to finish, but some ended early ({codes}); see their output")


def watch(children: list[BaseProcess], stop: StopRequest) -> None:
    """Waits for all; passes a request to stop on, once; ends the others when one has died."""
    told, deadline = False, None
    while alive := [c for c in children if c.is_alive()]:
        wait([c.sentinel for c in alive], timeout=0.2)
        if stop.requested and not told:
            told = True
            for child in alive:
                os.kill(child.pid or 0, signal.SIGTERM)
        if deadline is None and any(c.exitcode not in (None, 0) for c in children):
            deadline = time.monotonic() + (GRACE_SECONDS if told else 5.0)
        if deadline is not None and time.monotonic() > deadline:
            for child in alive:
                child.kill()


def raise_reported(kind: str, text: str, number: int, stop: StopRequest) -> None:
    """Raises in this process what a child reported."""
    if kind == "stopped":
        raise Stopped(stop.signal or number)
    if kind == "lost":
        raise ProcessFailed(text)
    raise InputError(text)


def child_main(
    rank: int, num: int, port: int, where: tuple[str, str], function: Callable[[J], R], job: J, pipe: Connection
) -> None:
    """One started process, on the device and with the backend of `where`. It reports what a user caused to its parent,
    and leaves anything else as a traceback."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        WORLD_SIZE=str(num),
        LOCAL_RANK=str(rank),
        LOCAL_WORLD_SIZE=str(num),
    )
    code = 0
    try:
        run_processes(function, job, num, *where)
    except InputError as error:
        pipe.send(("input", str(error), 0))
        code = 2
    except ProcessFailed as error:  # because of what another process met, which may be reported too
        pipe.send(("lost", str(error), 0))
        code = 1
    except Stopped as stopped:
        pipe.send(("stopped", "", stopped.number))
        code = stopped.exit_code
    pipe.close()
    raise SystemExit(code)


def free_port() -> int:
    """A TCP port that is free on the loopback address now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
