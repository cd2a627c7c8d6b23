"""Pictures as they come: of any size and mode, as squares of one size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openstylegan.config import Component, DataConfig, PlayerConfig, TrainConfig
from openstylegan.data.dataset import open_dataset
from openstylegan.data.sized import nearest_power_of_two, sized
from openstylegan.errors import InputError
from openstylegan.training.build import open_training_data

SIZES = [(40, 30), (33, 70), (25, 25), (29, 31)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Makes a folder of pictures of the given (width, height), a mode each or one for all."""

    def make(sizes: list[tuple[int, int]], modes: str | list[str] = "RGB", below: str = "") -> Path:
        path = tmp_path / "photos"
        random = np.random.RandomState(0)
        for n, size in enumerate(sizes):
            mode = modes if isinstance(modes, str) else modes[n]
            place = path / below.format(n % 2)
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.randint(0, 256, (size[1], size[0], 4), np.uint8)
            Image.fromarray(pixels, "RGBA").convert(mode).save(place / f"{n}.png")
        return path

    return make


@pytest.mark.parametrize(
    ("side", "found"), [(1, 8), (8, 8), (12, 8), (13, 16), (96, 64), (97, 128), (100, 128), (1024, 1024), (1500, 1024)]
)  # fmt: skip
def test_the_nearest_power_of_two(side: int, found: int) -> None:
    assert nearest_power_of_two(side) == found


def test_any_sizes_become_squares_of_the_power_of_two_nearest_to_the_median(folder: Folder) -> None:
    path = folder(SIZES)  # short sides 30, 33, 25, 29
    told: list[str] = []
    found = sized(path, "nearest", tell=told.append)
    dataset = open_dataset(found.path)
    assert dataset.image_shape == (3, 32, 32) and len(dataset) == len(SIZES)
    assert len(told) == 1 and "4 pictures" in told[0] and "32 x 32" in told[0]
    assert sized(path, "nearest", tell=told.append) == found and len(told) == 1
    with Image.open(path / "0.png") as image:
        square = image.crop((5, 0, 35, 30)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(dataset.images([0])[0], np.asarray(square).transpose(2, 0, 1))


def test_a_side_and_channels_can_be_asked_for(folder: Folder) -> None:
    path = folder(SIZES, ["RGB", "L", "RGBA", "RGB"])
    shapes = [open_dataset(sized(path, 16, channels).path).image_shape for channels in (1, 3, 4, None)]
    assert shapes == [(1, 16, 16), (3, 16, 16), (4, 16, 16), (3, 16, 16)]


def test_pictures_that_are_as_asked_for_stay_where_they_are(folder: Folder) -> None:
    path = folder([(16, 16)] * 3, "L")
    for resize, channels in ((None, None), ("nearest", None), (16, 1), (None, 1)):
        assert sized(path, resize, channels).path == str(path)  # type: ignore[arg-type]
    assert sized(path, None, 3).path != str(path)


def test_changed_pictures_are_made_again(folder: Folder, cache: Path) -> None:
    path = folder(SIZES)
    first = sized(path, 16)
    Image.new("RGB", (50, 50), "red").save(path / "0.png")
    second = sized(path, 16)
    assert first.path != second.path and len(list((cache / "datasets").glob("sized-*.zip"))) == 2
    assert not list((cache / "datasets").glob(".sized-*"))


def test_labels_of_folders_are_kept(folder: Folder) -> None:
    found = sized(folder(SIZES, below="class{}"), 16, label_source="folders")
    dataset = open_dataset(found.path, use_labels=True, label_source=found.label_source)
    assert dataset.label_dim == 2
    assert dataset.labels(range(4)).argmax(1).tolist() in ([0, 0, 1, 1], [0, 1, 0, 1])


def test_what_cannot_be_read_is_left_out_and_reported(folder: Folder, cache: Path) -> None:
    path = folder(SIZES)
    (path / "9.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    told: list[str] = []
    found = sized(path, 16, tell=told.append)
    assert len(open_dataset(found.path)) == len(SIZES) and "1 could not be used" in told[0]
    report = json.loads(next((cache / "datasets").glob("*.report.json")).read_text())
    assert [entry["file"] for entry in report["skipped"]] == ["9.png"]


def test_training_reads_them_so(folder: Folder) -> None:
    data = DataConfig(str(folder(SIZES)), resize="nearest", channels=1)
    network = PlayerConfig(Component("stylegan2"))
    config = TrainConfig(data, network, network, (), Component("constant"))
    assert open_training_data(config).image_shape == (1, 32, 32)


def test_refusals(folder: Folder, tmp_path: Path) -> None:
    path = folder(SIZES)
    with pytest.raises(InputError, match="give --resize too"):
        sized(path, None, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none that can be read"):
        sized(tmp_path / "empty", 16)
