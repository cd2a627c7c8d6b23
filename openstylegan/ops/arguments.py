"""How the ops read their arguments: factors as a pair, padding as four numbers, with one-line errors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from openstylegan.errors import InputError

Factor = int | Sequence[int]
"""One number for both axes, or `[x, y]`."""
Padding = int | Sequence[int]
"""One number for all sides, `[x, y]`, or `[x0, x1, y0, y1]`; negative numbers crop."""


def factor_xy(factor: Factor, name: str) -> tuple[int, int]:
    """`(x, y)` of a resampling factor. Raises `InputError` unless both are integers of at least 1."""
    values = (factor, factor) if isinstance(factor, int) else tuple(int(v) for v in factor)
    if len(values) != 2 or min(values) < 1:
        raise InputError(f"expected {name} as an integer >= 1 or two of them [x, y], got {factor}")
    return values[0], values[1]


def padding_xxyy(padding: Padding) -> tuple[int, int, int, int]:
    """`(x0, x1, y0, y1)` of a padding. Raises `InputError` unless one, two or four numbers came."""
    values = (padding,) if isinstance(padding, int) else tuple(int(v) for v in padding)
    if len(values) == 1:
        values *= 4
    if len(values) == 2:
        values = (values[0], values[0], values[1], values[1])
    if len(values) != 4:
        raise InputError(f"expected padding as one integer, [x, y] or [x0, x1, y0, y1], got {padding}")
    return values[0], values[1], values[2], values[3]


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """Taps of a filter, `(width, height)`; a missing filter has one tap, a 1-D one serves both axes."""
    if f is None:
        return 1, 1
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise InputError(f"expected a filter of 1 or 2 dimensions with at least one tap, got shape {list(f.shape)}")
    return f.shape[-1], f.shape[0]


def check_images(x: Tensor, name: str = "x") -> None:
    """Raises `InputError` unless `x` is a floating-point `[N, C, H, W]`."""
    if x.ndim != 4 or not x.is_floating_point():
        raise InputError(f"expected {name} as floating-point [N, C, H, W], got {x.dtype} {list(x.shape)}")
