"""Spectrally normalised weights: the compiled passes are the plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from openstylegan.networks.spectral import SpectralConv2d
from openstylegan.ops import spectral
from openstylegan.ops.native import native
from openstylegan.ops.paths import reference_paths
from openstylegan.ops.spectral import spectral_weight, usable

pytestmark = pytest.mark.skipif(native(spectral.LIBRARY).loaded is None, reason="no C++ compiler")


def layer(inputs: int = 70, outputs: int = 130) -> SpectralConv2d:
    torch.manual_seed(0)
    return SpectralConv2d(inputs, outputs, 3, padding=1)


def gradient_of(weight: Tensor, of: Tensor) -> list[Tensor]:
    g = torch.linspace(-1, 2, weight.numel(), dtype=weight.dtype).view(weight.shape)
    return [weight, *torch.autograd.grad(weight, of, g)]


@pytest.mark.parametrize("inputs", [70, 3])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_weight_gradient_and_vectors(inputs: int, dtype: torch.dtype, limit: float) -> None:
    ours, plain = layer(inputs), layer(inputs).double()
    for _ in range(2):  # each pass moves the vectors
        own = ours.weight_orig, ours.weight_u, ours.weight_v
        versions = [t._version for t in own[1:]]
        assert usable(*own, dtype)
        found = [*gradient_of(ours.weight(dtype), own[0]), *own[1:]]
        assert all(t._version > before for t, before in zip(own[1:], versions, strict=True))
        assert found[0].dtype == dtype and found[1].dtype == torch.float32
        wanted = [*gradient_of(plain.weight(), plain.weight_orig), plain.weight_u, plain.weight_v]
        for a, b in zip(found, wanted, strict=True):
            assert (a.double() - b).abs().max() <= limit * b.abs().max()


def test_second_order() -> None:
    found = []
    for compiled in (True, False):
        own = layer(5, 7)
        weight = spectral_weight(own.weight_orig, own.weight_u, own.weight_v, torch.float32) if compiled else None
        if weight is None:
            with reference_paths():
                weight = own.weight()
        first = torch.autograd.grad(weight.square().sum(), own.weight_orig, create_graph=True)[0]
        found.append(torch.autograd.grad(first.pow(3).sum(), own.weight_orig)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_the_same_by_several_threads() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            own = layer()
            found.append([*gradient_of(own.weight(), own.weight_orig), own.weight_u, own.weight_v])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_later_pass_does_not_change_an_earlier_gradient() -> None:
    own, again = layer(), layer()
    weight = own.weight()
    own.weight()
    assert torch.equal(gradient_of(weight, own.weight_orig)[1], gradient_of(again.weight(), again.weight_orig)[1])
