"""The plain StyleGAN2 (arXiv 1912.04958): options of shape, the vanilla or the Wasserstein loss, training by steps.

What such rewritings of the paper offer, option by option; defaults are the paper's (config F at 1024 px is capacity 16)
where it has any. No published numbers belong to it.

Differs from such programs: a folder is trained on as squares of one power of two, made once; path length and R1 are
lazy as in the paper; random numbers do not depend on the number of processes, so none adds its rank to the seed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openstylegan.config import (
    Component,
    EmaConfig,
    OutputConfig,
    PhaseConfig,
    PlayerConfig,
    SampleConfig,
    TrainConfig,
)
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

KIMG = 25_000.0
GAMMA, GP_WEIGHT, W_SAMPLES = 10.0, 10.0, 20_000
R1_EVERY, GP_EVERY, PLR_EVERY = 16, 1, 4


@dataclass(frozen=True)
class Options(CommonOptions):
    """What a user can ask for. None: what goes with the other options."""

    cfg: str = "plain"
    resize: str | None = "nearest"
    batch: int | None = 32
    steps: int | None = None
    loss: str = "vanilla"
    gamma: float | None = None
    gp_weight: float | None = None
    gp_every: int | None = None
    plr_weight: float = 2.0
    plr_every: int = PLR_EVERY
    d_steps: int = 1
    latent_dim: int = 512
    map_depth: int = 8
    map_lr: float = 0.01
    capacity: int = 16
    cmax: int = 512
    d_widths: Literal["rising", "mirrored"] = "rising"
    tanh: bool = False
    mbstd_group: int = 4
    mbstd_channels: int = 1
    fir: str = "1,3,3,1"
    glr: float = 0.002
    dlr: float = 0.002
    ema_beta: float = 0.999
    ema_start: int = 0
    w_mean: Literal["ema", "samples"] = "ema"
    w_samples: int | None = None
    mixing_prob: float = 0.9
    sample_psi: str = "1"
    sample_mixing: str = "0"
    sample_every: int | None = None
    save_every: int | None = None
    resume: str | None = None
    desc: str | None = None


def check_values(options: Options) -> None:
    """Raises `InputError` for the first value outside its range, and for options that would have no effect."""
    if options.loss not in ("vanilla", "wasserstein"):
        raise InputError(f"--loss: expected vanilla or wasserstein with --cfg=plain, got {options.loss}")
    check_limits(common_limits(options))
    check_length(options)
    least = {
        0: ("seed", "gamma", "gp_weight", "plr_weight", "map_lr", "mbstd_channels", "glr", "dlr", "ema_start"),
        1: ("steps", "gp_every", "plr_every", "d_steps", "latent_dim", "map_depth", "capacity", "cmax", "mbstd_group",
            "w_samples", "sample_every", "save_every"),
    }  # fmt: skip
    check_limits((n.replace("_", "-"), getattr(options, n), low, INFINITY) for low in least for n in least[low])
    check_limits([("ema-beta", options.ema_beta, 0, 1), ("mixing-prob", options.mixing_prob, 0, 1)])
    check_limits(("sample-mixing", p, 0, 1) for p in numbers(options.sample_mixing, "sample-mixing"))
    numbers(options.sample_psi, "sample-psi")
    fir_taps(options)
    check_effects(options)


def check_effects(options: Options) -> None:
    """Raises `InputError` for options that contradict each other or would have no effect."""
    if options.steps is not None and options.kimg is not None:
        raise InputError("expected --steps or --kimg, got both; a run has one length")
    if options.loss == "vanilla" and options.gp_weight is not None:
        raise InputError("--gp-weight has no effect with --loss=vanilla, whose penalty is R1; give --gamma")
    if options.loss == "wasserstein" and options.gamma is not None:
        raise InputError("--gamma has no effect with --loss=wasserstein; give --gp-weight")
    if penalty_weight(options) == 0 and options.gp_every is not None:
        raise InputError("--gp-every has no effect without a gradient penalty; leave it out")
    if options.mbstd_channels == 0 and options.mbstd_group != Options.mbstd_group:
        raise InputError("--mbstd-group has no effect with --mbstd-channels=0; leave it out")
    truncates = any(psi != 1 for psi in numbers(options.sample_psi, "sample-psi"))
    if options.w_samples is not None and not (options.w_mean == "samples" and truncates):
        raise InputError("--w-samples has no effect without --w-mean=samples and a --sample-psi other than 1")
    check_source(options.resume, options.init_from)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """`"1,0.7"` as (1.0, 0.7). Raises `InputError` naming the option."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--{option}: expected numbers such as 1,0.7, got '{text}'") from error
    if not all(map(math.isfinite, found)):
        raise InputError(f"--{option}: expected finite numbers, got '{text}'")
    return found


