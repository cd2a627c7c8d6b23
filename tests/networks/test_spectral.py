"""Spectral normalisation: the gradient that is written out, and layers against PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openstylegan.networks.fastgan_layers import gated
from openstylegan.networks.spectral import (
    SpectralConv2d,
    SpectralConvTranspose2d,
    SpectralLinear,
    SpectralWeight,
    UpsampledSpectralConv2d,
)


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


LAYERS = {
    "strided": (lambda: SpectralConv2d(32, 32, 4, stride=2, padding=1, bias=True), 32),
    "enlarging": (lambda: UpsampledSpectralConv2d(32, 32), 32),
    "of one pixel": (lambda: SpectralConvTranspose2d(32, 32, 4), 1),
}


def outcome(layer: SpectralWeight, x: torch.Tensor, second: bool = False) -> list[torch.Tensor]:
    """Results and gradients of a pass in training mode; `second`: the weight's of x's squared gradient instead."""
    x = x.clone().requires_grad_()
    y = layer(x)
    if not second:
        return [
            y,
            *torch.autograd.grad(y.float().sin().sum(), [x, *layer.parameters()]),
            layer.weight_u,
            layer.weight_v,
        ]
    gradient = torch.autograd.grad(y.float().sin().sum(), x, create_graph=True)[0]
    return list(torch.autograd.grad(gradient.float().square().sum(), layer.weight_orig))


@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("pixels", ["few", "many"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", LAYERS)
def test_weights_or_results_are_scaled_whichever_are_fewer(kind: str, dtype: torch.dtype, pixels: str, second: bool):
    make, side = LAYERS[kind]
    torch.manual_seed(2)
    layer, sides = make(), [side if side == 1 or pixels == "many" else 2] * 2
    plain = copy.deepcopy(layer).double()
    x = torch.randn(2 if pixels == "few" else 64, 32, *sides).to(dtype)
    found, wanted = outcome(layer, x, second), outcome(plain, x.double(), second)
    limit = 1e-5 if dtype == torch.float32 else 0.03
    for a, b in zip(found, wanted, strict=True):
        assert (a.double() - b).norm() <= limit * b.norm()
    assert found[0].dtype == (torch.float32 if second else dtype)


def test_a_later_pass_does_not_change_an_earlier_gradient() -> None:
    torch.manual_seed(3)
    layer = SpectralConv2d(8, 8, 3, padding=1)
    again, x = copy.deepcopy(layer), torch.randn(1, 8, 2, 2)
    y = layer(x)
    layer(x)
    found, wanted = (torch.autograd.grad(y.sum(), own.weight_orig)[0] for y, own in ((y, layer), (again(x), again)))
    assert torch.equal(found, wanted)


def test_gating_keeps_the_layout_of_its_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 4, 4, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    y = gated(x)
    torch.testing.assert_close(y, F.glu(x, 1))
    towards = torch.randn_like(y)
    own, other = torch.autograd.grad(y, x, towards)[0], torch.autograd.grad(F.glu(x, 1), x, towards)[0]
    torch.testing.assert_close(own, other)
    assert own.is_contiguous(memory_format=torch.channels_last)
