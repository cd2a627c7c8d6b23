"""From a configuration to a trained network: opens the run folder, builds the run or resumes it, and trains."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from openstylegan.config import TrainConfig, from_dict
from openstylegan.data.shapes import shape_in_words
from openstylegan.distributed import barrier, is_main
from openstylegan.errors import InputError
from openstylegan.features.weights import WeightPolicy
from openstylegan.files import append_line, sha256_bytes
from openstylegan.ops.allocator import configure_allocator
from openstylegan.ops.native import make_early
from openstylegan.training import run_folder
from openstylegan.training.build import Run, build_run
from openstylegan.training.checkpoint import latest_checkpoint, read_checkpoint
from openstylegan.training.early import compiled_parts
from openstylegan.training.launch import pick_device, run_processes, share_path, under_torchrun
from openstylegan.training.liveness import check_alike
from openstylegan.training.loop import train_loop
from openstylegan.training.progress import Progress
from openstylegan.training.signals import StopRequest, listen
from openstylegan.training.tick import Ticks, memory_gb
from openstylegan.training.transfer import begin_with_weights

SHOWN_STATS = ("Loss/G/loss", "Loss/D/loss", "Loss/D/reg", "Loss/G/reg")
DISPLAY_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """What each process of a run is told: the configuration, the run folder (or where and how to make it), whether to
    go on with what is there, and the device."""

    config: TrainConfig
    folder: Path | None
    outdir: Path = Path("runs")
    description: str = ""
    resume: bool = False
    device: str = "auto"
    allow_tf32: bool = False
    cudnn_benchmark: bool = True
    preset: TrainConfig | None = None
    build_only: bool = False
    weights: WeightPolicy = field(default_factory=WeightPolicy)

    def open_device(self) -> torch.device:
        """This process's device, set to compute as asked."""
        device = pick_device(self.device)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = self.cudnn_benchmark
            torch.backends.cuda.matmul.allow_tf32 = self.allow_tf32
            torch.backends.cudnn.allow_tf32 = self.allow_tf32
        return device

    def open_folder(self) -> Path:
        """The run folder; a new one is made once, by the main process."""
        if self.folder is not None:
            return self.folder
        return share_path(lambda: run_folder.new_run_folder(self.outdir, self.description))


def train(
    config: TrainConfig,
    outdir: str | os.PathLike[str] = "runs",
    *,
    description: str | None = None,
    preset: TrainConfig | None = None,
    gpus: int = 1,
    device: str = "auto",
    backend: str = "auto",
    allow_tf32: bool = False,
    cudnn_benchmark: bool = True,
    build_only: bool = False,
    weights: WeightPolicy | None = None,
) -> Path:
    """Trains a new run in a new folder below `outdir` and returns the folder.

    `gpus` processes are started on this machine (on a CPU they share its cores); under `torchrun` they are there
    already. `preset`: what the configuration was made from, so that the report marks what differs. `build_only` writes
    the untrained networks and a checkpoint that `resume` goes on from. `weights`: which files the metrics may use.
    Raises `InputError`, or `Stopped` after a signal, with a checkpoint written.
    """
    name = description or f"{Path(config.data.path).stem}-{config.preset or 'custom'}"
    folder = None if under_torchrun() else run_folder.new_run_folder(Path(outdir), name)
    try:
        machine = (device, allow_tf32, cudnn_benchmark)
        job = Job(config, folder, Path(outdir), name, False, *machine, preset, build_only, weights or WeightPolicy())
        opened = run_processes(run_job, job, gpus, device, backend)
    except InputError:
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only when nothing was written into it
        raise
    found = folder or opened
    assert found is not None
    return found


def resume(
    folder: str | os.PathLike[str],
    *,
    gpus: int = 1,
    device: str = "auto",
    backend: str = "auto",
    allow_tf32: bool = False,
    cudnn_benchmark: bool = True,
    build_only: bool = False,
    weights: WeightPolicy | None = None,
) -> Path:
    """Goes on with a run exactly where its newest whole checkpoint stands; with `build_only` only loads it, and writes
    a snapshot of it. Raises `InputError` or `Stopped`."""
    config = run_folder.read_config(Path(folder))
    place = Path(folder)
    machine: dict[str, Any] = {"device": device, "allow_tf32": allow_tf32, "cudnn_benchmark": cudnn_benchmark}
    job = Job(config, place, resume=True, build_only=build_only, weights=weights or WeightPolicy(), **machine)
    run_processes(run_job, job, gpus, device, backend)
    return place