def fir_taps(options: Options) -> list[float]:
    """The taps of the resampling filter. Raises `InputError` when they sum up to nothing."""
    taps = list(numbers(options.fir, "fir"))
    if sum(taps) <= 0:
        raise InputError(f"--fir: expected taps whose sum is above 0, such as 1,3,3,1, got '{options.fir}'")
    return taps


def batches(options: Options) -> tuple[int, int]:
    """Pictures a step and a micro-batch. Raises `InputError`."""
    batch = options.batch or 32
    check_batch(batch, options.gpus)
    batch_gpu = options.batch_gpu or batch // options.gpus
    check_micro_batch(batch, options.gpus, batch_gpu)
    if options.mbstd_channels and batch_gpu % min(options.mbstd_group, batch_gpu):
        raise InputError(
            f"expected --batch-gpu as a multiple of {options.mbstd_group} (--mbstd-group) or below it, got {batch_gpu}"
        )
    return batch, batch_gpu


def kimg_of(options: Options, steps: int) -> float:
    """Thousands of real pictures that the discriminator sees in so many steps of the generator."""
    return steps * options.d_steps * batches(options)[0] / 1000


def penalty_weight(options: Options) -> float:
    """The weight of the discriminator's gradient penalty."""
    if options.loss == "vanilla":
        return GAMMA if options.gamma is None else options.gamma
    return GP_WEIGHT if options.gp_weight is None else options.gp_weight


def phases(options: Options) -> tuple[PhaseConfig, ...]:
    """G moves in every `d_steps`-th step, D in every one; penalties that are not taken every time are lazy."""
    loss, weight = ("logistic" if options.loss == "vanilla" else "wasserstein"), penalty_weight(options)
    main: dict[str, Any] = {"drift": 0.0} if loss == "wasserstein" else {}
    adversary = Component(f"{loss}_d", main)
    penalty = Component(
        *(("r1", {"gamma": weight}) if loss == "logistic" else ("gradient_penalty", {"weight": weight}))
    )
    length = Component("path_length", {"weight": options.plr_weight})
    gp_every = options.gp_every or (R1_EVERY if loss == "logistic" else GP_EVERY)
    own = options.d_steps
    return (
        *regularized("G", Component(f"{loss}_g"), length if options.plr_weight else None, own, options.plr_every),
        *regularized("D", adversary, penalty if weight else None, 1, gp_every),
    )


def regularized(
    player: Literal["G", "D"], loss: Component, penalty: Component | None, every: int, lazy: int
) -> tuple[PhaseConfig, ...]:
    """A player's loss every `every` steps, and its penalty in every `lazy`-th of these: in one phase if that is all."""
    if penalty is None or lazy == 1:
        return (PhaseConfig(f"{player}main", player, (loss,) if penalty is None else (loss, penalty), every),)
    return (
        PhaseConfig(f"{player}main", player, (loss,), every),
        PhaseConfig(f"{player}reg", player, (penalty,), every * lazy, lazy=True),
    )


