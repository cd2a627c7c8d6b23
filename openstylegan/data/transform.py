"""From a record of a source to a prepared picture: decode, set the mode, crop, resize, encode; done by the workers.

The crops and sizes are those of StyleGAN2-ADA's dataset tool (arXiv 2006.06676).

Differs from StyleGAN2-ADA: all transforms work on 1 to 4 channels; pictures are turned upright by their EXIF tag; what
was converted or could not be read is told, not dropped.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from openstylegan.data.decode import KEPT_MODES, decode_pixels, reason
from openstylegan.data.labels import Label
from openstylegan.data.png import encode_stored, read_header
from openstylegan.data.resample import Resizer, as_image, as_pixels, load_resampler
from openstylegan.data.sources.record import Record
from openstylegan.errors import InputError

MODE_OF_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Recipe:
    """How a picture is prepared. `mode`: keep, L, RGB or RGBA; `width`, `height` in pixels, None: as it is."""

    transform: str = "none"
    width: int | None = None
    height: int | None = None
    resize_filter: str = "lanczos"
    mode: str = "keep"
    encoder: str = "stored"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) where both are given, which the options' check sees to for the crops."""
        assert self.width is not None, "the crops need a width"
        assert self.height is not None, "the crops need a height"
        return self.width, self.height


@dataclass(frozen=True)
class Outcome:
    """What became of a record: a PNG a recipe, of which the last has the `shape` (C, H, W); or the `reason` why not."""

    index: int
    name: str
    label: Label | None
    pngs: tuple[bytes, ...] = ()
    shape: tuple[int, int, int] = (0, 0, 0)
    reason: str = ""
    notes: tuple[str, ...] = ()


def load(record: Record) -> tuple[np.ndarray, tuple[str, ...]]:
    """The record's pixels [H, W, C] and notes of what was converted. Raises whatever reading or decoding raises."""
    data = record.data if isinstance(record.data, bytes | np.ndarray) else record.data.load()
    if isinstance(data, np.ndarray):
        return data, ()
    pixels = decode_pixels(data)
    notes = []
    header = read_header(data)
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I") or (header is not None and header.depth == 16):
            notes.append("16 bits a sample reduced to 8 (the high byte kept)")
        elif image.mode not in KEPT_MODES:
            notes.append(f"mode {image.mode} converted to {MODE_OF_CHANNELS[pixels.shape[2]]}")
        if getattr(image, "n_frames", 1) > 1:
            notes.append("only the first frame taken")
        orientation = image.getexif().get(ORIENTATION_TAG, 1) if header is None or b"eXIf" in data else 1
    if orientation in range(2, 9):
        notes.append("turned upright by its EXIF orientation")
        pixels = upright(pixels, orientation)
    return pixels, tuple(notes)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels as the EXIF orientation 1..8 means them to be seen."""
    image = as_image(pixels)
    image.getexif()[ORIENTATION_TAG] = orientation
    return as_pixels(ImageOps.exif_transpose(image))


def set_mode(pixels: np.ndarray, mode: str) -> np.ndarray:
    """The pixels in `mode` (keep: as they are); alpha is composited on white where the mode has none."""
    if mode in ("keep", MODE_OF_CHANNELS[pixels.shape[2]]):
        return pixels
    image = as_image(pixels)
    if pixels.shape[2] in (2, 4) and mode in ("L", "RGB"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return as_pixels(image.convert(mode))


def keep_frame(pixels: np.ndarray, recipe: Recipe, resize: Resizer) -> np.ndarray:
    """The whole picture, resized where a width or height is given."""
    height, width = pixels.shape[:2]
    return resize(pixels, recipe.width or width, recipe.height or height, recipe.resize_filter)


def center_crop(pixels: np.ndarray, recipe: Recipe, resize: Resizer) -> np.ndarray:
    """The largest centred square, resized."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    square = pixels[(height - side) // 2 : (height + side) // 2, (width - side) // 2 : (width + side) // 2]
    return resize(square, *recipe.size, recipe.resize_filter)


def center_crop_wide(pixels: np.ndarray, recipe: Recipe, resize: Resizer) -> np.ndarray:
    """A centred band resized to width x height, on a black square of the width (the LSUN cars' form).

    Raises `InputError` when the picture is smaller than asked.
    """
    height, width = pixels.shape[:2]
    out_width, out_height = recipe.size
    band = round(out_width * height / width)
    if width < out_width or band < out_height:
        raise InputError(f"{width} x {height} is too small for a band of {out_width} x {out_height}")
    middle = pixels[(height - band) // 2 : (height + band) // 2]
    canvas = np.zeros((out_width, out_width, pixels.shape[2]), np.uint8)
    top = (out_width - out_height) // 2
    canvas[top : top + out_height] = resize(middle, out_width, out_height, recipe.resize_filter)
    return canvas


TRANSFORMS: dict[str, Callable[[np.ndarray, Recipe, Resizer], np.ndarray]] = {
    "none": keep_frame,
    "center-crop": center_crop,
    "center-crop-wide": center_crop_wide,
}


def encode_deflate(pixels: np.ndarray) -> bytes:
    """A compressed PNG by Pillow: smaller, several times slower to read, and its bytes depend on zlib's version."""
    buffer = io.BytesIO()
    as_image(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {"stored": encode_stored, "deflate": encode_deflate}


def prepare_record(record: Record, recipes: Sequence[Recipe], resampler: str = "") -> Outcome:
    """The record prepared by each recipe; whatever goes wrong with it is in the outcome, never raised.

    The recipes differ in size only. `resampler`: the path of a compiled one (`resample.py`).
    """
    try:
        resize = Resizer(load_resampler(resampler))
        pixels, notes = load(record)
        pixels = set_mode(pixels, recipes[0].mode)
        made = [TRANSFORMS[recipe.transform](pixels, recipe, resize) for recipe in recipes]
        pngs = tuple(ENCODERS[recipe.encoder](one) for recipe, one in zip(recipes, made, strict=True))
        height, width, channels = made[-1].shape
        return Outcome(record.index, record.name, record.label, pngs, (channels, height, width), notes=notes)
    except Exception as error:  # decoders raise whatever they like on damaged files
        return Outcome(record.index, record.name, record.label, reason=reason(error))


def crashed(record: Record) -> Outcome:
    """The outcome of a record that killed its worker."""
    return Outcome(record.index, record.name, record.label, reason="the decoder crashed or ran out of memory on it")
