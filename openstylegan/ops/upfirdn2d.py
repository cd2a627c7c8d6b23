"""Up-sample, FIR-filter and down-sample pictures: the resampling under every style-based network.

From StyleGAN2 (arXiv 1912.04958) and StyleGAN2-ADA (arXiv 2006.06676).
Differs from the original: no compiled kernel is needed; gradients of any order come from autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from openstylegan.errors import InputError
from openstylegan.ops import resample_compiled as compiled
from openstylegan.ops import triton_resample as by_triton
from openstylegan.ops.arguments import Factor, Padding, check_images, factor_xy, filter_size, padding_xxyy
from openstylegan.ops.convolution import channels_last, interleaved
from openstylegan.ops.paths import fast, on_triton
from openstylegan.ops.triton_found import usable

SEPARABLE_TAPS = 8
"""1-D filters of at least this many taps stay 1-D: two passes are then cheaper than the outer product."""


def setup_filter(
    f: Tensor | Sequence[float] | Sequence[Sequence[float]] | float | None,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """A float32 filter for the ops below: 1-D `[taps]` (separable) or 2-D `[height, width]`.

    f: taps as a list, tensor, number (one tap) or None (identity).
    separable: None keeps 1-D filters of 8 taps or more 1-D and makes shorter ones 2-D.
    normalize: divide by the sum of the taps. gain: amplitude over both axes.
    """
    taps = torch.as_tensor(1 if f is None else f, dtype=torch.float32, device=device)
    if taps.ndim > 2 or taps.numel() == 0:
        raise InputError(f"expected filter taps of at most 2 dimensions, not empty, got shape {list(taps.shape)}")
    taps = taps.reshape(1) if taps.ndim == 0 else taps
    if separable is None:
        separable = taps.ndim == 1 and taps.numel() >= SEPARABLE_TAPS
    if separable and taps.ndim == 2:
        raise InputError(f"expected 1-D taps for a separable filter, got shape {list(taps.shape)}")
    if taps.ndim == 1 and not separable:
        taps = torch.outer(taps, taps)
    if normalize:
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    return taps * gain ** (taps.ndim / 2)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """`x` [N, C, H, W] zero-inserted by `up`, padded, filtered with `f` and every `down`-th sample kept.

    up, down: integer or [x, y]. padding: integer, [x, y] or [x0, x1, y0, y1] on the up-sampled grid; negative crops.
    The filter is convolved (mirrored) unless `flip_filter`; the output per axis has
    `floor((in * up + p0 + p1 - taps + down) / down)` samples. Raises `InputError` when that is below 1.
    """
    (up_x, up_y), (down_x, down_y) = factor_xy(up, "up"), factor_xy(down, "down")
    pad = padding_xxyy(padding)
    output_size(x, f, (up_x, up_y), (down_x, down_y), pad)
    if f is None or not (fast(x) or on_triton(x)):
        return upfirdn2d_reference(x, f, up, down, pad, flip_filter, gain)
    taps = f.detach().to(x) * gain ** (f.ndim / 2)
    if f.ndim == 2:
        return _Resample.apply(x, taps, Resampling((up_x, up_y), (down_x, down_y), pad, flip_filter))
    x = _Resample.apply(x, taps[None, :], Resampling((up_x, 1), (down_x, 1), (*pad[:2], 0, 0), flip_filter))
    return _Resample.apply(x, taps[:, None], Resampling((1, up_y), (1, down_y), (0, 0, *pad[2:]), flip_filter))


def upfirdn2d_reference(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """What `upfirdn2d` computes, written as its definition: insert zeros, pad, correlate, take every n-th."""
    (up_x, up_y), (down_x, down_y) = factor_xy(up, "up"), factor_xy(down, "down")
    pad = padding_xxyy(padding)
    output_size(x, f, (up_x, up_y), (down_x, down_y), pad)
    x = _insert_zeros(x, up_x, up_y)
    x = pad_or_crop(x, pad)
    x = _correlate(x, f, flip_filter, gain)
    return x[:, :, ::down_y, ::down_x]


def output_size(
    x: Tensor, f: Tensor | None, up: tuple[int, int], down: tuple[int, int], pad: tuple[int, int, int, int]
) -> tuple[int, int]:
    """`(width, height)` of the result of `upfirdn2d`. Raises `InputError` when a side would be empty."""
    check_images(x)
    width, height = filter_size(f)
    out_x = (x.shape[3] * up[0] + pad[0] + pad[1] - width + down[0]) // down[0]
    out_y = (x.shape[2] * up[1] + pad[2] + pad[3] - height + down[1]) // down[1]
    if out_x < 1 or out_y < 1:
        raise InputError(
            f"expected an output of at least 1 x 1, got {out_y} x {out_x} from x {list(x.shape)}, "
            f"filter {height} x {width}, padding {list(pad)}; pad more or crop less"
        )
    return out_x, out_y


def pad_or_crop(x: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """`x` with zeros added, or samples removed where a number of (x0, x1, y0, y1) is negative; of what is added too."""
    x0, x1, y0, y1 = (min(p, 0) for p in pad)
    if x.shape[3] + x0 + x1 < 0 or x.shape[2] + y0 + y1 < 0:
        return F.pad(F.pad(x, [max(p, 0) for p in pad]), [x0, x1, y0, y1])
    return F.pad(x, pad) if any(pad) else x


def _insert_zeros(x: Tensor, up_x: int, up_y: int) -> Tensor:
    """Every sample followed by `up - 1` zeros, the last one too."""
    if up_x == 1 and up_y == 1:
        return x
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up_x - 1, 0, 0, 0, up_y - 1])
    return x.reshape(n, c, h * up_y, w * up_x)


def _correlate(x: Tensor, f: Tensor | None, flip_filter: bool, gain: float) -> Tensor:
    """Every channel filtered alone, valid region only; a 1-D filter goes along x, then along y."""
    if f is None:
        return x * gain if gain != 1 else x
    taps = f.to(device=x.device, dtype=x.dtype) * gain ** (f.ndim / 2)
    taps = taps if flip_filter else taps.flip(list(range(f.ndim)))
    kernels = [taps] if f.ndim == 2 else [taps[None, :], taps[:, None]]
    for kernel in kernels:
        x = F.conv2d(x, kernel.expand(x.shape[1], 1, *kernel.shape), groups=x.shape[1])
    return x


class Resampling(NamedTuple):
    """What `upfirdn2d` does with a 2-D filter: factors (x, y), padding (x0, x1, y0, y1), orientation."""

    up: tuple[int, int]
    down: tuple[int, int]
    pad: tuple[int, int, int, int]
    flip: bool

    def adjoint(self, taps: tuple[int, int], size: tuple[int, int], result: tuple[int, int]) -> Resampling:
        """The gradient's resampling, for a filter of `taps`, an input of `size` and its `result` (each width, height).

        It exchanges up and down, mirrors the filter and pads by [taps - p0 - 1, in * up - out * down + p0 - up + 1].
        """
        pad: list[int] = []
        for k in range(2):
            before, up = self.pad[2 * k], self.up[k]
            pad += [taps[k] - before - 1, size[k] * up - result[k] * self.down[k] + before - up + 1]
        return Resampling(self.down, self.up, (pad[0], pad[1], pad[2], pad[3]), not self.flip)


class _Resample(Function):
    """`resample` whose gradient is itself with other arguments; the taps have no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, resampling: Resampling) -> Tensor:
        y = resample(x, taps, resampling)
        width_height = (taps.shape[1], taps.shape[0])
        ctx.adjoint = resampling.adjoint(width_height, (x.shape[3], x.shape[2]), (y.shape[3], y.shape[2]))
        ctx.save_for_backward(taps)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor, None, None]:
        return _Resample.apply(gy, ctx.saved_tensors[0], ctx.adjoint), None, None


