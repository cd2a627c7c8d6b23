"""Resizing bytes, grey or RGB, exactly as Pillow does it, four to nine times as fast where a C++ compiler is found.

Pillow resizes 8-bit pictures along the rows and down the columns; each pass sums bytes with weights of 22 fractional
bits and rounds to bytes. That leaves no freedom, so compiled code gives the same bytes (`resample.cpp`); it
is compared with the installed Pillow when it is loaded, and not used where they differ. The turned picture, on which
the pass along the rows works, is made once for all sizes.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from openstylegan.errors import InputError
from openstylegan.ops.native import SWITCH, compiled, find_compiler

SOURCE = Path(__file__).with_suffix(".cpp")
Order = Callable[[int, int, int, int], bool]
COLUMNS_FIRST: tuple[Order, ...] = (
    lambda width, height, new_width, new_height: height > new_height and height - new_height > 2 * (width - new_width),
    lambda width, height, new_width, new_height: False,
)
"""When Pillow makes the pass down the columns first, which changes the rounding: in newer versions, in older ones."""
COMPILED_CHANNELS = (1, 3)
"""Pillow multiplies colours with alpha before it resizes, which is left to it."""
RESIZE_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "nearest": Image.Resampling.NEAREST,
}


def as_image(pixels: np.ndarray) -> Image.Image:
    """Pixels [H, W, C] as a Pillow image."""
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def as_pixels(image: Image.Image) -> np.ndarray:
    """A Pillow image as pixels [H, W, C]."""
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def resize_by_pillow(pixels: np.ndarray, width: int, height: int, resize_filter: str) -> np.ndarray:
    """The reference, for any number of channels and any filter."""
    return as_pixels(as_image(pixels).resize((width, height), RESIZE_FILTERS[resize_filter]))


KERNELS: Mapping[str, tuple[int, float]] = {
    "box": (0, 0.5),
    "bilinear": (1, 1.0),
    "hamming": (2, 1.0),
    "bicubic": (3, 2.0),
    "lanczos": (4, 3.0),
}
"""Name -> (its number in the compiled code, half of its width)."""


class Weights(NamedTuple):
    """How a line of the result is made of lines of the picture: the first of them, how many, and their weights (int32,
    22 fractional bits)."""

    first: np.ndarray
    taps: np.ndarray
    weights: np.ndarray


class CompiledResampler:
    """The compiled passes. Raises `OSError` when the library at `path` cannot be loaded."""

    columns_first: Order

    def __init__(self, path: str):
        library = ctypes.CDLL(path)
        pointer, size, number = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int
        self._turn, self._blend = library.openstylegan_turn, library.openstylegan_blend
        self._turn.argtypes = [pointer, size, number, number, number, pointer]
        self._blend.argtypes = [pointer, size, size, pointer, pointer, pointer, number, number, pointer]
        self._weights = library.openstylegan_weights
        self._weights.argtypes = [number, ctypes.c_double, number, number, number, pointer, pointer, pointer]
        self._turn.restype = self._blend.restype = self._weights.restype = None
        self.weights = functools.lru_cache(maxsize=64)(self.make_weights)

    def make_weights(self, size: int, wanted: int, resize_filter: str) -> Weights:
        """The weights from `size` lines to `wanted`; those last asked for are kept in `weights`."""
        kernel, half = KERNELS[resize_filter]
        width = math.ceil(half * max(size / wanted, 1.0)) * 2 + 1
        made = Weights(*(np.zeros(shape, np.int32) for shape in (wanted, wanted, (wanted, width))))
        self._weights(kernel, half, size, wanted, width, *(part.ctypes.data for part in made))
        return made

    def turned(self, pixels: np.ndarray) -> np.ndarray:
        """[W, H, C] of pixels [H, W, C] whose rows are whole."""
        height, width, channels = pixels.shape
        out = np.empty((width, height, channels), np.uint8)
        self._turn(pixels.ctypes.data, pixels.strides[0], height, width, channels, out.ctypes.data)
        return out

    def blended(self, lines: np.ndarray, weights: Weights) -> np.ndarray:
        """Lines [n, ...] of bytes to as many as there are weights."""
        lanes = lines[0].size
        first, taps, table = weights
        out = np.empty((len(first), *lines.shape[1:]), np.uint8)
        places = (first.ctypes.data, taps.ctypes.data, table.ctypes.data, table.shape[1], len(first))
        self._blend(lines.ctypes.data, lanes, lanes, *places, out.ctypes.data)
        return out


def compile_resampler() -> str:
    """The path of the compiled library, made now if need be; "" where there is no compiler or it fails."""
    compiler = None if os.environ.get(SWITCH) == "0" else find_compiler()
    if compiler is None:
        return ""
    try:
        return str(compiled("resample", [SOURCE], compiler))
    except (OSError, subprocess.SubprocessError, InputError):
        return ""


@functools.cache
def load_resampler(path: str) -> CompiledResampler | None:
    """The library at `path`, if it can be loaded and does what the installed Pillow does."""
    if not path:
        return None
    try:
        library = CompiledResampler(path)
    except OSError:
        return None
    for columns_first in COLUMNS_FIRST:
        library.columns_first = columns_first
        if all(agrees(library, name) for name in KERNELS):
            return library
    return None


def agrees(library: CompiledResampler, resize_filter: str) -> bool:
    """Whether random pictures, made larger and smaller, come out as from Pillow."""
    pixels = np.random.RandomState(0).randint(0, 256, (37, 29, 3), np.uint8)
    sizes = ((11, 5), (8, 64), (50, 60), (35, 20), (24, 27), (24, 26))
    wanted = [resize_by_pillow(pixels, *size, resize_filter) for size in sizes]
    made = [Resizer(library)(pixels, *size, resize_filter) for size in sizes]
    return all(np.array_equal(a, b) for a, b in zip(wanted, made, strict=True))


class Resizer:
    """Resizes pixels [H, W, C] as Pillow does, compiled where that is known; one picture at several sizes at less cost.

    It remembers the last picture that it was given, so a picture must not be changed in place between two calls.
    """

    def __init__(self, library: CompiledResampler | None = None):
        self.passes = library
        self._last: tuple[np.ndarray | None, np.ndarray | None] = (None, None)

    def __call__(self, pixels: np.ndarray, width: int, height: int, resize_filter: str) -> np.ndarray:
        """The pixels resized; alpha is taken into account, so that invisible colours do not bleed."""
        if pixels.shape[:2] == (height, width):
            return pixels
        whole_rows = pixels.strides[1:] == (pixels.shape[2], 1)
        if self.passes is None or resize_filter not in KERNELS or not whole_rows:
            return resize_by_pillow(pixels, width, height, resize_filter)
        if pixels.shape[2] not in COMPILED_CHANNELS:
            return resize_by_pillow(pixels, width, height, resize_filter)
        return self._compiled(self.passes, pixels, width, height, resize_filter)

    def _compiled(
        self, library: CompiledResampler, pixels: np.ndarray, width: int, height: int, resize_filter: str
    ) -> np.ndarray:
        """Along the rows where the width changes and down the columns where the height does, in Pillow's order."""
        across = functools.partial(self._across, library, width=width, resize_filter=resize_filter)
        down = functools.partial(self._down, library, height=height, resize_filter=resize_filter)
        columns_first = library.columns_first(pixels.shape[1], pixels.shape[0], width, height)
        for one_pass in (down, across) if columns_first else (across, down):
            pixels = one_pass(pixels)
        return pixels

    def _across(self, library: CompiledResampler, pixels: np.ndarray, width: int, resize_filter: str) -> np.ndarray:
        """The pass along the rows."""
        if pixels.shape[1] == width:
            return pixels
        weights = library.weights(pixels.shape[1], width, resize_filter)
        return library.turned(library.blended(self._turned(library, pixels), weights))

    @staticmethod
    def _down(library: CompiledResampler, pixels: np.ndarray, height: int, resize_filter: str) -> np.ndarray:
        """The pass down the columns."""
        if pixels.shape[0] == height:
            return pixels
        weights = library.weights(pixels.shape[0], height, resize_filter)
        return library.blended(np.ascontiguousarray(pixels), weights)

    def _turned(self, library: CompiledResampler, pixels: np.ndarray) -> np.ndarray:
        """The picture turned, from memory when it is the same memory as before."""
        known, turned = self._last
        if turned is None or known is None or not same_memory(known, pixels):
            turned = library.turned(pixels)
            self._last = (pixels, turned)
        return turned


def same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same bytes of memory (both are alive, so an address is not used twice)."""
    return (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides)
