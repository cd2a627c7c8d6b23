"""Stored PNGs: readable by everyone, the same bytes everywhere, no damage unseen."""

from __future__ import annotations

import contextlib
import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from openstylegan.data.decode import decode
from openstylegan.data.png import check_chunks, decode_stored, encode_stored, read_header
from openstylegan.errors import InputError


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (130, 200)])
def test_round_trip_and_pillow_agree(images, channels, height, width):
    image = images(1, channels, height, width)[0]
    data = encode_stored(image)
    header = read_header(data)
    assert header is not None
    assert header.shape == (channels, height, width)
    assert np.array_equal(decode_stored(data, header), image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))).reshape(image.shape), image)
    check_chunks(data)


def test_pyspng_agrees(images):
    pyspng = pytest.importorskip("pyspng")
    image = images(1, 3, 130, 200)[0]
    assert np.array_equal(pyspng.load(encode_stored(image)), image)


def test_the_bytes_are_pinned():
    """Datasets are known by the hash of these bytes: a change of the encoder must be meant."""
    image = (np.arange(200 * 150 * 3) % 251).astype(np.uint8).reshape(200, 150, 3)
    assert hashlib.sha256(encode_stored(image)).hexdigest() == PINNED


PINNED = "52d45c0b22ecdfdb7f9c50b76bca51a20099f83f0dbbb378b76a79d29b1df222"


def test_files_of_others_are_left_to_other_decoders(images, as_png):
    image = images(1, 3, 9, 9)[0]
    compressed = as_png(image)
    assert decode_stored(compressed, read_header(compressed)) is None
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=0)
    assert np.array_equal(decode(buffer.getvalue(), "x.png"), image)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_no_damage_to_the_pixels_goes_unseen(data):
    """Any changed byte of the file is an error or changes nothing that is decoded."""
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    whole = encode_stored(image)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(InputError):
        assert np.array_equal(decode(bytes(damaged), "x.png"), image)


@pytest.mark.parametrize("encode", ["stored", "compressed"])
def test_every_truncation_is_an_error(images, as_png, encode):
    image = images(1, 3, 20, 30)[0]
    whole = encode_stored(image) if encode == "stored" else as_png(image)
    for size in [0, 7, 8, 20, 33, 40, 60, len(whole) // 2, len(whole) - 13, len(whole) - 1]:
        with pytest.raises(InputError, match=r"x\.png"):
            decode(whole[:size], "x.png")


def test_a_changed_byte_of_a_compressed_png_is_an_error(images, as_png):
    whole = as_png(images(1, 3, 20, 30)[0])
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    with pytest.raises(InputError, match="checksum"):
        decode(bytes(damaged), "x.png")
