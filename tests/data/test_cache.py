"""The raw cache: the same pictures, found by content, never trusted when it is damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from openstylegan.data.cache import DESCRIPTION, PIXELS, cache_path, open_cache
from openstylegan.data.dataset import open_dataset
from openstylegan.errors import InputError


@pytest.fixture
def path(tmp_path, images, write_images):
    return write_images(tmp_path / "set.zip", images(40), labels=[i % 3 for i in range(40)])


def test_it_gives_the_same_pictures(path):
    plain = open_dataset(path, cache=False, xflip=True, max_size=30, use_labels=True)
    cached = open_dataset(path, cache=True, xflip=True, max_size=30, use_labels=True)
    assert plain.raw_cache is None
    assert cached.raw_cache is not None
    assert np.array_equal(plain.images(range(60)), cached.images(range(60)))
    assert np.array_equal(plain.labels(range(60)), cached.labels(range(60)))
    assert plain.content_hash == cached.content_hash


def test_one_that_exists_is_used_unless_refused(path):
    assert open_dataset(path).raw_cache is None
    open_dataset(path, cache=True)
    found = open_dataset(path)
    assert found.raw_cache is not None
    found.storage.read = None  # type: ignore[method-assign]
    assert found.images([3]).shape == (1, 3, 8, 6)
    assert open_dataset(path, cache=False).raw_cache is None


def test_it_does_not_outlive_a_change_of_the_dataset(path, images, write_images):
    open_dataset(path, cache=True)
    write_images(path, images(40, seed=5))
    assert open_dataset(path).raw_cache is None
    assert np.array_equal(open_dataset(path, cache=True).images([0])[0], images(40, seed=5)[0].transpose(2, 0, 1))


@pytest.mark.parametrize("damage", ["short", "byte", "json", "shape", "gone"])
def test_a_damaged_one_is_refused_and_built_again(path, damage):
    dataset = open_dataset(path, cache=True)
    expected = dataset.images(range(40))
    folder = cache_path(dataset.stored_hash)
    if damage == "short":
        with open(folder / PIXELS, "r+b") as file:
            file.truncate(1000)
    elif damage == "byte":
        data = bytearray((folder / PIXELS).read_bytes())
        data[-1] ^= 1
        (folder / PIXELS).write_bytes(data)
    elif damage == "json":
        (folder / DESCRIPTION).write_text("{")
    elif damage == "shape":
        told = json.loads((folder / DESCRIPTION).read_text())
        (folder / DESCRIPTION).write_text(json.dumps({**told, "image_shape": [3, 8]}))
    else:
        (folder / PIXELS).unlink()
    assert open_dataset(path).raw_cache is None
    again = open_dataset(path, cache=True)
    assert again.raw_cache is not None
    assert again.raw_cache.verify()
    assert np.array_equal(again.images(range(40)), expected)


def test_verify_reads_every_byte(path, images, write_images):
    """A byte that the quick check does not look at."""
    big = write_images(path.with_name("big.zip"), images(200))
    dataset = open_dataset(big, cache=True)
    folder = cache_path(dataset.stored_hash)
    pixels = np.memmap(folder / PIXELS, np.uint8, "r+", shape=(200, 3, 8, 6))
    pixels[1] ^= 1
    pixels.flush()
    cache = open_cache(dataset.stored_hash)
    assert cache is not None
    assert not cache.verify()


def test_a_bad_picture_leaves_nothing_behind(tmp_path, images, write_files, as_png, own_cache):
    whole = as_png(images(1, 3, 40, 40)[0])
    path = write_files(tmp_path / "set.zip", {"a.png": whole, "b.png": whole[: len(whole) // 2]})
    with pytest.raises(InputError, match=r"b\.png"):
        open_dataset(path, cache=True)
    assert [file.name for file in (own_cache / "datasets").iterdir()] == ["hashes"]


def test_two_builders_at_once_agree(path):
    """The slower of two processes finds the other's cache in its place and takes it."""
    first, second = open_dataset(path, cache=False), open_dataset(path, cache=False)
    plain = second.images(range(40))

    def slow(_: int) -> None:
        if first.raw_cache is None:
            first.build_raw_cache()

    second.build_raw_cache(advance=slow)
    assert np.array_equal(second.images(range(40)), plain)
    assert np.array_equal(first.images(range(40)), plain)
