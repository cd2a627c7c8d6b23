"""Pictures by number: the same to the bit however they are asked for; the way into their generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.metrics.probe import Probe, SharedNoise
from openstylegan.networks import GENERATORS
from openstylegan.networks.base import Generator
from openstylegan.registry import build
from openstylegan.sampling.measured import NumberedSampler

LABELS = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
OPTIONS = {"z_dim": 8, "c_dim": 3, "w_dim": 8, "img_channels": 3}
KINDS = {
    "stylegan2": {
        **OPTIONS,
        "img_resolution": 16,
        "mapping_kwargs": {"num_layers": 1},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 4},
    },
    "stylegan3": {**OPTIONS, "img_resolution": 16, "channel_base": 64, "channel_max": 4},
}


def generator(kind: str, **changes: object) -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G = build(GENERATORS, kind, KINDS[kind] | changes, "generator").eval().requires_grad_(False)
        for name, parameter in G.named_parameters():
            if "noise_strength" in name:
                parameter.fill_(0.3)
    return G


def sampler(kind: str = "stylegan2", seed: int = 5, **changes: object) -> NumberedSampler:
    return NumberedSampler(generator(kind, **changes), seed, 30, lambda i: LABELS[i], group_size=4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_same_to_the_bit_however_it_is_asked_for(kind: str) -> None:
    sample = sampler(kind)
    whole = sample(range(10))
    assert whole.shape == (10, 3, 16, 16)
    assert whole.dtype == torch.uint8
    assert torch.equal(sample(np.array([7, 2, 9])), whole[[7, 2, 9]])
    assert torch.equal(torch.cat([sample([i]) for i in range(10)]), whole)
    assert not torch.equal(sampler(kind, seed=6)(range(2)), whole[:2])


def test_a_group_holds_fewer_large_pictures() -> None:
    G = generator("stylegan2")
    sizes = {}
    for side in (16, 256, 512, 1024, 4096):
        G.image_shape = (3, side, side)
        sizes[side] = NumberedSampler(G, 0, 30, lambda i: LABELS[i]).group_size
    assert sizes == {16: 16, 256: 16, 512: 4, 1024: 1, 4096: 1}


def test_labels_are_those_of_random_pictures_of_the_dataset() -> None:
    asked = []
    sample = NumberedSampler(generator("stylegan2"), 1, 30, lambda i: asked.append(i) or LABELS[i])
    labels = sample.labels(range(300))
    assert labels.shape == (300, 3)
    assert labels.sum(0).min() > 70
    assert set(np.concatenate(asked)) == set(range(30))
    assert torch.equal(sample.labels([17]), labels[17:18])
    assert sampler(c_dim=0).labels(range(2)).shape == (2, 0)
    with pytest.raises(InputError, match="--data"):
        NumberedSampler(generator("stylegan2"), 0)


def test_a_sampler_is_a_probe() -> None:
    assert isinstance(sampler(), Probe)
    assert not isinstance(lambda indices: indices, Probe)
    assert [sampler(kind).transformable for kind in KINDS] == [False, True]
    assert (sampler().z_dim, sampler().image_shape) == (8, (3, 16, 16))


def test_shared_noise_is_constant_noise_drawn_anew() -> None:
    sample = sampler()
    ws = sample.mapping(torch.randn(1, 8), sample.labels([0])).expand(3, -1, -1)
    first = sample.synthesis(ws, SharedNoise(0, "noise", 1))
    assert torch.equal(first[0], first[1])
    assert torch.equal(first, sample.synthesis(ws, SharedNoise(0, "noise", 1)))
    assert not torch.allclose(first, sample.synthesis(ws, SharedNoise(0, "noise", 2)))
    assert SharedNoise(0, "noise", 1).uniform((4, 5)).unique(dim=0).shape == (1, 5)
    # The same as putting the numbers into the buffers.
    numbers = SharedNoise(0, "noise", 1).normal((1, sum(h * w for h, w in sample.G.noise_shapes())))[0]
    for layer in sample.G.synthesis.layers:
        own, numbers = numbers.split([layer.noise_const.numel(), len(numbers) - layer.noise_const.numel()])
        layer.noise_const.copy_(own.view_as(layer.noise_const))
    torch.testing.assert_close(sample.G.synthesis(ws, noise_mode="const"), first)


def test_a_transform_stands_for_one_call_only() -> None:
    sample = sampler("stylegan3")
    own = sample.G.synthesis.input.transform
    own[0, 2] = 0.25
    ws = sample.mapping(torch.randn(2, 8), sample.labels([0, 1]))
    left = sample.synthesis(ws, SharedNoise(0, "noise", 0))
    moved = sample.synthesis(ws, SharedNoise(0, "noise", 0), torch.eye(3, dtype=torch.float64))
    assert own[0, 2] == 0.25
    assert not torch.allclose(left, moved)
    assert torch.equal(left, sample.synthesis(ws, SharedNoise(0, "noise", 0)))
    with pytest.raises(InputError, match="expected ws"):
        sample.synthesis(ws[:, 1:], SharedNoise(0, "noise", 0), torch.eye(3))
    assert own[0, 2] == 0.25
    with pytest.raises(InputError, match="StyleGAN3"):
        sampler().synthesis(ws, SharedNoise(0, "noise", 0), torch.eye(3))