def players(options: Options, resolution: int) -> tuple[PlayerConfig, PlayerConfig]:
    """Both networks. At 2^k px G has min(cmax, capacity 2^(log2(resolution) - k + 1)) feature maps, D, unless it is
    mirrored, min(cmax, capacity 2^(k-1))."""
    low = options.precision in ("float16", "bfloat16")
    numerics: dict[str, Any] = {"num_fp16_res": 4, "conv_clamp": 256} if low else {}
    taps = {"resample_filter": fir_taps(options)}
    widths = {"channel_base": 2 * options.capacity * 2 ** int(math.log2(resolution)), "channel_max": options.cmax}
    mapping: dict[str, Any] = {"num_layers": options.map_depth, "lr_multiplier": options.map_lr}
    if options.w_mean == "samples":
        mapping["w_avg_beta"] = None
    generator = {
        "z_dim": options.latent_dim,
        "w_dim": options.latent_dim,
        "mapping_kwargs": mapping,
        "synthesis_kwargs": {**widths, **taps, **numerics},
    }
    rising = options.d_widths == "rising"
    judge = {
        **({"capacity": options.capacity, "channel_max": options.cmax} if rising else widths),
        **numerics,
        "block_kwargs": taps,
        "epilogue_kwargs": {"mbstd_group_size": options.mbstd_group, "mbstd_num_channels": options.mbstd_channels},
    }
    return (
        PlayerConfig(Component("stylegan2_tanh" if options.tanh else "stylegan2", generator), lr=options.glr),
        PlayerConfig(Component("stylegan2_rising" if rising else "stylegan2", judge), lr=options.dlr),
    )


def output_of(options: Options) -> OutputConfig:
    """What is written: the usual, grids for the lists of psi and mixing probabilities, and tables of the losses.

    Raises `InputError` where periods in steps are given beside those in ticks.
    """
    w_samples = (options.w_samples or W_SAMPLES) if options.w_mean == "samples" else None
    psi, mixing = numbers(options.sample_psi, "sample-psi"), numbers(options.sample_mixing, "sample-mixing")
    output = dataclasses.replace(options.output, samples=SampleConfig(psi, mixing, w_samples), loss_tables=True)
    if options.sample_every is None and options.save_every is None:
        return output
    usual = Options().output
    for name, flag in (("kimg_per_tick", "tick"), ("snapshot_ticks", "snap")):
        if getattr(output, name) != getattr(usual, name):
            raise InputError(f"expected --{flag} or --sample-every and --save-every, got both; leave one out")
    sample = options.sample_every or options.save_every or 1
    save = options.save_every or sample
    tick = math.gcd(sample, save)
    return dataclasses.replace(
        output,
        kimg_per_tick=kimg_of(options, tick),
        image_ticks=sample // tick,
        snapshot_ticks=save // tick,
        checkpoint_ticks=save // tick,
    )


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The whole configuration of a run. Raises `InputError`."""
    check_values(options)
    batch, batch_gpu = batches(options)
    network, judge = players(options, resolution)
    kimg = KIMG if options.kimg is None else options.kimg
    return TrainConfig(
        data=data_config(options, data_path),
        generator=network,
        discriminator=judge,
        phases=controlled(phases(options), options),
        schedule=Component("constant", {"batch_size": batch, "batch_gpu": batch_gpu}),
        # The average moves in every step of D: d_steps times towards the same G is once with the whole beta.
        ema=EmaConfig(beta=options.ema_beta ** (1 / options.d_steps), start_kimg=kimg_of(options, options.ema_start)),
        output=output_of(options),
        style_mixing_prob=options.mixing_prob,
        total_kimg=kimg if options.steps is None else kimg_of(options, options.steps),
        max_minutes=options.minutes,
        seed=options.seed,
        precision=options.precision,
        nonfinite=options.nonfinite,
        preset=options.cfg,
        transfer_from=options.resume,
        init_from=options.init_from,
    )


def describe(options: Options, data_path: str, given: set[str]) -> str:
    """A run's name: `plain-cats-wasserstein-capacity16-dsteps5`."""
    steps = None if options.d_steps == 1 else f"dsteps{options.d_steps}"
    parts = [options.cfg, Path(data_path).stem, options.loss, f"capacity{options.capacity}", steps, options.desc]
    return "-".join(part for part in parts if part)


PRESET = Preset(
    family="plain",
    options=Options(),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    gpu_precision="float32",
)
