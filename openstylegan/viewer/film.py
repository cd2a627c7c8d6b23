"""A film along a path of views."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import torch

from openstylegan.data.progress import Advance, silent
from openstylegan.errors import InputError
from openstylegan.features.base import as_rgb
from openstylegan.sampling.film import check_film, write_film
from openstylegan.viewer.messages import MAX_FRAMES
from openstylegan.viewer.state import Offset, View

EVEN = (
    "x",
    "y",
    "psi",
    "noise_strength",
    "stretch_x",
    "stretch_y",
    "rotate",
    "translate_x",
    "translate_y",
    "scale_db",
    "fft_range_db",
    "fft_beta",
)
"""The numbers that go evenly from keyframe to keyframe; everything else changes at the keyframe."""


def path(views: Sequence[View], frames: int = 1, closed: bool = False) -> list[View]:
    """The views of all frames: `frames` from each keyframe to the next (the first of them the keyframe itself), and
    the last keyframe; `closed`: back to the first instead. Raises `InputError`.
    """
    if len(views) < 2:
        raise InputError(f"expected a path of at least 2 views, got {len(views)}; record one")
    if any((v.model, v.mode, v.layer, v.fft) != (a.model, a.mode, a.layer, a.fft) for a in views[:1] for v in views):
        raise InputError("expected views of one network, mode and layer in a film; record the path anew")
    ends = [*views[1:], views[0]] if closed else views[1:]
    total = frames * len(ends) + (not closed)
    if total > MAX_FRAMES:
        raise InputError(f"expected at most {MAX_FRAMES} frames, got {total}; take a shorter path")
    between = [blend(a, b, n / frames) for a, b in zip(views, ends, strict=False) for n in range(frames)]
    return between if closed else [*between, views[-1]]


def blend(a: View, b: View, share: float) -> View:
    """The view at `share` of the way from `a` to `b`."""
    if share == 0:
        return a
    numbers: dict[str, Any] = {n: getattr(a, n) + (getattr(b, n) - getattr(a, n)) * share for n in EVEN}
    return msgspec.structs.replace(a, offsets=blend_offsets(a.offsets, b.offsets, share), **numbers)


def blend_offsets(a: tuple[Offset, ...], b: tuple[Offset, ...], share: float) -> tuple[Offset, ...]:
    """Amounts of the same direction in the same place go evenly; a direction that only one of the two has, to or from
    nothing."""
    keys = list(dict.fromkeys((o.kind, o.index, o.layers) for o in (*a, *b)))
    before, after = ({(o.kind, o.index, o.layers): o.amount for o in offsets} for offsets in (a, b))
    amounts = [before.get(k, 0.0) * (1 - share) + after.get(k, 0.0) * share for k in keys]
    return tuple(Offset(k[0], k[1], amount, k[2]) for k, amount in zip(keys, amounts, strict=True))


def write(
    place: str | os.PathLike[str],
    views: Sequence[View],
    draw: Callable[[View], np.ndarray],
    *,
    frames: int = 1,
    closed: bool = False,
    fps: int = 30,
    advance: Advance = silent,
) -> int:
    """Writes the film of a path, its pictures drawn by `draw(view)` (uint8 [H, W, C]), and returns how many there are.

    `place` ends in .mp4, .webp or .gif. Raises `InputError`, before anything is drawn where that can be known.
    """
    check_film(place, fps)
    along = path(views, frames, closed)

    def pictures() -> Iterator[np.ndarray]:
        for view in along:
            image = rgb(draw(view))
            advance(1)
            yield image

    write_film(place, pictures(), len(along), fps)
    return len(along)


def rgb(image: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, C] as [H, W, 3]: grey repeated, alpha laid on white."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    return as_rgb(planes)[0].permute(1, 2, 0).contiguous().numpy()
