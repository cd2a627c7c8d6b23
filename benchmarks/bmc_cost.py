"""What the Brownian Motion Controller costs: a training step with and without it, and the laboratory's table.

    python benchmarks/bmc_cost.py [--rounds 30] [--resolution 64] [--channel-base 4096] [--batch 8] [--threads 1]

A step is Gmain and Dmain of StyleGAN2-ADA on random pictures, run by the real phases; the two variants take turns, each
first in every other round, and the cost is the median of the rounds' ratios. The table is that of `openstylegan dirac`:
18 cells, 100 seeds, at most 100,000 iterations. Process CPU time.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from growing_step import interleaved
from training_step import Step, cpu_seconds

from openstylegan.config import TrainConfig
from openstylegan.dirac.simulate import Protocol
from openstylegan.dirac.table import measure
from openstylegan.ops.allocator import configure_allocator
from openstylegan.presets.stylegan2_ada import Options, make_config

STEP_GOAL, TABLE_GOAL_S = 1.01, 60.0


class PlainStep(Step):
    """A step without the controller, without the lazy phases."""

    bmc = "none"

    @classmethod
    def config(cls, resolution: int, batch: int, channel_base: int, precision: str) -> TrainConfig:
        options = Options(batch=batch, aug="noaug", cbase=channel_base, bmc=cls.bmc)  # type: ignore[arg-type]
        return make_config(options, "random", resolution)

    def main_phases(self) -> None:
        """One step of every phase that is in each step."""
        for phase in self.phases.values():
            if phase.every == 1:
                self.run(phase)


class ControlledStep(PlainStep):
    """The same step with the controller on both players."""

    bmc = "both"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channel-base", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s).\n")
    sizes = (arguments.resolution, arguments.batch, arguments.channel_base, "float32")
    steps = {"plain": PlainStep(*sizes).main_phases, "controlled": ControlledStep(*sizes).main_phases}
    timings = interleaved(steps, arguments.rounds)
    ratios = [own / other for own, other in zip(timings["controlled"], timings["plain"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    seconds = statistics.median(timings["plain"])
    table = cpu_seconds(lambda: measure(Protocol()))
    print("| question | measured | goal |")
    print("|---|---|---|")
    cost = f"{middle:.3f} (quartiles {low:.3f} to {high:.3f}; a step: {seconds:.2f} CPU-s)"
    print(f"| step with the controller over the step without it | {cost} | <= {STEP_GOAL} |")
    print(f"| the table, CPU seconds | {table:.1f} | < {TABLE_GOAL_S:.0f} |")


if __name__ == "__main__":
    main()
