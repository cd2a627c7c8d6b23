"""The pictures that a projector is to find: read, cropped and resized to what the network draws.

As StyleGAN2-ADA's projector: the largest centred square, resized with Lanczos; for a network that is not square, the
largest centred part of its proportions. Differs from the original: pictures are turned upright by their EXIF tag, and
brought to the network's channels (transparency on white).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openstylegan.data.decode import is_picture, reason
from openstylegan.data.resample import Resizer
from openstylegan.data.sources.record import Record
from openstylegan.data.transform import MODE_OF_CHANNELS, load, set_mode
from openstylegan.errors import InputError


@dataclass(frozen=True)
class Target:
    """A picture to be projected: its `name`, which stands for it in file names, and uint8 [C, H, W].

    `true_ws` [1, num_ws, w_dim] is what it was made from, where that is known.
    """

    name: str
    image: Tensor
    true_ws: Tensor | None = None


def target_files(places: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The picture files that `places` name: files as given, and all pictures of folders. Raises `InputError`."""
    files: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            found = sorted(p for p in place.iterdir() if p.is_file() and is_picture(p.name))
            if not found:
                raise InputError(f"expected pictures in the folder {place}, found none; check --target")
            files += found
        elif place.is_file():
            files.append(place)
        else:
            raise InputError(f"expected a picture or a folder of pictures at {place}, but nothing is there")
    return files


def read_targets(places: Sequence[str | os.PathLike[str]], shape: tuple[int, int, int]) -> list[Target]:
    """The targets at `places` in the `shape` (C, H, W) of a network, named as their files. Raises `InputError`."""
    files = target_files(places)
    seen = Counter(p.stem for p in files)
    names = [p.stem if seen[p.stem] == 1 else f"{p.stem}-{n:02d}" for n, p in enumerate(files)]
    return [Target(name, read_target(p, shape)) for name, p in zip(names, files, strict=True)]


def read_target(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """The picture in a file as uint8 [C, H, W] of `shape`. Raises `InputError`."""
    channels, height, width = shape
    try:
        pixels, _ = load(Record(0, path.name, path.read_bytes()))
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise InputError(f"expected a picture in {path}, but it cannot be decoded ({reason(error)})") from error
    part = cropped(set_mode(pixels, MODE_OF_CHANNELS[channels]), height, width)
    resized = Resizer()(part, width, height, "lanczos")
    return torch.tensor(resized).permute(2, 0, 1).contiguous()


def cropped(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest centred part of `pixels` [H, W, C] with the proportions `height` : `width`."""
    full_height, full_width = pixels.shape[:2]
    scale = min(full_height / height, full_width / width)
    part_height, part_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (full_height - part_height) // 2, (full_width - part_width) // 2
    return pixels[top : top + part_height, left : left + part_width]
