"""Verification finds every fault and no other."""

from __future__ import annotations

import pytest

from openstylegan.data.cache import PIXELS, cache_path
from openstylegan.data.dataset import open_dataset
from openstylegan.data.prepare import prepare
from openstylegan.data.verify import verify
from openstylegan.errors import InputError


@pytest.fixture
def good(tmp_path, images, write_images):
    prepare(write_images(tmp_path / "source", images(9), labels=[i % 2 for i in range(9)]), tmp_path / "good.zip")
    return tmp_path / "good.zip"


@pytest.mark.parametrize("workers", [1, 3])
def test_a_sound_dataset(good, workers):
    found = verify(good, workers)
    assert found.problems == []
    assert (found.pictures, found.shape, found.label_kind) == (9, (3, 8, 6), "classes")
    assert found.class_counts == {"0": 5, "1": 4}
    assert found.content_hash == open_dataset(good).content_hash


def test_each_fault_is_named(tmp_path, images, as_png, write_files):
    files = {f"{i}.png": as_png(image) for i, image in enumerate(images(5))}
    files["cut.png"] = files["0.png"][:100]
    files["grey.png"] = as_png(images(1, 1)[0])
    labels = [[name, 0] for name in files if name != "3.png"] + [["ghost.png", 1]]
    found = verify(write_files(tmp_path / "set", files, labels))
    reasons = {entry["file"]: entry["reason"] for entry in found.problems}
    assert set(reasons) == {"cut.png", "grey.png", "3.png", "ghost.png"}
    assert "cannot be decoded" in reasons["cut.png"]
    assert "6 x 8 with 1 channel, most are 6 x 8 with 3 channels" in reasons["grey.png"]
    assert "no label" in reasons["3.png"]
    assert "no such picture" in reasons["ghost.png"]


def test_the_odd_one_out_may_be_the_first(tmp_path, images, as_png, write_files):
    files = {"0.png": as_png(images(1, 3, 9, 9)[0]), **{f"{i}.png": as_png(images(1)[0]) for i in (1, 2)}}
    found = verify(write_files(tmp_path / "set", files))
    assert [entry["file"] for entry in found.problems] == ["0.png"]
    assert "1 of the pictures are exact copies of others" in found.notes


def test_a_changed_byte_anywhere_in_a_picture_is_found(good):
    data = bytearray(good.read_bytes())
    data[data.index(b"IDAT") + 60] ^= 1
    good.write_bytes(data)
    found = verify(good)
    assert [entry["file"] for entry in found.problems] == ["00000/img00000000.png"]


def test_a_bad_label_file(tmp_path, images, as_png, write_files):
    path = write_files(tmp_path / "set", {"a.png": as_png(images(1)[0]), "dataset.json": b"{"})
    assert [entry["file"] for entry in verify(path).problems] == ["dataset.json"]


@pytest.mark.parametrize("labels", [None, ...])
def test_no_labels_is_a_note(tmp_path, images, write_images, labels):
    found = verify(write_images(tmp_path / "set", images(2), labels=labels))
    assert found.problems == []
    assert any("labels" in note for note in found.notes)


def test_a_class_without_pictures_is_a_note(tmp_path, images, write_images):
    found = verify(write_images(tmp_path / "set", images(2), labels=[0, 3]))
    assert "2 classes below 3 have no picture" in found.notes
    assert found.problems == []


def test_the_raw_cache_is_checked(good):
    dataset = open_dataset(good, cache=True)
    assert "the raw cache is whole" in verify(good).notes
    path = cache_path(dataset.stored_hash) / PIXELS
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    assert "the raw cache is damaged" in verify(good).problems[0]["reason"]


def test_nothing_to_check(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of its 0 files is one"):
        verify(tmp_path / "empty")
