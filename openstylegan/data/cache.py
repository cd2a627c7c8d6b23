"""The raw cache: a dataset's decoded pixels as one memory-mapped file, for pictures at the speed of a copy.

A folder `raw-<content hash>` in the cache folder holds `pixels.u8`, uint8 [N, C, H, W] in the dataset's order without
mirroring, and `cache.json` with its shape and sums. It is published by one rename and belongs to the content, not to
the path. It is checked when it is opened: the size, and the SHA-256 of pictures spread over the file. It can be deleted
at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from openstylegan.data.progress import Advance, silent
from openstylegan.data.shapes import Shape
from openstylegan.errors import InputError
from openstylegan.files import atomic_folder, cache_folder, read_json, sha256_file, write_json

PIXELS, DESCRIPTION = "pixels.u8", "cache.json"
NUM_PROBES = 64
VERSION = 1


def cache_path(content: str) -> Path:
    """Where the raw cache of the content with this hash lies."""
    return cache_folder("datasets") / f"raw-{content}-v{VERSION}"


@dataclass
class RawCache:
    """Decoded pictures: `pixels` uint8 [N, C, H, W], read-only, mapped when first touched."""

    path: Path
    count: int
    image_shape: Shape

    @cached_property
    def pixels(self) -> np.ndarray:
        """The mapped file."""
        return np.memmap(self.path / PIXELS, np.uint8, "r", shape=(self.count, *self.image_shape))

    def probe(self) -> str:
        """SHA-256 of up to 64 pictures spread evenly over the file, the first and last among them."""
        picked = np.unique(np.linspace(0, self.count - 1, NUM_PROBES).astype(np.int64))
        digest = hashlib.sha256()
        for index in picked.tolist():
            digest.update(self.pixels[index].data)
        return digest.hexdigest()

    def verify(self) -> bool:
        """Whether the whole file still has the SHA-256 it was written with."""
        return sha256_file(self.path / PIXELS) == read_json(self.path / DESCRIPTION)["sha256"]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "pixels"}


def open_cache(content: str) -> RawCache | None:
    """The raw cache of the content with this hash; None when there is none or it does not pass its check."""
    path = cache_path(content)
    if not path.is_dir():
        return None
    try:
        told = read_json(path / DESCRIPTION)
        count, (channels, height, width) = int(told["count"]), map(int, told["image_shape"])
        cache = RawCache(path, count, (channels, height, width))
        whole = os.path.getsize(path / PIXELS) == count * channels * height * width
        return cache if whole and told["content"] == content and cache.probe() == told["probe"] else None
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None


def build_cache(
    content: str, pictures: Iterable[np.ndarray], count: int, image_shape: Shape, advance: Advance = silent
) -> RawCache:
    """Writes the raw cache of `pictures`, blocks uint8 [n, C, H, W] in order. Replaces one that failed its check.

    Raises `InputError` when there is no space, or what reading a picture raises; nothing is left behind then.
    """
    path = cache_path(content)
    if path.exists():
        discard(path)
    try:
        return write_cache(path, content, pictures, count, image_shape, advance)
    except OSError:
        if (other := open_cache(content)) is not None:  # another process of this run was faster
            return other
        raise


def write_cache(
    path: Path, content: str, pictures: Iterable[np.ndarray], count: int, image_shape: Shape, advance: Advance
) -> RawCache:
    """Writes and publishes the folder of a raw cache."""
    digest = hashlib.sha256()
    with atomic_folder(path) as temporary:
        with open(temporary / PIXELS, "wb") as file:
            for block in pictures:
                file.write(block.data)
                digest.update(block.data)
                advance(len(block))
        probe = RawCache(temporary, count, image_shape).probe()
        told = {"content": content, "count": count, "image_shape": image_shape, "dtype": "uint8"}
        write_json(temporary / DESCRIPTION, {**told, "sha256": digest.hexdigest(), "probe": probe})
    return RawCache(path, count, image_shape)


def discard(path: Path) -> None:
    """Deletes a raw cache, its description first, so that half a deletion is no cache."""
    for file in (DESCRIPTION, PIXELS):
        (path / file).unlink(missing_ok=True)
    path.rmdir()
