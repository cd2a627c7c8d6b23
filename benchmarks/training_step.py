"""What share of the processor's convolution peak one StyleGAN2-ADA training step reaches.

    python benchmarks/training_step.py [--resolution 64] [--batch 8] [--precision float32 bfloat16] [--rounds 3]
        [--below GFLOP] [--json FILE]

A step is Gmain, Dmain, the moving average, and the lazy phases at their share (path length every 4 steps, R1 every 16),
run by the real phases on random pictures: forward and backward passes, optimizer steps, statistics, and all checks.
The share is (floating-point operations of the plain formulation) / (process CPU seconds x peak). The operations are
those that torch.utils.flop_counter counts when every op takes its plain reference; the peak is that of the same
precision, measured in the same process between the phases. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peak import beside_peak
from torch.utils.flop_counter import FlopCounterMode

from openstylegan.augment import AUGMENTS
from openstylegan.config import Component, TrainConfig
from openstylegan.files import write_json
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.ops.allocator import configure_allocator
from openstylegan.ops.paths import reference_paths
from openstylegan.presets.stylegan2_ada import Options, make_config
from openstylegan.training.build import make_network, make_phases
from openstylegan.training.ema import Ema
from openstylegan.training.forward_pass import Batch
from openstylegan.training.phase import Health, Phase, StepContext
from openstylegan.training.players import Player
from openstylegan.training.stats import Stats

GOALS = {"float32": 0.75, "bfloat16": 0.70}
REFERENCE = "plain float32"
Timings = dict[str, list[tuple[float, float]]]
"""By part, for every round: CPU seconds, and the peak (operations per CPU second) measured around it."""


class NoModules:
    """Stands in for the flop counter's module tracker, which cannot follow gradients of images."""

    parents = ("Global",)

    def __enter__(self) -> NoModules:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Step:
    """The phases of a training step, each callable on its own."""

    def __init__(self, resolution: int, batch: int, channel_base: int, precision: str):
        config = self.config(resolution, batch, channel_base, precision)
        G, D = (self.network(config, player, resolution) for player in ("generator", "discriminator"))
        players = {"G": Player("G", G, config.generator, 4), "D": Player("D", D, config.discriminator, 16)}
        self.context = StepContext((G, D, AUGMENTS["none"]()), Stats(), Health(), 0, config.style_mixing_prob, "stop")
        self.phases = {phase.name: phase for phase in make_phases(config, players)}
        self.ema, self.size = Ema(G, config.ema), batch
        reals = torch.rand(batch, 3, resolution, resolution) * 2 - 1
        nothing = torch.zeros(batch, 0)
        self.batch = Batch(reals, nothing, nothing, list(range(batch)))

    @staticmethod
    def config(resolution: int, batch: int, channel_base: int, precision: str) -> TrainConfig:
        """What is trained: subclasses train something else."""
        options = Options(batch=batch, aug="noaug", cbase=channel_base, precision=precision)  # type: ignore[arg-type]
        return make_config(options, "random", resolution)

    @staticmethod
    def network(config: TrainConfig, player: str, resolution: int) -> Any:
        """The generator or the discriminator of a configuration, in training mode."""
        component = getattr(config, player).network
        options = {**component.options, "img_resolution": resolution}
        table: Any = GENERATORS if player == "generator" else DISCRIMINATORS
        return make_network(table, Component(component.name, options), player, config).train()

    def parts(self) -> dict[str, tuple[Callable[[], None], float]]:
        """What is timed: a function, and how often it runs in a step."""
        phases = {name: (partial(self.run, phase), 1 / phase.every) for name, phase in self.phases.items()}
        return {**phases, "Ema": (partial(self.ema.update, 100_000, self.size), 1.0)}

    def run(self, phase: Phase) -> None:
        """One step of a phase."""
        phase.step(self.context, self.batch, 100_000, 1, 1)


def count_operations(step: Step) -> dict[str, float]:
    """Floating-point operations of every part in its plain formulation."""
    counts = {}
    for name, (run, _) in step.parts().items():
        counter = FlopCounterMode(display=False)
        counter.mod_tracker = NoModules()  # type: ignore[assignment]
        with reference_paths(), counter:
            run()
        counts[name] = float(counter.get_total_flops())
    return counts


