"""StyleGAN3-T and -R, and StyleGAN2 as it is trained beside them: Karras et al., "Alias-free generative adversarial
networks" (arXiv 2106.12423).

Published at 1024 x 1024 on FFHQ-U, 25,000 kimg on 8 GPUs (`gamma` 32.8, mirrored, without augmentation): 28.7 (T) and
34.1 (R) seconds a kimg on V100 GPUs. `gamma` grows with the square of the resolution: 0.5 at 128, 2 at 256, 8 at 512,
32 at 1024 are where to begin; StyleGAN2 wants less.

Differs from StyleGAN3: --p and --target are refused where they have no effect; --metrics is none by default, since the
originals' needs a download.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from openstylegan.config import BlurConfig, Component, EmaConfig, PhaseConfig, PlayerConfig, TrainConfig
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
)
from openstylegan.registry import lookup

G_REG_INTERVAL, D_REG_INTERVAL = 4, 16
ADA_KIMG, ADA_KIMG_RESUMED = 500, 100
MAGNITUDE_HALF_LIFE_IMAGES = 20_000
Table = dict[str, Any]


def alias_free(common: Table, synthesis: Table, batch: int) -> Component:
    """StyleGAN3's generator; the half-life of its magnitudes is 20 kimg whatever the batch."""
    return Component(
        "stylegan3", {**common, **synthesis, "magnitude_ema_beta": 0.5 ** (batch / MAGNITUDE_HALF_LIFE_IMAGES)}
    )


def modulated(common: Table, synthesis: Table, batch: int) -> Component:
    """StyleGAN2's generator."""
    return Component("stylegan2", {**common, "synthesis_kwargs": synthesis})


@dataclass(frozen=True)
class BaseConfig:
    """What differs between the configurations.

    `widths` multiplies the generator's channel_base and channel_max. `blur_sigma_px` is where the blur of the
    discriminator's input begins; after `blur_fade_kimg` (for a batch of 32) it is gone.
    """

    generator: Callable[[Table, Table, int], Component]
    map_depth: int
    glr: float
    style_mixing_prob: float = 0.0
    path_length_weight: float = 0.0
    widths: int = 1
    rotation_options: Table = field(default_factory=dict)
    blur_sigma_px: float = 0.0
    blur_fade_kimg: float = 0.0


BASE_CONFIGS: dict[str, BaseConfig] = {
    "stylegan3-t": BaseConfig(alias_free, 2, 0.0025),
    "stylegan3-r": BaseConfig(
        alias_free,
        2,
        0.0025,
        widths=2,
        rotation_options={"conv_kernel": 1, "use_radial_filters": True},
        blur_sigma_px=10,
        blur_fade_kimg=200,
    ),
    "stylegan2": BaseConfig(modulated, 8, 0.002, style_mixing_prob=0.9, path_length_weight=2),
}


@dataclass(frozen=True)
class Options(CommonOptions):
    """What a user can ask for, under the names that users of StyleGAN3 know. None: the configuration's."""

    cfg: str = "stylegan3-t"
    gamma: float | None = None
    aug: Literal["noaug", "ada", "fixed"] = "ada"
    p: float | None = None
    target: float | None = None
    resume: str | None = None
    freezed: int = 0
    cbase: int = 32768
    cmax: int = 512
    glr: float | None = None
    dlr: float = 0.002
    map_depth: int | None = None
    mbstd_group: int = 4
    desc: str | None = None
    fp32: bool = False


def check_values(options: Options) -> None:
    """Raises `InputError` for the first value outside its range, and for what is required and missing."""
    for name, value in (("batch", options.batch), ("gamma", options.gamma)):
        if value is None:
            raise InputError(f"--cfg={options.cfg} needs --{name}; give a value")
    check_limits(common_limits(options))
    check_length(options)
    check_limits(
        [
            ("gamma", options.gamma, 0, INFINITY),
            ("p", options.p, 0, 1),
            ("target", options.target, 0, 1),
            ("freezed", options.freezed, 0, INFINITY),
            ("cbase", options.cbase, 1, INFINITY),
            ("cmax", options.cmax, 1, INFINITY),
            ("glr", options.glr, 0, INFINITY),
            ("dlr", options.dlr, 0, INFINITY),
            ("map-depth", options.map_depth, 1, INFINITY),
            ("mbstd-group", options.mbstd_group, 1, INFINITY),
            ("seed", options.seed, 0, INFINITY),
        ]
    )
    if options.desc is not None and ("/" in options.desc or not options.desc.isprintable()):
        raise InputError(f"--desc: expected text that a folder's name can hold, got {options.desc!r}; leave out /")


def sizes(options: Options) -> tuple[int, int]:
    """The batch and the micro-batch. Raises `InputError` when processes, batch and micro-batch do not go together."""
    assert options.batch is not None
    check_batch(options.batch, options.gpus)
    batch_gpu = options.batch_gpu or options.batch // options.gpus
    check_micro_batch(options.batch, options.gpus, batch_gpu)
    if batch_gpu < options.mbstd_group:
        raise InputError(
            f"--batch-gpu: expected at least {options.mbstd_group} (--mbstd-group), got {batch_gpu}; "
            "choose a larger batch or a smaller --mbstd-group"
        )
    return options.batch, batch_gpu


