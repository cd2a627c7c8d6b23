"""A TFRecord set as training data: the same dataset, to the hash, as the ZIP that is made of it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from openstylegan.data.dataset import open_dataset
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.data.sources.crc32c import crc32c, masked
from openstylegan.errors import InputError

PICTURES = np.random.default_rng(0).integers(0, 256, (7, 3, 16, 16), dtype=np.uint8)


def framed(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked(crc32c(head))) + data + struct.pack("<I", masked(crc32c(data)))


def number(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def field(data: bytes, name: int = 1) -> bytes:
    return number(name << 3 | 2) + number(len(data)) + data


def example(picture: np.ndarray) -> bytes:
    shape = field(field(field(b"".join(map(number, picture.shape))), 3), 2)
    pixels = field(field(field(picture.tobytes())), 2)
    return field(field(field(b"shape") + shape) + field(field(b"data") + pixels))


def write_set(folder: Path, pictures: np.ndarray | list[np.ndarray], labels: np.ndarray | None = None) -> Path:
    """`pictures` [N, C, 16, 16] and, below them, their 2x2 means, as the StyleGAN1 programs write them."""
    folder.mkdir(exist_ok=True)
    means = [p.astype(np.float32).reshape(len(p), 8, 2, 8, 2).mean((2, 4)).round().astype(np.uint8) for p in PICTURES]
    for level, own in ((3, means), (4, pictures)):
        (folder / f"cats-r{level:02d}.tfrecords").write_bytes(b"".join(framed(example(p)) for p in own))
    if labels is not None:
        with open(folder / "cats-rxx.labels", "wb") as file:
            np.save(file, labels)
    return folder


@pytest.mark.parametrize("labels", [None, np.eye(3, dtype=np.float32)[[0, 2, 1, 1, 0, 2, 2]]], ids=["plain", "classes"])
def test_it_is_the_dataset_that_the_tool_makes_of_it(tmp_path: Path, labels: np.ndarray | None) -> None:
    folder = write_set(tmp_path / "cats", PICTURES, labels)
    prepare(folder, tmp_path / "cats.zip", PrepareOptions(workers=1))
    direct, archive = (open_dataset(p, use_labels=True) for p in (folder, tmp_path / "cats.zip"))
    assert direct.image_shape == (3, 16, 16) and len(direct) == 7 and direct.name == "cats"
    everything = np.arange(7)
    assert np.array_equal(direct.images(everything), PICTURES)
    assert np.array_equal(direct.labels(everything), archive.labels(everything))
    assert direct.label_dim == (0 if labels is None else 3)
    assert direct.content_hash == archive.content_hash
    flipped = open_dataset(folder, xflip=True)
    assert np.array_equal(flipped.images(np.array([9])), PICTURES[2:3, :, :, ::-1])


def test_a_file_alone_may_be_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "cats", PICTURES)
    assert open_dataset(folder / "cats-r03.tfrecords").image_shape == (3, 8, 8)


def test_another_shape_of_the_same_length_is_found_when_it_is_read(tmp_path: Path) -> None:
    odd = [*PICTURES[:6], PICTURES[6].reshape(3, 8, 32)]
    dataset = open_dataset(write_set(tmp_path / "cats", odd))
    assert np.array_equal(dataset.images(np.arange(6)), PICTURES[:6])
    with pytest.raises(InputError, match="RGB pictures of 16 x 16|32 x 8|img00000006"):
        dataset.images(np.array([6]))


def test_another_length_is_found_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="to be like the first"):
        open_dataset(write_set(tmp_path / "cats", [*PICTURES[:6], PICTURES[6, :, :8]]))


def test_damage_and_missing_labels_are_told(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "cats", PICTURES)
    path = folder / "cats-r04.tfrecords"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"img00000006\.png in .*does not match its checksum"):
        open_dataset(folder).images(np.array([6]))
    path.write_bytes(whole[:-5])
    with pytest.raises(InputError, match="damaged or cut off"):
        open_dataset(folder)
    write_set(folder, PICTURES, np.array([0, 1]))
    with pytest.raises(InputError, match="label for each of the 7 pictures .* got 2"):
        open_dataset(folder)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no record"):
        open_dataset(folder)
