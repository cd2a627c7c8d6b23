"""The compiled resampler gives Pillow's bytes: every filter, larger and smaller, odd sizes, crops."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from PIL import Image

from openstylegan.data import resample
from openstylegan.data.resample import KERNELS, RESIZE_FILTERS, Resizer, compile_resampler, load_resampler


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        path = compile_resampler()
        found = load_resampler(path)
    if not path:
        pytest.skip("no C++ compiler here")
    assert found is not None, "what was compiled agrees with Pillow"
    return found


def by_pillow(pixels, width, height, name):
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    return np.asarray(image.resize((width, height), RESIZE_FILTERS[name])).reshape(height, width, -1)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_bytes_are_pillows(library, images, name, channels):
    resize = Resizer(library)
    for height, width in ((64, 64), (61, 83), (5, 200), (1, 1), (130, 2)):
        picture = images(1, channels, height, width, seed=height)[0]
        for wanted in ((32, 32), (8, 8), (83, 61), (1, 1), (7, 150), (width, 9), (9, height)):
            assert np.array_equal(resize(picture, *wanted, name), by_pillow(picture, *wanted, name)), (height, width)


def test_extremes_are_cut_to_bytes_as_pillow_cuts_them(library):
    """Lanczos overshoots at edges: sums below 0 and above 255."""
    picture = np.kron(np.random.RandomState(0).randint(0, 2, (16, 16, 1)), np.ones((4, 4, 1))).astype(np.uint8) * 255
    for size in (40, 100):
        made = Resizer(library)(picture, size, size, "lanczos")
        assert np.array_equal(made, by_pillow(picture, size, size, "lanczos"))
        assert {0, 255} <= set(np.unique(made))


def test_crops_and_several_pictures_through_one_resizer(library, images):
    """The turned picture that it remembers belongs to one crop only."""
    resize = Resizer(library)
    for picture in images(3, 3, 40, 50):
        for region in (picture, picture[3:33, 5:35], picture[4:34, 5:35], picture[3:33, 5:34]):
            for size in (16, 8):
                assert np.array_equal(resize(region, size, size, "lanczos"), by_pillow(region, size, size, "lanczos"))


def test_alpha_and_nearest_are_left_to_pillow(library, images):
    for channels, name in ((4, "lanczos"), (2, "box"), (3, "nearest")):
        picture = images(1, channels, 20, 30)[0]
        assert np.array_equal(Resizer(library)(picture, 9, 7, name), by_pillow(picture, 9, 7, name))


def test_without_a_compiler(monkeypatch, images):
    monkeypatch.setenv("OPENSTYLEGAN_COMPILE", "0")
    assert compile_resampler() == ""
    assert load_resampler("") is None
    picture = images(1)[0]
    assert np.array_equal(Resizer()(picture, 3, 4, "lanczos"), by_pillow(picture, 3, 4, "lanczos"))


def test_a_failing_compiler_only_costs_time(monkeypatch, tmp_path):
    monkeypatch.setattr(resample, "SOURCE", tmp_path / "missing.cpp")
    assert compile_resampler() == ""


def test_one_that_disagrees_with_pillow_is_not_used(library, monkeypatch):
    """Pillow may change; then its bytes count."""
    odd = functools.partial(resample.resize_by_pillow)
    monkeypatch.setattr(resample, "resize_by_pillow", lambda *arguments: odd(*arguments) ^ 1)
    assert not resample.agrees(library, "lanczos")


def test_a_file_that_is_no_library(tmp_path):
    (tmp_path / "x.so").write_bytes(b"no library")
    assert load_resampler(str(tmp_path / "x.so")) is None
