"""What a picture at every resolution costs: an MSG-StyleGAN step against a StyleGAN1 step at the same resolution.

    python benchmarks/msg_step.py [--resolution 64] [--batch 4] [--rounds 7] [--json FILE]

Both with the same widths and losses: logistic, and R1 in every step, for MSG over all scales; the pyramid of the real
pictures is made inside the step. Process CPU time, medians of interleaved rounds; goal: at most 1.15 times.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from growing_step import GrownStep, interleaved, report

from openstylegan.config import TrainConfig
from openstylegan.files import write_json
from openstylegan.ops.allocator import configure_allocator
from openstylegan.presets.msg_stylegan import Options, make_config

GOAL = 1.15


class MSGStep(GrownStep):
    """MSG-StyleGAN's phases."""

    @staticmethod
    def config(resolution: int, batch: int, channel_base: int, precision: str) -> TrainConfig:
        return make_config(Options(batch=batch, cbase=channel_base), "random", resolution)

    def prepare(self) -> None:
        """Nothing: the networks do not grow."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--channel-base", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s).\n")
    sizes = (arguments.resolution, arguments.batch, arguments.channel_base)
    steps = {"StyleGAN1": GrownStep(*sizes), "MSG-StyleGAN": MSGStep(*sizes)}
    result = report(interleaved(dict(steps), arguments.rounds), GOAL, arguments.batch)
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
