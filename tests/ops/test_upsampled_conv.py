"""The convolution of an enlarged picture, by phases: equal to its definition to second order."""

from __future__ import annotations

from contextlib import nullcontext
from unittest import mock

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.ops import phases
from openstylegan.ops.gradients import no_weight_gradients
from openstylegan.ops.native import native
from openstylegan.ops.upsampled_conv import upsampled_conv2d, upsampled_conv2d_reference


def arguments(channels: int = 18, out: int = 5, size: tuple[int, int] = (3, 4)) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *size, generator=random, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(out, channels, 3, 3, generator=random, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("size", [(3, 4), (1, 1), (8, 5)])
def test_equals_its_definition(size: tuple[int, int]) -> None:
    x, w = arguments(size=size)
    torch.testing.assert_close(upsampled_conv2d(x, w), upsampled_conv2d_reference(x, w), rtol=1e-12, atol=1e-12)
    single = upsampled_conv2d(x.float(), w.float())
    torch.testing.assert_close(single.double(), upsampled_conv2d_reference(x, w), rtol=1e-4, atol=1e-4)


def test_gradients_to_second_order() -> None:
    x, w = arguments(size=(2, 2))
    assert torch.autograd.gradcheck(upsampled_conv2d, (x, w))
    first, second = [], []
    for function in (upsampled_conv2d, upsampled_conv2d_reference):
        gradients = torch.autograd.grad(function(x, w).square().sum(), (x, w), create_graph=True)
        first.append(gradients)
        second.append(torch.autograd.grad(sum(g.square().sum() for g in gradients), (x, w)))
    for a, b in (first, second):
        for ours, theirs in zip(a, b, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_refuses_other_kernels() -> None:
    x, w = arguments()
    with pytest.raises(InputError, match=r"expected weights \[O, 18, 3, 3\]"):
        upsampled_conv2d(x, w[:, :, :2])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "out", "size"), [(32, 64, (5, 4)), (40, 24, (3, 7)), (300, 2, (1, 1))])
def test_values_and_gradients_in_training(
    channels: int, out: int, size: tuple[int, int], dtype: torch.dtype, compiled: bool
) -> None:
    if compiled and native(phases.LIBRARY).loaded is None:
        pytest.skip("no C++ compiler")
    x, w = arguments(channels, out, size)
    b = torch.linspace(-1, 1, out, dtype=torch.float64, requires_grad=True)
    x, w, b = (t.detach().to(dtype).double().requires_grad_() for t in (x, w, b))
    own = [t.detach().to(dtype).requires_grad_() for t in (x, w, b)]
    with nullcontext() if compiled else mock.patch.object(phases, "_compiled", return_value=False):
        y = upsampled_conv2d(*own)
        g = torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)
        found = [y, *torch.autograd.grad(y, own, g)]
        with torch.no_grad():
            found.append(upsampled_conv2d(*own))
    y = upsampled_conv2d_reference(x, w, b)
    wanted = [y, *torch.autograd.grad(y, (x, w, b), g.double()), y]
    limit = 1e-5 if dtype == torch.float32 else 0.02
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - theirs).abs().max() <= limit * theirs.abs().max()


def test_compiled_phases_are_the_plain_ones_exactly() -> None:
    if native(phases.LIBRARY).loaded is None:
        pytest.skip("no C++ compiler")
    random = torch.Generator().manual_seed(1)
    w = torch.randint(-8, 9, (7, 270, 3, 3), generator=random).float()
    y = torch.randint(-8, 9, (2, 12, 4, 6), generator=random).float()
    cases = [
        (phases.transposed_kernels, w),
        (phases.phase_kernels, w),
        (phases.transposed_kernels_gradient, torch.randint(-8, 9, (270, 7, 4, 4), generator=random).float()),
        (phases.transposed_kernels_gradient, phases.transposed_kernels(w)),
        (phases.phase_kernels_gradient, phases.phase_kernels(w)),
        (lambda y: phases.put_together(y, 3), y),
        (phases.take_apart, torch.randint(-8, 9, (2, 3, 6, 10), generator=random).float()),
    ]
    for function, given in cases:
        for dtype in (torch.float32, torch.bfloat16):
            ours = function(given.to(dtype))
            with mock.patch.object(phases, "_compiled", return_value=False):
                plain = function(given.to(dtype))
            assert ours.shape == plain.shape
            assert torch.equal(ours, plain)


def test_no_weight_gradient_where_none_is_asked_for() -> None:
    x, w = arguments(32, 3)
    with no_weight_gradients():
        gx, gw = torch.autograd.grad(upsampled_conv2d(x, w).sum(), (x, w), allow_unused=True)
    assert gw is None
    torch.testing.assert_close(gx, torch.autograd.grad(upsampled_conv2d_reference(x, w).sum(), x)[0])
