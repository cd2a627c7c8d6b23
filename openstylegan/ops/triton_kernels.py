"""The optional kernels for CUDA devices, in Triton's language. Imported only where they are used: it imports triton.

`filtered_lrelu_kernel` (arXiv 2106.12423, section 3.2) keeps a square tile of the oversampled picture on the chip and
takes every filter as a product with a block of its banded matrix, which tensor cores compute; the oversampled picture
never exists in memory. `resample_kernel` and the pointwise ones read every value directly.

Sums are in float32. Products of float32 values are made of three TF32 ones (an error near float32's own); those of half
precision of one, whose factors are rounded to nearest here, as the hardware would cut them off.

Written without a GPU: values and gradients are compared under Triton's interpreter and all kernels are compiled for
sm_80 in the tests; nothing was ever timed, and block sizes were chosen by the registers and shared memory that the
compiler reports.
"""

from __future__ import annotations

import triton
import triton.language as tl

SIZES = [
    *("channels", "tiles_x", "tiles", "x_height", "x_width", "x_n", "x_c", "x_h"),
    *("given_height", "given_width", "given_n", "given_c", "given_h", "y_height", "y_width"),
    *("up_ranks", "up_taps_x", "up_taps_y", "up", "up_pad_x", "up_pad_y", "up_mirrored"),
    *("given_ranks", "given_taps_x", "given_taps_y", "given_up", "given_pad_x", "given_pad_y", "given_mirrored"),
    *("last_ranks", "last_taps_x", "last_taps_y", "down", "last_pad_x", "last_pad_y", "last_mirrored"),
    *("step_x", "step_y"),
]
"""Numbers of `filtered_lrelu_kernel` that get no code of their own: one compilation serves all sizes and filters."""
RESAMPLE_SIZES = [
    *("total", "channels", "in_height", "in_width", "stride_n", "stride_c", "stride_h", "stride_w"),
    *("out_height", "out_width", "up_x", "up_y", "down_x", "down_y", "pad_x", "pad_y"),
    *("taps_x", "taps_y", "count_y", "mirrored"),
]
POINTWISE_SIZES = ["total", "channels", "plane"]


@triton.jit
def _floor_div(value, by):
    """The quotient rounded down, for any sign of `value`; the language's own is rounded to zero."""
    quotient = value // by
    return tl.where(value - quotient * by < 0, quotient - 1, quotient)


@triton.jit
def _nearest_tf32(value):
    """`value` rounded to the nearest number of 10 bits after the point, halves to even; NaN stays."""
    bits = value.to(tl.int32, bitcast=True)
    rounded = (bits + 0x0FFF + ((bits >> 13) & 1)) & -8192
    return tl.where(value == value, rounded.to(tl.float32, bitcast=True), value)


@triton.jit
def _add_product(a, b, total, HALF: tl.constexpr):
    if HALF:
        total = tl.dot(_nearest_tf32(a), _nearest_tf32(b), total, input_precision="tf32")
    else:
        total = tl.dot(a, b, total, input_precision="tf32x3")
    return total


@triton.jit
def _weights(table, taps, tap, mirrored):
    """The taps of these numbers, zero where there are none."""
    index = tl.where(mirrored != 0, taps - 1 - tap, tap)
    return tl.load(table + index, mask=(tap >= 0) & (tap < taps), other=0.0)


@triton.jit
def _is_used(row, taps, MOST_TAPS: tl.constexpr):
    """Whether a filter's row of taps has any that is not zero: those of mirrored filters are half zero."""
    at = tl.arange(0, MOST_TAPS)
    return tl.max(tl.abs(tl.load(row + at, mask=at < taps, other=0.0)), axis=0) > 0


