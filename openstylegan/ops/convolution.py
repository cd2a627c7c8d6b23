"""Raw convolutions without gradients: for each of the three products of a layer, the algorithm that is fastest here.

A layer y = correlate(x, w) has two more products: `scatter(gy, w)`, the gradient with respect to x (a transposed
convolution), and `weight_gradient(x, gy)`. On the CPU all work channels-last. Measured on one core of a server CPU
with AVX-512 and AMX, batch 8: oneDNN's stride-2 transposed convolution of 512 channels at 16x16 takes 172 ms float32,
86-176 ms bfloat16; as four interleaved stride-1 convolutions 126 ms and 18-38 ms. Its stride-2 weight gradient takes
247 ms and 137 ms; as matrix products of shifted pictures 168 ms and 73 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.ops import amx
from openstylegan.ops.few_pixels import correlate_few_pixels, few_pixels_pay
from openstylegan.ops.frozen import kept, while_resting
from openstylegan.ops.layouts import copy_pixels, to_channels_last, turned
from openstylegan.ops.winograd import winograd_conv, winograd_input_gradient, winograd_weight_gradient

WINOGRAD_CHANNELS = 256
"""Below this many channels the transforms cost more than the products save (128 at 128x128: 63 ms against 50 ms)."""
WINOGRAD_PIXELS = 128
"""Output pixels of the batch below which transforming the weights dominates (1 x 4x4: 8 ms against 6 ms)."""
SHIFTED_PIXELS = 512
"""Output pixels of the batch up to which oneDNN's weight gradient is the slower (8 x 4x4: 16 ms against 10 ms)."""


class Geometry(NamedTuple):
    """Stride and symmetric zero padding (y, x) of a correlation."""

    stride: int = 1
    padding: tuple[int, int] = (0, 0)


Size = tuple[int, int]


