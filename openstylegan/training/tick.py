"""What happens at a tick: an ordered list of actions, each with its own interval. They read the run and write files;
none changes the step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from openstylegan.config import to_dict
from openstylegan.distributed import is_main
from openstylegan.features.weights import WeightPolicy
from openstylegan.files import append_line
from openstylegan.metrics.evaluate import Setup, check_measurable, evaluate, is_better
from openstylegan.sampling.measured import NumberedSampler
from openstylegan.snapshot import write_snapshot
from openstylegan.training import run_folder
from openstylegan.training.build import Run
from openstylegan.training.checkpoint import checkpoint_name, rotate, write_checkpoint
from openstylegan.training.grids import ImageGrid
from openstylegan.training.loss_tables import write_loss_tables
from openstylegan.training.progress import Progress, TickStatus, status_line
from openstylegan.training.report import write_report
from openstylegan.training.samples import TrainingSamples
from openstylegan.training.tensorboard import open_writer

GIB = 2**30
BEST_SNAPSHOT = "network-snapshot-best.safetensors"


@dataclass
class TickView:
    """A tick as its actions see it: the run, whether it is the last tick, and what came out so far."""

    run: Run
    folder: Path
    last: bool
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    snapshot: Path | None = None
    is_best: bool = False

    @property
    def kimg(self) -> int:
        """Thousands of images seen, rounded down: the number in file names."""
        return self.run.state.counters.cur_nimg // 1000

    def is_due(self, every: int) -> bool:
        """Whether an action of this interval (in ticks) runs now: at its time, at a milestone and at the end."""
        return self.last or self.run.at_milestone() or self.run.state.counters.tick % every == 0


@dataclass(frozen=True)
class TickAction:
    """One action and its interval in ticks; `everywhere`: on every process, else on the main one only."""

    every: int
    act: Callable[[TickView], None]
    everywhere: bool = False


class Ticks:
    """The actions of a run's ticks, in their order, and what they hold open."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        progress: Progress,
        log: Callable[[str], None],
        weights: WeightPolicy | None = None,
    ):
        self.run, self.folder, self.progress, self.log = run, folder, progress, log
        self.weights = weights or WeightPolicy()
        self.maintenance_seconds = 0.0
        self.grid: ImageGrid | None = None
        if is_main():
            self.tensorboard = open_writer(folder, run.config.output.tensorboard, log)
        output = run.config.output
        if output.metrics:
            check_measurable(output.metrics, sampler_of(run))
        metric_ticks = output.metric_ticks or output.snapshot_ticks
        self.actions = [
            TickAction(output.image_ticks, self.write_grid),
            TickAction(output.snapshot_ticks, self.write_network_snapshot),
            TickAction(metric_ticks, self.measure, everywhere=True),
            TickAction(1, self.report, everywhere=True),
        ]
        if output.samples is not None:
            self.actions.append(TickAction(output.image_ticks, self.write_samples))
        if output.loss_tables:
            self.actions.append(TickAction(1, self.write_loss_tables))

    def begin(self) -> None:
        """Before the first step: the grid of real pictures and, in a new run, of the untrained generator."""
        if is_main():
            run, state = self.run, self.run.state
            micro = run.stage().batch_gpu
            size = run.config.output.grid
            self.grid = ImageGrid.of_run(self.folder, run.dataset, state.G.z_dim, run.config.seed, micro, size)
            if state.counters.step == 0:
                self.grid.write(self.folder, state.ema.module, None)

    def __call__(self, run: Run, seconds: float, last: bool) -> None:
        """Runs every action that is due, starts the next tick, and saves."""
        start = time.monotonic()
        counters = run.state.counters
        view = TickView(run, self.folder, last, seconds)
        for action in self.actions:
            if view.is_due(action.every) and (is_main() or action.everywhere):
                action.act(view)
        saving = view.is_due(run.config.output.checkpoint_ticks) or view.is_best
        counters.tick += 1
        counters.tick_start_nimg = counters.cur_nimg
        if saving:
            self.save(best=view.is_best)
        if is_main():
            write_report(self.folder)
        self.maintenance_seconds = time.monotonic() - start

    def write_grid(self, view: TickView) -> None:
        """The grid of the averaged generator."""
        assert self.grid is not None
        self.grid.write(self.folder, self.run.state.ema.module, self.run.state.counters.cur_nimg)

    def write_samples(self, view: TickView) -> None:
        """The further grids that the run asks for, of the generator as it is and of the averaged one."""
        run, state, config = self.run, self.run.state, self.run.config
        assert self.grid is not None and config.output.samples is not None
        samples = TrainingSamples(
            self.folder,
            config.output.samples,
            config.seed,
            self.grid.layout.columns,
            self.grid.c,
            run.stage().batch_gpu,
        )
        samples.write({"current": state.G, "ema": state.ema.module}, state.counters.step)

    def write_loss_tables(self, view: TickView) -> None:
        """A CSV a loss; plots of them when the grids are due."""
        write_loss_tables(self.folder, plots=view.is_due(self.run.config.output.image_ticks))

    def write_network_snapshot(self, view: TickView) -> None:
        """The networks as others load them."""
        view.snapshot = self.folder / f"network-snapshot-{view.kimg:06d}.safetensors"
        self.snapshot_to(view.snapshot)
        self.progress.update(snapshot=view.snapshot.name)
        keep = self.run.config.output.keep_snapshots
        if keep is not None and keep > 0:
            numbered = sorted(p for p in self.folder.glob("network-snapshot-*.safetensors") if p.name != BEST_SNAPSHOT)
            for old in numbered[:-keep]:
                old.unlink()

    def snapshot_to(self, path: Path) -> None:
        """Writes G, D and G_ema to `path`."""
        run, state = self.run, self.run.state
        about = {
            "config": to_dict(run.config),
            "cur_nimg": state.counters.cur_nimg,
            "augment_p": float(state.augment.p),
            "dataset": dataset_facts(run),
        }
        write_snapshot(path, {"G": state.G, "D": state.D, "G_ema": state.ema.module}, run.components, about)

    def measure(self, view: TickView) -> None:
        """The metrics of the averaged generator, on all processes; the best snapshot by the first of them is kept."""
        run, output = self.run, self.run.config.output
        if not output.metrics:
            return
        sample = sampler_of(run)
        setup = Setup(
            policy=self.weights,
            device=run.device,
            seed=run.config.seed,
            snapshot=view.snapshot.name if view.snapshot else None,
            sampling={"seed": run.config.seed, "truncation_psi": 1, "noise_mode": "random"},
        )
        records = evaluate(output.metrics, sample, run.dataset, num_generated=output.metric_images, setup=setup)
        for record in records:
            view.metrics |= record.results
        view.is_best = self.note_best(view, next(iter(records[0].results)))
        if not is_main():
            return
        for record in records:
            record.append_to(self.folder, kimg=run.state.counters.cur_nimg / 1000)
            shown = ", ".join(f"{k} {v:.4g}" for k, v in record.results.items())
            self.log(f"kimg {view.kimg}: {shown}")
            self.progress.update(metric=shown)
        if view.is_best:
            self.snapshot_to(self.folder / BEST_SNAPSHOT)

    def note_best(self, view: TickView, name: str) -> bool:
        """Whether `name` is better than ever before; then it is noted."""
        counters, value = self.run.state.counters, view.metrics[name]
        if counters.best is not None and not is_better(name, value, counters.best["value"]):
            return False
        counters.best = {"metric": name, "value": value, "kimg": view.kimg, "checkpoint": None}
        return True

    def report(self, view: TickView) -> None:
        """Statistics as a line of JSON, as events, and as the status line."""
        run, counters = self.run, self.run.state.counters
        for name, value in self.progress_numbers(view).items():
            run.state.stats.add_number(name, value)
        stats = run.state.stats.collect()
        if not is_main():
            return
        append_line(self.folder / run_folder.STATS_FILE, json.dumps(stats | {"timestamp": time.time()}))
        means = {name: s["mean"] for name, s in stats.items()}
        metrics = {f"Metrics/{name}": value for name, value in view.metrics.items()}
        self.tensorboard.scalars(counters.cur_nimg / 1000, counters.seconds, means | metrics)
        self.tensorboard.flush()
        status = TickStatus(
            tick=counters.tick,
            kimg=counters.cur_nimg / 1000,
            total_seconds=counters.seconds,
            seconds_per_tick=means["Timing/sec_per_tick"],
            seconds_per_kimg=means["Timing/sec_per_kimg"],
            maintenance_seconds=self.maintenance_seconds,
            cpu_memory_gb=means["Resources/cpu_mem_gb"],
            gpu_memory_gb=means["Resources/peak_gpu_mem_gb"],
            augment_p=means["Progress/augment"],
        )
        self.progress.tick(status_line(status))
        append_line(self.folder / run_folder.LOG_FILE, status_line(status))

    def progress_numbers(self, view: TickView) -> dict[str, float]:
        """Where the run is and what it costs."""
        counters, state = self.run.state.counters, self.run.state
        kimg_in_tick = max(counters.cur_nimg - counters.tick_start_nimg, 1) / 1000
        return {
            "Progress/tick": counters.tick,
            "Progress/step": counters.step,
            "Progress/kimg": counters.cur_nimg / 1000,
            "Progress/augment": float(state.augment.p),
            "Health/skipped_steps": state.health.skipped,
            "Timing/total_sec": counters.seconds,
            "Timing/total_hours": counters.seconds / 3600,
            "Timing/total_days": counters.seconds / 86400,
            "Timing/sec_per_tick": view.seconds,
            "Timing/sec_per_kimg": view.seconds / kimg_in_tick,
            "Timing/maintenance_sec": self.maintenance_seconds,
            "Resources/cpu_mem_gb": memory_gb(),
            "Resources/peak_gpu_mem_gb": peak_gpu_memory_gb(self.run.device),
        }

    def keep(self) -> None:
        """A snapshot and a checkpoint of the run as it stands."""
        if is_main():
            self.write_network_snapshot(TickView(self.run, self.folder, True, 0.0))
        self.save()

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, with the length that the records have now; removes old ones."""
        if not is_main():
            return
        counters, output = self.run.state.counters, self.run.config.output
        counters.logs = run_folder.log_sizes(self.folder)
        if best and counters.best is not None:
            counters.best["checkpoint"] = checkpoint_name(self.run.state)
        about = {"config": to_dict(self.run.config), "dataset": dataset_facts(self.run)}
        write_checkpoint(self.folder, self.run.state, about)
        rotate(self.folder, output.keep_checkpoints, counters.best["checkpoint"] if counters.best else None)

    def close(self) -> None:
        """Ends what is open."""
        if is_main():
            self.tensorboard.close()


def sampler_of(run: Run) -> NumberedSampler:
    """The averaged generator's pictures by number, as metrics look at them."""
    return NumberedSampler(run.state.ema.module, run.config.seed, len(run.dataset), run.dataset.labels)


def dataset_facts(run: Run) -> dict[str, Any]:
    """Which pictures the run was trained on."""
    return {"name": run.dataset.name, "content_hash": run.dataset.content_hash, "num_images": len(run.dataset)}


def memory_gb() -> float:
    """Main memory of this process, in GiB."""
    return float(psutil.Process().memory_info().rss / GIB)


def peak_gpu_memory_gb(device: torch.device) -> float:
    """The most GPU memory allocated since the last call, in GiB; 0 on a CPU."""
    if device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated(device) / GIB
    torch.cuda.reset_peak_memory_stats(device)
    return peak
