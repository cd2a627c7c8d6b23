"""What a picture at every resolution costs: an MSG-StyleGAN step against a StyleGAN1 step at the same resolution.

    python benchmarks/msg_step.py [--resolution 64] [--batch 4] [--rounds 7] [--json FILE]

Both with the same widths and losses: logistic, and R1 in every step, for MSG over all scales; the pyramid of the real
pictures is made inside the step. Process CPU time, medians of interleaved rounds; goal: at most 1.15 times.
"""

from __future__ import annotations

from growing_step import GrownStep, compare

from openstylegan.config import TrainConfig
from openstylegan.presets.msg_stylegan import Options, make_config

GOAL = 1.15


class MSGStep(GrownStep):
    """MSG-StyleGAN's phases."""

    @staticmethod
    def config(resolution: int, batch: int, channel_base: int, precision: str) -> TrainConfig:
        return make_config(Options(batch=batch, cbase=channel_base), "random", resolution)

    def prepare(self) -> None:
        """Nothing: the networks do not grow."""


if __name__ == "__main__":
    compare(__doc__, {"StyleGAN1": GrownStep, "MSG-StyleGAN": MSGStep}, GOAL)
