"""Convolution with up- or down-sampling in one: the resampling FIR and the convolution in the cheapest order.

From StyleGAN2 (arXiv 1912.04958, appendix B) and StyleGAN2-ADA (arXiv 2006.06676).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.ops.arguments import Padding, check_images, filter_size, padding_xxyy
from openstylegan.ops.frozen import derived
from openstylegan.ops.gradients import correlate, scatter
from openstylegan.ops.paths import fast
from openstylegan.ops.upfirdn2d import pad_or_crop, upfirdn2d, upfirdn2d_reference

_TRANSPOSED = {False: lambda w: w.transpose(0, 1), True: lambda w: w.flip([2, 3]).transpose(0, 1)}


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """`x` [N, I, H, W] up-sampled with `f`, convolved with `w` [O, I / groups, k, k], down-sampled with `f`.

    padding is relative to the up-sampled picture. flip_weight True correlates (as `conv2d` does), False convolves.
    Equals `upfirdn2d(up) -> conv (valid) -> upfirdn2d(down)`. w is rounded to the type of x if it has another. Raises
    `InputError` for shapes that do not fit.
    """
    if x.dtype != torch.bfloat16:
        w = w.to(x.dtype)
    if groups != 1 or not fast(x):
        return conv2d_resample_reference(x, w.to(x.dtype), f, up, down, padding, groups, flip_weight, flip_filter)
    check_conv(x, w, up, down, groups)
    pad = resample_padding(f, up, down, padding)
    kernel = tuple(w.shape[2:])
    if kernel == (1, 1) and down > 1 and up == 1:
        x = upfirdn2d(x, f, down=down, padding=pad, flip_filter=flip_filter)
        return correlate(x, w)
    if kernel == (1, 1) and up > 1 and down == 1:
        return upfirdn2d(correlate(x, w), f, up=up, padding=pad, gain=up**2, flip_filter=flip_filter)
    if up > 1:
        x = scatter(x, transposed(w, flip_weight), up)
        x = upfirdn2d(x, f, padding=left_over(pad, w, up), gain=up**2, flip_filter=flip_filter)
        return upfirdn2d(x, f, down=down, flip_filter=flip_filter) if down > 1 else x
    oriented = w if flip_weight else w.flip([2, 3])
    if down > 1:
        return correlate(upfirdn2d(x, f, padding=pad, flip_filter=flip_filter), oriented, stride=down)
    if pad[0] == pad[1] >= 0 and pad[2] == pad[3] >= 0:
        return correlate(x, oriented, padding=(pad[2], pad[0]))
    return correlate(pad_or_crop(x, pad), oriented)


def conv2d_resample_reference(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """What `conv2d_resample` computes, with plain convolutions in the order that takes the fewest multiplications.

    Its multiplications are those that benchmarks count: an up-sampling layer is a transposed convolution.
    """
    check_conv(x, w, up, down, groups)
    pad = resample_padding(f, up, down, padding)
    kernel = tuple(w.shape[2:])
    if kernel == (1, 1) and down > 1 and up == 1:
        x = upfirdn2d_reference(x, f, down=down, padding=pad, flip_filter=flip_filter)
        return F.conv2d(x, w, groups=groups)
    if kernel == (1, 1) and up > 1 and down == 1:
        x = F.conv2d(x, w, groups=groups)
        return upfirdn2d_reference(x, f, up=up, padding=pad, gain=up**2, flip_filter=flip_filter)
    oriented = w if flip_weight else w.flip([2, 3])
    if up > 1:
        x, pad = _transposed(x, w.flip([2, 3]) if flip_weight else w, up, pad, groups)
        x = upfirdn2d_reference(x, f, padding=pad, gain=up**2, flip_filter=flip_filter)
        return upfirdn2d_reference(x, f, down=down, flip_filter=flip_filter) if down > 1 else x
    if down > 1:
        x = upfirdn2d_reference(x, f, padding=pad, flip_filter=flip_filter)
        return F.conv2d(x, oriented, stride=down, groups=groups)
    if pad[0] == pad[1] >= 0 and pad[2] == pad[3] >= 0:
        return F.conv2d(x, oriented, padding=[pad[2], pad[0]], groups=groups)
    return F.conv2d(pad_or_crop(x, pad), oriented, groups=groups)


def transposed(w: Tensor, flip_weight: bool) -> Tensor:
    """Weights [O, I, k, k] as an up-sampling convolution scatters with them, [I, O, k, k]."""
    return derived(w, "mirrored, transposed" if flip_weight else "transposed", _TRANSPOSED[flip_weight])


def check_conv(x: Tensor, w: Tensor, up: int, down: int, groups: int) -> None:
    """Raises `InputError` unless `w` [O, I / groups, kh, kw] fits `x` [N, I, H, W] and the factors are >= 1."""
    check_images(x)
    if w.ndim != 4 or groups < 1 or w.shape[1] * groups != x.shape[1] or w.shape[0] % groups:
        raise InputError(
            f"expected weights [O, {x.shape[1]} / groups, kh, kw] for x {list(x.shape)} and groups {groups}, "
            f"got {list(w.shape)}"
        )
    if up < 1 or down < 1:
        raise InputError(f"expected up and down >= 1, got {up} and {down}")


def resample_padding(f: Tensor | None, up: int, down: int, padding: Padding) -> tuple[int, int, int, int]:
    """`padding` with what the resampling filter needs to keep the picture centred, (x0, x1, y0, y1)."""
    width, height = filter_size(f)
    x0, x1, y0, y1 = padding_xxyy(padding)
    if up > 1:
        x0, x1 = x0 + (width + up - 1) // 2, x1 + (width - up) // 2
        y0, y1 = y0 + (height + up - 1) // 2, y1 + (height - up) // 2
    if down > 1:
        x0, x1 = x0 + (width - down + 1) // 2, x1 + (width - down) // 2
        y0, y1 = y0 + (height - down + 1) // 2, y1 + (height - down) // 2
    return x0, x1, y0, y1


def _transposed(
    x: Tensor, w: Tensor, up: int, pad: tuple[int, int, int, int], groups: int
) -> tuple[Tensor, tuple[int, int, int, int]]:
    """`x` zero-inserted and convolved with `w` [O, I / groups, k, k], and the padding that is still to be done."""
    x0, x1, y0, y1 = left_over(pad, w, up)
    crop_x, crop_y = max(min(-x0, -x1), 0), max(min(-y0, -y1), 0)
    x = F.conv_transpose2d(x, transposed_weight(w, groups), stride=up, padding=[crop_y, crop_x], groups=groups)
    return x, (x0 + crop_x, x1 + crop_x, y0 + crop_y, y1 + crop_y)


def left_over(pad: tuple[int, int, int, int], w: Tensor, up: int) -> tuple[int, int, int, int]:
    """The padding that a transposed convolution with `w` leaves to be done."""
    kh, kw = w.shape[2:]
    return pad[0] - kw + 1, pad[1] - kw + up, pad[2] - kh + 1, pad[3] - kh + up


def transposed_weight(w: Tensor, groups: int) -> Tensor:
    """Weights [O, I / groups, kh, kw] as `conv_transpose2d` wants them, [I, O / groups, kh, kw]."""
    if groups == 1:
        return w.transpose(0, 1)
    o, i, kh, kw = w.shape
    return w.reshape(groups, o // groups, i, kh, kw).transpose(1, 2).reshape(groups * i, o // groups, kh, kw)
