"""What a discriminator judges: one image tensor, or one picture at several resolutions; and images as bytes."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from openstylegan.files import atomic_path

Images = Tensor | tuple[Tensor, ...]
"""`[N, C, H, W]` in [-1, 1], or a tuple of such: one picture at several resolutions, smallest first."""


def leaves(images: Images) -> tuple[Tensor, ...]:
    """The tensors of `images`, smallest first."""
    return images if isinstance(images, tuple) else (images,)


def map_images(function: Callable[..., Tensor], *images: Images) -> Images:
    """`function` applied to the tensors of `images`, scale by scale."""
    if isinstance(images[0], tuple):
        return tuple(function(*scale) for scale in zip(*(leaves(i) for i in images), strict=True))
    return function(*images)


def from_uint8(images: Tensor) -> Tensor:
    """Bytes 0..255 to float32 in [-1, 1]: x / 127.5 - 1."""
    return images.to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to bytes as generating and measuring do: clamp(127.5 x + 128, 0, 255), truncated."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def to_uint8_rounded(images: Tensor) -> Tensor:
    """[-1, 1] to bytes as the training grids do: 127.5 (x + 1) rounded to the nearest, clipped."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def enlarged(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """[N, C, h, w] as [N, C, *shape], every pixel repeated."""
    return images if images.shape[2:] == shape else F.interpolate(images, shape, mode="nearest")


def tile(images: Tensor | np.ndarray, columns: int) -> np.ndarray:
    """Bytes [N, C, H, W] as one HWC picture of `columns` a row, filled row by row; empty cells are black."""
    array = images.cpu().numpy() if isinstance(images, Tensor) else images
    n, c, h, w = array.shape
    rows = -(-n // columns)
    cells = np.zeros((rows * columns, c, h, w), np.uint8)
    cells[:n] = array
    return cells.reshape(rows, columns, c, h, w).transpose(0, 3, 1, 4, 2).reshape(rows * h, columns * w, c)


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes bytes [H, W, C] (C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA) as a PNG, atomically."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[image.shape[2]]
    with atomic_path(path) as temporary:
        Image.fromarray(image[:, :, 0] if mode == "L" else image, mode).save(temporary, format="PNG")
