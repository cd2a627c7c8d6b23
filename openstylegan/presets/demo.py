"""The demo: the embedded pictures at 32 px, on two CPU cores, in five minutes.

FastGAN-lite at an eighth of its width (arXiv 2101.04775) against a projected discriminator (arXiv 2111.01007) with thin
heads, features at 64 px, and no batch normalisation. With --cond it is told which of many small groups of pictures to
draw (arXiv 1712.04407; `openstylegan cluster`), which keeps so short a run from drawing two shapes only. The numbers
come from the search in docs/experiments.md.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from openstylegan.config import Component, EmaConfig, OutputConfig, PlayerConfig, TrainConfig
from openstylegan.presets import projected_gan
from openstylegan.presets.base import Preset

GENERATOR = PlayerConfig(Component("fastgan", {"z_dim": 64, "ngf": 16, "lite": True}), lr=1e-3)
JUDGE = PlayerConfig(Component("projected", {"width": 64, "feature_side": 64, "norm": False}), lr=5e-4)
OUTPUT = OutputConfig(
    kimg_per_tick=2,
    seconds_per_tick=20,
    image_ticks=1,
    snapshot_ticks=1000,
    checkpoint_ticks=4,
    grid=(12, 8),
    metrics=("fd_efflite0",),
    metric_images=500,
)
"""What the demos write: a grid and a score every 20 seconds."""


@dataclass(frozen=True)
class Options(projected_gan.Options):
    """What a user can ask for."""

    cfg: str = "demo"
    batch: int | None = 16
    kimg: float | None = 60
    minutes: float | None = 5
    mirror: bool = True
    output: OutputConfig = OUTPUT


def pictures() -> Path:
    """The embedded pictures."""
    from openstylegan.data.demo import demo_path

    return demo_path()


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The demo's configuration with `options` put in. Raises `InputError`."""
    config = projected_gan.make_config(options, data_path, resolution)
    return dataclasses.replace(
        config,
        generator=GENERATOR,
        discriminator=JUDGE,
        phases=tuple(phase for phase in config.phases if phase.terms),
        augment=Component("diffaugment", {"policy": "translation"}),
        ema=EmaConfig(1.0, config.ema.rampup),
    )


PRESET = Preset(
    family="demo",
    options=Options(),
    check_values=projected_gan.check_values,
    make_config=make_config,
    describe=projected_gan.describe,
    gpu_precision="float32",
    pictures=pictures,
)