def run_job(job: Job) -> Path:
    """One process's part of a run; returns the run folder."""
    configure_allocator()
    device = job.open_device()
    if device.type == "cpu":
        make_early(compiled_parts(job.config))
    folder = job.open_folder()
    run = build_run(job.config, device, folder)
    check_alike("pictures", description_of(run))
    log = log_to(folder)
    if job.resume:
        restore(run, folder, log)
    else:
        begin(run, folder, job, log)
    barrier()
    stop = StopRequest()
    minutes = job.config.max_minutes
    seconds = None if minutes is None else minutes * 60
    with (
        Progress(job.config.total_kimg, total_seconds=seconds) as progress,
        listen(stop),
        contextlib.closing(run.loader),
    ):
        display = StepDisplay(progress)
        run.tell = lambda text: display.message(text, log)
        ticks = Ticks(run, folder, progress, run.tell, job.weights)
        with contextlib.closing(ticks):
            ticks.begin()
            if job.build_only:
                ticks.keep()
                return folder
            train_loop(run, stop, display, ticks, lambda _: ticks.save())
    return folder


def description_of(run: Run) -> str:
    """What of a dataset must be the same for all processes, on whatever machine: number, shape, labels and names."""
    data = run.dataset
    names = sha256_bytes("\n".join(data.names).encode("utf-8", "surrogateescape"))[:8]
    return f"{len(data)} of {shape_in_words(data.image_shape)}, labels of length {data.label_dim}, names {names}"


def begin(run: Run, folder: Path, job: Job, log: Callable[[str], None]) -> None:
    """Takes the weights that a new run begins with, and writes what the run is. Raises `InputError`."""
    lines = begin_with_weights(run)
    if is_main():
        run_folder.begin(folder, job.config, run.device, job.preset)
    for line in lines:
        print(line)
        log(line)


def restore(run: Run, folder: Path, log: Callable[[str], None]) -> None:
    """Loads the newest whole checkpoint and cuts the records to what they were. Raises `InputError`."""

    def tell(text: str) -> None:
        run.tell(text)
        log(text)

    checkpoint = latest_checkpoint(folder, tell)
    about = read_checkpoint(checkpoint, run.state, run.device)
    stored, own = about["dataset"]["content_hash"], run.dataset.content_hash
    if stored != own:
        raise InputError(
            f"expected the pictures that the run began with (hash {stored[:12]}), got others ({own[:12]}) at "
            f"{run.config.data.path}; put them back or start a new run"
        )
    if from_dict(TrainConfig, about["config"]) != run.config:
        raise InputError(f"{folder}'s config.json differs from its checkpoint's; start a new run for other options")
    if is_main():
        run_folder.cut_logs(folder, run.state.counters.logs)
    tell(f"resuming at kimg {run.state.counters.cur_nimg / 1000:.1f} from {checkpoint.name}")


def log_to(folder: Path) -> Callable[[str], None]:
    """A function that appends a line to the run's log, on the main process."""
    return lambda text: append_line(folder / run_folder.LOG_FILE, text) if is_main() else None


class StepDisplay:
    """The live display, at most twice a second: reading a number costs a wait for the GPU."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.shown_at, self.shown_nimg = time.monotonic(), -1

    def __call__(self, run: Run) -> None:
        """After a step."""
        now, nimg = time.monotonic(), run.state.counters.cur_nimg
        if not is_main() or now - self.shown_at < DISPLAY_SECONDS:
            return
        pending = run.state.stats.pending
        latest = {n: float(pending[n][1] / pending[n][0]) for n in SHOWN_STATS if n in pending}
        speed = (nimg - self.shown_nimg) / (now - self.shown_at) if self.shown_nimg >= 0 else None
        self.progress.update(
            kimg=nimg / 1000,
            seconds=run.state.counters.seconds,
            images_per_second=speed,
            stats=latest,
            p=float(run.state.augment.p),
            memory_gb=memory_gb(),
        )
        self.shown_at, self.shown_nimg = now, nimg

    def message(self, text: str, log: Callable[[str], None]) -> None:
        """A line on the display and in the log, from the main process."""
        if is_main():
            self.progress.message(text)
            log(text)
