"""Sums of squares of kernels: compiled and plain, with gradients to second order."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from openstylegan.ops import power as module
from openstylegan.ops.native import Native
from openstylegan.ops.power import power, with_power


@pytest.mark.parametrize("shape", [(3, 5, 3, 3), (96, 64, 3, 3), (7, 2, 1, 1), (4, 6, 5, 2)])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_is_the_sum_of_squares(shape: tuple[int, ...], threads: int) -> None:
    torch.manual_seed(0)
    w = torch.randn(shape)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = power(w)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, w.square().sum([2, 3]))
    torch.testing.assert_close(power(w.transpose(0, 1)), found.t())
    with mock.patch.object(module, "native", return_value=Native(None, "none")):
        torch.testing.assert_close(power(w), found)


def weighed(w: Tensor) -> Tensor:
    """Uses the weight and its power, as a layer does."""
    same, squares = with_power(w)
    return torch.cat([(same * torch.arange(1.0, 10).view(3, 3)).sum([2, 3]), squares.sqrt()])


@pytest.mark.parametrize("make", [weighed, lambda w: with_power(w)[0].exp(), lambda w: with_power(w)[1].log()])
def test_gradients_to_second_order(make: object) -> None:
    torch.manual_seed(1)
    w = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(make, [w]) and gradgradcheck(make, [w])


def test_the_gradient_is_that_of_the_plain_form() -> None:
    torch.manual_seed(2)
    w = torch.randn(32, 16, 3, 3, requires_grad=True)
    (found,) = torch.autograd.grad(weighed(w).square().sum(), w)
    plain = torch.cat([(w * torch.arange(1.0, 10).view(3, 3)).sum([2, 3]), w.square().sum([2, 3]).sqrt()])
    torch.testing.assert_close(found, torch.autograd.grad(plain.square().sum(), w)[0])


@pytest.mark.parametrize("shape", [(40, 70, 3, 3), (33, 5, 2, 4), (3, 64, 1, 1)])
@pytest.mark.parametrize("layout", ["its own", "inputs first", "channels last", "every second"])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_is_added_to_gradients_in_any_layout(shape: tuple[int, ...], layout: str, threads: int) -> None:
    torch.manual_seed(3)
    w, gp = torch.randn(shape), torch.randn(shape[:2]).t().contiguous().t()
    gw = {
        "its own": lambda: torch.randn(shape),
        "inputs first": lambda: torch.randn(shape[1], shape[0], *shape[2:]).transpose(0, 1),
        "channels last": lambda: torch.randn(shape).contiguous(memory_format=torch.channels_last),
        "every second": lambda: torch.randn(2 * shape[0], *shape[1:])[::2],
    }[layout]()
    wanted, before = gw + 2 * gp[:, :, None, None] * w, torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = module._sum(gw, w, gp)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, wanted)
    with mock.patch.object(module, "native", return_value=Native(None, "none")):
        torch.testing.assert_close(module._sum(gw, w, gp), wanted)


def test_nothing_is_recorded_where_nothing_is_asked_for() -> None:
    w = torch.randn(4, 4, 3, 3, requires_grad=True)
    with torch.no_grad():
        same, squares = with_power(w)
    assert same is w and not squares.requires_grad
    assert not power(w).requires_grad
