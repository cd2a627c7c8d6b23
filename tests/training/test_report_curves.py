"""Curves as SVG: axes with round numbers, spikes that stay, data for the tooltip that is valid JSON."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstylegan.training.report_curves import (
    MAX_SERIES,
    WIDTH,
    Axis,
    Series,
    axis_number,
    chart,
    decades,
    round_numbers,
    short_number,
    thinned,
    value_axis,
)
from openstylegan.training.run_record import Curve


def curve(values: list[float], spread: float = 0.0) -> Curve:
    """`values` at 1, 2, 3, ... kimg."""
    value = np.array(values, np.float64)
    return Curve(np.arange(1.0, len(values) + 1), value, np.full(len(values), spread))


def data_of(html: str) -> dict:
    """The tooltip's data of a chart."""
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


@given(st.floats(-1e3, 1e3), st.integers(-7, 9), st.integers(2, 8))
def test_axis_numbers_are_round_and_inside(start: float, power: int, count: int) -> None:
    span = 10.0**power
    low = start * span
    ticks = round_numbers(low, low + span, count)
    step = 10 ** math.floor(math.log10(span / count))
    assert 1 <= len(ticks) <= count + 1
    assert all(low - 1e-4 * span <= t <= low + 1.0001 * span for t in ticks)
    assert all(abs(t / (step / 2) - round(t / (step / 2))) < 1e-4 for t in ticks)


def test_axis_numbers_by_example() -> None:
    assert round_numbers(0, 25000, 5) == [0, 5000, 10000, 15000, 20000, 25000]
    assert round_numbers(0, 0.9, 5) == [0, 0.2, 0.4, 0.6, 0.8]
    assert round_numbers(-1.1, 1.2, 5) == [-1, -0.5, 0, 0.5, 1]
    assert decades(0.002, 30, 5) == [0.01, 0.1, 1, 10]
    assert decades(1.5, 9, 5) == [2, 5]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.5, "−0.5"), (2500, "2,500"), (25000, "25,000"), (0.025, "0.025"), (1e-5, "1e−5"), (3e7, "3e7")],
)
def test_numbers_on_an_axis(value: float, text: str) -> None:
    assert axis_number(value) == text


def test_numbers_in_text() -> None:
    assert [short_number(v) for v in (1.23456, -0.001, 123456.7, math.nan)] == [
        "1.235",
        "−0.001",
        "123,457",
        "no value",
    ]


def test_the_axis_holds_values_and_bands() -> None:
    axis = value_axis([Series("a", curve([1.0, 5.0], spread=2.0), band=True)])
    assert axis.low <= -1.0 and axis.high >= 7.0 and not axis.log


def test_a_few_large_values_among_small_ones_give_a_logarithmic_axis() -> None:
    falling = [10.0 * 0.5**n for n in range(20)]
    assert value_axis([Series("a", curve(falling))]).log
    assert not value_axis([Series("a", curve([1e-3, *[1.0] * 19]))]).log, (
        "one small value among large ones is no reason"
    )
    assert not value_axis([Series("a", curve([-1.0, *falling]))]).log, "negative values have no logarithm"


def test_equal_values_have_an_axis() -> None:
    for value in (0.0, 3.0, -2.0, 1e-12):
        axis = value_axis([Series("a", curve([value] * 3))])
        assert axis.low < axis.high and np.isfinite(axis.pixels(np.array([value]))).all()


def test_nearly_equal_values_have_numbers_that_differ() -> None:
    ticks = value_axis([Series("a", curve([1.31, 1.31 + 1e-7]))]).ticks(5)
    assert len({axis_number(t) for t in ticks}) == len(ticks) >= 2


def test_pixels_run_from_start_to_stop() -> None:
    assert Axis(0, 10, 40, 140).pixels(np.array([0.0, 5.0, 10.0])).tolist() == [40, 90, 140]
    assert Axis(1, 100, 0, 10, log=True).pixels(np.array([1.0, 10.0, 100.0])).tolist() == pytest.approx([0, 5, 10])


def test_a_long_curve_is_thinned_but_keeps_its_spikes_ends_and_best() -> None:
    values = np.sin(np.arange(50_000) / 3000)
    values[[12_345, 40_001]] = 9.0, -9.0
    full = Series("a", Curve(np.arange(50_000) / 10, values, np.zeros(50_000)), best=40_001)
    small = thinned(full, 5000.0)
    assert len(small.curve) < 700
    assert {9.0, -9.0} <= set(small.curve.value.tolist())
    assert small.curve.kimg[0] == 0 and small.curve.kimg[-1] == 4999.9
    assert (np.diff(small.curve.kimg) > 0).all()
    assert small.best is not None and small.curve.value[small.best] == -9.0


def test_a_chart_says_title_unit_newest_and_best() -> None:
    html = chart("FID", "lower is better", [Series("now", curve([30.0, 10.0, 20.0]), best=1)], "10 images", "seed 7")
    assert "<h3>FID" in html and "lower is better" in html and "<summary>10 images</summary>seed 7" in html
    assert "<b>20</b>" in html and "best 10 at 2 kimg" in html
    assert html.count('class="best s0"') == 1
    assert data_of(html)["series"][0] == {"label": "now", "kimg": [1, 2, 3], "value": [30, 10, 20], "spread": None}


def test_the_lines_points_are_inside_the_picture() -> None:
    html = chart("x", "", [Series("a", curve([1.0, 100.0, -7.0])), Series("b", curve([5.0, 2.0]), band=True)])
    numbers = [float(n) for d in re.findall(r' d="([^"]*)"', html) for n in re.findall(r"-?\d+\.?\d*", d)]
    assert "nan" not in html and "inf" not in html
    assert min(numbers) >= 0 and max(numbers) <= WIDTH


def test_series_share_kimg_when_it_is_the_same() -> None:
    html = chart("x", "", [Series("a", curve([1.0, 2.0])), Series("b", curve([3.0, 4.0])), Series("c", curve([1.0]))])
    assert [s["kimg"] for s in data_of(html)["series"]] == [[1, 2], None, [1]]


def test_nothing_to_draw_is_nothing() -> None:
    assert chart("x", "", [Series("a", curve([]))]) == "" == chart("x", "", [])


def test_many_series_are_cut_into_several_charts() -> None:
    html = chart("x", "", [Series(str(n), curve([float(n)])) for n in range(MAX_SERIES + 2)])
    assert html.count("<figure") == 2
    assert set(re.findall(r'class="line (s\d)"', html)) == {f"s{n}" for n in range(MAX_SERIES)}


def test_texts_are_escaped() -> None:
    bad = '</script><script>alert("x")</script>&'
    html = chart(bad, bad, [Series(bad, curve([1.0, 2.0]))], bad, bad)
    assert html.count("<script") == 1 and html.count("</script>") == 1
    assert data_of(html)["series"][0]["label"] == bad
