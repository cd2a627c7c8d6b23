"""The loader's laws: workers, ranks, prefetching and where one begins change nothing; errors reach the caller."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from openstylegan.data.dataset import open_dataset
from openstylegan.data.loader import BatchLoader, random_labels
from openstylegan.data.sampler import indices_at
from openstylegan.errors import InputError
from openstylegan.randomness import BatchStream, SampleStream, generator


@pytest.fixture
def dataset(tmp_path, images, write_images):
    path = write_images(tmp_path / "set.zip", images(23), labels=[i % 5 for i in range(23)])
    return open_dataset(path, use_labels=True, xflip=True)


def sequence(dataset, workers, batches, batch_size=8, start=0, take=slice(None), prefetch=2):
    with BatchLoader(dataset, 11, workers, prefetch) as loader:
        return [loader.fetch(start + k * batch_size, take, batch_size) for k in range(batches)]


def same(a, b):
    return all(torch.equal(x, y) for pair in zip(a, b, strict=True) for x, y in zip(*pair, strict=True))


def test_a_batch_is_that_of_the_sampler(dataset):
    (images, labels), *_ = sequence(dataset, 1, 1, start=40)
    items = indices_at(11, 40, 8, len(dataset))
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.float32
    assert np.array_equal(images.numpy(), dataset.images(items))
    assert np.array_equal(labels.numpy(), dataset.labels(items))


@pytest.mark.parametrize("workers", [1, 2, 3, 9, 20])
def test_any_number_of_workers_gives_the_same(dataset, workers):
    assert same(sequence(dataset, 0, 12), sequence(dataset, workers, 12))


@pytest.mark.parametrize("start", [1, 2, 7])
def test_resuming_gives_the_tail(dataset, start):
    assert same(sequence(dataset, 2, 12)[start:], sequence(dataset, 2, 12 - start, start=8 * start))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_together_have_the_whole_batch(dataset, ranks):
    whole = sequence(dataset, 0, 6)
    parts = [sequence(dataset, 2, 6, take=slice(rank, None, ranks)) for rank in range(ranks)]
    for step in range(6):
        for rank in range(ranks):
            assert torch.equal(parts[rank][step][0], whole[step][0][rank::ranks])
            assert torch.equal(parts[rank][step][1], whole[step][1][rank::ranks])


def test_take_may_be_a_list_or_empty(dataset):
    whole, _ = sequence(dataset, 0, 1)[0]
    some, labels = sequence(dataset, 2, 1, take=[5, 0, 5])[0]
    assert torch.equal(some, whole[[5, 0, 5]])
    none, labels = sequence(dataset, 2, 1, take=[])[0]
    assert none.shape == (0, 3, 8, 6)
    assert labels.shape == (0, 5)


def test_jumps_and_other_batch_sizes_after_prefetching(dataset):
    with BatchLoader(dataset, 11, workers=2) as loader:
        for position, size in [(0, 8), (8, 8), (16, 4), (0, 8), (20, 4), (100, 16), (16, 4)]:
            images, _ = loader.fetch(position, slice(None), size)
            assert np.array_equal(images.numpy(), dataset.images(indices_at(11, position, size, len(dataset))))


def test_a_batch_may_be_changed_by_its_owner(dataset):
    with BatchLoader(dataset, 11, workers=2) as loader:
        images, _ = loader.fetch(0, slice(None), 8)
        expected = images.clone()
        images.zero_()
        assert torch.equal(loader.fetch(0, slice(None), 8)[0], expected)


class Recorder:
    """A dataset that notes who asks for what."""

    image_shape, label_dim, has_labels = (1, 2, 2), 0, False

    def __init__(self, delay: float = 0.0, bad: int = -1):
        self.delay, self.bad = delay, bad
        self.calls: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return 1000

    def at_lod(self, lod):
        return self

    def images(self, indices, out):
        time.sleep(self.delay)
        self.calls.append((threading.current_thread().name, len(indices)))
        if self.bad in np.asarray(indices):
            raise InputError(f"expected a picture in file-{self.bad}.png, but it is damaged")
        out[:] = np.asarray(indices)[:, None, None, None] % 256

    def labels(self, indices):
        return np.zeros((len(indices), 0), np.float32)


def test_the_following_batches_are_read_in_the_background():
    recorder = Recorder()
    with BatchLoader(recorder, 0, workers=2, prefetch=2) as loader:
        loader.fetch(0, slice(None), 6)
        deadline = time.monotonic() + 5
        while sum(count for _, count in recorder.calls) < 18 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sum(count for _, count in recorder.calls) == 18
        assert all(name.startswith("decode") for name, _ in recorder.calls)
        loader.fetch(6, slice(None), 6)
    assert sum(count for _, count in recorder.calls) <= 24, "nothing is read twice"


def test_without_workers_nothing_is_read_ahead():
    recorder = Recorder()
    with BatchLoader(recorder, 0, workers=0) as loader:
        loader.fetch(0, slice(None), 6)
    assert recorder.calls == [("MainThread", 6)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_names_the_file_and_comes_with_its_batch(workers):
    bad = int(indices_at(0, 13, 1, 1000)[0])
    with BatchLoader(Recorder(bad=bad), 0, workers) as loader:
        loader.fetch(0, slice(None), 6)
        loader.fetch(6, slice(None), 6)
        with pytest.raises(InputError, match=rf"file-{bad}\.png"):
            loader.fetch(12, slice(None), 6)
        with pytest.raises(InputError, match=rf"file-{bad}\.png"):
            loader.fetch(12, slice(None), 6)
        loader.fetch(18, slice(None), 6)


def test_close_ends_the_threads_and_may_be_called_twice():
    before = threading.active_count()
    loader = BatchLoader(Recorder(delay=0.01), 0, workers=3)
    loader.fetch(0, slice(None), 6)
    loader.close()
    loader.close()
    assert threading.active_count() == before


def test_bad_options(dataset):
    with pytest.raises(InputError, match="at least 0"):
        BatchLoader(dataset, 0, workers=-1)


def test_random_labels_are_those_of_uniform_items(dataset):
    labels = random_labels(dataset, BatchStream(generator(0, "test")), 4000)
    assert labels.shape == (4000, 5)
    share = dataset.labels(range(len(dataset))).mean(axis=0)
    assert np.allclose(labels.mean(dim=0), share, atol=0.03)


def test_random_labels_belong_to_the_sample(dataset):
    whole = random_labels(dataset, SampleStream(0, "labels", [7], range(12)), 12)
    part = random_labels(dataset, SampleStream(0, "labels", [7], range(4, 12)), 8)
    assert torch.equal(whole[4:], part)


def test_random_labels_without_labels():
    assert random_labels(Recorder(), BatchStream(), 3).shape == (3, 0)
