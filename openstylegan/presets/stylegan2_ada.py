"""StyleGAN2 and StyleGAN2-ADA: Karras et al., "Training generative adversarial networks with limited data"
(arXiv 2006.06676), and "Analyzing and improving the image quality of StyleGAN" (arXiv 1912.04958).

Published with these configurations (FID over 50,000 pictures, V100 GPUs): CIFAR-10 with `cifar` and ADA 2.92
unconditional, 2.42 conditional, 100,000 kimg on 2 GPUs; AFHQ cat 512 with `paper512` and ADA 3.55, 25,000 kimg on 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openstylegan.config import Component, EmaConfig, PhaseConfig, PlayerConfig, TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.base import (
    INFINITY,
    CommonOptions,
    Preset,
    check_augmentation,
    check_batch,
    check_length,
    check_limits,
    check_micro_batch,
    check_source,
    common_limits,
    controlled,
    data_config,
    number,
)
from openstylegan.registry import lookup

G_REG_INTERVAL, D_REG_INTERVAL = 4, 16
ADA_KIMG_RESUMED = 100
PUBLISHED = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets"
SOURCES = {
    "ffhq256": f"{PUBLISHED}/ffhq-res256-mirror-paper256-noaug.pkl",
    "ffhq512": f"{PUBLISHED}/ffhq-res512-mirror-stylegan2-noaug.pkl",
    "ffhq1024": f"{PUBLISHED}/ffhq-res1024-mirror-stylegan2-noaug.pkl",
    "celebahq256": f"{PUBLISHED}/celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl",
    "lsundog256": f"{PUBLISHED}/lsundog-res256-paper256-kimg100000-noaug.pkl",
}
"""Published networks to begin with, by the names that users know (--resume=ffhq256)."""


@dataclass(frozen=True)
class BaseConfig:
    """The numbers of one base configuration. `batch_gpu` is batch / ref_gpus; widths are fmaps x 32768 / resolution."""

    ref_gpus: int
    kimg: float
    batch: int
    mbstd: int
    fmaps: float
    lrate: float
    gamma: float
    ema_kimg: float
    ema_rampup: float | None
    map_layers: int
    path_length_weight: float = 2.0
    style_mixing_prob: float = 0.9
    d_architecture: str = "resnet"
    use_noise: bool = True
    ada_kimg: float = 500
    latent_dim: int = 512
    map_lr_multiplier: float = 0.01
    mbstd_channels: int = 1


BASE_CONFIGS: dict[str, BaseConfig] = {
    "stylegan2": BaseConfig(8, 25000, 32, 4, 1, 0.002, 10, 10, None, 8),
    "paper256": BaseConfig(8, 25000, 64, 8, 0.5, 0.0025, 1, 20, None, 8),
    "paper512": BaseConfig(8, 25000, 64, 8, 1, 0.0025, 0.5, 20, None, 8),
    "paper1024": BaseConfig(8, 25000, 32, 4, 1, 0.002, 2, 10, None, 8),
    "cifar": BaseConfig(2, 100000, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2, 0.0, 0.0, "orig"),
}
CONFIG_NAMES = ("auto", *BASE_CONFIGS)


def auto_config(resolution: int, gpus: int) -> BaseConfig:
    """The base configuration computed from the data's resolution and the number of GPUs."""
    batch = max(min(gpus * min(4096 // resolution, 32), 64), gpus)
    return BaseConfig(
        ref_gpus=gpus,
        kimg=25000,
        batch=batch,
        mbstd=min(batch // gpus, 4),
        fmaps=1 if resolution >= 512 else 0.5,
        lrate=0.002 if resolution >= 1024 else 0.0025,
        gamma=0.0002 * resolution**2 / batch,
        ema_kimg=batch * 10 / 32,
        ema_rampup=0.05,
        map_layers=2,
    )


@dataclass(frozen=True)
class Options(CommonOptions):
    """What a user can ask for, under the names that users of StyleGAN2-ADA know. None: the base configuration's."""

    cfg: str = "auto"
    subset: int | None = None
    gamma: float | None = None
    aug: Literal["noaug", "ada", "fixed"] = "ada"
    p: float | None = None
    target: float | None = None
    augpipe: str | None = None
    resume: str | None = None
    freezed: int = 0
    fp32: bool = False
    nhwc: bool = False
    cbase: int | None = None
    cmax: int = 512
    glr: float | None = None
    dlr: float | None = None


def check_values(options: Options) -> None:
    """Raises `InputError` for the first value outside its range."""
    if options.gpus < 1 or options.gpus & (options.gpus - 1):
        raise InputError(f"--gpus: expected a power of two, got {options.gpus}")
    check_limits([("subset", options.subset, 1, INFINITY), ("gamma", options.gamma, 0, INFINITY)])
    check_length(options)
    check_limits(
        [
            *common_limits(options),
            ("p", options.p, 0, 1),
            ("target", options.target, 0, 1),
            ("freezed", options.freezed, 0, INFINITY),
            ("cbase", options.cbase, 1, INFINITY),
            ("cmax", options.cmax, 1, INFINITY),
            ("glr", options.glr, 0, INFINITY),
            ("dlr", options.dlr, 0, INFINITY),
        ]
    )


def check(options: Options) -> None:
    """Raises `InputError` for values outside their range, and for options without effect."""
    check_values(options)
    if options.batch is not None:
        check_batch(options.batch, options.gpus)
    if options.p is None and options.aug == "fixed":
        raise InputError("--aug=fixed: expected a strength, got none; give --p a number from 0 to 1")
    check_augmentation(options.aug, options.p, options.target)
    if options.augpipe is not None and options.aug == "noaug":
        raise InputError("--augpipe has no effect with --aug=noaug; use --aug=ada or leave --augpipe out")
    check_source(options.resume, options.init_from)


def base_config(options: Options, resolution: int) -> BaseConfig:
    """The base configuration that `options.cfg` names. Raises `InputError`."""
    if options.cfg == "auto":
        return auto_config(resolution, options.gpus)
    return lookup(BASE_CONFIGS, options.cfg, "configuration (--cfg)")


def augmentation(options: Options, base: BaseConfig) -> Component:
    """What stands before the discriminator. Strength 0 leaves the pipeline out."""
    if options.aug == "noaug" or (options.aug == "fixed" and options.p == 0):
        return Component("none")
    preset = options.augpipe or "bgc"
    if options.aug == "fixed":
        return Component("fixed", {"p": options.p, "preset": preset})
    kimg = base.ada_kimg if options.resume is None else ADA_KIMG_RESUMED
    target = 0.6 if options.target is None else options.target
    return Component("ada", {"preset": preset, "target": target, "kimg": kimg})


def phases(base: BaseConfig, gamma: float) -> tuple[PhaseConfig, ...]:
    """Gmain, Greg, Dmain, Dreg: logistic losses, and lazy path length and R1."""
    path_length = Component("path_length", {"weight": base.path_length_weight})
    r1 = Component("r1", {"gamma": gamma})
    return (
        PhaseConfig("Gmain", "G", (Component("logistic_g"),)),
        PhaseConfig("Greg", "G", (path_length,) if base.path_length_weight else (), G_REG_INTERVAL, lazy=True),
        PhaseConfig("Dmain", "D", (Component("logistic_d"),)),
        PhaseConfig("Dreg", "D", (r1,) if gamma else (), D_REG_INTERVAL, lazy=True),
    )


def batches(options: Options, base: BaseConfig) -> Component:
    """The batch over all processes and the micro-batch."""
    batch = options.batch or base.batch
    batch_gpu = options.batch_gpu or (options.batch // options.gpus if options.batch else base.batch // base.ref_gpus)
    check_micro_batch(batch, options.gpus, batch_gpu)
    return Component("constant", {"batch_size": batch, "batch_gpu": batch_gpu})


def players(options: Options, base: BaseConfig) -> tuple[PlayerConfig, PlayerConfig]:
    """Generator and discriminator with their optimizers."""
    widths = {"channel_base": options.cbase or int(base.fmaps * 32768), "channel_max": options.cmax}
    numerics: dict[str, Any] = {"num_fp16_res": 0 if options.fp32 else 4, "conv_clamp": None if options.fp32 else 256}
    layout = {"fp16_channels_last": True} if options.nhwc else {}
    generator = {
        "z_dim": base.latent_dim,
        "w_dim": base.latent_dim,
        "mapping_kwargs": {"num_layers": base.map_layers, "lr_multiplier": base.map_lr_multiplier},
        "synthesis_kwargs": {**widths, **numerics, **layout, "use_noise": base.use_noise},
    }
    discriminator = {
        **widths,
        **numerics,
        "architecture": base.d_architecture,
        "block_kwargs": {"freeze_layers": options.freezed, **layout},
        "epilogue_kwargs": {"mbstd_group_size": base.mbstd, "mbstd_num_channels": base.mbstd_channels},
    }
    return (
        PlayerConfig(Component("stylegan2", generator), lr=base.lrate if options.glr is None else options.glr),
        PlayerConfig(Component("stylegan2", discriminator), lr=base.lrate if options.dlr is None else options.dlr),
    )


def make_config(options: Options, data_path: str, resolution: int, base: BaseConfig | None = None) -> TrainConfig:
    """The whole configuration of a run: `base` (None: the one that `options.cfg` names) with `options` put in.

    Raises `InputError`.
    """
    check(options)
    base = base or base_config(options, resolution)
    gamma = base.gamma if options.gamma is None else options.gamma
    generator, discriminator = players(options, base)
    return TrainConfig(
        data=data_config(options, data_path, options.subset),
        generator=generator,
        discriminator=discriminator,
        phases=controlled(phases(base, gamma), options),
        schedule=batches(options, base),
        augment=augmentation(options, base),
        ema=EmaConfig(base.ema_kimg, base.ema_rampup if options.resume is None else None),
        output=options.output,
        style_mixing_prob=base.style_mixing_prob,
        total_kimg=options.kimg or base.kimg,
        max_minutes=options.minutes,
        seed=options.seed,
        precision="float32" if options.fp32 else options.precision,
        nonfinite=options.nonfinite,
        preset=options.cfg,
        transfer_from=SOURCES.get(options.resume or "", options.resume),
        init_from=SOURCES.get(options.init_from or "", options.init_from),
    )


def describe(options: Options, data_path: str, given: set[str]) -> str:
    """A run's name: the dataset, then what was asked for, in the order users know. `given`: options that were typed."""
    parts: list[str | None] = [
        Path(data_path).stem,
        "cond" if options.cond else None,
        None if options.subset is None else f"subset{options.subset}",
        "mirror" if options.mirror else None,
        f"auto{options.gpus}" if options.cfg == "auto" else options.cfg,
        None if options.gamma is None else f"gamma{options.gamma:g}",
        None if options.kimg is None else f"kimg{number(options.kimg)}",
        None if options.batch is None else f"batch{options.batch}",
        options.aug if "aug" in given else None,
        None if options.p is None else f"p{options.p:g}",
        None if options.target is None else f"target{options.target:g}",
        options.augpipe,
        source_part(options, given),
        f"freezed{options.freezed}" if options.freezed or "freezed" in given else None,
    ]
    return "-".join(part for part in parts if part is not None)


def source_part(options: Options, given: set[str]) -> str | None:
    """What a run's name says of where its weights come from."""
    if options.resume is not None:
        return f"resume{options.resume if options.resume in SOURCES else 'custom'}"
    if options.init_from is not None:
        return "initfrom"
    return "noresume" if "resume" in given else None


PRESET = Preset(
    family="stylegan2-ada",
    options=Options(),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    machine_flags=("allow_tf32",),
    source_names=SOURCES,
)
