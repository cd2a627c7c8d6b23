"""Separable resampling in one compiled pass against the definition."""

from __future__ import annotations

import pytest
import torch

from openstylegan.ops import resample_compiled
from openstylegan.ops.native import native
from openstylegan.ops.upfirdn2d import setup_filter, upfirdn2d, upfirdn2d_reference

compiled = pytest.mark.skipif(native("channels_last").loaded is None, reason="no C++ compiler")
CASES = [
    {"padding": [2, 1, 2, 1]},
    {"up": 2, "padding": [2, 1, 2, 1], "gain": 4},
    {"down": 2, "padding": 1},
    {"up": [3, 1], "down": [2, 1], "padding": [-3, 4, 0, -2], "flip_filter": True},
    {"down": [1, 3], "padding": [0, 0, 9, 8]},
]
FILTERS = {
    "four": setup_filter([1, 3, 3, 1]),
    "lopsided": setup_filter([1, 2, -4, 7, 3], separable=False),
    "two axes": setup_filter(torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([3.0, 1]))),
    "long": setup_filter(list(range(1, 10))),
}


@compiled
@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("name", list(FILTERS))
def test_one_pass_is_the_definition(name: str, case: int) -> None:
    torch.manual_seed(case)
    f, x = FILTERS[name], torch.randn(2, 18, 23, 26, requires_grad=True)
    assert resample_compiled.usable(x)
    y, want = upfirdn2d(x, f, **CASES[case]), upfirdn2d_reference(x.double(), f, **CASES[case])
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert (y - want).abs().max() <= 1e-5 * want.abs().max()
    gy = torch.randn_like(y)
    (gx,), (want_gx,) = (torch.autograd.grad(t, x, gy.to(t)) for t in (y, want))
    assert (gx - want_gx).abs().max() <= 1e-5 * want_gx.abs().max()


@compiled
def test_bfloat16_rounds_once() -> None:
    x = torch.randn(2, 18, 23, 26).bfloat16()
    y = upfirdn2d(x, FILTERS["four"], up=2, padding=2, gain=4)
    want = upfirdn2d_reference(x.double(), FILTERS["four"], up=2, padding=2, gain=4)
    assert y.dtype == torch.bfloat16
    assert ((y.double() - want).abs() <= 2**-8 * want.abs() + 1e-6).all()


@compiled
def test_threads_change_nothing() -> None:
    x, before = torch.randn(3, 16, 31, 32), torch.get_num_threads()
    one = upfirdn2d(x, FILTERS["four"], down=2, padding=1)
    torch.set_num_threads(before + 3)
    try:
        more = upfirdn2d(x, FILTERS["four"], down=2, padding=1)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, more)


def test_only_products_of_two_filters_are_separated() -> None:
    along_y, along_x = torch.tensor([1.0, -2, 0]), torch.tensor([3.0, 4])
    found = resample_compiled.separated(torch.outer(along_y, along_x))
    assert found is not None
    torch.testing.assert_close(torch.outer(*found), torch.outer(along_y, along_x))
    assert resample_compiled.separated(torch.eye(3)) is None
    assert resample_compiled.separated(torch.zeros(2, 2)) is None
