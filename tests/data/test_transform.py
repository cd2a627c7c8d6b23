"""One record prepared: crops, sizes and modes as in StyleGAN2-ADA's tool, on 1 to 4 channels; every fault told."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from openstylegan.data.decode import decode
from openstylegan.data.sources.record import Record, Unreadable
from openstylegan.data.transform import ENCODERS, TRANSFORMS, Recipe, prepare_record, set_mode


def done(data, **recipe):
    return prepare_record(Record(3, "a.png", data, 7), [Recipe(**recipe)])


def pixels_of(outcome):
    assert outcome.reason == ""
    return decode(outcome.pngs[0], "x")


def lanczos(image, width, height):
    grey = image.shape[2] == 1
    resized = Image.fromarray(image[:, :, 0] if grey else image).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(height, width, -1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_as_it_is(images, as_png, channels):
    image = images(1, channels)[0]
    for data in (as_png(image), image):
        outcome = done(data)
        assert (outcome.index, outcome.name, outcome.label, outcome.shape) == (3, "a.png", 7, (channels, 8, 6))
        assert np.array_equal(pixels_of(outcome), image)
        assert outcome.notes == ()


@pytest.mark.parametrize(("width", "height"), [(4, 4), (4, None), (None, 5), (6, 8)])
def test_resized_where_asked(images, width, height):
    image = images(1)[0]
    expected = image if (width, height) == (6, 8) else lanczos(image, width or 6, height or 8)
    assert np.array_equal(pixels_of(done(image, width=width, height=height)), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(9, 6), (6, 9), (8, 8)])
def test_center_crop(images, channels, height, width):
    image = images(1, channels, height, width)[0]
    side, top, left = min(height, width), (height - min(height, width)) // 2, (width - min(height, width)) // 2
    expected = lanczos(image[top : top + side, left : left + side], 5, 4)
    assert np.array_equal(pixels_of(done(image, transform="center-crop", width=5, height=4)), expected)


def test_center_crop_wide(images):
    image = images(1, 3, 30, 40)[0]
    band = round(16 * 30 / 40)
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[3:13] = lanczos(image[(30 - band) // 2 : (30 + band) // 2], 16, 10)
    assert np.array_equal(pixels_of(done(image, transform="center-crop-wide", width=16, height=10)), expected)


@pytest.mark.parametrize(("height", "width"), [(30, 15), (10, 40)])
def test_center_crop_wide_drops_small_pictures(images, height, width):
    outcome = done(images(1, 3, height, width)[0], transform="center-crop-wide", width=16, height=10)
    assert "too small for a band of 16 x 10" in outcome.reason
    assert outcome.pngs == ()


def test_filters_differ(images):
    image = images(1, 3, 16, 16)[0]
    results = {
        bytes(done(image, width=6, height=6, resize_filter=name).pngs[0]) for name in ("lanczos", "box", "bilinear")
    }
    assert len(results) == 3


def test_modes(images):
    rgb = images(1)[0]
    assert np.array_equal(set_mode(rgb, "L"), np.asarray(Image.fromarray(rgb).convert("L"))[:, :, None])
    assert np.array_equal(set_mode(rgb, "RGBA"), np.dstack([rgb, np.full((8, 6), 255, np.uint8)]))
    grey = rgb[:, :, :1]
    assert np.array_equal(set_mode(grey, "RGB"), np.repeat(grey, 3, axis=2))
    clear = np.dstack([rgb, np.zeros((8, 6), np.uint8)])
    assert (set_mode(clear, "RGB") == 255).all(), "what is transparent is white"
    assert np.array_equal(set_mode(np.dstack([rgb, np.full((8, 6), 255, np.uint8)]), "RGB"), rgb)
    assert (set_mode(np.dstack([grey, grey * 0]), "L") == 255).all()
    assert set_mode(clear, "keep") is clear


def test_alpha_is_weighed_when_resizing():
    """An invisible red neighbour leaves no red fringe."""
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, :4] = (0, 0, 255, 255)
    image[:, 4:] = (255, 0, 0, 0)
    small = pixels_of(done(image, width=3, height=3))
    assert small[..., 0][small[..., 3] > 0].max() <= 2


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_conversions_are_noted(images):
    image = Image.fromarray(images(1)[0])
    sixteen = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(8, 6) * 1000)
    assert done(saved(image.quantize(8), "PNG")).notes == ("mode P converted to RGB",)
    assert done(saved(image.convert("CMYK"), "TIFF")).notes == ("mode CMYK converted to RGB",)
    assert done(saved(sixteen, "PNG")).notes == ("16 bits a sample reduced to 8 (the high byte kept)",)
    frames = saved(image, "GIF", save_all=True, append_images=[image.rotate(90)])
    assert "only the first frame taken" in done(frames).notes


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_upright(images, orientation, kind):
    image = Image.fromarray(images(1, 3, 16, 24)[0])
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, tagged = saved(image, kind), done(saved(image, kind, exif=exif))
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    assert np.array_equal(pixels_of(tagged), np.rot90(decode(plain, "x"), turns))
    assert (tagged.notes != ()) == (orientation != 1)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", Unreadable("the disk is gone")])
def test_faults_are_told_not_raised(data):
    outcome = done(data)
    assert outcome.pngs == ()
    assert outcome.reason
    assert "\n" not in outcome.reason


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_encoder_is_lossless(images, name, channels):
    image = images(1, channels)[0]
    assert np.array_equal(decode(ENCODERS[name](image), "x"), image)


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_transform_keeps_the_channels(images, name, channels):
    outcome = done(images(1, channels, 20, 30)[0], transform=name, width=8, height=4)
    assert outcome.shape[0] == channels
    assert pixels_of(outcome).shape == (*outcome.shape[1:], channels)
