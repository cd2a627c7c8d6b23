"""A dataset means the same as in StyleGAN2-ADA, and says in one line what is wrong with it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from openstylegan.data.dataset import open_dataset
from openstylegan.errors import InputError


@pytest.mark.parametrize("name", ["set", "set.zip"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_of_any_shape_and_channels(tmp_path, images, write_images, name, channels):
    pictures = images(5, channels, 8, 6)
    dataset = open_dataset(write_images(tmp_path / name, pictures))
    assert (dataset.name, dataset.image_shape, len(dataset)) == ("set", (channels, 8, 6), 5)
    assert (dataset.label_dim, dataset.has_labels) == (0, False)
    got = dataset.images([3, 0])
    assert got.dtype == np.uint8
    assert np.array_equal(got, pictures[[3, 0]].transpose(0, 3, 1, 2))
    assert dataset.labels([3, 0]).shape == (2, 0)


def test_order_is_that_of_the_strings(tmp_path, images, write_files, as_png):
    pictures = images(4)
    names = ["b/1.png", "a/10.png", "a/2.png", "B.png"]
    path = write_files(tmp_path / "set", dict(zip(names, map(as_png, pictures), strict=True)))
    dataset = open_dataset(path)
    assert dataset.names_of(range(4)) == ["B.png", "a/10.png", "a/2.png", "b/1.png"]
    assert np.array_equal(dataset.images([1])[0], pictures[1].transpose(2, 0, 1))


def test_a_subset_is_the_one_of_random_state(tmp_path, images, write_images):
    path = write_images(tmp_path / "set.zip", images(20))
    order = np.arange(20)
    np.random.RandomState(7).shuffle(order)
    expected = np.sort(order[:6])
    dataset = open_dataset(path, max_size=6, seed=7)
    assert dataset.names_of(range(6)) == [f"00000/img{i:08d}.png" for i in expected]
    assert len(open_dataset(path, max_size=20, seed=7)) == len(open_dataset(path, max_size=99)) == 20
    with pytest.raises(InputError, match="at least 1 picture, got 0"):
        open_dataset(path, max_size=0)


def test_mirrored_pictures_follow_all_originals(tmp_path, images, write_images):
    pictures = images(6)
    path = write_images(tmp_path / "set.zip", pictures, labels=[0, 1, 2, 0, 1, 2])
    dataset = open_dataset(path, xflip=True, max_size=4, seed=3, use_labels=True)
    assert len(dataset) == 8
    assert np.array_equal(dataset.images(range(4, 8)), dataset.images(range(4))[:, :, :, ::-1])
    assert np.array_equal(dataset.labels(range(4, 8)), dataset.labels(range(4)))
    assert not np.array_equal(dataset.images([4]), dataset.images([0]))


def test_labels_only_when_asked(tmp_path, images, write_images):
    path = write_images(tmp_path / "set.zip", images(3), labels=[4, 0, 1])
    assert open_dataset(path).label_dim == 0
    dataset = open_dataset(path, use_labels=True, max_size=1, seed=1)
    assert dataset.label_dim == 5, "as wide as the largest class of the whole set, not of the sub-set"
    assert open_dataset(path, use_labels=True).labels([0, 2]).argmax(1).tolist() == [4, 1]


def test_labels_from_folder_names(tmp_path, images, write_files, as_png):
    names = ["dog/1.png", "cat/1.png", "dog/2.png"]
    path = write_files(tmp_path / "set", dict(zip(names, map(as_png, images(3)), strict=True)))
    dataset = open_dataset(path, use_labels=True, label_source="folders")
    assert dataset.labels(range(3)).tolist() == [[1, 0], [0, 1], [0, 1]]
    with pytest.raises(InputError, match="expected labels from one of"):
        open_dataset(path, use_labels=True, label_source="names")


def test_null_labels_and_no_label_file(tmp_path, images, write_images):
    assert not open_dataset(write_images(tmp_path / "a.zip", images(3), labels=None), use_labels=True).has_labels
    assert not open_dataset(write_images(tmp_path / "b.zip", images(3)), use_labels=True).has_labels


def test_a_bad_label_file_stops_only_who_wants_labels(tmp_path, images, write_images, write_files, as_png):
    path = write_files(tmp_path / "set.zip", {"a.png": as_png(images(1)[0])}, labels=[["a.png", -2]])
    with pytest.raises(InputError, match=r"set\.zip/dataset\.json.*a\.png, got -2"):
        open_dataset(path, use_labels=True)
    assert len(open_dataset(path)) == 1
    missing = write_files(tmp_path / "missing.zip", {"a.png": as_png(images(1)[0])}, labels=[["b.png", 1]])
    with pytest.raises(InputError, match=r"1 of 1 have none \(first: a\.png\)"):
        open_dataset(missing, use_labels=True)


def test_nothing_to_read(tmp_path, write_files):
    with pytest.raises(InputError, match="nothing is there"):
        open_dataset(tmp_path / "missing")
    with pytest.raises(InputError, match="none of its 1 files is one"):
        open_dataset(write_files(tmp_path / "texts", {"a.txt": b"x"}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of its 0 files is one"):
        open_dataset(tmp_path / "empty")


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_mixed_sizes_and_channels_are_found_at_once(tmp_path, images, write_files, as_png, name):
    files = {f"{i}.png": as_png(images(1, 3, 8, 6)[0]) for i in range(4)}
    other = {"5.png": as_png(images(1, 3, 8, 7)[0]), "6.png": as_png(images(1, 1, 8, 6)[0])}
    path = write_files(tmp_path / name, {**files, **other})
    with pytest.raises(InputError, match=r"6 x 8 with 3 channels, got 7 x 8 with 3 channels for 5\.png \(2 of 6"):
        open_dataset(path)


def test_a_truncated_picture_is_named_when_it_is_read(tmp_path, images, write_files, as_png):
    whole = as_png(images(1, 3, 40, 40)[0])
    path = write_files(tmp_path / "set.zip", {"a.png": whole, "b.png": whole[: len(whole) // 2]})
    dataset = open_dataset(path)
    assert dataset.images([0]).shape == (1, 3, 40, 40)
    with pytest.raises(InputError, match=r"b\.png.*cannot be decoded"):
        dataset.images([0, 1])


def test_an_empty_file_is_named(tmp_path, images, write_files, as_png):
    path = write_files(tmp_path / "set", {"a.png": as_png(images(1)[0]), "b.png": b""})
    with pytest.raises(InputError, match=r"b\.png.*empty"):
        open_dataset(path)


def test_a_picture_whose_pixels_differ_from_its_header(tmp_path, images, write_images):
    """A file that changes after the dataset was opened."""
    path = write_images(tmp_path / "set", images(2, 3, 8, 6))
    dataset = open_dataset(path)
    write_images(path, images(2, 3, 9, 6))
    with pytest.raises(InputError, match="to be 6 x 8 with 3 channels like the first, got 6 x 9"):
        dataset.images([1])


def test_the_asked_resolution(tmp_path, images, write_images):
    path = write_images(tmp_path / "set.zip", images(2, 3, 8, 6))
    assert open_dataset(path, resolution=(8, 6)).image_shape == (3, 8, 6)
    with pytest.raises(InputError, match=r"pictures of 8 x 8 .* got 6 x 8; make them with `openstylegan dataset"):
        open_dataset(path, resolution=8)


@pytest.mark.parametrize("index", [-1, 4, 100])
def test_indices_out_of_range(tmp_path, images, write_images, index):
    dataset = open_dataset(write_images(tmp_path / "set.zip", images(2)), xflip=True)
    with pytest.raises(InputError, match="indices from 0 to 3"):
        dataset.images([0, index])


def test_pickled_datasets_read_the_same(tmp_path, images, write_images):
    dataset = open_dataset(write_images(tmp_path / "set.zip", images(4), labels=[1, 0, 1, 0]), use_labels=True)
    before = dataset.images(range(4))
    again = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(again.images(range(4)), before)
    assert np.array_equal(again.labels(range(4)), dataset.labels(range(4)))
    cached = open_dataset(tmp_path / "set.zip", cache=True)
    cached.images([0])
    data = pickle.dumps(cached)
    assert len(data) < 5000, "the mapped pixels are not pickled"
    assert np.array_equal(pickle.loads(data).images(range(4)), before)
