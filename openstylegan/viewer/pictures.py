"""The header of a picture message, and how header and file become one binary message."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

from openstylegan.errors import InputError


class Moments(msgspec.Struct, frozen=True):
    """Mean, standard deviation and largest magnitude."""

    mean: float
    std: float
    max: float


class Histogram(msgspec.Struct, frozen=True):
    """How often values lie in equal bins from `low` to `high`."""

    low: float
    high: float
    counts: tuple[int, ...]


class Shown(msgspec.Struct, frozen=True):
    """The layer that is shown (in mode "image": "output"): its first shown channel after clamping, how many channels
    are shown, and statistics of `all` channels and of the `selected` ones, of finite numbers; `not_finite` counts the
    others."""

    name: str
    shape: tuple[int, int, int]
    dtype: str
    channel: int
    channels: int
    all: Moments
    selected: Moments
    histogram: Histogram
    not_finite: int = 0


class Picture(msgspec.Struct, frozen=True):
    """The header of a picture.

    `kind`: "view", "grid" or "capture". `format`: "png", "jpeg", "webp", and of a film "mp4", "webp" or "gif"; `mime`
    its type. `width`, `height` of the picture as sent; `scale`: by how much it was made smaller (1, 2, ...). `full`:
    lossless, all there is; `quality`: of a lossy one, 1 to 100. `ms`: milliseconds by stage ("mapping", "synthesis",
    "display", "encode", "queue": from arrival to start). `device`; `path`: how the operations were computed, in a few
    words. `w_distance`: per index of ws, when a difference is asked for. `spectrum`: whether the right half is one.
    `notes`: what of the view was without effect, one line each. `name`: of a capture or a grid.
    """

    id: int
    kind: Literal["view", "grid", "capture"]
    format: str
    mime: str
    width: int
    height: int
    scale: int = 1
    full: bool = True
    quality: int | None = None
    model: str = ""
    ms: dict[str, float] = {}
    device: str = ""
    path: str = ""
    shown: Shown | None = None
    w_distance: tuple[float, ...] | None = None
    spectrum: bool = False
    notes: tuple[str, ...] = ()
    name: str = ""


def write_picture(header: Picture, data: bytes) -> bytes:
    """A picture as one binary message."""
    head = msgspec.json.encode(header)
    return struct.pack("<I", len(head)) + head + data


def read_picture(message: bytes) -> tuple[Picture, bytes]:
    """Header and file of a binary message. Raises `InputError`."""
    try:
        (length,) = struct.unpack_from("<I", message)
        return msgspec.json.decode(message[4 : 4 + length], type=Picture), message[4 + length :]
    except (struct.error, msgspec.DecodeError) as error:
        raise InputError(f"expected a picture message, got something else ({error})") from error
