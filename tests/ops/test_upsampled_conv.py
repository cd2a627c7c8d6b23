"""The convolution of an enlarged picture, by phases: equal to its definition to second order."""

from __future__ import annotations

import pytest
import torch

from openstylegan.errors import InputError
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
