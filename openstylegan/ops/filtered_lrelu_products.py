"""`filtered_lrelu` without a compiler: small matrix products on pieces that stay in a core's cache.

The oversampled picture (6 to 16 times the input) never exists as a whole. Some channels of some of its rows are made at
a time: up along y and along x, leaky ReLU and clamp, down along x and along y, each filter as a product with a block of
its banded matrix. Gradients go the transposed way; they need only x, from which the signs are computed again (cheaper
than keeping them, and less memory).

A two-dimensional filter behind it (StyleGAN3-R's radial one, arXiv 2106.12423, appendix D) is folded: where its columns
are the same from the left and the right, two columns of samples are added first, which leaves half the products.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.ops.banded import Block, along_rows, blocks, down_matrix, support, up_matrix

BAND_ROWS, RADIAL_BAND_ROWS = 32, 8
"""Oversampled rows at once: a longer band wastes products on the zeros of the banded matrix."""
COLUMNS = 32
"""Columns of a block along x, likewise."""
PIECE = 2**18
"""Oversampled values at once: 1 MiB of float32, half of the L2 cache of a server core."""
MIRRORED = 2.0**-22
"""Taps that differ by less, of the largest, are those of a mirrored filter that was rounded to float32."""
CACHED_PLANS = 64


class Setting(NamedTuple):
    """The arguments of a `filtered_lrelu`: padding (x0, x1, y0, y1), gain > 0."""

    up: int
    down: int
    pad: tuple[int, int, int, int]
    gain: float
    slope: float
    clamp: float | None
    flip: bool


class Band(NamedTuple):
    """Some oversampled rows: from input rows `first:last` by `up`, to output rows `start:stop` by `down`."""

    first: int
    last: int
    up: Tensor
    start: int
    stop: int
    down: Tensor


class Columns(NamedTuple):
    """A banded matrix along x [out, in] and its transpose, in blocks."""

    ahead: list[Block]
    back: list[Block]
    size: tuple[int, int]


class Plan(NamedTuple):
    """All the matrices for one size of picture.

    up_x has one matrix for each phase: the columns 0, 1 (mod down) apart for a 2-D filter, otherwise all in one.
    down_x: of a separable filter. pairs: of a 2-D one, the columns of its samples that are added before the products.
    bound: how much larger than |x| the oversampled values can be, gain included.
    """

    bands: list[Band]
    rows: int
    up_x: list[Columns]
    down_x: Columns | None
    pairs: list[tuple[int, ...]]
    size: tuple[int, int]
    bound: float
    dtype: torch.dtype


Taps = tuple[float, ...]


def plan(x: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Plan:
    """The plan for `x` and these filters, made once."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return _plan(taps_of(fu), taps_of(fd), setting, (x.shape[2], x.shape[3]), dtype)


def taps_of(f: Tensor | None) -> Taps | tuple[Taps, ...]:
    if f is None:
        return (1.0,)
    taps = f.tolist()
    return tuple(taps) if f.ndim == 1 else tuple(tuple(row) for row in taps)


