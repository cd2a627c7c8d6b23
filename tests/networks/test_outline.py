"""A network made without initial weights: all names and shapes, nothing drawn, no memory for the large ones."""

from __future__ import annotations

import sys

import pytest
import torch

from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.networks.outline import SMALL, WithoutInitialWeights
from openstylegan.tensors import give_to

SIZES = {"img_resolution": 32, "img_channels": 3, "c_dim": 3}
NETWORKS = [
    *[(GENERATORS[name], {"z_dim": 300, "w_dim": 300, **SIZES}) for name in GENERATORS],
    *[(DISCRIMINATORS[name], SIZES) for name in DISCRIMINATORS],
]


@pytest.mark.parametrize(("make", "options"), NETWORKS, ids=lambda value: getattr(value, "__name__", ""))
def test_names_and_shapes_without_numbers(make: type, options: dict) -> None:
    state = torch.random.get_rng_state()
    modules = len(sys.modules)
    with WithoutInitialWeights():
        outline = make(**options)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(sys.modules) - modules < 50  # arithmetic on the meta device would import hundreds
    real = make(**options)
    assert {n: t.shape for n, t in outline.state_dict().items()} == {n: t.shape for n, t in real.state_dict().items()}
    assert all(t.is_meta == (t.numel() > SMALL) for n, t in outline.named_parameters() if n.endswith("weight"))
    give_to(outline, real.state_dict(), "the copy")
    assert all(torch.equal(t, real.state_dict()[n]) for n, t in outline.state_dict().items())
    assert {n for n, _ in outline.named_parameters()} == {n for n, _ in real.named_parameters()}


def test_draws_are_as_always_outside() -> None:
    with WithoutInitialWeights():
        assert torch.equal(torch.randn(2, 3), torch.zeros(2, 3))
        assert torch.rand((300, 300)).is_meta and (torch.randn([300, 300]) / 0.01).is_meta
        assert torch.equal(torch.ones(3) / 2, torch.full([3], 0.5))
    assert torch.randn(300, 300).std() > 0.9