def correlate(x: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    """`conv2d` of `x` [N, I, H, W] with `w` [O, I, kh, kw], which is rounded to the type of x if it has another."""
    if x.device.type != "cpu":
        return F.conv2d(x, rounded(w, x.dtype), stride=geometry.stride, padding=geometry.padding)
    x = channels_last(x)
    few = few_pixels_pay(x.shape[0] * x.shape[2] * x.shape[3], w.numel())
    if (not few or kept(w)) and amx.usable(x, w):
        return amx.correlate(x, w, *geometry)
    w = rounded(w, x.dtype)
    if _is_product(w.shape, geometry):
        return _from_rows(_rows(x) @ w[:, :, 0, 0].t(), x)
    if _winograd_pays(x, w.shape, geometry):
        return winograd_conv(x, w)
    if geometry.stride == 1 and few:
        return correlate_few_pixels(x, w, geometry.padding)
    if _one_wide(x, w.shape, geometry):
        turned = F.conv2d(x.transpose(2, 3), w.transpose(2, 3), stride=geometry.stride, padding=geometry.padding[::-1])
        return channels_last(turned.transpose(2, 3))
    kernel = while_resting(w, "channels last", to_channels_last)
    return F.conv2d(x, kernel, stride=geometry.stride, padding=geometry.padding)


def scatter(gy: Tensor, w: Tensor, geometry: Geometry, size: Size) -> Tensor:
    """The gradient of `correlate` with respect to its input of `size` (H, W): a transposed convolution.

    `gy` [N, O, h, w] with `w` [O, I, kh, kw], rounded as in `correlate`, to [N, I, H, W].
    """
    stride, (pad_y, pad_x) = geometry
    if gy.device.type != "cpu":
        return _conv_transpose(gy, rounded(w, gy.dtype), geometry, size)
    gy = channels_last(gy)
    if min(w.shape[2:]) >= stride and amx.usable(gy, w):
        return amx.scatter(gy, w, stride, (pad_y, pad_x), size)
    w = rounded(w, gy.dtype)
    if _is_product(w.shape, geometry):
        return _from_rows(_rows(gy) @ w[:, :, 0, 0], gy)
    if _winograd_pays(gy, w.shape, geometry):
        return winograd_input_gradient(gy, w)
    if stride == 1:
        x = torch.empty(
            (gy.shape[0], w.shape[1], *size), dtype=gy.dtype, device=gy.device, memory_format=torch.channels_last
        )
        kernel = while_resting(w, "channels last", to_channels_last)
        return _stock_gradients(gy, x, kernel, geometry, (True, False))
    kernel = while_resting(w, "turned", turned)
    return interleaved(_stride_one, gy, kernel, (stride, stride), (pad_x, pad_y), size)


def weight_gradient(x: Tensor, gy: Tensor, geometry: Geometry, kernel: Size, dtype: torch.dtype) -> Tensor:
    """The gradient [O, I, kh, kw] of `correlate` with respect to its weights of `dtype`, in the layout of a parameter.

    Another layout would be paid for twice: in the sum with the demodulation's gradient (19 ms instead of 6 for
    512 x 512 kernels) and in the copy that autograd keeps.
    """
    if dtype in amx.DTYPES and amx.gradient_usable(x, gy, kernel):
        return amx.weight_gradient(channels_last(x), channels_last(gy), *geometry, kernel, dtype)
    return _weight_gradient(x, gy, geometry, kernel).contiguous().to(dtype)


def _weight_gradient(x: Tensor, gy: Tensor, geometry: Geometry, kernel: Size) -> Tensor:
    shape = (gy.shape[1], x.shape[1], *kernel)
    if x.device.type != "cpu":
        return _stock_gradients(gy, x, x.new_empty(shape), geometry, (False, True))
    x, gy = channels_last(x), channels_last(gy)
    if _is_product(shape, geometry):
        return (_rows(gy).t() @ _rows(x))[:, :, None, None]
    if _winograd_pays(x, shape, geometry):
        return winograd_weight_gradient(x, gy)
    if geometry.stride > 1 or gy.shape[0] * gy.shape[2] * gy.shape[3] <= SHIFTED_PIXELS:
        return shifted_products(x, gy, geometry, kernel)
    return _stock_gradients(gy, x, x.new_empty(shape), geometry, (False, True))


def _stride_one(x: Tensor, w: Tensor, padding: Size) -> Tensor:
    return correlate(x, w, Geometry(1, padding))


def rounded(w: Tensor, dtype: torch.dtype) -> Tensor:
    """`w` in `dtype`."""
    return w if w.dtype == dtype else while_resting(w, f"{dtype}", lambda w: w.to(dtype))


def channels_last(x: Tensor) -> Tensor:
    """`x` with its channels (of weights: input channels) innermost in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _is_product(shape: tuple[int, ...] | torch.Size, geometry: Geometry) -> bool:
    """Whether a convolution is one matrix product of pixels and channels."""
    return tuple(shape[2:]) == (1, 1) and geometry == Geometry()


def _rows(x: Tensor) -> Tensor:
    """A channels-last [N, C, H, W] as the matrix [N H W, C]."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _from_rows(rows: Tensor, like: Tensor) -> Tensor:
    n, _, h, w = like.shape
    return rows.view(n, h, w, -1).permute(0, 3, 1, 2)


def _winograd_pays(x: Tensor, shape: tuple[int, ...] | torch.Size, geometry: Geometry) -> bool:
    """Float32 only: bfloat16 products are so fast that the transforms would dominate, and lose precision."""
    n, _, h, w = x.shape
    return (
        x.dtype == torch.float32
        and tuple(shape[2:]) == (3, 3)
        and geometry == Geometry(1, (1, 1))
        and min(shape[:2]) >= WINOGRAD_CHANNELS
        and h % 2 == 0
        and w % 2 == 0
        and n * h * w >= WINOGRAD_PIXELS
    )


def _one_wide(x: Tensor, shape: torch.Size, geometry: Geometry) -> bool:
    """Whether results are one pixel wide, of strided convolutions in bfloat16: on processors with matrix units PyTorch
    2.13 leaves those unwritten. Of the picture turned, where they are one pixel high, it computes them."""
    width = (x.shape[3] + 2 * geometry.padding[1] - shape[3]) // geometry.stride + 1
    return width == 1 and geometry.stride > 1 and x.dtype == torch.bfloat16


def _conv_transpose(gy: Tensor, w: Tensor, geometry: Geometry, size: Size) -> Tensor:
    stride, padding = geometry
    extra = [size[k] - ((gy.shape[2 + k] - 1) * stride - 2 * padding[k] + w.shape[2 + k]) for k in range(2)]
    return F.conv_transpose2d(gy, w, stride=stride, padding=padding, output_padding=extra)


def _stock_gradients(gy: Tensor, x: Tensor, w: Tensor, geometry: Geometry, mask: tuple[bool, bool]) -> Tensor:
    """One of PyTorch's own two gradients of `conv2d`; of the other's argument only the shape is read."""
    stride, padding = geometry
    gradients = torch.ops.aten.convolution_backward(
        gy, x, w, None, [stride, stride], list(padding), [1, 1], False, [0, 0], 1, [*mask, False]
    )
    return gradients[0] if mask[0] else gradients[1]


def interleaved(
    convolve: Callable[..., Tensor],
    x: Tensor,
    kernel: Tensor,
    up: tuple[int, int],
    crop: tuple[int, int],
    size: Size,
    **options: int,
) -> Tensor:
    """`x` zero-inserted by `up` (x, y) and fully convolved with `kernel` [O, I, kh, kw], by one stride-1 convolution
    for each of the up_x * up_y phases of the result.

    Full convolution: y[q] = sum_m x[m] kernel[q - up m]. The result starts at q = `crop` (x, y; may be negative) and
    has `size` (H, W); it is channels-last. `convolve` is `conv2d`, with `options` such as groups.
    """
    n, out_channels, (height, width) = x.shape[0], kernel.shape[0], size
    complete = all(
        kernel.shape[3 - k] >= up[k]
        and 0 <= crop[k] <= (x.shape[3 - k] - 1) * up[k] + kernel.shape[3 - k] - size[1 - k]
        for k in range(2)
    )
    allocate = x.new_empty if complete else x.new_zeros
    y = allocate(n, height, width, out_channels).permute(0, 3, 1, 2)
    for phase_y in range(min(up[1], kernel.shape[2])):
        for phase_x in range(min(up[0], kernel.shape[3])):
            taps = while_resting(
                kernel, f"phase {phase_x}, {phase_y} of {up}", partial(_taps, up=up, phase=(phase_x, phase_y))
            )
            pad = (taps.shape[2] - 1, taps.shape[3] - 1)
            source_y, target_y = _phase(phase_y, up[1], crop[1], x.shape[2] + pad[0], height)
            source_x, target_x = _phase(phase_x, up[0], crop[0], x.shape[3] + pad[1], width)
            part = convolve(x, taps, padding=pad, **options)
            copy_pixels(y[:, :, target_y, target_x], part[:, :, source_y, source_x])
    return y


def _taps(kernel: Tensor, up: tuple[int, int], phase: tuple[int, int]) -> Tensor:
    """The mirrored taps of `kernel` [O, I, kh, kw] that make the results of one `phase` (x, y)."""
    return kernel[:, :, phase[1] :: up[1], phase[0] :: up[0]].flip([2, 3])


def _phase(phase: int, up: int, crop: int, length: int, size: int) -> tuple[slice, slice]:
    """Which of the `length` samples i of a phase (q = up i + phase) fall on which of `size` results o = q - crop."""
    first = max(-((phase - crop) // up), 0)
    count = max(min(length, -((phase - crop - size) // up)) - first, 0)
    start = up * first + phase - crop
    return slice(first, first + count), slice(start, start + up * (count - 1) + 1 if count else start, up)


def shifted_products(x: Tensor, gy: Tensor, geometry: Geometry, kernel: Size) -> Tensor:
    """The weight gradient as one matrix product [O, pixels] x [pixels, I] for each kernel position.

    `gy` and each of the stride^2 phases of `x` are laid on a common grid with a zero margin, flat in memory: a shift
    of the picture is then an offset into it, and no shifted copy is made.
    """
    n, o, h, w = gy.shape
    stride, (pad_y, pad_x) = geometry
    margin_y, margin_x = (kernel[0] - 1) // stride, (kernel[1] - 1) // stride
    height, width = h + margin_y, w + margin_x
    pixels = n * height * width
    if pad_y or pad_x:
        x = F.pad(x, [pad_x, pad_x, pad_y, pad_y])
    grid = gy.new_zeros(n, height, width, o)
    grid[:, :h, :w] = gy.permute(0, 2, 3, 1)
    rows = grid.view(pixels, o).t()
    result = gy.new_empty(*kernel, o, x.shape[1])
    for phase_y in range(min(stride, kernel[0])):
        for phase_x in range(min(stride, kernel[1])):
            phase = x[:, :, phase_y::stride, phase_x::stride][:, :, :height, :width].permute(0, 2, 3, 1)
            flat = x.new_zeros(pixels + margin_y * width + margin_x, x.shape[1])
            flat[:pixels].view(n, height, width, -1)[:, : phase.shape[1], : phase.shape[2]] = phase
            for ky in range(phase_y, kernel[0], stride):
                for kx in range(phase_x, kernel[1], stride):
                    shift = ky // stride * width + kx // stride
                    torch.mm(rows, flat[shift : shift + pixels], out=result[ky, kx])
    return result.permute(2, 3, 0, 1)
