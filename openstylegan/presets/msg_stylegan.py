"""MSG-StyleGAN: Karnewar and Wang, "MSG-GAN: multi-scale gradients for GANs" (arXiv 1903.06048).

Non-saturating logistic losses with R1 over all scales (gamma 10) in every step, no mixing, no augmentation, 25,000
kimg. Published FID-50k: CelebA-HQ 1024 px 6.37 (8 GPUs), FFHQ 1024 px 5.80 (4), LSUN churches 256 px 5.20 (8), Oxford
flowers 256 px 19.60 (2), Indian celebrities 256 px 28.44 (4).

Differs from MSG-StyleGAN: the averaged generator moves after both players' steps (there before the generator's);
Adam's eps is added before the bias correction is taken, as PyTorch does; every step draws new real pictures, in one
order an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from openstylegan.config import Component, EmaConfig, OutputConfig, PhaseConfig, PlayerConfig, TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.base import (
    CommonOptions,
    Preset,
    check_batch,
    check_length,
    check_limits,
    check_lowest,
    check_micro_batch,
    check_source,
    common_limits,
    controlled,
    data_config,
    number,
)

BATCH_BY_GPUS = {1: 4, 2: 32, 4: 16, 8: 32}
LR = 0.003


@dataclass(frozen=True)
class Options(CommonOptions):
    """What a user can ask for; the program itself has its numbers in a file. None: the program's."""

    cfg: str = "msg-stylegan"
    gamma: float = 10.0
    cbase: int = 16384
    cmax: int = 512
    mbstd_group: int = 4
    glr: float = LR
    dlr: float = LR
    resume: str | None = None
    desc: str | None = None


def check_values(options: Options) -> None:
    """Raises `InputError` for the first value outside its range."""
    check_limits(common_limits(options))
    check_length(options)
    check_lowest(options, seed=0, gamma=0, cbase=1, cmax=1, mbstd_group=1, glr=0, dlr=0)


def batches(options: Options) -> tuple[int, int]:
    """Pictures a step and a micro-batch. Raises `InputError`."""
    if options.batch is None and options.gpus not in BATCH_BY_GPUS:
        known = ", ".join(map(str, BATCH_BY_GPUS))
        raise InputError(f"--batch: expected a number, for there is one by default with {known} --gpus only; give it")
    batch = BATCH_BY_GPUS[options.gpus] if options.batch is None else options.batch
    check_batch(batch, options.gpus)
    batch_gpu = options.batch_gpu or batch // options.gpus
    check_micro_batch(batch, options.gpus, batch_gpu)
    if batch_gpu % min(options.mbstd_group, batch_gpu):
        raise InputError(
            f"expected --batch-gpu as a multiple of {options.mbstd_group} (--mbstd-group) or below it, got {batch_gpu}"
        )
    return batch, batch_gpu


def phases(options: Options) -> tuple[PhaseConfig, ...]:
    """The discriminator steps first, at generated pictures with the labels of its real ones; w_avg follows both."""
    r1 = Component("scale_r1", {"gamma": options.gamma})
    return (
        PhaseConfig("Dmain", "D", (Component("logistic_d"), r1), fake_labels="reals"),
        PhaseConfig("Gmain", "G", (Component("logistic_g"),)),
    )


def grid_of(resolution: int) -> tuple[int, int]:
    """Columns and rows that fill a 4K screen."""
    return min(max(3840 // resolution, 7), 32), min(max(2160 // resolution, 4), 32)


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The whole configuration of a run. Raises `InputError`."""
    check_values(options)
    batch, batch_gpu = batches(options)
    check_source(options.resume, options.init_from)
    widths = {"channel_base": options.cbase, "channel_max": options.cmax}
    judge = {**widths, "mbstd_group_size": options.mbstd_group}
    output = options.output if options.output.grid else replace(options.output, grid=grid_of(resolution))
    return TrainConfig(
        data=data_config(options, data_path),
        generator=PlayerConfig(Component("msg_stylegan", widths), lr=options.glr),
        discriminator=PlayerConfig(Component("msg_stylegan", judge), lr=options.dlr),
        phases=controlled(phases(options), options),
        schedule=Component("constant", {"batch_size": batch, "batch_gpu": batch_gpu}),
        ema=EmaConfig(10, None),
        output=output,
        style_mixing_prob=0.0,
        total_kimg=25000 if options.kimg is None else options.kimg,
        max_minutes=options.minutes,
        seed=options.seed,
        precision=options.precision,
        nonfinite=options.nonfinite,
        preset=options.cfg,
        transfer_from=options.resume,
        init_from=options.init_from,
    )


def describe(options: Options, data_path: str, given: set[str]) -> str:
    """A run's name: `msg-stylegan-flowers-gpus2-batch32-gamma10`."""
    batch, _ = batches(options)
    name = f"{options.cfg}-{Path(data_path).stem}-gpus{options.gpus}-batch{batch}-gamma{number(options.gamma)}"
    return name if options.desc is None else f"{name}-{options.desc}"


PRESET = Preset(
    family="msg-stylegan",
    options=Options(output=OutputConfig(kimg_per_tick=10, image_ticks=1, snapshot_ticks=10)),
    check_values=check_values,
    make_config=make_config,
    describe=describe,
    gpu_precision="float32",
)
