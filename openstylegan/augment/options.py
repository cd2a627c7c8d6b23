"""What the pipe can do: a strength for each of its 15 transforms, their ranges, and the published combinations.

StyleGAN2-ADA (arXiv 2006.06676), appendix B.
Differs from the original: a strength or range that cannot be used is an error instead of a strange picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from openstylegan.errors import InputError
from openstylegan.registry import check_options, lookup

NUM_BANDS = 4


@dataclass(frozen=True, kw_only=True)
class PipeOptions:
    """Strengths and ranges of an augmentation pipe. A strength s fires with probability s * p; 0 is off.

    Ranges: `*_max` and `*_size` are fractions of the picture or of a full circle; `*_std` are standard deviations,
    those of scale, aniso, contrast, saturation and imgfilter in powers of two.
    """

    xflip: float = 0
    rotate90: float = 0
    xint: float = 0
    xint_max: float = 0.125
    scale: float = 0
    rotate: float = 0
    aniso: float = 0
    xfrac: float = 0
    scale_std: float = 0.2
    rotate_max: float = 1
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness: float = 0
    contrast: float = 0
    lumaflip: float = 0
    hue: float = 0
    saturation: float = 0
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1
    saturation_std: float = 1
    imgfilter: float = 0
    imgfilter_bands: Sequence[float] = (1, 1, 1, 1)
    imgfilter_std: float = 1
    noise: float = 0
    cutout: float = 0
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            check_option(field.name, getattr(self, field.name))
        object.__setattr__(self, "imgfilter_bands", tuple(self.imgfilter_bands))

    @property
    def moves_pixels(self) -> bool:
        """Whether the geometric stage runs."""
        return any(getattr(self, name) > 0 for name in GEOMETRIC)

    @property
    def changes_color(self) -> bool:
        """Whether the colour stage runs."""
        return any(getattr(self, name) > 0 for name in COLOR)


def check_option(name: str, value: Any) -> None:
    """Raises `InputError` unless `value` is a finite number >= 0, or four of them for the bands."""
    if name == "imgfilter_bands":
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != NUM_BANDS:
            raise InputError(f"expected imgfilter_bands as {NUM_BANDS} numbers, lowest band first, got {value!r}")
        for band in value:
            check_option("each of imgfilter_bands", band)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(f"expected {name} as a number >= 0, got {value!r}; 0 switches it off")


GEOMETRIC = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
_BLIT = {"xflip": 1, "rotate90": 1, "xint": 1}
_GEOM = {"scale": 1, "rotate": 1, "aniso": 1, "xfrac": 1}
_COLOR = dict.fromkeys(COLOR, 1)

AUGMENT_PRESETS: Mapping[str, Mapping[str, float]] = {
    "blit": _BLIT,
    "geom": _GEOM,
    "color": _COLOR,
    "filter": {"imgfilter": 1},
    "noise": {"noise": 1},
    "cutout": {"cutout": 1},
    "bg": {**_BLIT, **_GEOM},
    "bgc": {**_BLIT, **_GEOM, **_COLOR},
    "bgcf": {**_BLIT, **_GEOM, **_COLOR, "imgfilter": 1},
    "bgcfn": {**_BLIT, **_GEOM, **_COLOR, "imgfilter": 1, "noise": 1},
    "bgcfnc": {**_BLIT, **_GEOM, **_COLOR, "imgfilter": 1, "noise": 1, "cutout": 1},
}


def pipe_options(preset: str | None = None, **options: Any) -> PipeOptions:
    """The options of `preset` (None: everything off), single ones replaced by `options`. Raises `InputError`."""
    check_options(PipeOptions, options, "augmentation pipe")
    base = lookup(AUGMENT_PRESETS, preset, "augmentation preset") if preset is not None else {}
    return PipeOptions(**{**base, **options})
