"""What a run is made of: frozen dataclasses, JSON in and out, dotted overrides, and one line when a name is wrong."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from openstylegan.errors import InputError
from openstylegan.files import read_json, write_json
from openstylegan.registry import nearest

T = TypeVar("T")
Precision = Literal["float32", "bfloat16", "float16", "float64"]


@dataclass(frozen=True)
class Component:
    """An entry of one of the tables (`GENERATORS`, `LOSS_TERMS`, ...) and the options it is built with."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataConfig:
    """The training pictures: a folder or ZIP, and which part of it.

    `label_source`: "dataset.json", or "folders" (the first folder is the class). `cache`: True decodes all pictures
    once into a file that is read faster, None uses such a file when there is one, False does not. `resize`: the largest
    centred square of each picture is resized to this side in pixels, or to the nearest power of two; `channels`: 1, 3
    or 4, to which pictures are converted (`data/sized.py`).
    """

    path: str
    use_labels: bool = False
    max_size: int | None = None
    xflip: bool = False
    subset_seed: int = 0
    num_workers: int = 3
    label_source: str = "dataset.json"
    cache: bool | None = None
    resize: int | Literal["nearest"] | None = None
    channels: Literal[1, 3, 4] | None = None


@dataclass(frozen=True)
class PlayerConfig:
    """A network and the Adam that moves it (before the correction for lazy regularization).

    `lr_factors`: by the beginning of a parameter's name, such as {"mapping.": 0.01}, what its rate is multiplied with;
    the first that fits.
    """

    network: Component
    lr: float = 0.002
    beta1: float = 0.0
    beta2: float = 0.99
    eps: float = 1e-8
    lr_factors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseConfig:
    """Terms that are stepped together, by one player, every `every` steps.

    A player moves in the interval of its phases that are not `lazy`. A lazy one stands for k of these moves, k being
    `every` over that interval: its gain is k, and it corrects the player's Adam by k / (k + 1). The generator's running
    statistics (w_avg, magnitudes) follow the samples of the phases that say `updates_statistics`: StyleGAN2-ADA's of
    all, StyleGAN3's of the discriminator's main phase only. `fake_labels`: whether generated pictures have
    labels drawn at random from the data, or those of the step's real pictures, as MSG-StyleGAN's discriminator sees
    them.
    """

    name: str
    player: Literal["G", "D"]
    terms: tuple[Component, ...]
    every: int = 1
    lazy: bool = False
    updates_statistics: bool = True
    fake_labels: Literal["random", "reals"] = "random"


@dataclass(frozen=True)
class EmaConfig:
    """The averaged generator: half-life in kimg; `rampup` r shortens it to r x images seen at the start.

    `beta`: what is kept in a step, whatever its batch, instead of both. Until `start_kimg` were shown the average is
    the generator itself.
    """

    half_life_kimg: float = 10.0
    rampup: float | None = 0.05
    beta: float | None = None
    start_kimg: float = 0.0


@dataclass(frozen=True)
class BlurConfig:
    """Blur of all that the discriminator sees: `sigma_px` at the start, falling evenly to none at `fade_kimg`."""

    sigma_px: float = 0.0
    fade_kimg: float = 0.0


@dataclass(frozen=True)
class SampleConfig:
    """Grids in `training_samples/` beside the usual ones: of G and of G_ema, one for each psi and mixing probability.

    `w_samples`: latents from which the mean style is estimated; None: the running mean.
    """

    psi: tuple[float, ...] = (1.0,)
    mixing: tuple[float, ...] = (0.0,)
    w_samples: int | None = None


