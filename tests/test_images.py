"""Bytes and floats, and several pictures in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from openstylegan.images import from_uint8, leaves, map_images, tile, to_uint8, to_uint8_rounded, write_png


def test_three_conversions() -> None:
    x = torch.tensor([-1.0, -1.01, 0.0, 0.999, 1.0, 2.0, 1 / 127.5])
    assert to_uint8(x).tolist() == [0, 0, 128, 255, 255, 255, 129]
    assert to_uint8_rounded(x).tolist() == [0, 0, 128, 255, 255, 255, 128]
    bytes_ = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8_rounded(from_uint8(bytes_)), bytes_)


def test_tuples_of_images() -> None:
    pyramid = (torch.ones(1, 3, 2, 2), torch.ones(1, 3, 4, 4))
    doubled = map_images(lambda a, b: a + b, pyramid, pyramid)
    assert [float(x.mean()) for x in leaves(doubled)] == [2, 2]
    assert leaves(pyramid[0]) == (pyramid[0],)


def test_tile_fills_rows_and_pads_with_black() -> None:
    images = torch.stack([torch.full((3, 2, 3), n, dtype=torch.uint8) for n in (10, 20, 30)])
    grid = tile(images, 2)
    assert grid.shape == (4, 6, 3)
    assert [int(grid[y, x, 0]) for y, x in ((0, 0), (0, 3), (2, 0), (2, 3))] == [10, 20, 30, 0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png(tmp_path: Path, channels: int) -> None:
    picture = np.random.RandomState(0).randint(0, 256, (5, 7, channels), np.uint8)
    write_png(tmp_path / "a.png", picture)
    read = np.array(Image.open(tmp_path / "a.png"))
    assert np.array_equal(read if channels > 1 else read[:, :, None], picture)