def cpu_seconds(run: Callable[[], None]) -> float:
    """Process CPU time of one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def measure(steps: dict[str, Step], rounds: int, below: float | None = None) -> dict[str, Timings]:
    """CPU seconds of every part and the peak around it, for every variant and round; see `beside_peak`."""
    found: dict[str, Timings] = {variant: {part: [] for part in step.parts()} for variant, step in steps.items()}
    for _ in range(rounds):
        for variant, step in steps.items():
            dtype = torch.bfloat16 if variant == "bfloat16" else torch.float32
            for part, (run, _) in step.parts().items():

                def seconds(run: Callable[[], None] = run, variant: str = variant) -> float:
                    with reference_paths() if variant == REFERENCE else nullcontext():
                        return cpu_seconds(run)

                found[variant][part].append(beside_peak(seconds, dtype, below))
    return found


def summarize(step: Step, timings: Timings, operations: dict[str, float]) -> dict[str, Any]:
    """Shares by part and of the step, from the medians of the rounds."""
    result: dict[str, Any] = {"parts": {}}
    total_operations = total_work = total_seconds = 0.0
    for name, (_, weight) in step.parts().items():
        seconds = statistics.median(s for s, _ in timings[name])
        work = statistics.median(s * p for s, p in timings[name])
        rate, share = operations[name] / seconds / 1e9, operations[name] / work
        result["parts"][name] = {"cpu_seconds": seconds, "gflops": rate, "share": share, "weight": weight}
        total_operations += weight * operations[name]
        total_seconds, total_work = total_seconds + weight * seconds, total_work + weight * work
    peak = statistics.median(peak for rounds in timings.values() for _, peak in rounds)
    rate = total_operations / total_seconds / 1e9
    result.update(cpu_seconds=total_seconds, gflops=rate, share=total_operations / total_work, peak_gflops=peak / 1e9)
    return result


def rows(variant: str, result: dict[str, Any], batch: int) -> list[str]:
    """A variant's lines of the table."""
    lines = [
        f"| {variant} | {name} | {part['weight']:.4g} | {part['cpu_seconds']:.3f} | {part['gflops']:.0f} "
        f"| {100 * part['share']:.1f} % | |"
        for name, part in result["parts"].items()
    ]
    goal = f"{100 * GOALS[variant]:.0f} %" if variant in GOALS else ""
    seconds, rate, share = result["cpu_seconds"], result["gflops"], 100 * result["share"]
    lines.append(f"| **{variant}** | **step** | 1 | **{seconds:.3f}** | **{rate:.0f}** | **{share:.1f} %** | {goal} |")
    lines.append(f"| {variant} | an image | {1 / batch:.4g} | {seconds / batch:.3f} | | | |")
    return lines


def print_table(results: dict[str, dict[str, Any]], batch: int) -> None:
    """Prints what was measured."""
    for variant, result in results.items():
        print(f"Peak beside {variant}: {result['peak_gflops']:.0f} GFLOP per CPU second (median).\n")
    print("| precision | part | times a step | CPU seconds | GFLOP per CPU second | share of the peak | goal |")
    print("|---|---|---|---|---|---|---|")
    for variant, result in results.items():
        print("\n".join(rows(variant, result, batch)))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--precision", nargs="+", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--no-reference", action="store_true", help="do not time the plain formulation (the slowest)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--below", type=float, help="count what ran between peaks lower than this, in GFLOP")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s).")
    sizes = (arguments.resolution, arguments.batch, arguments.channel_base)
    steps = {precision: Step(*sizes, precision) for precision in arguments.precision}
    if not arguments.no_reference:
        steps[REFERENCE] = Step(*sizes, "float32")
    operations = count_operations(Step(*sizes, "float32"))
    timings = measure(steps, arguments.rounds, arguments.below)
    results = {variant: summarize(step, timings[variant], operations) for variant, step in steps.items()}
    print_table(results, arguments.batch)
    if arguments.json:
        described = {name: str(value) for name, value in vars(arguments).items() if name != "json"}
        write_json(arguments.json, {"options": described, "operations": operations, "results": results})


if __name__ == "__main__":
    main()
