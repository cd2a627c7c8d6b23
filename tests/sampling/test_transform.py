"""Moving and turning: the matrix, what a network draws with it, and networks that cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import generate
from openstylegan.sampling.transform import input_transform, moved, transform_of


@pytest.fixture(scope="module")
def G() -> Generator:
    """An R network, which turns by quarters exactly, of strong contrast and standing upright."""
    options = {"conv_kernel": 1, "use_radial_filters": True, "output_scale": 4.0}
    made = tiny_generator("stylegan3", img_resolution=32, channel_base=512, channel_max=16, **options)
    with torch.no_grad():
        made.synthesis.input.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        made.synthesis.input.affine.weight.zero_()
    return made


def test_the_matrix_is_the_inverse_of_a_turn_and_a_translation() -> None:
    a = math.radians(20)
    turn = np.array([[math.cos(a), math.sin(a), 0.0], [-math.sin(a), math.cos(a), 0.0], [0, 0, 1]])
    shift = np.array([[1, 0, 0.25], [0, 1, -0.5], [0, 0, 1.0]])
    assert np.allclose(input_transform((0.25, -0.5), 20) @ shift @ turn, np.eye(3), atol=1e-15)
    assert np.array_equal(input_transform(), np.eye(3))


def test_the_picture_moves_right_and_down(G: Generator) -> None:
    """By eight of its 32 pixels: the inner part is the same picture elsewhere."""
    plain = generate(G, [1])[0].astype(float)
    there = generate(G, [1], translate=(0.25, 0.0))[0].astype(float)
    down = generate(G, [1], translate=(0.0, 0.25))[0].astype(float)
    assert np.abs(there[8:24, 16:24] - plain[8:24, 8:16]).mean() < 0.5
    assert np.abs(down[16:24, 8:24] - plain[8:16, 8:24]).mean() < 0.5
    assert min(np.abs(moved - plain).mean() for moved in (there, down)) > 3


def test_a_positive_angle_turns_counter_clockwise(G: Generator) -> None:
    plain = generate(G, [1])[0].astype(float)
    turned = generate(G, [1], rotate=90)[0].astype(float)
    inner = slice(8, 24)
    assert np.abs(turned - np.rot90(plain))[inner, inner].mean() < 0.5
    assert np.abs(turned - np.rot90(plain, -1))[inner, inner].mean() > 3


def test_the_turn_comes_before_the_translation(G: Generator) -> None:
    plain = generate(G, [1])[0].astype(float)
    both = generate(G, [1], rotate=90, translate=(0.25, 0.0))[0].astype(float)
    assert np.abs(both[8:24, 16:24] - np.rot90(plain)[8:24, 8:16]).mean() < 0.5


def test_the_network_is_as_it_was_afterwards(G: Generator) -> None:
    own = torch.tensor([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    buffer = transform_of(G)
    assert buffer is not None
    buffer.copy_(own)
    try:
        with moved(G):
            assert torch.equal(buffer, own)
        with pytest.raises(RuntimeError), moved(G, (0.1, 0), 3):
            assert not torch.equal(buffer, own)
            raise RuntimeError
        assert torch.equal(buffer, own)
    finally:
        buffer.copy_(torch.eye(3))


def test_what_cannot_be_moved_is_refused(G: Generator) -> None:
    other = tiny_generator()
    with pytest.raises(InputError, match="StyleGAN2Generator has no such input"):
        generate(other, [1], rotate=10)
    with pytest.raises(InputError, match="finite"):
        generate(G, [1], translate=(math.nan, 0))
    assert generate(other, [1], translate=(0, 0)).shape == (1, 16, 16, 3)