def augmentation(options: Options) -> Component:
    """The augmentation proper. Strength 0 leaves the pipeline out."""
    check_augmentation(options.aug, options.p, options.target)
    p = 0.2 if options.p is None else options.p
    if options.aug == "noaug" or (options.aug == "fixed" and p == 0):
        return Component("none")
    if options.aug == "fixed":
        return Component("fixed", {"p": p, "preset": "bgc"})
    target = 0.6 if options.target is None else options.target
    kimg = ADA_KIMG if options.resume is None else ADA_KIMG_RESUMED
    return Component("ada", {"preset": "bgc", "target": target, "kimg": kimg})


def phases(base: BaseConfig, gamma: float) -> tuple[PhaseConfig, ...]:
    """Logistic losses, lazy R1, and lazy path length for StyleGAN2; G's Adam is corrected for the latter alone.

    Running statistics of the generator follow the pictures of Dmain only.
    """
    path_length = Component("path_length", {"weight": base.path_length_weight})
    r1 = Component("r1", {"gamma": gamma})
    greg = PhaseConfig("Greg", "G", (path_length,), G_REG_INTERVAL, lazy=True, updates_statistics=False)
    return (
        PhaseConfig("Gmain", "G", (Component("logistic_g"),), updates_statistics=False),
        *((greg,) if base.path_length_weight else ()),
        PhaseConfig("Dmain", "D", (Component("logistic_d"),)),
        PhaseConfig("Dreg", "D", (r1,) if gamma else (), D_REG_INTERVAL, lazy=True, updates_statistics=False),
    )


def blur(options: Options, base: BaseConfig, batch: int) -> BlurConfig:
    """The blur of what the discriminator sees; a run that begins with a network has none."""
    if options.resume is not None or base.blur_sigma_px == 0:
        return BlurConfig()
    return BlurConfig(base.blur_sigma_px, base.blur_fade_kimg * batch / 32)


def players(options: Options, base: BaseConfig, batch: int) -> tuple[PlayerConfig, PlayerConfig]:
    """Generator and discriminator with their optimizers. A conditional discriminator keeps its own mapping depth."""
    numerics = {"num_fp16_res": 0 if options.fp32 else 4, "conv_clamp": None if options.fp32 else 256}
    depth = base.map_depth if options.map_depth is None else options.map_depth
    common = {"z_dim": 512, "w_dim": 512, "mapping_kwargs": {"num_layers": depth, "w_avg_beta": 0.998}}
    widths = {"channel_base": options.cbase * base.widths, "channel_max": options.cmax * base.widths}
    network = base.generator(common, {**widths, **base.rotation_options, **numerics}, batch)
    judge = {
        "channel_base": options.cbase,
        "channel_max": options.cmax,
        **numerics,
        "block_kwargs": {"freeze_layers": options.freezed},
        "epilogue_kwargs": {"mbstd_group_size": options.mbstd_group},
    }
    return (
        PlayerConfig(network, lr=base.glr if options.glr is None else options.glr),
        PlayerConfig(Component("stylegan2", judge), lr=options.dlr),
    )


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The whole configuration of a run. Raises `InputError`."""
    check_values(options)
    base = lookup(BASE_CONFIGS, options.cfg, "configuration (--cfg)")
    batch, batch_gpu = sizes(options)
    check_source(options.resume, options.init_from)
    assert options.gamma is not None
    network, judge = players(options, base, batch)
    return TrainConfig(
        data=data_config(options, data_path),
        generator=network,
        discriminator=judge,
        phases=controlled(phases(base, options.gamma), options),
        schedule=Component("constant", {"batch_size": batch, "batch_gpu": batch_gpu}),
        augment=augmentation(options),
        blur=blur(options, base, batch),
        ema=EmaConfig(batch * 10 / 32, 0.05 if options.resume is None else None),
        output=options.output,
        style_mixing_prob=base.style_mixing_prob,
        total_kimg=25000 if options.kimg is None else options.kimg,
        max_minutes=options.minutes,
        seed=options.seed,
        precision="float32" if options.fp32 else options.precision,
        nonfinite=options.nonfinite,
        preset=options.cfg,
        transfer_from=options.resume,
        init_from=options.init_from,
    )


def describe(options: Options, data_path: str, given: set[str]) -> str:
    """A run's name, as users know it: `stylegan3-t-cats-gpus8-batch32-gamma8.2`."""
    assert options.gamma is not None
    name = f"{options.cfg}-{Path(data_path).stem}-gpus{options.gpus}-batch{options.batch}-gamma{options.gamma:g}"
    return name if options.desc is None else f"{name}-{options.desc}"


PRESET = Preset(
    family="stylegan3",
    options=Options(),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    required=("gpus", "batch", "gamma"),
)
