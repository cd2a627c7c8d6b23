"""Spectral normalisation: the gradient that is written out, and layers against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openstylegan.networks.fastgan_layers import gated
from openstylegan.networks.spectral import SpectralConv2d, SpectralConvTranspose2d, SpectralLinear, SpectralWeight


def layers() -> list[tuple[SpectralWeight, nn.Module, torch.Tensor]]:
    """Ours, PyTorch's with its hook, and an input."""
    torch.manual_seed(0)
    transposed = [(SpectralConvTranspose2d(6, 4, k), nn.ConvTranspose2d(6, 4, k, bias=False)) for k in (4, 2)]
    conv = SpectralConv2d(3, 5, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1, bias=False)
    return [
        (*conv, torch.randn(2, 3, 4, 4)),
        (*transposed[0], torch.randn(2, 6, 1, 1)),
        (*transposed[1], torch.randn(2, 6, 3, 3)),
        (SpectralLinear(4, 3), nn.Linear(4, 3), torch.randn(2, 4)),
    ]


@pytest.mark.parametrize("n", range(4))
def test_values_gradients_and_vectors_are_those_of_pytorch(n: int) -> None:
    ours, plain, x = layers()[n]
    theirs = nn.utils.spectral_norm(plain.double(), dim=ours.rows)
    ours = ours.double()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    x = x.double()
    for _ in range(2):  # each pass moves the vectors
        a, b = ours(x), theirs(x)
        torch.testing.assert_close(a, b)
    towards = torch.randn_like(a)
    torch.autograd.backward([a, b], [towards, towards])
    torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)
    torch.testing.assert_close(ours.weight_u, theirs.weight_u)
    torch.testing.assert_close(ours.weight_v, theirs.weight_v)


@pytest.mark.parametrize("rows", [0, 1])
def test_the_weight_s_gradient_to_second_order(rows: int) -> None:
    torch.manual_seed(1)
    layer = SpectralWeight(3, 4, 2, 2, rows=rows).double().eval()
    for _ in range(20):
        layer.iterate()
    weight = layer.weight_orig.detach().requires_grad_()
    assert torch.autograd.gradcheck(layer.normalised, (weight,))
    assert torch.autograd.gradgradcheck(layer.normalised, (weight,))


def test_gating_keeps_the_layout_of_its_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 4, 4, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    y = gated(x)
    torch.testing.assert_close(y, F.glu(x, 1))
    towards = torch.randn_like(y)
    own, other = torch.autograd.grad(y, x, towards)[0], torch.autograd.grad(F.glu(x, 1), x, towards)[0]
    torch.testing.assert_close(own, other)
    assert own.is_contiguous(memory_format=torch.channels_last)