@dataclass(frozen=True)
class OutputConfig:
    """What a run writes, how often (in ticks), and how much of it is kept.

    `samples`: further grids, with the usual ones. `loss_tables`: a CSV a loss at every tick, plotted with the grids.
    """

    kimg_per_tick: float = 4.0
    seconds_per_tick: float | None = None
    image_ticks: int = 50
    snapshot_ticks: int = 50
    checkpoint_ticks: int = 10
    metric_ticks: int | None = None
    keep_checkpoints: int = 2
    keep_snapshots: int | None = None
    grid: tuple[int, int] | None = None
    metrics: tuple[str, ...] = ()
    metric_images: int | None = None
    tensorboard: bool = True
    samples: SampleConfig | None = None
    loss_tables: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run. Two runs of the same config and data on a CPU are equal bit for bit.

    `max_minutes` ends a run by the clock before `total_kimg`, for those who have so much time and no more.
    `transfer_from` names a network of the same sizes whose weights the run begins with, `init_from` one of which it
    takes what fits (`training/transfer.py`).
    """

    data: DataConfig
    generator: PlayerConfig
    discriminator: PlayerConfig
    phases: tuple[PhaseConfig, ...]
    schedule: Component
    augment: Component = field(default_factory=lambda: Component("none"))
    blur: BlurConfig = field(default_factory=BlurConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    style_mixing_prob: float = 0.9
    total_kimg: float = 25000.0
    max_minutes: float | None = None
    seed: int = 0
    precision: Precision = "float32"
    nonfinite: Literal["skip", "stop"] = "skip"
    preset: str = ""
    transfer_from: str | None = None
    init_from: str | None = None


def _inner_types(annotation: Any) -> list[Any]:
    """The dataclasses an annotation may hold: itself, a tuple's items, or a union's members."""
    if dataclasses.is_dataclass(annotation):
        return [annotation]
    if typing.get_origin(annotation) in (tuple, typing.Union, types.UnionType):
        return [t for a in typing.get_args(annotation) for t in _inner_types(a)]
    return []


def check_keys(cls: type, data: Any, where: str = "") -> None:
    """Raises `InputError` for the first key of `data` that `cls` does not have, naming the nearest one."""
    if isinstance(data, list | tuple):
        for n, item in enumerate(data):
            check_keys(cls, item, f"{where}[{n}]")
        return
    if not isinstance(data, Mapping):
        return
    hints = typing.get_type_hints(cls)
    for name, value in data.items():
        path = f"{where}.{name}" if where else str(name)
        if name not in hints:
            raise InputError(f"unknown setting '{path}': expected one of {', '.join(hints)}{nearest(str(name), hints)}")
        for inner in _inner_types(hints[name]):
            check_keys(inner, value, path)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain dicts, lists and numbers."""
    return msgspec.json.decode(msgspec.json.encode(config))


def from_dict(cls: type[T], data: Mapping[str, Any]) -> T:
    """A config from plain values. Raises `InputError` for an unknown key or a value of the wrong type."""
    check_keys(cls, data)
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        raise InputError(f"a setting has the wrong type or is missing: {error}") from error


def save(path: str | os.PathLike[str], config: Any) -> None:
    """Writes a config as JSON."""
    write_json(path, to_dict(config))


def load(cls: type[T], path: str | os.PathLike[str]) -> T:
    """Reads a config written by `save`. Raises `InputError`."""
    return from_dict(cls, read_json(path))


def with_overrides(config: T, overrides: Mapping[str, Any]) -> T:
    """A copy of `config` with dotted settings replaced, such as `{"ema.half_life_kimg": 5}`.

    Parts of a path are field names, keys of `options`, or positions in a tuple. A component that gets another name
    starts from that one's own options, whatever the order of the settings. Raises `InputError`.
    """
    data = to_dict(config)
    for path in sorted(overrides, key=lambda path: not path.endswith(".name")):
        _set(data, path.split("."), overrides[path], path)
    return from_dict(type(config), data)


def _set(data: Any, parts: list[str], value: Any, path: str) -> None:
    head, rest = parts[0], parts[1:]
    if isinstance(data, list):
        if not head.isdigit() or int(head) >= len(data):
            raise InputError(f"no setting '{path}': expected a position below {len(data)}, got '{head}'")
        step: Any = int(head)
    elif isinstance(data, dict):
        step = head
    else:
        raise InputError(f"no setting '{path}': '{head}' would be inside a plain value")
    if not rest:
        if step == "name" and isinstance(data.get("options"), dict) and data["name"] != value:
            data["options"] = {}
        data[step] = value
    else:
        if isinstance(data, dict) and step not in data:
            raise InputError(f"no setting '{path}': expected one of {', '.join(data)}{nearest(head, data)}")
        _set(data[step], rest, value, path)
