"""Curves against kimg as inline SVG: axes with sane numbers, a legend with the newest values, data for the tooltip.

Everything is plain text built here: no plotting library, no script needed to see the curves. Colours are classes
(`s0`, `s1`, ...) that the page's style sheet fills in for light and dark; a dash pattern tells the series apart too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from openstylegan.training.run_record import Curve

WIDTH, HEIGHT = 400, 214
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 26
MAX_BUCKETS = 150
LOG_RATIO = 20.0
MAX_SERIES = 6
SMALLEST_MARGIN = 2.5e-3  # of the value itself, so that the four digits on the axis differ
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Series:
    """One line of a chart. `band` draws value +- spread; `best` marks the point of that index."""

    label: str
    curve: Curve
    band: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic map of [low, high] to pixels [start, stop]."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Where `values` lie."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        position = np.log10(values) if self.log else values
        return self.start + (position - low) / (high - low) * (self.stop - self.start)

    def ticks(self, count: int) -> list[float]:
        """About `count` round numbers inside the axis."""
        return decades(self.low, self.high, count) if self.log else round_numbers(self.low, self.high, count)


def round_numbers(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 x 10^k in [low, high], at most about `count` of them."""
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [0.0 if k == 0 else float(f"{k * step:.12g}") for k in range(first, last + 1)]


def decades(low: float, high: float, count: int) -> list[float]:
    """Powers of ten in [low, high], thinned to about `count`; 1-2-5 steps where there are fewer than two."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = [10.0**k for k in range(first, last + 1)]
    if len(powers) >= 2:
        return powers[:: math.ceil(len(powers) / max(count, 1))]
    return [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5) if low <= m * 10.0**k <= high]


def axis_number(value: float) -> str:
    """A number on an axis: at most four digits, thousands with commas, tiny and huge ones as powers."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    else:
        text = f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return text.replace("-", MINUS)


def short_number(value: float) -> str:
    """A value in running text: four digits; "no value" when it is not finite."""
    if not math.isfinite(value):
        return "no value"
    return (f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}").replace("-", MINUS)


def value_axis(series: Sequence[Series]) -> Axis:
    """The vertical axis that holds every value (and band).

    Logarithmic when all values are positive and a few are so large that half of them would lie flat on the ground.
    """
    values = np.concatenate([s.curve.value for s in series])
    lows = np.concatenate([s.curve.value - s.curve.spread * s.band for s in series])
    highs = np.concatenate([s.curve.value + s.curve.spread * s.band for s in series])
    low, high = float(lows.min()), float(highs.max())
    bottom, top = float(HEIGHT - BOTTOM), float(TOP)
    if low > 0 and np.median(values) * LOG_RATIO < high and not any(s.band for s in series):
        return Axis(low / 1.15, high * 1.15, bottom, top, log=True)
    if 0 < low < 0.4 * high:
        low = 0.0
    margin = max((high - low) * 0.06, max(abs(low), abs(high)) * SMALLEST_MARGIN) or 1.0
    return Axis(low if low == 0 else low - margin, high + margin, bottom, top)


def kimg_axis(series: Sequence[Series]) -> Axis:
    """The horizontal axis from 0 to the newest point."""
    newest = max(float(s.curve.kimg[-1]) for s in series)
    return Axis(0.0, newest or 1.0, LEFT, WIDTH - RIGHT)


def thinned(series: Series, last_kimg: float) -> Series:
    """The series with at most four points for each of `MAX_BUCKETS` stretches: first, lowest, highest, last.

    So spikes stay visible however long the run is.
    """
    curve = series.curve
    if len(curve) <= 4 * MAX_BUCKETS:
        return series
    bucket = np.minimum(curve.kimg / (last_kimg or 1.0) * MAX_BUCKETS, MAX_BUCKETS - 1).astype(int)
    keep = {0, len(curve) - 1} | ({series.best} if series.best is not None else set())
    edges = np.flatnonzero(np.diff(bucket)) + 1
    for part in np.split(np.arange(len(curve)), edges):
        values = curve.value[part]
        keep |= {int(part[0]), int(part[-1]), int(part[values.argmin()]), int(part[values.argmax()])}
    chosen = np.array(sorted(keep))
    best = None if series.best is None else int(np.searchsorted(chosen, series.best))
    return Series(series.label, Curve(*(a[chosen] for a in (curve.kimg, curve.value, curve.spread))), series.band, best)


def path(x: np.ndarray, y: np.ndarray) -> str:
    """The points as SVG path data, in tenths of a pixel."""
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def series_svg(number: int, series: Series, x_axis: Axis, y_axis: Axis) -> str:
    """The line of one series, with its band and the mark of its best point."""
    curve = series.curve
    x, y = x_axis.pixels(curve.kimg), y_axis.pixels(curve.value)
    parts = []
    if series.band:
        upper, lower = y_axis.pixels(curve.value + curve.spread), y_axis.pixels(curve.value - curve.spread)
        parts.append(f'<path class="band s{number}" d="{path(x, upper)}L{path(x[::-1], lower[::-1])[1:]}Z"/>')
    parts.append(f'<path class="line s{number}" d="{path(x, y)}"/>')
    if len(curve) <= 12:
        parts += [
            f'<circle class="dot s{number}" cx="{a:.1f}" cy="{b:.1f}" r="2.2"/>' for a, b in zip(x, y, strict=True)
        ]
    if series.best is not None:
        parts.append(f'<circle class="best s{number}" cx="{x[series.best]:.1f}" cy="{y[series.best]:.1f}" r="5"/>')
    return "".join(parts)


