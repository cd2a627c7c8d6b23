"""DiffAugment: Zhao et al., "Differentiable augmentation for data-efficient GAN training" (arXiv 2006.10738).

Color, translation and cutout, with the laws of Projected GAN (arXiv 2111.01007); each picture draws its own. The
functions are pure: what was drawn is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from openstylegan.augment.base import Augment
from openstylegan.errors import InputError
from openstylegan.images import Images, map_images
from openstylegan.ops.paths import fast, readable
from openstylegan.randomness import BatchStream, NoiseSource

TRANSLATION, CUTOUT = 0.125, 0.2


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """x + (u - 0.5), u [N, 1, 1, 1] in [0, 1)."""
    return x + (u - 0.5)


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """(x - m) 2u + m, m the mean over channels of each pixel."""
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) * (u * 2) + mean


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """(x - m) (u + 0.5) + m, m the mean of each picture."""
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return (x - mean) * (u + 0.5) + mean


def largest_shift(size: int) -> int:
    """How many pixels `translation` moves at most, along an axis of `size`."""
    return int(size * TRANSLATION + 0.5)


def translation(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """y[h, w] = x[h + rows, w + columns], zero where that is outside; `rows` and `columns` [N], integers."""
    if fast(x) and readable(x, rows, columns):
        return _Shifted.apply(x, rows.tolist(), columns.tolist())
    n, _, h, w = x.shape
    along = [torch.arange(size, device=x.device)[None, :] + shift[:, None] for size, shift in ((h, rows), (w, columns))]
    inside = [((k >= 0) & (k < size)).to(x.dtype) for k, size in zip(along, (h, w), strict=True)]
    row, column = (k.clamp(0, size - 1) for k, size in zip(along, (h, w), strict=True))
    which = torch.arange(n, device=x.device)[:, None, None]
    y = x[which, :, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)
    return y * (inside[0][:, None, :, None] * inside[1][:, None, None, :])


class _Shifted(Function):
    """`translation` by lists of integers: rectangles are copied. Its gradient is the shift back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: list[int], columns: list[int]) -> Tensor:
        ctx.back = [[-shift for shift in shifts] for shifts in (rows, columns)]
        y = torch.zeros_like(x)
        for n, (row, column) in enumerate(zip(rows, columns, strict=True)):
            to_rows, from_rows = overlap(row, x.shape[2])
            to_columns, from_columns = overlap(column, x.shape[3])
            y[n, :, to_rows, to_columns] = x[n, :, from_rows, from_columns]
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor, None, None]:
        return _Shifted.apply(gy, *ctx.back), None, None


def overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Which k have k + `shift` within 0 to `size` - 1, and these k + `shift`."""
    first, last = max(0, -shift), min(size, size - shift)
    return slice(first, max(first, last)), slice(first + shift, max(first, last) + shift)


def hole_size(size: int) -> int:
    """How many pixels `cutout` takes, along an axis of `size`."""
    return int(size * CUTOUT + 0.5)


def cutout(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x with a rectangle set to zero: pixels k with offset - s // 2 <= k < offset - s // 2 + s on each axis."""
    keep = []
    for size, offset in ((x.shape[2], rows), (x.shape[3], columns)):
        first = offset - hole_size(size) // 2
        k = torch.arange(size, device=x.device)[None, :]
        keep.append((k < first[:, None]) | (k >= first[:, None] + hole_size(size)))
    return x * (keep[0][:, None, :, None] | keep[1][:, None, None, :]).to(x.dtype)


def integers(u: Tensor, low: int, high: int) -> Tensor:
    """u [N] in [0, 1) as integers from `low` to `high`."""
    return low + (u * (high - low + 1)).floor().long().clamp(0, high - low)


def color_policy(x: Tensor, u: Tensor) -> Tensor:
    """Brightness, saturation and contrast by `u` [N, 3]."""
    own = u.to(x.dtype)[:, :, None, None, None]
    return contrast(saturation(brightness(x, own[:, 0]), own[:, 1]), own[:, 2])


def translation_policy(x: Tensor, u: Tensor) -> Tensor:
    """Translation by `u` [N, 2]: rows, columns."""
    shifts = [integers(u[:, k], -largest_shift(size), largest_shift(size)) for k, size in enumerate(x.shape[2:])]
    return translation(x, *shifts)


def cutout_policy(x: Tensor, u: Tensor) -> Tensor:
    """Cutout at `u` [N, 2]: rows, columns. An even hole may be centred past the last pixel."""
    offsets = [integers(u[:, k], 0, size - hole_size(size) % 2) for k, size in enumerate(x.shape[2:])]
    return cutout(x, *offsets)


class Policy(NamedTuple):
    """How many numbers it draws a picture, and what it does with them."""

    draws: int
    apply: Callable[[Tensor, Tensor], Tensor]


POLICIES: Mapping[str, Policy] = {
    "color": Policy(3, color_policy),
    "translation": Policy(2, translation_policy),
    "cutout": Policy(2, cutout_policy),
}


class DiffAugment(Augment):
    """All of `policy`, in its order, on every picture; p is 1 and stays so.

    At several resolutions the same numbers are drawn, so shifts agree to within a pixel.
    """

    def __init__(self, policy: str | Sequence[str] = "color,translation,cutout"):
        super().__init__()
        self.policy = tuple(policy.split(",")) if isinstance(policy, str) else tuple(policy)
        unknown = [name for name in self.policy if name not in POLICIES]
        if unknown or not self.policy:
            raise InputError(f"expected a policy of {', '.join(POLICIES)}, separated by commas, got {policy!r}")
        self.register_buffer("p", torch.ones([]))

    def forward(self, images: Images, stream: NoiseSource | None = None) -> Images:
        first = images if isinstance(images, Tensor) else images[0]
        source = BatchStream(device=first.device) if stream is None else stream
        num = sum(POLICIES[name].draws for name in self.policy)
        u = source.uniform((first.shape[0], num)).to(first.device)
        return map_images(lambda x: self.apply_to(x, u), images)

    def apply_to(self, x: Tensor, u: Tensor) -> Tensor:
        """One resolution, by the numbers `u` [N, all]."""
        policies = [POLICIES[name] for name in self.policy]
        for policy, own in zip(policies, u.split([p.draws for p in policies], dim=1), strict=True):
            x = policy.apply(x, own)
        return x
