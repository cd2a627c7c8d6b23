"""The content hash: of the content only, and of all of it."""

from __future__ import annotations

import hashlib
import os

import pytest

from openstylegan.data import content_hash as hashing
from openstylegan.data.dataset import open_dataset
from openstylegan.data.storage import FolderStorage


def test_it_is_what_the_docstring_says(tmp_path, write_files, images, as_png):
    first, second = map(as_png, images(2))
    path = write_files(tmp_path / "set", {"b.png": second, "a.png": first, "notes.txt": b"x"}, labels=None)
    label = b'{"labels": null}'
    expected = hashlib.sha256(
        b"5:a.png:%d:%b5:b.png:%d:%b12:dataset.json:%d:%b" % (len(first), first, len(second), second, len(label), label)
    )
    assert open_dataset(path).content_hash == expected.hexdigest()


def test_folder_and_zip_are_the_same(tmp_path, write_images, images):
    folder = open_dataset(write_images(tmp_path / "set", images(3), labels=[0, 1, 2]))
    archive = open_dataset(write_images(tmp_path / "other.zip", images(3), labels=[0, 1, 2]))
    assert folder.content_hash == archive.content_hash


@pytest.mark.parametrize("change", ["pixel", "label", "name", "number"])
def test_any_change_changes_it(tmp_path, write_images, images, change):
    pictures = images(3)
    before = open_dataset(write_images(tmp_path / "set", pictures, labels=[0, 1, 2])).content_hash
    if change == "pixel":
        pictures[1, 0, 0, 0] ^= 1
    path = write_images(
        tmp_path / "changed",
        pictures[: 2 if change == "number" else 3],
        labels=[0, 1, 2][: 2 if change == "number" else 3],
    )
    if change == "label":
        write_images(path, pictures, labels=[0, 1, 1])
    if change == "name":
        os.rename(path / "00000" / "img00000001.png", path / "00000" / "img00000009.png")
    assert open_dataset(path).content_hash != before


def test_choices_change_what_the_dataset_yields(tmp_path, write_images, images):
    path = write_images(tmp_path / "set.zip", images(6))
    plain = open_dataset(path)
    hashes = {
        plain.content_hash,
        open_dataset(path, xflip=True).content_hash,
        open_dataset(path, max_size=3).content_hash,
        open_dataset(path, max_size=3, seed=1).content_hash,
    }
    assert len(hashes) == 4
    assert {open_dataset(path, xflip=True).stored_hash, plain.stored_hash} == {plain.content_hash}


def test_it_is_remembered_until_a_file_changes(tmp_path, write_images, images, monkeypatch):
    path = write_images(tmp_path / "set", images(3))
    before = open_dataset(path).content_hash
    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "read", None)
        assert hashing.content_hash(FolderStorage(path), open_dataset(path).names) == before
    write_images(path, images(3, seed=1))
    assert open_dataset(path).content_hash != before


def test_a_cache_folder_that_cannot_be_written_only_costs_time(tmp_path, write_images, images, monkeypatch):
    path = write_images(tmp_path / "set", images(3))
    expected = open_dataset(path).content_hash
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert open_dataset(path).content_hash == expected
