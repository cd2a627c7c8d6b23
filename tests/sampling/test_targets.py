"""Targets: how pictures are found, cropped, resized and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openstylegan.errors import InputError
from openstylegan.sampling.targets import cropped, read_target, read_targets


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.RandomState(0).randint(0, 256, (23, 41, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_the_centred_square_resized_with_lanczos(photo: Path) -> None:
    """As the original's formula says: s = min(w, h), from (w - s) // 2 to (w + s) // 2."""
    with Image.open(photo) as image:
        expected = image.crop((9, 0, 32, 23)).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(read_target(photo, (3, 16, 16)).permute(1, 2, 0).numpy(), np.array(expected))


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [
        ((20, 40), (16, 16), (20, 20)),
        ((20, 40), (16, 32), (20, 40)),
        ((20, 40), (32, 16), (20, 10)),
        ((1, 9), (8, 4), (1, 1)),
    ],
)
def test_the_largest_part_of_the_network_s_proportions(
    size: tuple[int, int], shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert cropped(np.zeros((*size, 3), np.uint8), *shape).shape[:2] == expected


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
def test_any_picture_gets_the_network_s_channels(mode: str, channels: int, tmp_path: Path) -> None:
    name = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.fromarray(np.full((8, 8), 1000, np.uint16)) if mode == "I;16" else Image.new(mode, (8, 8))
    image.save(name)
    assert read_target(name, (channels, 4, 4)).shape == (channels, 4, 4)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert read_target(tmp_path / "a.png", (3, 4, 4)).min() == 255


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = read_target(tmp_path / "a.jpg", (3, 8, 8))
    assert found[:, :3].max() < 20 and found[:, 5:].min() > 235


def test_files_and_folders_with_a_name_each(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    for name in ("b.png", "photo.jpg", "a.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    found = read_targets([photo, folder], (3, 16, 16))
    assert [t.name for t in found] == ["photo-00", "a", "b", "photo-03"]
    assert all(t.image.shape == (3, 16, 16) and t.true_ws is None for t in found)


def test_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nonsense")
    (tmp_path / "empty").mkdir()
    for name, message in (("a.png", "cannot be decoded"), ("empty", "found none"), ("none.png", "nothing is there")):
        with pytest.raises(InputError, match=message):
            read_targets([tmp_path / name], (3, 8, 8))
