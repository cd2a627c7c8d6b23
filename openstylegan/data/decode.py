"""One picture's bytes to pixels: uint8, 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; nothing is guessed in silence.

Fastest first: stored PNG (`png.py`), pyspng when installed, Pillow for everything else.

Differs from StyleGAN2-ADA: a palette picture becomes RGB (RGBA when it has transparency) instead of its indices; 16-bit
pictures keep their high byte; bitmaps, CMYK, YCbCr, Lab and HSV are converted; LA and RGBA are kept.
"""

from __future__ import annotations

import functools
import importlib
import io
import os
from types import ModuleType

import numpy as np
from PIL import Image

from openstylegan.data.png import PngHeader, check_chunks, decode_stored, read_header
from openstylegan.errors import InputError

KEPT_MODES = ("L", "LA", "RGB", "RGBA")
CONVERTED_MODES = {
    "1": "L",
    "La": "LA",
    "RGBa": "RGBA",
    "PA": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
}
PYSPNG_COLOURS = (0, 2, 6)


@functools.cache
def pyspng() -> ModuleType | None:
    """The pyspng module, or None when it is not installed."""
    try:
        return importlib.import_module("pyspng")
    except ImportError:
        return None


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Endings, such as ".png", of the files that Pillow knows, in lower case."""
    Image.init()
    return frozenset(Image.EXTENSION)


def is_picture(name: str) -> bool:
    """Whether the file `name` has the ending of a picture. macOS resource forks (`._x.png`, `__MACOSX/`) are none."""
    base = name.rsplit("/", 1)[-1]
    if base.startswith("._") or name.startswith("__MACOSX/"):
        return False
    return os.path.splitext(base)[1].lower() in picture_suffixes()


def high_byte(image: Image.Image) -> np.ndarray:
    """[H, W] bytes of a 16-bit grey picture: its value divided by 256, so that 0..65535 falls evenly on 0..255."""
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise InputError(f"values from {values.min()} to {values.max()} do not fit 16 bits")
    return (values.astype(np.uint32) >> 8).astype(np.uint8)


def to_bytes(image: Image.Image) -> np.ndarray:
    """The pixels [H, W, C] of a picture of any mode. Raises `InputError` for modes without a fixed range ("F")."""
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in CONVERTED_MODES:
        image = image.convert(CONVERTED_MODES[image.mode])
    if image.mode.startswith("I"):
        pixels = high_byte(image)
    elif image.mode in KEPT_MODES:
        pixels = np.asarray(image)
    else:
        raise InputError(f"pictures of mode {image.mode} have no fixed range of values")
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def decode_pixels(data: bytes) -> np.ndarray:
    """The pixels [H, W, C] of an encoded picture. Raises whatever its decoder raises on damage (`reason` words it)."""
    header = read_header(data)
    if header is not None and header.is_plain and (pixels := decode_stored(data, header)) is not None:
        return pixels
    if header is not None:
        check_chunks(data)
        if header.is_plain and (pixels := _decode_with_pyspng(data, header)) is not None:
            return pixels
    with Image.open(io.BytesIO(data)) as image:
        return to_bytes(image)


def _decode_with_pyspng(data: bytes, header: PngHeader) -> np.ndarray | None:
    spng = pyspng()
    if spng is None or header.colour not in PYSPNG_COLOURS:
        return None
    pixels = spng.load(data)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return pixels if pixels.shape[2] == header.shape[0] else None


def reason(error: Exception) -> str:
    """Why a picture could not be read, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "the file is empty or is no picture" if "cannot identify image file" in text else text


def decode(data: bytes, name: str) -> np.ndarray:
    """The pixels [H, W, C] of an encoded picture. Raises `InputError` naming the file `name` when it is damaged."""
    try:
        return decode_pixels(data)
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise InputError(
            f"expected a picture in {name}, but it cannot be decoded ({reason(error)}); replace or remove it"
        ) from error


def shape_of(data: bytes, name: str) -> tuple[int, int, int]:
    """(C, H, W) that `decode` would return, read from the header alone where the format tells it."""
    header = read_header(data)
    if header is not None and header.is_plain:
        return header.shape
    try:
        with Image.open(io.BytesIO(data)) as image:
            return channels_of_mode(image), image.height, image.width
    except Exception as error:
        raise InputError(
            f"expected a picture in {name}, but its header cannot be read ({reason(error)}); replace or remove it"
        ) from error


def channels_of_mode(image: Image.Image) -> int:
    """How many channels `to_bytes` gives for this (not yet decoded) picture."""
    if image.mode == "P":
        return 4 if "transparency" in image.info else 3
    return {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(CONVERTED_MODES.get(image.mode, image.mode), 1)
