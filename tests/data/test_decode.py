"""Every kind of picture becomes bytes, or one line that names the file."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from openstylegan.data import decode as decoding
from openstylegan.data.decode import decode, is_picture, shape_of
from openstylegan.data.png import SIGNATURE, chunk, stored_deflate
from openstylegan.errors import InputError


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png16(values: np.ndarray) -> bytes:
    """A 16-bit PNG of [H, W] or [H, W, 3], which Pillow cannot write in colour."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    colour = 0 if values.ndim == 2 else 2
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", stored_deflate(rows)) + chunk(b"IEND", b"")


RGB = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
IMAGE = Image.fromarray(RGB)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_plain_modes_are_kept(mode):
    expected = np.asarray(IMAGE.convert(mode)).reshape(5, 4, -1)
    data = saved(IMAGE.convert(mode))
    assert np.array_equal(decode(data, "x"), expected)
    assert shape_of(data, "x") == expected.transpose(2, 0, 1).shape


@pytest.mark.parametrize(
    ("image", "kind", "channels"),
    [
        (IMAGE.quantize(8), "PNG", 3),
        (IMAGE.convert("1"), "PNG", 1),
        (IMAGE.convert("CMYK"), "TIFF", 3),
        (IMAGE.convert("YCbCr"), "TIFF", 3),
        (IMAGE, "JPEG", 3),
        (IMAGE, "WEBP", 3),
        (IMAGE, "BMP", 3),
    ],
)
def test_others_are_converted(image, kind, channels):
    data = saved(image, kind)
    pixels = decode(data, "x")
    assert pixels.shape == (5, 4, channels)
    assert pixels.dtype == np.uint8
    assert shape_of(data, "x") == (channels, 5, 4)
    with Image.open(io.BytesIO(data)) as again:
        assert np.array_equal(pixels, np.asarray(again.convert("L" if channels == 1 else "RGB")).reshape(pixels.shape))


def test_a_palette_gives_colours_not_indices():
    palette = IMAGE.quantize(8)
    pixels = decode(saved(palette), "x")
    assert np.array_equal(pixels, np.asarray(palette.convert("RGB")))
    assert pixels.max() > 7


def test_a_palette_with_transparency_gives_rgba():
    data = saved(IMAGE.quantize(8), transparency=0)
    assert decode(data, "x").shape == (5, 4, 4)
    assert shape_of(data, "x") == (4, 5, 4)


def test_16_bit_keeps_the_high_byte():
    grey = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
    assert np.array_equal(decode(png16(grey), "x")[:, :, 0], grey >> 8)
    assert shape_of(png16(grey), "x") == (1, 2, 3)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2)
    assert np.array_equal(decode(png16(colour), "x"), colour >> 8)


def test_floats_are_refused():
    data = saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    with pytest.raises(InputError, match="f.tiff.*no fixed range"):
        decode(data, "f.tiff")


def test_integers_beyond_16_bits_are_refused():
    data = saved(Image.fromarray(np.array([[70000, 1]], np.int32)), "TIFF")
    with pytest.raises(InputError, match="do not fit 16 bits"):
        decode(data, "x")


@pytest.mark.parametrize("data", [b"", b"no picture at all", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_named(data):
    with pytest.raises(InputError, match=r"a/b\.jpg") as raised:
        decode(data, "a/b.jpg")
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"a/b\.jpg"):
        shape_of(data, "a/b.jpg")


def test_a_truncated_jpeg_is_named():
    whole = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")
    with pytest.raises(InputError, match=r"b\.jpg.*truncated"):
        decode(whole[: len(whole) // 2], "b.jpg")


def test_the_same_without_pyspng(monkeypatch):
    data = saved(IMAGE)
    fast = decode(data, "x")
    monkeypatch.setattr(decoding, "pyspng", lambda: None)
    assert np.array_equal(decode(data, "x"), fast)


def test_names_of_pictures():
    assert is_picture("a/B.PNG")
    assert is_picture("x.jpeg")
    assert not is_picture("dataset.json")
    assert not is_picture("__MACOSX/a/x.png")
    assert not is_picture("a/._x.png")
    assert not is_picture("png")
