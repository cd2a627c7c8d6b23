"""The mapping network: the running mean of w, truncation, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.networks.mapping import MappingNetwork, MappingOptions


def mapping(num_ws=4, c_dim=0, **options) -> MappingNetwork:
    torch.manual_seed(0)
    return MappingNetwork(8, c_dim, 6, num_ws, MappingOptions(num_layers=2, **options))


def latents(n: int) -> torch.Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("training", "update", "moves"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_w_avg_moves_when_it_should(training, update, moves):
    network = mapping().train(training)
    network.w_avg.fill_(0.3)
    w = network(latents(5), update_w_avg=update)[:, 0]
    expected = 0.995 * 0.3 + 0.005 * w.detach().mean(0) if moves else torch.full([6], 0.3)
    torch.testing.assert_close(network.w_avg, expected)
    assert not network.w_avg.requires_grad


def test_an_empty_batch_leaves_w_avg_alone():
    network = mapping().train()
    assert network(latents(0)).shape == (0, 4, 6)
    assert network.w_avg.eq(0).all()


def test_truncation_comes_after_the_update_of_w_avg():
    network = mapping(w_avg_beta=0.5).train()
    w = network(latents(3), update_w_avg=False)
    truncated = network(latents(3), truncation_psi=0.25, truncation_cutoff=3)
    torch.testing.assert_close(network.w_avg, 0.5 * w[:, 0].mean(0))
    torch.testing.assert_close(truncated[:, :3], network.w_avg + 0.25 * (w[:, :3] - network.w_avg))
    assert torch.equal(truncated[:, 3:], w[:, 3:])


def test_z_and_labels_are_normalized_apart():
    network = mapping(c_dim=3)
    z, c = latents(2), torch.eye(3)[:2]
    torch.testing.assert_close(network(z * 9, c), network(z, c))
    assert network.fc0.weight.shape == (6, 8 + 6)


def test_without_w_avg():
    network = mapping(w_avg_beta=None)
    assert "w_avg" not in network.state_dict()
    with pytest.raises(InputError, match="keeps no w_avg"):
        network(latents(2), truncation_psi=0.5)
    assert mapping(num_ws=None)(latents(2)).shape == (2, 6)


@pytest.mark.parametrize(
    ("z", "c", "message"),
    [
        (torch.zeros(2, 7), torch.zeros(2, 3), r"expected z of shape \[N, 8\], got \[2, 7\]"),
        (None, torch.zeros(2, 3), r"expected z of shape \[N, 8\], got None"),
        (torch.zeros(2, 8), None, r"got none; this network is conditional"),
        (torch.zeros(2, 8), torch.zeros(2, 4), r"expected labels c of shape \[2, 3\], got \[2, 4\]"),
        (torch.zeros(2, 8), torch.zeros(1, 3), r"expected labels c of shape \[2, 3\], got \[1, 3\]"),
    ],
)
def test_inputs_that_do_not_fit(z, c, message):
    with pytest.raises(InputError, match=message):
        mapping(c_dim=3)(z, c)


def test_joint_normalization_is_of_z_and_labels_together():
    torch.manual_seed(0)
    network = MappingNetwork(8, 3, 6, 4, MappingOptions(num_layers=2, joint_normalization=True))
    z, c = latents(2) * 5, torch.eye(3)[:2]
    both = torch.cat([z, network.embed(c)], dim=1)
    both = both / (both.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(network.map(z, c), network.fc1(network.fc0(both)))
    assert not torch.allclose(network(z, c), mapping(c_dim=3)(z, c))


def test_labels_may_be_mapped_without_layers():
    network = MappingNetwork(0, 3, 6, None, MappingOptions(num_layers=0))
    assert list(network.state_dict()) == ["embed.weight", "embed.bias"]
    embedded = network.embed(torch.eye(3))
    torch.testing.assert_close(
        network(None, torch.eye(3)), embedded / (embedded.square().mean(1, keepdim=True) + 1e-8).sqrt()
    )
    with pytest.raises(InputError, match="embed_features 6"):
        MappingNetwork(0, 3, 6, None, MappingOptions(num_layers=0, embed_features=5))


def test_no_layers_are_refused():
    with pytest.raises(InputError, match="num_layers"):
        MappingNetwork(8, 0, 6, 4, MappingOptions(num_layers=0))
