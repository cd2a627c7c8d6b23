"""What a family of configurations is: options under names that users know, and what they become.

A new family is one file with a `PRESET`, and a line for each of its configurations in `PRESETS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from openstylegan.config import Component, DataConfig, OutputConfig, PhaseConfig, Precision, TrainConfig
from openstylegan.errors import InputError

INFINITY = float("inf")


@dataclass(frozen=True)
class CommonOptions:
    """Options that every family has: about the pictures, the length, the batch, the machine, and the Brownian Motion
    Controller (`controlled`). None: the family's, or the controller's own."""

    cfg: str = ""
    gpus: int = 1
    cond: bool = False
    label_source: str = "dataset.json"
    cache: bool | None = None
    resize: str | None = None
    channels: Literal[1, 3, 4] | None = None
    mirror: bool = False
    kimg: float | None = None
    minutes: float | None = None
    batch: int | None = None
    batch_gpu: int | None = None
    init_from: str | None = None
    seed: int = 0
    workers: int = 3
    precision: Precision = "float32"
    nonfinite: Literal["skip", "stop"] = "skip"
    bmc: Literal["none", "g", "d", "both"] = "none"
    bmc_rho1: float | None = None
    bmc_rho2: float | None = None
    bmc_beta: float | None = None
    bmc_mean: float | None = None
    bmc_std: float | None = None
    bmc_noise: Literal["step", "image"] | None = None
    output: OutputConfig = field(default_factory=OutputConfig)


@dataclass(frozen=True)
class Preset:
    """A family of configurations, as the command `train` sees it.

    The fields of `options` (a frozen dataclass, here with its defaults) are the flags that the family has, those in
    `required` must be given, and `machine_flags` are flags about the machine that not every family has.
    `check_values` looks at each option alone, before the pictures are opened; `make_config(options, data_path,
    resolution)` at all of them. Both raise `InputError`. `describe(options, data_path, given)` is a run's name, `given`
    being the flags that were typed. `source_names` are short names for networks that a run can begin with, `pictures`
    finds those of a family that brings its own, and `gpu_precision` is what convolutions on GPUs run in by default.
    """

    family: str
    options: Any
    check_values: Callable[[Any], None]
    make_config: Callable[[Any, str, int], TrainConfig]
    describe: Callable[[Any, str, set[str]], str]
    required: tuple[str, ...] = ()
    machine_flags: tuple[str, ...] = ()
    source_names: Mapping[str, str] = field(default_factory=dict)
    pictures: Callable[[], Path] | None = None
    gpu_precision: Precision = "float16"

    @property
    def flags(self) -> frozenset[str]:
        """The options that this family has, by the name of their field."""
        return frozenset(f.name for f in fields(self.options)) | frozenset(self.machine_flags)


Limit = tuple[str, float | None, float, float]


def check_limits(limits: Iterable[Limit]) -> None:
    """Raises `InputError` for the first (name, value, lowest, highest) whose value is given and outside."""
    for name, value, low, high in limits:
        if value is not None and not low <= value <= high:
            to = "on" if high == INFINITY else f"to {high:g}"
            raise InputError(f"--{name}: expected a number from {low:g} {to}, got {value:g}")


def check_lowest(options: CommonOptions, **lowest: float) -> None:
    """Raises `InputError` for the first of the options named that is given and below the number beside it."""
    check_limits((name.replace("_", "-"), getattr(options, name), low, INFINITY) for name, low in lowest.items())


def check_length(options: CommonOptions) -> None:
    """Raises `InputError` for a run of no length."""
    for name, value in (("kimg", options.kimg), ("minutes", options.minutes)):
        if value is not None and not value > 0:
            raise InputError(f"--{name}: expected a number above 0, got {value:g}")


def common_limits(options: CommonOptions) -> list[Limit]:
    """The ranges of the options that every family has."""
    return [
        ("gpus", options.gpus, 1, INFINITY),
        ("batch", options.batch, 1, INFINITY),
        ("batch-gpu", options.batch_gpu, 1, INFINITY),
        ("workers", options.workers, 1, INFINITY),
    ]


def check_batch(batch: int, gpus: int) -> None:
    """Raises `InputError` when the processes cannot share the batch evenly."""
    if batch % gpus:
        raise InputError(f"--batch: expected a multiple of {gpus} (--gpus), got {batch}")


def check_micro_batch(batch: int, gpus: int, batch_gpu: int) -> None:
    """Raises `InputError` when the batch is not whole rounds of micro-batches on all processes."""
    if batch % (batch_gpu * gpus):
        raise InputError(
            f"expected a batch divisible by gpus x batch-gpu = {gpus} x {batch_gpu}, got {batch}; "
            "choose another --batch, --batch-gpu or --gpus"
        )


def check_source(resume: str | None, init_from: str | None) -> None:
    """Raises `InputError` when weights are to come from two places."""
    if resume is not None and init_from is not None:
        raise InputError("expected --resume or --init-from, got both; weights can come from one place only")


def controlled(phases: Iterable[PhaseConfig], options: CommonOptions) -> tuple[PhaseConfig, ...]:
    """`phases` with the Brownian Motion Controller (arXiv 2306.10468) of the players that `options.bmc` names, in the
    first phase of each that is not lazy. Raises `InputError`, also for options of a controller that is not there."""
    names = ("rho1", "rho2", "beta", "mean", "std", "noise")
    given = {name: value for name in names if (value := getattr(options, f"bmc_{name}")) is not None}
    if options.bmc == "none" and given:
        raise InputError(f"--bmc-{next(iter(given))} has no effect with --bmc=none; give --bmc=g, d or both")
    lowest = {"rho1": 0.0, "rho2": 0.0, "beta": 1.0, "std": 0.0}
    check_limits((f"bmc-{name}", given.get(name), low, INFINITY) for name, low in lowest.items())
    if given.get("rho1") == given.get("rho2") == 0 or (given.get("std") == 0 and not given.get("mean")):
        raise InputError("--bmc has no effect without any strength or any noise; use --bmc=none")
    missing = {"g": ["G"], "d": ["D"], "both": ["G", "D"], "none": []}[options.bmc]
    found = []
    for phase in phases:
        if phase.player in missing and not phase.lazy:
            missing.remove(phase.player)
            term = Component(f"bmc_{phase.player.lower()}", given)
            phase = dataclasses.replace(phase, terms=(*phase.terms, term))
        found.append(phase)
    assert not missing, f"{missing} have no phase that is not lazy"
    return tuple(found)


def check_augmentation(aug: str, p: float | None, target: float | None) -> None:
    """Raises `InputError` for a strength or a target that would have no effect."""
    if p is not None and aug != "fixed":
        raise InputError(f"--p has no effect with --aug={aug}; use --aug=fixed or leave --p out")
    if target is not None and aug != "ada":
        raise InputError(f"--target has no effect with --aug={aug}; use --aug=ada or leave --target out")


def data_config(options: CommonOptions, path: str, subset: int | None = None) -> DataConfig:
    """The pictures of a run, `subset` of them (None: all)."""
    return DataConfig(
        path=path,
        use_labels=options.cond,
        max_size=subset,
        xflip=options.mirror,
        subset_seed=options.seed,
        num_workers=options.workers,
        label_source=options.label_source,
        cache=options.cache,
        resize=parse_resize(options.resize),
        channels=options.channels,
    )


def parse_resize(text: str | None) -> int | Literal["nearest"] | None:
    """The side that pictures are resized to, as typed. Raises `InputError`."""
    if text is None:
        return None
    if text == "nearest":
        return "nearest"
    if not text.isdigit() or int(text) < 8:
        raise InputError(f"--resize: expected a side from 8 pixels on, or nearest, got '{text}'")
    return int(text)


def number(value: float) -> str:
    """A number in a run's name: whole ones in full, others as `%g`."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"
