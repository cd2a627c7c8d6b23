"""Which sizes a pyramid of doublings reaches, and what is said about the others."""

from __future__ import annotations

import pytest

from openstylegan.errors import InputError
from openstylegan.networks.resolution import ResolutionPlan, is_possible, nearest_possible


@pytest.mark.parametrize(
    ("resolution", "base", "num_doublings"),
    [(4, (4, 4), 0), (64, (4, 4), 4), (48, (6, 6), 3), (7, (7, 7), 0), ((48, 80), (6, 10), 3), ([96, 32], (12, 4), 3)],
)
def test_base_and_doublings(resolution, base, num_doublings):
    plan = ResolutionPlan.of(resolution)
    assert (plan.base, plan.num_doublings) == (base, num_doublings)
    assert plan.shape_at(plan.nominal) == plan.shape
    assert plan.shape_at(4) == base
    assert plan.resolution == (tuple(resolution) if isinstance(resolution, (tuple, list)) else resolution)


@pytest.mark.parametrize("n", range(2, 11))
def test_square_powers_of_two_have_the_original_names(n):
    plan = ResolutionPlan.of(2**n)
    assert plan.nominals == [2**k for k in range(2, n + 1)]
    assert all(plan.shape_at(r) == (r, r) for r in plan.nominals)


@pytest.mark.parametrize(
    ("resolution", "nearest"), [(50, ["48x48", "56x56"]), ((64, 90), ["64x80", "64x96"]), (3, ["4x4"]), (63, ["64x64"])]
)
def test_impossible_sizes_name_the_nearest(resolution, nearest):
    with pytest.raises(InputError) as error:
        ResolutionPlan.of(resolution)
    assert "\n" not in str(error.value)
    for size in nearest:
        assert size in str(error.value)


@pytest.mark.parametrize("resolution", [0, -4, (4,), (4, 4, 4), (4.5, 8), "64", True])
def test_what_is_no_size_is_refused(resolution):
    with pytest.raises(InputError, match="expected"):
        ResolutionPlan.of(resolution)


def test_nearest_sizes_are_possible_and_none_is_nearer():
    possible = [(h, w) for h in range(1, 140) for w in range(1, 140) if is_possible(h, w)]
    for height, width in [(33, 33), (50, 61), (97, 40), (15, 63), (9, 33)]:
        below = [s for s in possible if s[0] <= height and s[1] <= width]
        above = [s for s in possible if s[0] >= height and s[1] >= width]
        expected = [min(abs(h - height) + abs(w - width) for h, w in sizes) for sizes in (below, above) if sizes]
        found = [abs(h - height) + abs(w - width) for h, w in nearest_possible(height, width)]
        assert found == expected


def test_low_precision_starts_at_the_last_blocks():
    plan = ResolutionPlan.of(256)
    assert [plan.first_low_precision(n) for n in (0, 1, 4, 6, 7, 100)] == [512, 256, 32, 8, 8, 8]
