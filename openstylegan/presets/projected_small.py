"""A StyleGAN2 generator against a projected discriminator, for few small pictures and minutes on a processor.

The parts are those of Projected GAN (arXiv 2111.01007) and StyleGAN2-ADA (arXiv 2006.06676). The numbers come from the
search in docs/experiments.md; the comparison with other recipes is in docs/projected-gan.md.

Differs from Projected GAN: thin layers without noise inputs, as the demo has them; features at 64 px instead of 224,
small discriminators of one width and without batch normalisation, which hides colours from them; shifts are the only
augmentation; no correction for a lazy phase; bfloat16.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from openstylegan.config import Component, EmaConfig, PhaseConfig, PlayerConfig, Precision, TrainConfig
from openstylegan.presets import projected_gan
from openstylegan.presets.base import Preset, controlled
from openstylegan.presets.projected_gan import Options

G_LR, D_LR, BATCH = 0.003, 1e-3, 16
EMA_KIMG, FEATURE_SIDE, WIDTH = 1.0, 64, 64
GENERATOR = {
    "z_dim": 64,
    "w_dim": 64,
    "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1},
    "synthesis_kwargs": {
        "channel_base": 1024,
        "channel_max": 64,
        "num_fp16_res": 4,
        "conv_clamp": 256,
        "use_noise": False,
    },
}


@dataclass(frozen=True)
class SmallOptions(Options):
    """The options of Projected GAN's configurations, with this recipe's batch and precision."""

    cfg: str = "projected-small"
    batch: int | None = BATCH
    precision: Precision = "bfloat16"


def phases() -> tuple[PhaseConfig, ...]:
    """Hinge losses."""
    return (
        PhaseConfig("Gmain", "G", (Component("hinge_g"),), updates_statistics=False),
        PhaseConfig("Dmain", "D", (Component("hinge_d"),)),
    )


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The whole configuration of a run. Raises `InputError`."""
    judge = Component("projected", {"width": WIDTH, "feature_side": FEATURE_SIDE, "norm": False})
    return dataclasses.replace(
        projected_gan.make_config(options, data_path, resolution),
        generator=PlayerConfig(Component("stylegan2", GENERATOR), lr=G_LR),
        discriminator=PlayerConfig(judge, lr=D_LR),
        phases=controlled(phases(), options),
        augment=Component("diffaugment", {"policy": "translation"}),
        ema=EmaConfig(EMA_KIMG, 0.05 if options.resume is None else None),
    )


PRESET = Preset(
    family="projected-gan",
    options=SmallOptions(),
    check_values=projected_gan.check_values,
    make_config=make_config,
    describe=projected_gan.describe,
    gpu_precision="bfloat16",
)