def resample(x: Tensor, taps: Tensor, resampling: Resampling) -> Tensor:
    """The fast path of `upfirdn2d` without gradients, for `taps` [height, width], channels-last (on CUDA any layout).

    Measured on one core, 8 x 256 x 65 x 65 float32: a 4x4 depthwise convolution 12 ms, the same as two 1-D ones 19 ms;
    up-sampled by 2 as a transposed one 31 ms, by interleaving 116 ms, by inserting zeros 236 ms. In bfloat16
    the transposed one takes 1426 ms, so there the phases are interleaved. Where there is a compiler, separable filters
    take one pass.
    """
    (up_x, up_y), down, pad, flip = resampling
    if usable(x):
        return by_triton.resample(x, taps, (up_x, up_y), down, pad, flip)
    x = channels_last(x)
    if compiled.usable(x):
        filters = compiled.separated(taps if flip else taps.flip([0, 1]))
        if filters is not None:
            return compiled.resample(x, filters, (up_x, up_y), down, pad)
    if (up_x, up_y) == (1, 1):
        return _filter_down(x, taps if flip else taps.flip([0, 1]), down, pad)
    convolved = taps.flip([0, 1]) if flip else taps
    kernel = convolved.expand(x.shape[1], 1, *taps.shape)
    height, width = taps.shape
    crop = (width - 1 - pad[0], width - up_x - pad[1], height - 1 - pad[2], height - up_y - pad[3])
    if x.dtype in (torch.bfloat16, torch.float16):
        out_size = (x.shape[2] * up_y + pad[2] + pad[3] - height + 1, x.shape[3] * up_x + pad[0] + pad[1] - width + 1)
        y = interleaved(F.conv2d, x, kernel, (up_x, up_y), (crop[0], crop[2]), out_size, groups=x.shape[1])
    else:
        both = (max(min(crop[2:]), 0), max(min(crop[:2]), 0))
        y = F.conv_transpose2d(x, kernel, stride=(up_y, up_x), padding=both, groups=x.shape[1])
        y = pad_or_crop(y, (both[1] - crop[0], both[1] - crop[1], both[0] - crop[2], both[0] - crop[3]))
    return y[:, :, :: down[1], :: down[0]]


