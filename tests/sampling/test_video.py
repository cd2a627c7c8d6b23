"""Videos: the keyframes are the seeds' own pictures, cells lie where they should, classes and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import generate
from openstylegan.sampling.interpolation import keyframe_seeds
from openstylegan.sampling.video import LatentFilm, grid_frames, make_video


@pytest.fixture(scope="module")
def G() -> Generator:
    return tiny_generator()


def test_keyframes_are_the_seeds_pictures_each_in_its_cell(G: Generator) -> None:
    seeds = keyframe_seeds(range(12), 6)
    film = LatentFilm(G, seeds, w_frames=3, trunc=0.7)
    drawn = list(grid_frames(G, film, columns=3, batch=4))
    assert len(drawn) == len(film) == 2 * 3 and drawn[0].shape == (2 * 16, 3 * 16, 3)
    for keyframe in range(2):
        cells = drawn[3 * keyframe].reshape(2, 16, 3, 16, 3).swapaxes(1, 2).reshape(6, 16, 16, 3)
        own = generate(G, seeds[:, keyframe].tolist(), trunc=0.7)
        assert int(np.abs(cells.astype(int) - own).max()) <= 1
    assert np.abs(drawn[1].astype(int) - drawn[0]).max() > 5


def test_frames_are_drawn_when_they_are_asked_for(G: Generator) -> None:
    film = LatentFilm(G, keyframe_seeds([1, 2], 1), w_frames=10**9)
    first = next(grid_frames(G, film, 1))
    assert np.array_equal(first, generate(G, [1])[0])


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_become_rgb(channels: int, tmp_path: Path) -> None:
    G = tiny_generator(img_channels=channels)
    assert make_video(G, tmp_path / "a.webp", [1, 2], w_frames=2) == 4
    with Image.open(tmp_path / "a.webp") as image:
        assert image.n_frames == 4 and image.mode == "RGB"


def test_a_conditional_network_films_one_class(tmp_path: Path) -> None:
    G = tiny_generator(c_dim=3)
    seeds = keyframe_seeds([1, 2], 1)
    first = [next(grid_frames(G, LatentFilm(G, seeds, 2, class_idx=n), 1)) for n in (0, 2)]
    assert not np.array_equal(*first)
    with pytest.raises(InputError, match="expected a class"):
        make_video(G, tmp_path / "a.gif", [1, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": (2, 1)}, "divisible by the 2"),
        ({"grid": (0, 1)}, "at least 1x1"),
        ({"w_frames": 0}, "at least 1 frame"),
        ({"fps": 99}, "1 to 50"),
        ({"batch": 0}, "batch of at least 1"),
    ],
)
def test_refused(G: Generator, options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        make_video(G, tmp_path / "a.gif", [1, 2, 3], **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
