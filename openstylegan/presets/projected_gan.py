"""Projected GAN: Sauer et al., "Projected GANs converge faster" (arXiv 2111.01007), with FastGAN (arXiv 2101.04775),
FastGAN-lite and StyleGAN2 generators.

The program's own example: `fastgan`, batch 64 on 8 GPUs, mirrored, 10,000 kimg; FastGAN-lite for few pictures.
Its `--cfg=stylegan2` is `projected-stylegan2` here, for two other families have a configuration of that name.

Differs from Projected GAN: --glr, --dlr, --fp32 and --map-depth, which have no effect there (or end in an error), are
refused where they have none; a new run never goes on with an old one by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openstylegan.config import Component, EmaConfig, PhaseConfig, PlayerConfig, TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.base import (
    INFINITY,
    CommonOptions,
    Preset,
    check_batch,
    check_length,
    check_limits,
    check_micro_batch,
    check_source,
    common_limits,
    controlled,
    data_config,
)

D_REG_INTERVAL = 16
FASTGAN_LR, STYLEGAN2_LR = 2e-4, 2e-3
Z_DIM = 256


@dataclass(frozen=True)
class Options(CommonOptions):
    """What a user can ask for, under the names that users of Projected GAN know. None: the configuration's."""

    cfg: str = "fastgan"
    resume: str | None = None
    desc: str | None = None


@dataclass(frozen=True)
class StyleOptions(Options):
    """The options of the configuration with StyleGAN2's generator."""

    cfg: str = "projected-stylegan2"
    cbase: int = 32768
    cmax: int = 512
    glr: float | None = None
    dlr: float = STYLEGAN2_LR
    fp32: bool = False


def check_values(options: Options) -> None:
    """Raises `InputError` for the first value outside its range, and for what is required and missing."""
    if options.batch is None:
        raise InputError(f"--cfg={options.cfg} needs --batch; give a value")
    check_limits(common_limits(options))
    check_length(options)
    check_limits([("seed", options.seed, 0, INFINITY)])
    if isinstance(options, StyleOptions):
        check_limits(
            [
                ("cbase", options.cbase, 1, INFINITY),
                ("cmax", options.cmax, 1, INFINITY),
                ("glr", options.glr, 0, INFINITY),
                ("dlr", options.dlr, 0, INFINITY),
            ]
        )


def fastgan(options: Options) -> tuple[PlayerConfig, PlayerConfig]:
    """FastGAN's players; the discriminators' blocks are strided convolutions."""
    network = Component("fastgan", {"z_dim": Z_DIM, "ngf": 128, "lite": options.cfg == "fastgan_lite"})
    return PlayerConfig(network, lr=FASTGAN_LR), PlayerConfig(Component("projected"), lr=FASTGAN_LR)


def stylegan2(options: StyleOptions) -> tuple[PlayerConfig, PlayerConfig]:
    """StyleGAN2's generator against separable discriminators."""
    numerics: dict[str, Any] = {"num_fp16_res": 0 if options.fp32 else 4, "conv_clamp": None if options.fp32 else 256}
    network = {
        "z_dim": 64,
        "w_dim": 128,
        "mapping_kwargs": {"num_layers": 2, "w_avg_beta": 0.998},
        "synthesis_kwargs": {"channel_base": options.cbase, "channel_max": options.cmax, **numerics},
    }
    judge = Component("projected", {"separable": True})
    glr = STYLEGAN2_LR if options.glr is None else options.glr
    return PlayerConfig(Component("stylegan2", network), lr=glr), PlayerConfig(judge, lr=options.dlr)


def phases() -> tuple[PhaseConfig, ...]:
    """Hinge losses, and no regularisation: the empty lazy phase leaves the discriminator's Adam the correction that
    the program leaves it. Running statistics of w follow the pictures of Dmain."""
    return (
        PhaseConfig("Gmain", "G", (Component("hinge_g"),), updates_statistics=False),
        PhaseConfig("Dmain", "D", (Component("hinge_d"),)),
        PhaseConfig("Dreg", "D", (), D_REG_INTERVAL, lazy=True),
    )


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The whole configuration of a run. Raises `InputError`."""
    check_values(options)
    assert options.batch is not None
    check_batch(options.batch, options.gpus)
    batch_gpu = options.batch_gpu or options.batch // options.gpus
    check_micro_batch(options.batch, options.gpus, batch_gpu)
    check_source(options.resume, options.init_from)
    network, judge = stylegan2(options) if isinstance(options, StyleOptions) else fastgan(options)
    full = isinstance(options, StyleOptions) and options.fp32
    return TrainConfig(
        data=data_config(options, data_path),
        generator=network,
        discriminator=judge,
        phases=controlled(phases(), options),
        schedule=Component("constant", {"batch_size": options.batch, "batch_gpu": batch_gpu}),
        augment=Component("diffaugment", {"policy": "color,translation,cutout"}),
        ema=EmaConfig(options.batch * 10 / 32, 0.05 if options.resume is None else None),
        output=options.output,
        style_mixing_prob=0.0,
        total_kimg=25000 if options.kimg is None else options.kimg,
        max_minutes=options.minutes,
        seed=options.seed,
        precision="float32" if full else options.precision,
        nonfinite=options.nonfinite,
        preset=options.cfg,
        transfer_from=options.resume,
        init_from=options.init_from,
    )


def describe(options: Options, data_path: str, given: set[str]) -> str:
    """A run's name, as users know it: `fastgan-pokemon-gpus8-batch64`."""
    name = f"{options.cfg}-{Path(data_path).stem}-gpus{options.gpus}-batch{options.batch}"
    return name if options.desc is None else f"{name}-{options.desc}"


PRESET = Preset(
    family="projected-gan",
    options=Options(),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    required=("gpus", "batch"),
    gpu_precision="float32",
)
STYLE_PRESET = Preset(
    family="projected-gan",
    options=StyleOptions(),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    required=("gpus", "batch"),
)
