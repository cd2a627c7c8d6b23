"""Pictures at every resolution beside each other: which, in what order, enlarged pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.images import to_uint8
from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import generate, ws_of_seeds
from openstylegan.sampling.scales import ScalesShown, parse_scales, scales_shown
from openstylegan.sampling.video import make_video


@pytest.fixture(scope="module")
def G() -> Generator:
    return tiny_generator("msg_stylegan", channel_base=64, channel_max=4, num_layers=2)


def scales_of(G: Generator, seed: int) -> list[np.ndarray]:
    """Bytes [h, w, 3] of a seed's pictures, smallest first."""
    return [to_uint8(i)[0].permute(1, 2, 0).numpy() for i in G.synthesis(ws_of_seeds(G, [seed]), noise_mode="const")]


def test_all_of_them_in_a_row(G: Generator) -> None:
    assert G.scales == ((4, 4), (8, 8), (16, 16))
    own = scales_of(G, 5)
    picture = generate(ScalesShown(G), [5])[0]
    assert picture.shape == (16, 48, 3)
    for n, scale in enumerate(own):
        repeated = scale.repeat(16 // len(scale), axis=0).repeat(16 // len(scale), axis=1)
        assert np.array_equal(picture[:, 16 * n : 16 * n + 16], repeated)
    assert len({s.tobytes() for s in own}) == 3


def test_some_of_them_in_the_order_and_columns_that_are_asked_for(G: Generator) -> None:
    four, eight, _ = scales_of(G, 5)
    column = generate(ScalesShown(G, [8, 4], 1), [5])[0]
    assert column.shape == (16, 8, 3)
    assert np.array_equal(column[:8], eight) and np.array_equal(column[8::2, ::2], four)
    assert np.array_equal(generate(ScalesShown(G, [8]), [5])[0], eight)
    shown = ScalesShown(G, None, 2)
    corner = generate(shown, [5])[0]
    assert shown.image_shape == (3, 32, 32) and corner.shape == (32, 32, 3)
    assert not corner[16:, 16:].any() and np.array_equal(corner[16:, :16], scales_of(G, 5)[2])


def test_random_noise_and_films_go_through(G: Generator, tmp_path: Path) -> None:
    shown = ScalesShown(G, [4, 16])
    with torch.no_grad():
        assert shown(torch.zeros(2, 8)).shape == (2, 3, 16, 32)
    assert generate(shown, [1, 2], noise_mode="random").shape == (2, 16, 32, 3)
    assert make_video(shown, tmp_path / "a.webp", [1, 2], w_frames=2) == 4


def test_what_is_asked_for_must_be_there(G: Generator) -> None:
    assert parse_scales("all") is None and parse_scales("4, 16") == [4, 16]
    assert scales_shown(G, None, None) is G
    for scales, columns, message in (
        ("4,5", None, r"expected some of 4, 8, 16, got \[4, 5\]"),
        ("big", None, "widths such as 4,16,64, or all, got 'big'"),
        ("all", 4, "--scale-columns: expected 1 to 3, got 4"),
        (None, 2, "no effect without --scales"),
    ):
        with pytest.raises(InputError, match=message):
            scales_shown(G, scales, columns)
    with pytest.raises(InputError, match="StyleGAN2Generator makes one"):
        scales_shown(tiny_generator(), "all", None)
