"""CIFAR-10: read right, and a pickle that asks for anything else is refused before it does anything."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openstylegan.data.sources import open_source
from openstylegan.data.sources.cifar import BATCHES, parse_batch
from openstylegan.errors import InputError


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


def python2_batch(pixels: np.ndarray, labels: list[int], fortran: bool = False) -> bytes:
    """What Python 2's cPickle makes of {"batch_label", "labels", "data", "filenames"} with protocol 2."""
    shape = b"M" + struct.pack("<H", pixels.shape[0]) + b"M" + struct.pack("<H", pixels.shape[1]) + b"\x86"
    kind = b"cnumpy\ndtype\nq\x0a" + text(b"u1") + b"K\x00K\x01\x87Rq\x0b(K\x03" + text(b"|")
    kind += b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    raw = pixels.tobytes(order="F" if fortran else "C")
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + text(b"b") + b"\x87Rq\x09"
    array += (
        b"(K\x01" + shape + kind + (b"\x88" if fortran else b"\x89") + b"T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )
    numbers = b"]q\x05(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"]q\x0c(" + b"".join(text(b"x_s_%06d.png" % i) for i in range(len(labels))) + b"e"
    start = b"\x80\x02}q\x01(" + text(b"batch_label") + text(b"training batch 1 of 5")
    return start + text(b"labels") + numbers + text(b"data") + array + text(b"filenames") + names + b"u."


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)


def archive(path, batches: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in batches.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("fortran", [False, True])
def test_a_batch(pixels, fortran):
    assert pickle.loads(python2_batch(pixels, [1, 2, 3, 9], fortran), encoding="bytes")[b"labels"] == [1, 2, 3, 9]
    images, labels = parse_batch(python2_batch(pixels, [1, 2, 3, 9], fortran), "data_batch_1")
    assert labels == [1, 2, 3, 9]
    assert images.shape == (4, 32, 32, 3)
    assert np.array_equal(images[2, :, :, 1], pixels[2].reshape(3, 32, 32)[1])


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "renamed.tgz"])
def test_the_archive_in_order(tmp_path, pixels, name):
    batches = {batch: python2_batch(pixels + i, [i] * 4) for i, batch in enumerate(BATCHES)}
    path = archive(tmp_path / name, {"cifar-10-batches-py/readme.html": b"x", **dict(reversed(batches.items()))})
    source = open_source(path)
    records = list(source.records)
    assert source.kind == "CIFAR-10"
    assert [record.label for record in records] == [i for i in range(5) for _ in range(4)]
    assert [record.index for record in records] == list(range(20))
    assert np.array_equal(np.asarray(records[5].data).transpose(2, 0, 1).reshape(-1), pixels[1] + 1)
    assert source.classes[9] == "truck"


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil(), 2),
        b"cos\nsystem\n(U\x04trueitR.",
        b"\x80\x02cbuiltins\neval\nU\x011\x85R.",
        b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
        b"\x80\x02cnumpy\nndarray\n.",
        b"\x80\x02}q\x01.",
        b"\x80\x02K\x01.",
        b"(i__builtin__\nexit\n.",
        b"",
        pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}, 2),
    ],
)
def test_foreign_pickles_do_nothing(data, capsys):
    with pytest.raises(InputError):
        parse_batch(data, "data_batch_1")
    assert capsys.readouterr().out == ""


def test_a_memo_number_claims_no_memory():
    """The C unpickler would make a table of 32 GiB for memo number 2^32 - 1."""
    tracemalloc.start()
    with pytest.raises(InputError, match="in order"):
        parse_batch(b"\x80\x02}r\xff\xff\xff\xff.", "data_batch_1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("labels", [[1, 2, 3], [1, 2, 3, 10], [1, 2, 3, 4, 5]])
def test_labels_must_fit(pixels, labels):
    with pytest.raises(InputError, match="class from 0 to 9"):
        parse_batch(python2_batch(pixels, labels), "data_batch_1")


def test_an_incomplete_archive(tmp_path, pixels):
    path = archive(tmp_path / "cifar-10-python.tar.gz", {BATCHES[0]: python2_batch(pixels, [0] * 4)})
    with pytest.raises(InputError, match="data_batch_2.*not there"):
        list(open_source(path).records)


def test_a_truncated_archive(tmp_path, pixels):
    batches = {name: python2_batch(np.roll(pixels, i) ^ i, [0] * 4) for i, name in enumerate(BATCHES)}
    path = archive(tmp_path / "cifar-10-python.tar.gz", batches)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz.*cannot be read"):
        list(open_source(path).records)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_mutated_batches_fail_cleanly(changes):
    whole = bytearray(python2_batch(np.zeros((2, 3072), np.uint8), [1, 2]))
    opcodes = [i for i in range(len(whole)) if not 400 < i < 400 + 2 * 3072 - 200]
    for at, value in changes:
        whole[opcodes[at % len(opcodes)]] = value
    try:
        images, labels = parse_batch(bytes(whole), "x")
    except InputError:
        return
    assert images.shape == (len(labels), 32, 32, 3)
