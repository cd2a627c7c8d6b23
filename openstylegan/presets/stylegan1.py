"""StyleGAN1 with progressive growing: Karras et al. (arXiv 1812.04948), as style-based-gan-pytorch trains it.

The program's own examples: CelebA with `--mixing`; FFHQ with `--mixing --loss r1 --sched`; 3,000,000 steps, of 32
pictures but for the small sizes of --sched, of which each size is given 1.2 million pictures.

Differs from style-based-gan-pytorch: every run mirrors pictures by showing each of them both ways, instead of by
chance; there is no --lr, which has no effect there; --ckpt takes weights and begins with new optimizers; style mixing
is drawn for each player on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openstylegan.config import Component, EmaConfig, PhaseConfig, PlayerConfig, TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.base import (
    CommonOptions,
    Preset,
    check_batch,
    check_length,
    check_limits,
    check_lowest,
    check_micro_batch,
    common_limits,
    controlled,
    data_config,
)
from openstylegan.registry import lookup

STEPS = 3_000_000
BATCH, LR, GAMMA = 32, 0.001, 10.0
SCHED_BATCH: Mapping[int, int] = {4: 512, 8: 256, 16: 128, 32: 64}
"""--sched: the batch by size, 32 above."""
SCHED_LR: Mapping[int, float] = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
"""--sched: the learning rate by size, 0.001 below."""
SIZES = tuple(4 << n for n in range(9))
MAPPING_LR_FACTOR = 0.01
LOSSES: Mapping[str, tuple[str, str]] = {"wgan-gp": ("wasserstein", "gradient_penalty"), "r1": ("logistic", "r1")}


@dataclass(frozen=True)
class Options(CommonOptions):
    """What a user can ask for, under the names that users of the program know."""

    cfg: str = "stylegan1"
    mirror: bool = True
    sched: bool = False
    phase: int = 600_000
    init_size: int = 8
    max_size: int | None = None
    mixing: bool = False
    loss: Literal["wgan-gp", "r1"] = "wgan-gp"
    gamma: float | None = None
    ckpt: str | None = None
    no_from_rgb_activate: bool = False
    cbase: int = 16384
    cmax: int = 512
    map_depth: int = 8
    mbstd_group: int | None = None
    desc: str | None = None


def check_values(options: Options) -> None:
    """Raises `InputError` for the first value outside its range, and for options that would have no effect."""
    check_limits(common_limits(options))
    check_length(options)
    check_lowest(options, phase=1, gamma=0, cbase=1, cmax=1, map_depth=1, mbstd_group=1, seed=0)
    for name, size in (("init-size", options.init_size), ("max-size", options.max_size)):
        if size is not None and size not in SIZES:
            raise InputError(f"--{name}: expected one of {', '.join(map(str, SIZES))}, got {size}")
    lookup(LOSSES, options.loss, "loss (--loss)")
    if options.sched and options.batch is not None:
        raise InputError("--batch has no effect with --sched, which has a batch for every size; leave one out")
    if options.gamma is not None and options.loss != "r1":
        raise InputError(f"--gamma has no effect with --loss={options.loss}; use --loss=r1 or leave --gamma out")
    if options.ckpt is not None and options.init_from is not None:
        raise InputError("expected --ckpt or --init-from, got both; weights can come from one place only")
    if options.precision not in ("float32", "float64"):
        raise InputError(f"--precision: expected float32 or float64 for StyleGAN1, got {options.precision}")


def sizes_of(options: Options, resolution: int) -> list[int]:
    """The sizes that a run passes through. Raises `InputError`."""
    if resolution not in SIZES[1:]:
        raise InputError(f"expected square pictures of 8 to 1024 px, a power of two, got {resolution}; resize them")
    largest = resolution if options.max_size is None else options.max_size
    if not options.init_size <= largest <= resolution:
        raise InputError(
            f"expected --init-size <= --max-size <= {resolution} (the pictures), got {options.init_size} and {largest}"
        )
    return [size for size in SIZES if options.init_size <= size <= largest]


def level(options: Options, size: int, resolution: int) -> dict[str, Any]:
    """What holds at a size, as the schedule wants it. Raises `InputError`."""
    batch = SCHED_BATCH.get(size, BATCH) if options.sched else options.batch or BATCH
    check_batch(batch, options.gpus)
    share = batch // options.gpus
    micro = share if options.batch_gpu is None else min(options.batch_gpu, share)
    check_micro_batch(batch, options.gpus, micro)
    rate = SCHED_LR.get(size, LR) if options.sched else LR
    lod = SIZES.index(resolution) - SIZES.index(size)
    return {"lod": lod, "batch_size": batch, "batch_gpu": micro, "lr_scale": rate / LR}


def images_in(steps: int, levels: list[dict[str, Any]], phase: int) -> int:
    """Pictures shown in so many steps."""
    images = 0
    for own in levels[:-1]:
        taken = min(steps, 2 * phase // own["batch_size"] + 1)
        images, steps = images + taken * own["batch_size"], steps - taken
    return images + steps * levels[-1]["batch_size"]


def phases(options: Options) -> tuple[PhaseConfig, ...]:
    """D's step, with its penalty every time, before G's."""
    loss, penalty = LOSSES[options.loss]
    given = (
        {"weight": 10.0} if options.loss == "wgan-gp" else {"gamma": GAMMA if options.gamma is None else options.gamma}
    )
    return (
        PhaseConfig("Dmain", "D", (Component(f"{loss}_d"), Component(penalty, given))),
        PhaseConfig("Gmain", "G", (Component(f"{loss}_g"),)),
    )


def players(options: Options) -> tuple[PlayerConfig, PlayerConfig]:
    """Both networks; the mapping learns a hundred times slower."""
    widths = {"channel_base": options.cbase, "channel_max": options.cmax}
    network = {"z_dim": 512, "w_dim": 512, "num_layers": options.map_depth, **widths}
    judge = {**widths, "from_rgb_activate": not options.no_from_rgb_activate, "mbstd_group_size": options.mbstd_group}
    factors = {"style.": MAPPING_LR_FACTOR} | ({"mapping.": MAPPING_LR_FACTOR} if options.cond else {})
    return (
        PlayerConfig(Component("stylegan1", network), lr=LR, lr_factors=factors),
        PlayerConfig(Component("stylegan1", judge), lr=LR),
    )


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The whole configuration of a run. Raises `InputError`."""
    check_values(options)
    levels = [level(options, size, resolution) for size in sizes_of(options, resolution)]
    network, judge = players(options)
    growing = {"levels": levels, "phase": options.phase, "fade_first": options.ckpt is not None}
    return TrainConfig(
        data=data_config(options, data_path),
        generator=network,
        discriminator=judge,
        phases=controlled(phases(options), options),
        schedule=Component("growing", growing),
        ema=EmaConfig(beta=0.999),
        output=options.output,
        style_mixing_prob=0.9 if options.mixing else 0.0,
        total_kimg=images_in(STEPS, levels, options.phase) / 1000 if options.kimg is None else options.kimg,
        max_minutes=options.minutes,
        seed=options.seed,
        precision=options.precision,
        nonfinite=options.nonfinite,
        preset=options.cfg,
        init_from=options.ckpt or options.init_from,
    )


def describe(options: Options, data_path: str, given: set[str]) -> str:
    """A run's name: `stylegan1-ffhq-r1-sched-mixing`."""
    switches = [name for name in ("sched", "mixing") if getattr(options, name)]
    parts = [options.cfg, Path(data_path).stem, options.loss, *switches, *([options.desc] if options.desc else [])]
    return "-".join(parts)


PRESET = Preset(
    family="stylegan1",
    options=Options(),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    gpu_precision="float32",
)