def _filter_down(x: Tensor, taps: Tensor, down: tuple[int, int], pad: tuple[int, int, int, int]) -> Tensor:
    """`x` padded, correlated with `taps` and every `down`-th sample (x, y) of that."""
    both = (0, 0)
    if pad[0] == pad[1] >= 0 and pad[2] == pad[3] >= 0:
        both = (pad[2], pad[0])
    else:
        x = pad_or_crop(x, pad)
    kernel = taps.expand(x.shape[1], 1, *taps.shape)
    return F.conv2d(channels_last(x), kernel, stride=(down[1], down[0]), padding=both, groups=x.shape[1])


def filter2d(x: Tensor, f: Tensor | None, padding: Padding = 0, flip_filter: bool = False, gain: float = 1) -> Tensor:
    """`x` filtered with `f`, of the same size; `padding` is added to what that takes."""
    width, height = filter_size(f)
    sides = (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2)
    return upfirdn2d(x, f, padding=_added(padding, sides), flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor, f: Tensor | None, up: Factor = 2, padding: Padding = 0, flip_filter: bool = False, gain: float = 1
) -> Tensor:
    """`x` enlarged `up` times with `f`, brightness kept (gain times up_x * up_y); `padding` is added."""
    up_x, up_y = factor_xy(up, "up")
    width, height = filter_size(f)
    sides = ((width + up_x - 1) // 2, (width - up_x) // 2, (height + up_y - 1) // 2, (height - up_y) // 2)
    pad = _added(padding, sides)
    return upfirdn2d(x, f, up=(up_x, up_y), padding=pad, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Tensor, f: Tensor | None, down: Factor = 2, padding: Padding = 0, flip_filter: bool = False, gain: float = 1
) -> Tensor:
    """`x` reduced `down` times with `f`; `padding` is added to what keeps the picture centred."""
    down_x, down_y = factor_xy(down, "down")
    width, height = filter_size(f)
    sides = ((width - down_x + 1) // 2, (width - down_x) // 2, (height - down_y + 1) // 2, (height - down_y) // 2)
    return upfirdn2d(x, f, down=(down_x, down_y), padding=_added(padding, sides), flip_filter=flip_filter, gain=gain)


def _added(padding: Padding, sides: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x0, x1, y0, y1 = padding_xxyy(padding)
    return x0 + sides[0], x1 + sides[1], y0 + sides[2], y1 + sides[3]
