"""What growing costs where it is over: a StyleGAN1 step at lod 0 against the same networks without any growing.

    python benchmarks/growing_step.py [--resolution 64] [--batch 4] [--rounds 7] [--json FILE]

Both variants have the same weights and run the same phases (logistic losses, R1 in every step) on the same pictures.
The growing one asks the schedule, sets the level of detail of three networks and looks it up in every forward pass; the
other runs straight through its blocks. Process CPU time, medians of interleaved rounds in turning order; goal: within
3 %.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from training_step import Step

from openstylegan.config import TrainConfig
from openstylegan.files import write_json
from openstylegan.images import Images
from openstylegan.networks.stylegan1 import StyleGAN1Synthesis
from openstylegan.networks.stylegan1_discriminator import StyleGAN1Discriminator
from openstylegan.ops.allocator import configure_allocator
from openstylegan.presets.stylegan1 import Options, make_config
from openstylegan.registry import build
from openstylegan.training.schedule import SCHEDULES

GOAL = 1.03


class GrownStep(Step):
    """StyleGAN1's phases, at the end of a schedule that grows."""

    def __init__(self, resolution: int, batch: int, channel_base: int):
        super().__init__(resolution, batch, channel_base, "float32")
        config = self.config(resolution, batch, channel_base, "float32")
        self.schedule = build(SCHEDULES, config.schedule.name, config.schedule.options, "schedule")

    @staticmethod
    def config(resolution: int, batch: int, channel_base: int, precision: str) -> TrainConfig:
        options = Options(batch=batch, cbase=channel_base, loss="r1", mixing=True)
        return make_config(options, "random", resolution)

    def prepare(self) -> None:
        """What a step does besides its phases because networks grow."""
        stage = self.schedule.at(10**9)
        for network in (*self.context.networks[:2], self.ema.module):
            network.set_lod(stage.lod)

    def __call__(self) -> None:
        """One step."""
        self.prepare()
        for phase in self.phases.values():
            self.run(phase)
        self.ema.update(100_000, self.size)


class StraightSynthesis(StyleGAN1Synthesis):
    """The blocks one after the other, and the picture of the last."""

    def noise_shapes(self) -> list[tuple[int, int]]:
        return [self.plan.shape_at(r) for r in self.plan.nominals]

    def run(self, ws: Tensor, noises: Any) -> Tensor:
        (blocks,), x = self._blocks, None
        for k, noise in enumerate(noises):
            x = blocks.progression[k](x, ws[:, k], noise)
        image: Tensor = blocks.to_rgb[-1](x)
        return image


class StraightDiscriminator(StyleGAN1Discriminator):
    """The blocks one after the other, from the picture down."""

    def prepare_reals(self, images: Images) -> Images:
        return images

    def shape_in_use(self) -> tuple[int, int, int]:
        return self.image_shape

    def last_features(self, images: Tensor) -> Tensor:
        *upper, last = self.progression.values()
        x = next(iter(self.from_rgb.values()))(images)
        for block in upper:
            x = block(x)
        features: Tensor = last(self.mbstd(x))
        return features


class StraightStep(GrownStep):
    """The same networks with the growing taken out."""

    def __init__(self, resolution: int, batch: int, channel_base: int):
        super().__init__(resolution, batch, channel_base)
        G, D, _ = self.context.networks
        G.synthesis.__class__, D.__class__ = StraightSynthesis, StraightDiscriminator

    def prepare(self) -> None:
        """Nothing."""


def interleaved(variants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every variant in every round; a variant begins every other round. One round warms up."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for n in range(rounds + 1):
        for name in list(variants)[:: 1 if n % 2 else -1]:
            began = time.process_time()
            variants[name]()
            if n:
                found[name].append(time.process_time() - began)
    return found


def report(timings: dict[str, list[float]], goal: float, batch: int) -> dict[str, Any]:
    """Prints the medians, and how the last variant compares with the first; returns the numbers."""
    medians = {name: statistics.median(seconds) for name, seconds in timings.items()}
    base, *_, name = medians
    ratio = statistics.median(own / other for own, other in zip(timings[name], timings[base], strict=True))
    print("| step | CPU seconds | an image |")
    print("|---|---|---|")
    for each, seconds in medians.items():
        print(f"| {each} | {seconds:.3f} | {seconds / batch:.4f} |")
    print(f"\n{name} / {base}: {ratio:.3f} (goal: at most {goal})")
    return {"medians": medians, "ratio": ratio, "goal": goal, "timings": timings}


def compare(doc: str | None, variants: dict[str, Callable[..., Callable[[], None]]], goal: float) -> None:
    """The command line of a benchmark: the last of `variants` (resolution, batch, channel_base -> step) against the
    first."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    steps = {name: make(*sizes) for name, make in variants.items()}
    result = report(interleaved(steps, arguments.rounds), goal, arguments.batch)
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    compare(__doc__, {"without growing": StraightStep, "grown, at lod 0": GrownStep}, GOAL)