@lru_cache(maxsize=CACHED_PLANS)
def _plan(fu: Taps, fd: Taps | tuple[Taps, ...], setting: Setting, size: tuple[int, int], dtype: torch.dtype) -> Plan:
    up_taps, down_taps = (torch.tensor(f, dtype=torch.float64) for f in (fu, fd))
    if not setting.flip:
        up_taps, down_taps = up_taps.flip(0), down_taps.flip(list(range(down_taps.ndim)))
    up_y = up_matrix(up_taps * setting.up * setting.gain, size[0], setting.up, setting.pad[2:])
    up_x = up_matrix(up_taps * setting.up, size[1], setting.up, setting.pad[:2])
    bound = float(up_y.abs().sum(1).max() * up_x.abs().sum(1).max())
    if down_taps.ndim == 1:
        down_y, down_x = (down_matrix(down_taps, len(m), setting.down) for m in (up_y, up_x))
        bands = _bands(up_y, down_y[:, :, None], BAND_ROWS, dtype)
        columns = [_columns(up_x, dtype)]
        result = (len(down_y), len(down_x))
        return Plan(bands, len(bands[0].up), columns, _columns(down_x, dtype), [], result, bound, dtype)
    pairs = _pairs(down_taps, MIRRORED if dtype == torch.float32 else 0)
    kernels = torch.stack([down_taps[:, list(pair)].mean(1) for pair in pairs], dim=1)
    down_y = torch.stack([down_matrix(kernel, len(up_y), setting.down) for kernel in kernels.unbind(1)], dim=2)
    bands = _bands(up_y, down_y, RADIAL_BAND_ROWS, dtype)
    result = (len(down_y), (len(up_x) - down_taps.shape[1]) // setting.down + 1)
    phases = F.pad(up_x, [0, 0, 0, -len(up_x) % setting.down])
    columns = [_columns(phases[k :: setting.down], dtype) for k in range(setting.down)]
    return Plan(bands, len(bands[0].up), columns, None, pairs, result, bound, dtype)


def _pairs(taps: Tensor, tolerance: float) -> list[tuple[int, ...]]:
    """The columns of a 2-D filter, those that mirror each other together (to `tolerance` of the largest tap)."""
    width = taps.shape[1]
    if width % 2 or (taps - taps.flip(1)).abs().max() > tolerance * taps.abs().max():
        return [(k,) for k in range(width)]
    return [(k, width - 1 - k) for k in range(width // 2)]


def _bands(up: Tensor, down: Tensor, most: int, dtype: torch.dtype) -> list[Band]:
    """`up` [R, in] and `down` [out, R, pairs] cut into equal bands of at most `most` of the R rows.

    The last is filled up with zeros, so that every piece of work has the same shape.
    """
    count = -(-len(up) // most)
    rows = -(-len(up) // count)
    up = F.pad(up, [0, 0, 0, count * rows - len(up)])
    down = F.pad(down, [0, 0, 0, count * rows - down.shape[1]])
    bands = []
    for k in range(0, len(up), rows):
        (first, last), out = support(up[k : k + rows]), down[:, k : k + rows].flatten(1)
        start, stop = support(out.t())
        matrices = [m.to(dtype).contiguous() for m in (up[k : k + rows, first:last], out[start:stop])]
        bands.append(Band(first, last, matrices[0], start, stop, matrices[1]))
    return bands


def _columns(matrix: Tensor, dtype: torch.dtype) -> Columns:
    size = (matrix.shape[0], matrix.shape[1])
    return Columns(blocks(matrix, COLUMNS, dtype), blocks(matrix.t(), COLUMNS, dtype), size)


class Work:
    """The memory for some channels of a band, used again for every piece of work of a call."""

    def __init__(self, made: Plan, height: int, channels: int) -> None:
        self.plan, self.height, self.channels = made, height, channels
        self.spread, self.width = made.up_x[0].size
        # The output of a 2-D filter keeps the columns of a phase; those beyond its size are not read.
        self.out_width = made.size[1] if made.down_x else self.spread
        self.middle = self._empty(made.rows, channels * self.width)
        shape = (made.rows, len(made.pairs) or 1, channels * self.out_width)
        self.low = self._empty(*shape) if made.down_x else self._empty(*shape).zero_()

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.plan.dtype)

    def picture(self) -> Tensor:
        """An input picture [H, channels * W]."""
        return self._empty(self.height, self.channels * self.width)

    def result(self) -> Tensor:
        """An output picture [H', channels * W'], zero."""
        return self._empty(self.plan.size[0], self.channels * self.out_width).zero_()

    def oversampled(self) -> list[Tensor]:
        """A band of every phase, [rows, channels * columns]."""
        return [self._empty(self.plan.rows, self.channels * self.spread) for _ in self.plan.up_x]

    def up(self, x: Tensor, band: Band, high: list[Tensor]) -> None:
        """The oversampled rows of a band, from a whole picture `x`."""
        torch.mm(band.up, x[band.first : band.last], out=self.middle)
        for z, columns in zip(high, self.plan.up_x, strict=True):
            along_rows(self.middle.view(-1, self.width), columns.ahead, z.view(-1, self.spread))

    def up_transposed(self, high: list[Tensor], band: Band, gx: Tensor) -> None:
        """The transpose of `up`, added to `gx`."""
        for k, (z, columns) in enumerate(zip(high, self.plan.up_x, strict=True)):
            along_rows(z.view(-1, self.spread), columns.back, self.middle.view(-1, self.width), add=k > 0)
        gx[band.first : band.last].addmm_(band.up.t(), self.middle)

    def down(self, high: list[Tensor], band: Band, y: Tensor) -> None:
        """What a band adds to a whole output picture `y`."""
        if self.plan.down_x:
            along_rows(high[0].view(-1, self.spread), self.plan.down_x.ahead, self.low.view(-1, self.out_width))
        for k, columns in enumerate(self.plan.pairs):
            views, length = self._shifted(high, columns)
            torch.add(views[0], views[-1] if len(views) > 1 else 0, out=self.low[:, k, :length])
        y[band.start : band.stop].addmm_(band.down, self.low.view(-1, self.low.shape[2]))

    def down_transposed(self, gy: Tensor, band: Band, high: list[Tensor]) -> None:
        """The transpose of `down`: what a band gets from `gy`."""
        torch.mm(band.down.t(), gy[band.start : band.stop], out=self.low.view(-1, self.low.shape[2]))
        if self.plan.down_x:
            along_rows(self.low.view(-1, self.out_width), self.plan.down_x.back, high[0].view(-1, self.spread))
            return
        for z in high:
            z.zero_()
        for k, columns in enumerate(self.plan.pairs):
            views, length = self._shifted(high, columns)
            for view in views:
                view.add_(self.low[:, k, :length])

    def _shifted(self, high: list[Tensor], columns: tuple[int, ...]) -> tuple[list[Tensor], int]:
        """For output column w the samples at w * down + each of `columns`, for all channels in one row.

        The shift runs over the ends of a channel's columns into the next; what falls there is never read.
        """
        shifts = [divmod(column, len(high)) for column in columns]
        length = self.channels * self.spread - max(shift for shift, _ in shifts)
        return [high[phase][:, shift : shift + length] for shift, phase in shifts], length


class Piece(NamedTuple):
    """The planes (samples times channels) `start:stop` of a batch, and the memory to work on them."""

    start: int
    stop: int
    work: Work

    def load(self, x: Tensor, b: Tensor | None) -> Tensor:
        """The planes of `x` [planes, H, W] with their bias `b` [planes], as [H, channels * W]."""
        source = x[self.start : self.stop].transpose(0, 1)
        picture = self.work.picture()
        target = picture.view(self.work.height, -1, self.work.width)
        if b is None:
            target.copy_(source)
        else:
            torch.add(source, b[self.start : self.stop], out=target)
        return picture

    def load_gradient(self, gy: Tensor) -> Tensor:
        """The planes of a gradient [planes, H', W'] as [H', channels * columns], zero beyond W'."""
        made, picture = self.work.plan, self.work.result()
        columns = picture.view(made.size[0], -1, self.work.out_width)[:, :, : made.size[1]]
        columns.copy_(gy[self.start : self.stop].transpose(0, 1))
        return picture

    def store(self, picture: Tensor, y: Tensor) -> None:
        """The planes of `y` [planes, h, w] from a `picture` [h, channels * columns]."""
        columns = picture.view(picture.shape[0], self.stop - self.start, -1)[:, :, : y.shape[2]]
        y[self.start : self.stop].copy_(columns.transpose(0, 1))


def _pieces(planes: int, height: int, made: Plan) -> Iterator[Piece]:
    """All planes in equal pieces whose bands fit into the cache (the last may be smaller)."""
    most = max(1, PIECE // (made.rows * made.up_x[0].size[0] * len(made.up_x)))
    channels = -(-planes // -(-planes // most))
    work = Work(made, height, channels)
    for start in range(0, planes, channels):
        stop = min(start + channels, planes)
        if stop - start < channels:
            work = Work(made, height, stop - start)
        yield Piece(start, stop, work)


def _planes(x: Tensor) -> Tensor:
    return x.reshape(-1, *x.shape[2:])


def _bias(x: Tensor, b: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """The bias [C] of every plane and row, [planes, 1]."""
    return None if b is None else b.to(dtype).repeat(x.shape[0])[:, None]


def forward(x: Tensor, b: Tensor | None, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor:
    """The op on `x` [N, C, H, W] with bias [C]."""
    made = plan(x, fu, fd, setting)
    planes, bias = _planes(x), _bias(x, b, made.dtype)
    y = x.new_empty(*x.shape[:2], *made.size)
    for piece in _pieces(len(planes), x.shape[2], made):
        source, result, high = piece.load(planes, bias), piece.work.result(), piece.work.oversampled()
        clamp = _limit(source, made, setting)
        for band in made.bands:
            piece.work.up(source, band, high)
            for z in high:
                _activate_(z, setting.slope, clamp)
            piece.work.down(high, band, result)
        piece.store(result, _planes(y))
    return y


def pullback(x: Tensor, b: Tensor | None, gy: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor:
    """The gradient with respect to x for the gradient `gy` of the output."""
    made = plan(x, fu, fd, setting)
    planes, bias, gradient = _planes(x), _bias(x, b, made.dtype), _planes(gy)
    gx = torch.empty_like(x, memory_format=torch.contiguous_format)
    for piece in _pieces(len(planes), x.shape[2], made):
        source, given, result = piece.load(planes, bias), piece.load_gradient(gradient), piece.work.picture().zero_()
        high, slopes = piece.work.oversampled(), piece.work.oversampled()
        clamp = _limit(source, made, setting)
        for band in made.bands:
            piece.work.up(source, band, high)
            piece.work.down_transposed(given, band, slopes)
            for g, z in zip(slopes, high, strict=True):
                _bend_(g, z, setting.slope, clamp)
            piece.work.up_transposed(slopes, band, result)
        piece.store(result, _planes(gx))
    return gx


def pushforward(
    x: Tensor, b: Tensor | None, v: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting
) -> Tensor:
    """The derivative of the output along a change `v` of x: the transpose of `pullback`."""
    made = plan(x, fu, fd, setting)
    planes, bias, change = _planes(x), _bias(x, b, made.dtype), _planes(v)
    y = x.new_empty(*x.shape[:2], *made.size)
    for piece in _pieces(len(planes), x.shape[2], made):
        source, given, result = piece.load(planes, bias), piece.load(change, None), piece.work.result()
        high, slopes = piece.work.oversampled(), piece.work.oversampled()
        clamp = _limit(source, made, setting)
        for band in made.bands:
            piece.work.up(source, band, high)
            piece.work.up(given, band, slopes)
            for g, z in zip(slopes, high, strict=True):
                _bend_(g, z, setting.slope, clamp)
            piece.work.down(slopes, band, result)
        piece.store(result, _planes(y))
    return y


def _limit(x: Tensor, made: Plan, setting: Setting) -> float | None:
    """The clamp, or None when values as small as those of `x` cannot reach it (a pass over the oversampled values)."""
    if setting.clamp is None:
        return None
    low, high = torch.aminmax(x)
    reach = max(-float(low), float(high)) * made.bound * max(1.0, abs(setting.slope))
    return None if reach < setting.clamp else setting.clamp


def _activate_(z: Tensor, slope: float, clamp: float | None) -> None:
    """Leaky ReLU and clamp of values that have their gain, in place."""
    if slope != 1:
        F.leaky_relu_(z, slope)
    if clamp is not None:
        z.clamp_(-clamp, clamp)


def _bend_(g: Tensor, z: Tensor, slope: float, clamp: float | None) -> None:
    """`g` times the derivative of `_activate_` at `z`, in place."""
    if slope != 1:
        torch.ops.aten.leaky_relu_backward(g, z, slope, False, grad_input=g)
    if clamp is not None:
        g.mul_(F.leaky_relu(z, slope).abs() <= clamp)
