"""Style mixing: which layer comes from where, what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import generate, ws_of_seeds
from openstylegan.sampling.mixing import mix, style_mixing, styles_of


@pytest.fixture(scope="module")
def G() -> Generator:
    return tiny_generator()


def test_layers_come_from_where_they_should() -> None:
    rows, cols = torch.arange(2.0)[:, None, None].expand(2, 6, 3), 10 + torch.arange(3.0)[:, None, None].expand(3, 6, 3)
    mixed = mix(rows, cols, [0, 4])
    assert mixed.shape == (2, 3, 6, 3)
    assert mixed[1, 2, :, 0].tolist() == [12, 1, 1, 1, 12, 1]


def test_styles() -> None:
    assert styles_of(None, 18) == [0, 1, 2, 3, 4, 5, 6]
    assert styles_of(None, 4) == [0, 1, 2, 3]
    assert styles_of([3, 1, 3], 4) == [1, 3]
    with pytest.raises(InputError, match=r"0 to 3 .* got \[4, 9\]"):
        styles_of([1, 9, 4], 4)
    with pytest.raises(InputError, match="at least one layer"):
        styles_of([], 4)


def test_the_table(G: Generator, tmp_path: Path) -> None:
    rows, cols = [5, 7], [1, 2, 7]
    grid = style_mixing(G, rows, cols, tmp_path, styles=[0, 1], trunc=0.7)
    assert grid.shape == (3 * 16, 4 * 16, 3)
    cells = grid.reshape(3, 16, 4, 16, 3).swapaxes(1, 2)
    own = {seed: generate(G, [seed], trunc=0.7)[0] for seed in (1, 2, 5, 7)}
    assert not cells[0, 0].any()
    for n, seed in enumerate(cols):
        assert np.array_equal(cells[0, 1 + n], own[seed])
    for n, seed in enumerate(rows):
        assert np.array_equal(cells[1 + n, 0], own[seed])
    assert np.array_equal(cells[2, 3], own[7]), "a seed mixed with itself is itself"
    ws = ws_of_seeds(G, [5, 2], 0.7)
    ws[0, :2] = ws[1, :2]
    np.savez(tmp_path / "mixed.npz", w=ws[:1].numpy())
    assert np.array_equal(cells[1, 2], generate(G, projected_w=tmp_path / "mixed.npz")[0])
    written = {p.name for p in tmp_path.glob("*.png")}
    assert written == {"grid.png", *(f"{r}-{c}.png" for r in rows for c in cols), *(f"{s}-{s}.png" for s in own)}
    assert np.array_equal(np.array(Image.open(tmp_path / "5-2.png")), cells[1, 2])
    assert np.array_equal(np.array(Image.open(tmp_path / "grid.png")), grid)


def test_batches_and_noise_change_nothing_but_rounding(G: Generator) -> None:
    for noise_mode in ("const", "random", "none"):
        one, many = (style_mixing(G, [5], [1, 2, 3], noise_mode=noise_mode, batch=b) for b in (1, 3))  # type: ignore[arg-type]
        assert int(np.abs(one.astype(int) - many).max()) <= 1
    assert not np.array_equal(one, style_mixing(G, [5], [1, 2, 3]))


def test_a_conditional_network_is_mixed_within_a_class() -> None:
    G = tiny_generator(c_dim=3)
    assert not np.array_equal(style_mixing(G, [1], [2], class_idx=0), style_mixing(G, [1], [2], class_idx=2))
    with pytest.raises(InputError, match="expected a class"):
        style_mixing(G, [1], [2])


def test_no_seeds_are_refused(G: Generator) -> None:
    with pytest.raises(InputError, match="at least one seed"):
        style_mixing(G, [1], [])
