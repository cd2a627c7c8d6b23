"""Pictures as files, in the quality that a connection bears.

Small pictures go lossless, and the larger a picture or the slower the connection, the more is left out. What a picture
costs is the time of encoding it and from sending it to the page's word that it is decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

MIME = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
LOSSLESS_PIXELS = 256 * 256
"""Up to here a picture begins lossless: a PNG takes 2 ms, and blocks of JPEG would show when it is enlarged."""
TINY_PIXELS = 64 * 64
"""Up to here a PNG has about as few bytes as a good JPEG, so it stays."""
TARGET_MS = 33.0
PATIENCE, STEADY = 3, 12
"""So many pictures in a row must be dear before the quality falls, and cheap before it rises."""


@dataclass(frozen=True)
class Quality:
    """A format, and the quality of a lossy one (1 to 100)."""

    format: str
    quality: int | None = None

    @property
    def lossless(self) -> bool:
        """Whether nothing is left out."""
        return self.quality is None


LOSSLESS = Quality("png")
LADDER = (
    LOSSLESS,
    Quality("jpeg", 94),
    Quality("jpeg", 85),
    Quality("jpeg", 72),
    Quality("jpeg", 55),
    Quality("jpeg", 35),
)


def encode(image: np.ndarray, quality: Quality) -> bytes:
    """uint8 [H, W, C] as a file; JPEG of pictures with alpha is WebP instead, see `format_for`."""
    channels = image.shape[2]
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image, MODES[channels])
    buffer = io.BytesIO()
    if quality.quality is None:
        picture.save(buffer, "PNG", compress_level=1)
    elif quality.format == "jpeg":
        picture.save(buffer, "JPEG", quality=quality.quality, subsampling=0 if quality.quality >= 90 else -1)
    else:
        picture.convert("RGBA").save(buffer, "WEBP", quality=quality.quality, method=0)
    return buffer.getvalue()


def format_for(quality: Quality, channels: int) -> Quality:
    """`quality` in a format that holds `channels`: JPEG has no alpha."""
    return Quality("webp", quality.quality) if quality.format == "jpeg" and channels in (2, 4) else quality


def smaller(image: np.ndarray, shown_width: int) -> tuple[np.ndarray, int]:
    """`image` made smaller by the mean of whole blocks while it is more than twice as wide as it is shown (0: never);
    and by how much."""
    factor = 1
    while shown_width and image.shape[1] > 2 * shown_width * factor:
        factor *= 2
    height, width = (side // factor * factor for side in image.shape[:2])
    if factor == 1 or not height or not width:
        return image, 1
    blocks = image[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return blocks.mean((1, 3), dtype=np.float32).round().astype(np.uint8), factor


class Pace:
    """Which quality a connection has, from what its last pictures cost."""

    def __init__(self) -> None:
        self.rung: int | None = None
        self.cheap = self.dear = 0

    def quality(self, pixels: int) -> Quality:
        """For a picture of so many pixels."""
        if pixels <= TINY_PIXELS:
            return LOSSLESS
        if self.rung is None:
            self.rung = 0 if pixels <= LOSSLESS_PIXELS else 1
        return LADDER[self.rung]

    def note(self, cost_ms: float) -> None:
        """A picture took `cost_ms` to encode, to travel and to be decoded."""
        self.dear = self.dear + 1 if cost_ms > 2 * TARGET_MS else 0
        self.cheap = self.cheap + 1 if cost_ms < TARGET_MS else 0
        if self.dear >= PATIENCE:
            self.step(1)
        elif self.cheap >= STEADY:
            self.step(-1)

    def step(self, rungs: int) -> None:
        """Down the ladder, or up."""
        self.cheap = self.dear = 0
        if self.rung is not None:
            self.rung = min(max(self.rung + rungs, 0), len(LADDER) - 1)
