"""MNIST and its kin: padded to 32 x 32, with labels, and damage told."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openstylegan.data.sources import open_source
from openstylegan.data.sources.mnist import read_idx
from openstylegan.errors import InputError

NAME, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write(folder, pictures, labels, names=(NAME, LABELS)):
    for name, array in zip(names, (pictures, labels), strict=True):
        (folder / name).write_bytes(gzip.compress(idx(array), 1))
    return folder / names[0]


PICTURES = np.random.default_rng(0).integers(1, 256, (5, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("names", [(NAME, LABELS), ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")])
def test_pictures_and_labels(tmp_path, names):
    source = open_source(write(tmp_path, PICTURES, np.array([5, 0, 4, 1, 9]), names))
    records = list(source.records)
    assert source.kind == "MNIST"
    assert [record.label for record in records] == [5, 0, 4, 1, 9]
    first = np.asarray(records[0].data)
    assert first.shape == (32, 32, 1)
    assert np.array_equal(first[2:30, 2:30, 0], PICTURES[0])
    assert first.sum() == PICTURES[0].sum(), "the padding is black"


def test_other_sizes_are_not_padded(tmp_path):
    source = open_source(write(tmp_path, PICTURES[:, :20, :16], np.zeros(5)))
    assert np.asarray(next(source.records).data).shape == (20, 16, 1)


def test_labels_must_be_there_and_fit(tmp_path):
    path = write(tmp_path, PICTURES, np.zeros(4))
    with pytest.raises(InputError, match=r"got \[5, 28, 28\] and \[4\]"):
        list(open_source(path).records)
    (tmp_path / LABELS).unlink()
    with pytest.raises(InputError, match=f"{LABELS}, but nothing is there"):
        list(open_source(path).records)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not gzip", "cannot be read"),
        (gzip.compress(b""), "ends after 0"),
        (gzip.compress(b"\0\0\x0d\3" + bytes(12)), "first bytes 00000d03"),
        (gzip.compress(idx(PICTURES)[:-1]), "ends after 3919"),
        (gzip.compress(idx(PICTURES))[:-200], "cannot be read|ends after"),
    ],
    ids=["other", "empty", "floats", "a byte too few", "cut"],  # gzip's own bytes hold the time
)
def test_damage_is_told(tmp_path, data, message):
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_idx(tmp_path / NAME)


@pytest.mark.parametrize("sides", [(2**31, 2**31, 2**31), (2**20, 2**10, 1)])
def test_false_sizes_claim_no_memory(tmp_path, sides):
    (tmp_path / NAME).write_bytes(gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, *sides) + bytes(100)))
    tracemalloc.start()
    with pytest.raises(InputError):
        read_idx(tmp_path / NAME)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3), st.booleans())
def test_mutated_files_fail_cleanly(tmp_path, changes, packed):
    plain = idx(PICTURES[:1, :10, :10])
    data = bytearray(gzip.compress(plain) if packed else plain)
    for at, value in changes:
        data[at % len(data)] = value
    (tmp_path / NAME).write_bytes(bytes(data) if packed else gzip.compress(bytes(data), 1))
    try:
        array = read_idx(tmp_path / NAME)
    except InputError:
        return
    assert array.size <= 1 << 20
