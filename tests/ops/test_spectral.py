"""Power iteration: the compiled passes are the plain ones."""

from __future__ import annotations

import pytest
import torch

from openstylegan.networks.spectral import SpectralConv2d
from openstylegan.ops import spectral
from openstylegan.ops.native import native
from openstylegan.ops.spectral import power_iteration, usable

pytestmark = pytest.mark.skipif(native(spectral.LIBRARY).loaded is None, reason="no C++ compiler")


def layer(inputs: int = 70, outputs: int = 130) -> SpectralConv2d:
    torch.manual_seed(0)
    return SpectralConv2d(inputs, outputs, 3, padding=1)


@pytest.mark.parametrize("inputs", [70, 3])
def test_sigma_and_vectors_of_several_steps(inputs: int) -> None:
    ours, plain = layer(inputs), layer(inputs).double()
    for _ in range(3):
        own = ours.weight_orig, ours.weight_u, ours.weight_v
        versions = [t._version for t in own[1:]]
        assert usable(*own) and not usable(plain.weight_orig, plain.weight_u, plain.weight_v)
        found = [power_iteration(*own), *own[1:]]
        assert all(t._version > before for t, before in zip(own[1:], versions, strict=True))
        wanted = [plain.iterate(), plain.weight_u, plain.weight_v]
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            assert (a.double() - b).abs().max() <= 1e-5 * b.abs().max()


def test_the_same_by_several_threads() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            own = layer()
            found.append([power_iteration(own.weight_orig, own.weight_u, own.weight_v), own.weight_u, own.weight_v])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
