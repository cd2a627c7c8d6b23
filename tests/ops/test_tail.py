"""The tail of a layer: its compiled pass and its plain ones, values and gradients to second order."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import Tensor

from openstylegan.ops import tail_compiled
from openstylegan.ops.native import native
from openstylegan.ops.tail import Slopes, tail

compiled = pytest.mark.skipif(native("channels_last").loaded is None, reason="no C++ compiler")
SHAPE = (2, 18, 37, 33)
SLOPES = [Slopes(0.2, 1.5, 0.7), Slopes(0.0, 2.0, None), Slopes(1.0, 0.5, None)]
NOISES = [None, (37, 33), (2, 1, 37, 33)]


def inputs_of(noise: tuple[int, ...] | None, dtype: torch.dtype) -> list[Tensor | None]:
    """y, d, noise, b: multiples of 1/64, exact in bfloat16."""
    torch.manual_seed(0)
    shapes = (SHAPE, (2, 18, 1, 1), noise, (18, 1, 1))
    made = [None if s is None else torch.randint(-64, 65, s) / 64 for s in shapes]
    y = made[0].contiguous(memory_format=torch.channels_last)
    return [None if t is None else t.to(dtype) for t in (y, *made[1:])]


def derivatives(inputs: list[Tensor | None], slopes: Slopes, second: bool) -> list[Tensor]:
    """The result, its gradients, and the gradients of the sum of their squares."""
    given = [None if t is None else t.clone().requires_grad_() for t in inputs]
    wanted = [t for t in given if t is not None]
    z = tail(*given, slopes, own=False)
    weights = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view(z.shape)
    first = torch.autograd.grad((z * weights).sum(), wanted, create_graph=second)
    if not second:
        return [z, *first]
    found = torch.autograd.grad(sum(g.square().sum() for g in first), wanted, allow_unused=True)
    return [z, *first, *(g for g in found if g is not None)]


def plain(inputs: list[Tensor | None], slopes: Slopes, second: bool) -> list[Tensor]:
    """The same in float64 by PyTorch's operations."""
    with mock.patch.object(tail_compiled, "usable", return_value=False):
        return derivatives([None if t is None else t.double() for t in inputs], slopes, second)


@compiled
@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("second", [False, True])
def test_the_compiled_pass_is_the_plain_ones(noise: tuple[int, ...] | None, slopes: Slopes, second: bool) -> None:
    inputs = inputs_of(noise, torch.float32)
    assert tail_compiled.usable(*inputs)
    for got, want in zip(derivatives(inputs, slopes, second), plain(inputs, slopes, second), strict=True):
        assert (got - want).abs().max() <= 1e-5 * want.abs().max()


@compiled
@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize("noise", NOISES)
def test_bfloat16_rounds_once(noise: tuple[int, ...] | None, slopes: Slopes) -> None:
    inputs = inputs_of(noise, torch.bfloat16)
    (z, *_), (want, *_) = derivatives(inputs, slopes, False), plain(inputs, slopes, False)
    assert z.dtype == torch.bfloat16
    assert ((z.double() - want).abs() <= 2**-8 * want.abs() + 1e-6).all()  # half of the distance of two neighbours


@compiled
@pytest.mark.parametrize("slopes", [Slopes(0.2, 1.5, None), SLOPES[1], SLOPES[2]])
def test_gradients_in_bfloat16(slopes: Slopes) -> None:
    inputs = inputs_of((2, 1, 37, 33), torch.bfloat16)
    for got, want in zip(derivatives(inputs, slopes, False), plain(inputs, slopes, False), strict=True):
        assert (got.double() - want).abs().max() <= 0.01 * want.abs().max()


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_clipped_has_no_gradient(dtype: torch.dtype) -> None:
    """Also where the limit is none of the type's numbers."""
    y = torch.full((1, 32, 16, 16), 3.0, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gy,) = torch.autograd.grad(tail(y, None, None, None, Slopes(0.2, 1.0, 0.7), own=False).sum(), y)
    assert not gy.any()


@compiled
def test_what_is_not_a_number_stays() -> None:
    y = torch.zeros(1, 32, 16, 16).contiguous(memory_format=torch.channels_last)
    y[0, 3, 2, 1], y[0, 4, 2, 1] = torch.nan, torch.inf
    z = tail(y, None, None, None, Slopes(0.2, 1.0, 5.0), own=False)
    assert z[0, 3, 2, 1].isnan()
    assert z[0, 4, 2, 1] == 5
    assert z.isnan().sum() == 1


@compiled
def test_threads_change_nothing() -> None:
    inputs, before = inputs_of((37, 33), torch.float32), torch.get_num_threads()
    one = derivatives(inputs, SLOPES[0], False)
    torch.set_num_threads(before + 2)
    try:
        more = derivatives(inputs, SLOPES[0], False)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, more, strict=True))


def test_other_layouts_shapes_and_types_are_left_to_pytorch() -> None:
    y = torch.zeros(1, 32, 16, 16)
    assert not tail_compiled.usable(y)
    y = y.contiguous(memory_format=torch.channels_last)
    assert not tail_compiled.usable(y.double())
    assert not tail_compiled.usable(y, noise=torch.zeros(1, 32, 16, 16))
    assert not tail_compiled.usable(y, b=torch.zeros(1))
    assert not tail_compiled.usable(y[:, :8].contiguous(memory_format=torch.channels_last))
    assert tail_compiled.usable(y) == (native("channels_last").loaded is not None)
