"""`filtered_lrelu` in one pass by the C++ beside it: the tables that say which samples meet which taps, and the calls.

Positions along one axis fall into phases, as many as the least common multiple of `up` and `down`: from one position to
the next of the same phase all filters only shift (see filtered_lrelu.cpp). Each of the four filters (up, down and the
transposes of both, for the gradients) takes the tap `a * from + b * to + c` between two samples; the tables follow.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from math import lcm
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openstylegan.ops.filtered_lrelu_products import CACHED_PLANS, MIRRORED, Setting, Taps, taps_of
from openstylegan.ops.native import native
from openstylegan.ops.paths import readable

ALIGNED = 16
"""Rows begin at multiples of so many floats, the widest vector."""
DTYPES = (torch.float32, torch.bfloat16)

Array = np.ndarray


class _Layout(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("phases", "size", "margin", "stride")]


class _Map(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("rows", "row_most", "col_most", "width")],
        *[(name, ctypes.c_void_p) for name in ("first", "count", "row_tap", "col_count", "col_a", "col_b", "col_tap")],
        *[(name, ctypes.c_void_p) for name in ("row_weight", "col_weight", "taps")],
    ]


class _Job(ctypes.Structure):
    _fields_ = [
        *[(name, _Layout) for name in ("source", "other", "high", "target")],
        *[(name, ctypes.c_int) for name in ("source_rows", "other_rows")],
        *[(name, _Map) for name in ("up", "other_up", "down")],
        *[(name, ctypes.c_int) for name in ("has_other", "bfloat16")],
        *[(name, ctypes.c_float) for name in ("slope", "clamp", "bound")],
        *[(name, ctypes.c_void_p) for name in ("x", "given", "bias", "y")],
    ]


class Filter(NamedTuple):
    """A linear map along both axes: the tap between two samples is `a * from + b * to + c`, c along x and along y.

    taps: [n] for each axis, or one [height, width] for both.
    """

    a: int
    b: int
    c: tuple[int, int]
    taps: tuple[Array, ...]

    def transposed(self) -> Filter:
        return Filter(self.b, self.a, self.c, self.taps)

    def span(self, axis: int, to: Array) -> tuple[Array, Array]:
        """The first and the last of the samples that sample `to` takes, on an endless axis (0: x, 1: y)."""
        rest, most = self.b * to + self.c[axis], self.taps[-axis].shape[-1 if axis == 0 else 0] - 1
        if self.a > 0:
            return -(rest // self.a), (most - rest) // self.a
        return -((most - rest) // -self.a), rest // -self.a


class Side(NamedTuple):
    """The samples (W, H) on one side of a filter, and how many phases those along x fall into."""

    size: tuple[int, int]
    phases: int

    def count(self, phase: int) -> int:
        return (self.size[0] - phase + self.phases - 1) // self.phases


class Stage(NamedTuple):
    """One of the three things to compute: `job` for C, the arrays its pointers point into, the size of the result, and
    how much larger than |x| the oversampled values can be."""

    job: _Job
    held: list[Array]
    size: tuple[int, int]
    reach: float


def usable(x: Tensor) -> bool:
    """Whether the compiled form can compute `x`."""
    return x.dtype in DTYPES and readable(x) and native().loaded is not None


def forward(x: Tensor, b: Tensor | None, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor:
    """The op on `x` [N, C, H, W] with bias [C]."""
    return _run("forward", x, b, None, fu, fd, setting)


def pullback(x: Tensor, b: Tensor | None, gy: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor:
    """The gradient with respect to x for the gradient `gy` of the output."""
    return _run("pullback", x, b, gy, fu, fd, setting)


def pushforward(
    x: Tensor, b: Tensor | None, v: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting
) -> Tensor:
    """The derivative of the output along a change `v` of x."""
    return _run("pushforward", x, b, v, fu, fd, setting)


def _run(
    what: str,
    x: Tensor,
    b: Tensor | None,
    given: Tensor | None,
    fu: Tensor | None,
    fd: Tensor | None,
    setting: Setting,
) -> Tensor:
    stage = _stage(what, taps_of(fu), taps_of(fd), setting._replace(clamp=None), (x.shape[3], x.shape[2]))
    x = x.detach().contiguous()
    given = None if given is None else given.detach().to(x.dtype).contiguous()
    bias = None if b is None else b.detach().float().repeat(x.shape[0])
    y = x.new_empty(*x.shape[:2], stage.size[1], stage.size[0])
    job = _Job.from_buffer_copy(stage.job)
    job.x, job.y = x.data_ptr(), y.data_ptr()
    job.given = None if given is None else given.data_ptr()
    job.bias = None if bias is None else bias.data_ptr()
    job.bfloat16 = x.dtype == torch.bfloat16
    job.bound = stage.reach * max(1.0, abs(setting.slope))
    job.slope, job.clamp = setting.slope, -1.0 if setting.clamp is None else setting.clamp
    native().code.filtered_lrelu(ctypes.byref(job), x.shape[0] * x.shape[1], torch.get_num_threads())
    return y


@lru_cache(maxsize=3 * CACHED_PLANS)
def _stage(what: str, fu: Taps, fd: Taps | tuple[Taps, ...], setting: Setting, size: tuple[int, int]) -> Stage:
    up, down = _filters(fu, fd, setting)
    phases = lcm(setting.up, setting.down)
    high = Side(_high_size(len(fu), setting, size), phases)
    source = Side(size, phases // setting.up)
    taps_y, taps_x = (len(fd), len(fd[0])) if isinstance(fd[0], tuple) else (len(fd), len(fd))
    result = ((high.size[0] - taps_x) // setting.down + 1, (high.size[1] - taps_y) // setting.down + 1)
    other = Side(result, phases // setting.down)
    back = what == "pullback"
    held: list[Array] = []
    last = up.transposed() if back else down
    target = source if back else other
    # Whatever reads a row says how far it reaches beyond it.
    source_layout = _layout(source, [(up, high)])
    given, given_up = (other, down.transposed()) if back else (source, up)
    given_layout = _layout(given, [(given_up, high)])
    high_layout = _layout(high, [(last, target)])
    job = _Job(source=source_layout, other=given_layout, high=high_layout, target=_layout(target, []))
    job.source_rows, job.other_rows = source.size[1], given.size[1]
    job.up = _map(up, source, source_layout, high, held)
    if what != "forward":
        job.has_other, job.other_up = 1, _map(given_up, given, given_layout, high, held)
    job.down = _map(last, high, high_layout, target, held, fold=not back)
    return Stage(job, held, target.size, float(np.prod([abs(taps).sum() for taps in up.taps])))


def _high_size(taps: int, setting: Setting, size: tuple[int, int]) -> tuple[int, int]:
    x0, x1, y0, y1 = setting.pad
    return size[0] * setting.up + x0 + x1 - taps + 1, size[1] * setting.up + y0 + y1 - taps + 1


def _filters(fu: Taps, fd: Taps | tuple[Taps, ...], setting: Setting) -> tuple[Filter, Filter]:
    """The filter up, gains included, and the filter down; of both what correlates."""
    t, d = np.array(fu), np.array(fd)
    if not setting.flip:
        t, d = np.flip(t), np.flip(d)
    pads = (setting.pad[0], setting.pad[2])
    up = Filter(setting.up, -1, pads, (t * setting.up, t * (setting.up * setting.gain)))
    return up, Filter(1, -setting.down, (0, 0), (d, d) if d.ndim == 1 else (d,))


def _entries(f: Filter, source: Side, to: Side) -> list[list[tuple[int, int]]]:
    """For each phase of `to` along x, the (sample, tap) that its sample number 0 takes."""
    found = []
    for phase in range(to.phases):
        first, last = (int(v) for v in f.span(0, np.array(phase)))
        found.append([(s, f.a * s + f.b * phase + f.c[0]) for s in range(first, last + 1)])
    return found


def _layout(side: Side, readers: list[tuple[Filter, Side]]) -> _Layout:
    """Rows of `side` with room for all that its readers take beyond their ends."""
    before, after = 0, max(side.count(0), 0) + ALIGNED
    for f, to in readers:
        for phase, entries in enumerate(_entries(f, side, to)):
            numbers = [s // side.phases for s, _ in entries]
            before = max(before, -min(numbers, default=0))
            after = max(after, to.count(phase) + max(numbers, default=0) + ALIGNED)
    margin = -(-before // ALIGNED) * ALIGNED
    return _Layout(side.phases, side.size[0], margin, -(-(margin + after) // ALIGNED) * ALIGNED)


class _Tables(NamedTuple):
    """A map for C and the arrays that its pointers point into."""

    made: _Map
    held: list[Array]

    def point(self, name: str, array: Array, dtype: type) -> None:
        self.held.append(np.ascontiguousarray(array, dtype=dtype))
        setattr(self.made, name, self.held[-1].ctypes.data)


def _map(f: Filter, source: Side, layout: _Layout, to: Side, held: list[Array], fold: bool = False) -> _Map:
    """The tables of a filter from `source`, of this layout, to `to`. `fold` adds what mirrored taps share."""
    tables = _Tables(_Map(rows=to.size[1]), held)
    tap, taken = _row_tables(tables, f, source, to)
    taps, mirrored = f.taps[0], False
    if len(f.taps) == 1:
        tables.point("row_tap", tap, np.int32)
        if fold and taps.shape[1] % 2 == 0 and abs(taps - taps[:, ::-1]).max() <= MIRRORED * abs(taps).max():
            taps, mirrored = (taps + taps[:, ::-1]) / 2, True
        tables.made.width = taps.shape[1]
        tables.point("taps", taps, np.float32)
    else:
        tables.point("row_weight", np.where(taken, f.taps[1][tap], 0), np.float32)
    _column_tables(tables, f, layout, _entries(f, source, to), mirrored)
    return tables.made


def _row_tables(tables: _Tables, f: Filter, source: Side, to: Side) -> tuple[Array, Array]:
    """Which rows every row takes; returns their taps [rows, most], and where there is one."""
    rows = np.arange(to.size[1])
    first, last = f.span(1, rows)
    first, last = np.maximum(first, 0), np.minimum(last, source.size[1] - 1)
    count = np.maximum(last - first + 1, 0)
    tables.made.row_most = max(int(count.max()), 1)
    samples = first[:, None] + np.arange(tables.made.row_most)
    taken = np.arange(tables.made.row_most) < count[:, None]
    tables.point("first", np.where(count > 0, first, 0), np.int32)
    tables.point("count", count, np.int32)
    return np.where(taken, f.a * samples + f.b * rows[:, None] + f.c[1], 0), taken


def _column_tables(
    tables: _Tables, f: Filter, layout: _Layout, entries: list[list[tuple[int, int]]], mirrored: bool
) -> None:
    """Which stretches of a row every phase takes: from where on, with which tap, and (mirrored) beside which other."""
    phases, stride = layout.phases, layout.stride
    at = [{tap: s % phases * stride + layout.margin + s // phases for s, tap in e} for e in entries]
    columns = [sorted(e)[: len(e) // 2] if mirrored else sorted(e) for e in at]
    tables.made.col_most = most = max(max(map(len, columns)), 1)

    def table(value: Callable[[int, int], float], dtype: type) -> Array:
        filled: Array = np.zeros((len(at), most), dtype)
        for phase, chosen in enumerate(columns):
            filled[phase, : len(chosen)] = [value(phase, tap) for tap in chosen]
        return filled

    tables.point("col_count", np.array([len(chosen) for chosen in columns]), np.int32)
    tables.point("col_a", table(lambda phase, tap: at[phase][tap], np.int32), np.int32)
    tables.point("col_tap", table(lambda phase, tap: tap, np.int32), np.int32)
    if mirrored:
        width = tables.made.width
        tables.point("col_b", table(lambda phase, tap: at[phase][width - 1 - tap], np.int32), np.int32)
    if len(f.taps) == 2:
        taps = f.taps[0]
        tables.point("col_weight", table(lambda phase, tap: taps[tap], np.float32), np.float32)
