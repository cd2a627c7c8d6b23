"""A network made without initial weights: all names and shapes, nothing drawn, no memory for the large ones."""

from __future__ import annotations

import inspect
import sys

import pytest
import torch

from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.networks.outline import SMALL, WithoutInitialWeights
from openstylegan.tensors import give_to

SIZES = {"img_resolution": 32, "img_channels": 3, "c_dim": 3}
WIDTHS = {"z_dim": 300, "w_dim": 300}
FILLED = {"fastgan", "projected"}
"""Networks of PyTorch's own layers, which are filled in place: the memory is there, and nothing is drawn."""


def fitting(make: type, options: dict) -> dict:
    """Those of `options` that a network has."""
    return {name: value for name, value in options.items() if name in inspect.signature(make).parameters}


NETWORKS = [
    pytest.param(table[name], fitting(table[name], WIDTHS | SIZES), name in FILLED, id=f"{kind} {name}")
    for kind, table in (("generator", GENERATORS), ("discriminator", DISCRIMINATORS))
    for name in table
]


@pytest.mark.parametrize(("make", "options", "filled"), NETWORKS)
def test_names_and_shapes_without_numbers(make: type, options: dict, filled: bool) -> None:
    state = torch.random.get_rng_state()
    modules = len(sys.modules)
    with WithoutInitialWeights():
        outline = make(**options)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(sys.modules) - modules < 50  # arithmetic on the meta device would import hundreds
    real = make(**options)
    assert {n: t.shape for n, t in outline.state_dict().items()} == {n: t.shape for n, t in real.state_dict().items()}
    weights = [t for n, t in outline.named_parameters() if n.endswith("weight")]
    assert all(t.is_meta == (t.numel() > SMALL and not filled) for t in weights)
    give_to(outline, real.state_dict(), "the copy")
    assert all(torch.equal(t, real.state_dict()[n]) for n, t in outline.state_dict().items())
    assert {n for n, _ in outline.named_parameters()} == {n for n, _ in real.named_parameters()}


def test_draws_are_as_always_outside() -> None:
    with WithoutInitialWeights():
        assert torch.equal(torch.randn(2, 3), torch.zeros(2, 3))
        assert torch.rand((300, 300)).is_meta and (torch.randn([300, 300]) / 0.01).is_meta
        assert torch.equal(torch.ones(3) / 2, torch.full([3], 0.5))
    assert torch.randn(300, 300).std() > 0.9