def axes_svg(x_axis: Axis, y_axis: Axis, format_y: Callable[[float], str] = axis_number) -> str:
    """Grid lines and numbers."""
    parts = []
    y_ticks, x_ticks = y_axis.ticks(5), x_axis.ticks(5)
    for value, y in zip(y_ticks, y_axis.pixels(np.array(y_ticks)).tolist(), strict=True):
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{y + 3.6:.1f}">{format_y(value)}</text>')
    for value, x in zip(x_ticks, x_axis.pixels(np.array(x_ticks)).tolist(), strict=True):
        unit = " kimg" if value == x_ticks[-1] else ""
        anchor = "end" if unit or x > WIDTH - RIGHT - 10 else "middle"
        x += 12 if anchor == "end" and not unit else 0
        parts.append(
            f'<text class="x {anchor}" x="{min(x, WIDTH - 2):.1f}" y="{HEIGHT - 8}">{axis_number(value)}{unit}</text>'
        )
    return "".join(parts)


def tooltip_data(series: Sequence[Series], x_axis: Axis, y_axis: Axis) -> str:
    """What the page's script needs to answer a pointer: pixel geometry and the points, as JSON safe inside HTML.

    A series whose `kimg` is null has the kimg of the first one.
    """
    rows = ",".join(series_data(s, series[0] if n else None) for n, s in enumerate(series))
    x, y = ([axis.low, axis.high, axis.start, axis.stop] for axis in (x_axis, y_axis))
    return f'{{"x":{json.dumps(x)},"y":{json.dumps(y)},"log":{json.dumps(y_axis.log)},"series":[{rows}]}}'


def series_data(series: Series, first: Series | None) -> str:
    """One series as a JSON object; `first` is the one whose kimg it may share."""
    curve = series.curve
    shared = first is not None and np.array_equal(curve.kimg, first.curve.kimg)
    kimg = "null" if shared else compact(curve.kimg)
    spread = compact(curve.spread) if series.band else "null"
    return f'{{"label":{safe_json(series.label)},"kimg":{kimg},"value":{compact(curve.value)},"spread":{spread}}}'


def safe_json(text: str) -> str:
    """A string as JSON that cannot end the script element it stands in."""
    return json.dumps(text).replace("<", "\\u003c").replace("&", "\\u0026")


def compact(values: np.ndarray) -> str:
    """Finite numbers as a JSON list, in five digits, for a small page."""
    return "[" + ",".join([f"{v:.5g}" for v in values.tolist()]) + "]"


def legend(series: Sequence[Series]) -> str:
    """The name, colour and newest value of each series."""
    parts = []
    for number, s in enumerate(series):
        swatch = (
            f'<svg class="key" viewBox="0 0 22 8" aria-hidden="true"><path class="line s{number}" d="M1 4H21"/></svg>'
        )
        parts.append(
            f"<li>{swatch}<span>{escape(s.label)}</span> <b>{short_number(s.curve.last)}</b>{best_text(s)}</li>"
        )
    return f'<ul class="legend">{"".join(parts)}</ul>'


def best_text(series: Series) -> str:
    """The best value of a series and when it was reached, or an empty string."""
    if series.best is None:
        return ""
    value, kimg = series.curve.value[series.best], series.curve.kimg[series.best]
    return f' <span class="muted">best {short_number(value)} at {short_number(kimg)} kimg</span>'


def chart(title: str, unit: str, series: Sequence[Series], note: str = "", details: str = "") -> str:
    """A chart as an HTML figure, `note` below it, `details` below that, folded; empty when no series has a point.

    More than `MAX_SERIES` series are cut into several figures, so that each keeps a colour of its own.
    """
    drawn = [s for s in series if len(s.curve)]
    if len(drawn) > MAX_SERIES:
        starts = range(0, len(drawn), MAX_SERIES)
        return "".join(chart(title, unit, drawn[n : n + MAX_SERIES], note, details) for n in starts)
    if not drawn:
        return ""
    x_axis, y_axis = kimg_axis(drawn), value_axis(drawn)
    small = [thinned(s, x_axis.high) for s in drawn]
    lines = "".join(series_svg(n, s, x_axis, y_axis) for n, s in enumerate(small))
    units = ", ".join(part for part in (unit, "log scale" if y_axis.log else "") if part)
    units = f' <span class="muted">{escape(units)}</span>' if units else ""
    hint = f"<summary>{escape(note)}</summary>{escape(details)}"
    hint = f'<details class="note">{hint}</details>' if note or details else ""
    return (
        f'<figure class="chart"><figcaption><h3>{escape(title)}{units}</h3>{legend(drawn)}</figcaption>'
        f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} against kimg">'
        f'{axes_svg(x_axis, y_axis)}{lines}<g class="hover"></g></svg></div>{hint}'
        f'<script type="application/json">{tooltip_data(small, x_axis, y_axis)}</script></figure>'
    )