@triton.jit
def _oversampled(
    plane, height, width, stride, bias, y0, x0,
    table_x, table_y, ranks, taps_x, taps_y, up, pad_x, pad_y, mirrored,
    TILE: tl.constexpr, CHUNK: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """A tile of `plane` plus bias up-sampled and filtered, its first sample at (y0, x0) of the oversampled picture.

    Sample s meets sample t by the tap `up * s - t + pad`.
    """
    rows, columns = y0 + tl.arange(0, TILE), x0 + tl.arange(0, TILE)
    first_y, first_x = -_floor_div(pad_y - y0, up), -_floor_div(pad_x - x0, up)
    count_y, count_x = (taps_y + TILE - 2) // up + 1, (taps_x + TILE - 2) // up + 1
    total = tl.zeros((TILE, TILE), tl.float32)
    for rank in range(ranks):
        along_y, along_x = table_y + rank * taps_y, table_x + rank * taps_x
        if _is_used(along_x, taps_x, TILE):
            for x_at in range(0, count_x, CHUNK):
                j = first_x + x_at + tl.arange(0, CHUNK)
                part = tl.zeros((TILE, CHUNK), tl.float32)
                for y_at in range(0, count_y, CHUNK):
                    i = first_y + y_at + tl.arange(0, CHUNK)
                    inside = ((i >= 0) & (i < height))[:, None] & ((j >= 0) & (j < width))[None, :]
                    source = plane + i.to(tl.int64)[:, None] * stride + j[None, :]
                    values = tl.load(source, mask=inside, other=0.0).to(tl.float32)
                    # The bias belongs to the picture's samples, not to the zeros around them.
                    values = tl.where(inside, values + bias, 0.0)
                    taps = _weights(along_y, taps_y, up * i[None, :] - rows[:, None] + pad_y, mirrored)
                    part = _add_product(taps, values, part, HALF)
                taps = _weights(along_x, taps_x, up * j[:, None] - columns[None, :] + pad_x, mirrored)
                total = _add_product(part, taps, total, HALF)
    return total


@triton.jit
def _filtered_down(
    high, table_x, table_y, ranks, taps_x, taps_y, down, mirrored,
    TILE: tl.constexpr, OUT_Y: tl.constexpr, OUT_X: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """A tile filtered, every `down`-th sample from its first one on."""
    at = tl.arange(0, TILE)
    tap_y = at[None, :] - down * tl.arange(0, OUT_Y)[:, None]
    tap_x = at[:, None] - down * tl.arange(0, OUT_X)[None, :]
    total = tl.zeros((OUT_Y, OUT_X), tl.float32)
    for rank in range(ranks):
        along_y, along_x = table_y + rank * taps_y, table_x + rank * taps_x
        if _is_used(along_x, taps_x, TILE):
            low = tl.zeros((TILE, OUT_X), tl.float32)
            low = _add_product(high, _weights(along_x, taps_x, tap_x, mirrored), low, HALF)
            total = _add_product(_weights(along_y, taps_y, tap_y, mirrored), low, total, HALF)
    return total


@triton.jit
def _clamped(value, clamp):
    """NaN stays, which minimum and maximum would hide."""
    return tl.where(value > clamp, clamp, tl.where(value < -clamp, -clamp, value))


@triton.jit(do_not_specialize=SIZES)
def filtered_lrelu_kernel(
    x, given, bias, y,
    up_table_x, up_table_y, given_table_x, given_table_y, last_table_x, last_table_y,
    channels, tiles_x, tiles,
    x_height, x_width, x_n, x_c, x_h,
    given_height, given_width, given_n, given_c, given_h,
    y_height, y_width,
    up_ranks, up_taps_x, up_taps_y, up, up_pad_x, up_pad_y, up_mirrored,
    given_ranks, given_taps_x, given_taps_y, given_up, given_pad_x, given_pad_y, given_mirrored,
    last_ranks, last_taps_x, last_taps_y, down, last_pad_x, last_pad_y, last_mirrored,
    step_x, step_y, scale, slope, clamp,
    HAS_BIAS: tl.constexpr, DERIVATIVE: tl.constexpr, HALF: tl.constexpr,
    TILE: tl.constexpr, OUT_Y: tl.constexpr, OUT_X: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """A tile of `step_y` by `step_x` results of one plane.

    Forward: z = scale * up(x + bias), y = last(clip(lrelu(z))). The derivatives: y = last(scale * s * up'(given)),
    where s is the slope at z and up' another filter; `given` is a change of x, or a gradient of the output with both
    filters transposed.
    """
    plane, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    out_y0, out_x0 = (tile // tiles_x) * step_y, (tile % tiles_x) * step_x
    y0, x0 = out_y0 * down - last_pad_y, out_x0 * down - last_pad_x
    sample, channel = (plane // channels).to(tl.int64), (plane % channels).to(tl.int64)
    shift = 0.0
    if HAS_BIAS:
        shift = tl.load(bias + channel).to(tl.float32)
    high = scale * _oversampled(
        x + sample * x_n + channel * x_c, x_height, x_width, x_h, shift, y0, x0,
        up_table_x, up_table_y, up_ranks, up_taps_x, up_taps_y, up, up_pad_x, up_pad_y, up_mirrored,
        TILE, CHUNK, HALF,
    )  # fmt: skip
    bent = tl.where(high > 0, high, high * slope)
    if DERIVATIVE:
        other = scale * _oversampled(
            given + sample * given_n + channel * given_c, given_height, given_width, given_h, 0.0, y0, x0,
            given_table_x, given_table_y, given_ranks, given_taps_x, given_taps_y,
            given_up, given_pad_x, given_pad_y, given_mirrored, TILE, CHUNK, HALF,
        )  # fmt: skip
        other = tl.where(high > 0, other, other * slope)
        high = tl.where(tl.abs(bent) <= clamp, other, 0.0)
    else:
        high = _clamped(bent, clamp)
    result = _filtered_down(
        high, last_table_x, last_table_y, last_ranks, last_taps_x, last_taps_y, down, last_mirrored,
        TILE, OUT_Y, OUT_X, HALF,
    )  # fmt: skip
    v, u = tl.arange(0, OUT_Y), tl.arange(0, OUT_X)
    inside = ((v < step_y) & (out_y0 + v < y_height))[:, None] & ((u < step_x) & (out_x0 + u < y_width))[None, :]
    row = plane.to(tl.int64) * y_height + out_y0 + v
    tl.store(y + row[:, None] * y_width + out_x0 + u[None, :], result.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _positions(BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """The numbers of this program's values; in 64 bits where there are so many."""
    program = tl.program_id(0)
    if WIDE:
        program = program.to(tl.int64)
    return program * BLOCK + tl.arange(0, BLOCK)


@triton.jit(do_not_specialize=RESAMPLE_SIZES)
def resample_kernel(
    x, taps, y, total, channels, in_height, in_width, stride_n, stride_c, stride_h, stride_w,
    out_height, out_width, up_x, up_y, down_x, down_y, pad_x, pad_y, taps_x, taps_y, count_y, mirrored,
    COUNT_X: tl.constexpr, CHANNELS_LAST: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`BLOCK` results in the order of memory. Of the taps only every `up`-th meets a sample: `count_y` by `COUNT_X`."""
    at = _positions(BLOCK, WIDE)
    if CHANNELS_LAST:
        channel, rest = at % channels, at // channels
        column, rest = rest % out_width, rest // out_width
        row, sample = rest % out_height, rest // out_height
    else:
        column, rest = at % out_width, at // out_width
        row, rest = rest % out_height, rest // out_height
        channel, sample = rest % channels, rest // channels
    start_y, start_x = row * down_y - pad_y, column * down_x - pad_x
    first_y, first_x = -_floor_div(-start_y, up_y), -_floor_div(-start_x, up_x)
    plane = x + sample.to(tl.int64) * stride_n + channel.to(tl.int64) * stride_c
    result = tl.zeros((BLOCK,), tl.float32)
    for q in range(count_y):
        i = first_y + q
        tap_y = i * up_y - start_y
        in_row = (at < total) & (tap_y < taps_y) & (i >= 0) & (i < in_height)
        tap_row = tl.where(mirrored != 0, taps_y - 1 - tap_y, tap_y) * taps_x
        source = plane + i.to(tl.int64) * stride_h
        for p in tl.static_range(COUNT_X):
            j = first_x + p
            tap_x = j * up_x - start_x
            inside = in_row & (tap_x < taps_x) & (j >= 0) & (j < in_width)
            tap_column = tl.where(mirrored != 0, taps_x - 1 - tap_x, tap_x)
            value = tl.load(source + j.to(tl.int64) * stride_w, mask=inside, other=0.0).to(tl.float32)
            result += value * tl.load(taps + tap_row + tap_column, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + at, result.to(y.dtype.element_ty), mask=at < total)


@triton.jit(do_not_specialize=POINTWISE_SIZES)
def tail_kernel(
    x, bias, z, total, channels, plane, slope, gain, clamp,
    HAS_BIAS: tl.constexpr, CHANNELS_LAST: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`clip(lrelu(x + bias) gain)`, gain > 0."""
    at = _positions(BLOCK, WIDE)
    value = tl.load(x + at, mask=at < total, other=0.0).to(tl.float32)
    if HAS_BIAS:
        channel = at % channels if CHANNELS_LAST else (at // plane) % channels
        value += tl.load(bias + channel).to(tl.float32)
    value *= gain
    value = _clamped(tl.where(value > 0, value, value * slope), clamp)
    tl.store(z + at, value.to(z.dtype.element_ty), mask=at < total)


@triton.jit(do_not_specialize=POINTWISE_SIZES)
def bend_kernel(g, z, m, total, slope, clamp, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """`g` times the slope, without gain, where the tail's output is `z`."""
    at = _positions(BLOCK, WIDE)
    gradient = tl.load(g + at, mask=at < total, other=0.0).to(tl.float32)
    output = tl.load(z + at, mask=at < total, other=0.0).to(tl.float32)
    gradient = tl.where(output > 0, gradient, gradient * slope)
    gradient = tl.where(tl.abs(output) < clamp, gradient, 0.0)
    tl.store(m + at, gradient.to(m.dtype.element_ty), mask=at < total)
