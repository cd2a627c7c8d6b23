"""Walks through latent space: SciPy's smoothing, a closed loop, latents of one length; and films of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.video import Look, WalkFilm, grid_frames, make_video
from openstylegan.sampling.walk import Walk, smoothed


@pytest.fixture(scope="module")
def G() -> Generator:
    return tiny_generator()


@pytest.mark.parametrize(("points", "frames", "smoothing"), [(4, 6, 1.0), (3, 5, 2.5), (2, 3, 0.1), (5, 2, 0.0)])
def test_latents_are_those_of_scipys_filter(points: int, frames: int, smoothing: float) -> None:
    """The reach of the filter is longer than the loop in the second case: it wraps around several times."""
    filters = pytest.importorskip("scipy.ndimage")
    walk = Walk(points, frames, smoothing, random_state=7)
    noise = np.random.RandomState(7).randn(points * frames, 2, 8)
    expected = filters.gaussian_filter(noise, [smoothing * frames, 0, 0], mode="wrap")
    expected *= np.sqrt(8) / np.linalg.norm(expected, axis=2, keepdims=True)
    assert np.abs(walk.latents(2, 8) - expected).max() < 1e-9


def test_the_walk_is_a_loop_that_goes_on_evenly() -> None:
    z = Walk(6, 10).latents(1, 512)[:, 0]
    steps = np.linalg.norm(z - np.roll(z, 1, axis=0), axis=1)
    assert len(z) == 60 and steps.max() < 1.5 * steps.min()
    assert np.allclose(np.linalg.norm(z, axis=1), np.sqrt(512))
    far = np.linalg.norm(z[0] - z[30])
    assert far > 10 * steps.max()
    assert np.abs(smoothed(np.ones((5, 2)), 3.0) - 1).max() < 1e-12


def test_frames_are_pictures_of_the_walk(G: Generator) -> None:
    walk = Walk(3, 2, random_state=1)
    film = WalkFilm(G, walk, num_cells=2, trunc=0.7)
    frames = list(grid_frames(G, film, columns=2))
    assert len(frames) == len(film) == 6 and frames[0].shape == (16, 32, 3)
    from openstylegan.images import to_uint8

    ws = G.mapping(film.z[4], None, truncation_psi=0.7)
    own = to_uint8(G.synthesis(ws, noise_mode="const"))[1].permute(1, 2, 0).numpy()
    assert np.abs(frames[4][:, 16:].astype(int) - own).max() <= 1
    noisy = list(grid_frames(G, film, 2, look=Look("random")))
    assert not np.array_equal(noisy[0], frames[0])
    still = next(grid_frames(G, film, 2, look=Look("none")))
    assert not np.array_equal(still, frames[0])


def test_random_noise_is_another_in_every_frame(G: Generator) -> None:
    class Standing:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, frame: int):
            return G.mapping(WalkFilm(G, Walk(1, 1)).z[0], None)

    first, second = grid_frames(G, Standing(), 1, look=Look("random"))
    assert not np.array_equal(first, second)
    assert np.array_equal(*grid_frames(G, Standing(), 1))


def test_a_film_of_a_walk_in_another_size(G: Generator, tmp_path: Path) -> None:
    assert make_video(G, tmp_path / "a.gif", walk=Walk(3, 2), look=Look(resize=(20, 30))) == 6
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (30, 20) and film.n_frames == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Walk(0), "at least 1 point"),
        (lambda: Walk(smoothing=-1.0), "smoothing from 0 on"),
        (lambda: Walk(random_state=-1), "random state from 0"),
        (lambda: Look(resize=(0, 3)), "at least 1x1"),
    ],
)
def test_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_seeds_or_a_walk(G: Generator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seeds or a walk, got both"):
        make_video(G, tmp_path / "a.gif", [1], walk=Walk(1, 1))
