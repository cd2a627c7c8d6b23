"""What a feature extractor is: a frozen network from pictures as bytes to one row of features each.

An extractor's `protocol` says all that a number computed from its features depends on: the weights by their SHA-256
and what is done to a picture before the network sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.features.weights import FoundWeights, WeightFile

CHUNK_ON_CPU, CHUNK_ON_GPU = 4, 64
"""Images at a time: few on a CPU, where the feature maps then stay near the caches (34 against 28 images/s at 8)."""


class FeatureExtractor(Protocol):
    """Pictures to features. `sha256` is that of the weights; `protocol` holds it too."""

    name: str
    num_features: int
    sha256: str

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Everything the features depend on, as plain values."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, num_features] of `images` uint8 [N, C, H, W] (C = 1 to 4), on the extractor's device."""


@dataclass(frozen=True)
class ExtractorKind:
    """An entry of `EXTRACTORS`: which weights it needs, and how it is made from them."""

    weights: WeightFile
    load: Callable[[FoundWeights, torch.device], FeatureExtractor]


def as_rgb(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] of uint8 [N, C, H, W]: grey is repeated, alpha (the last of 2 or 4 channels) laid on white.

    On white: colour * a / 255 + 255 - a, rounded. Raises `InputError` for anything else.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or not 1 <= images.shape[1] <= 4:
        raise InputError(
            f"expected images as uint8 [N, C, H, W] with 1 to 4 channels, got {images.dtype} {list(images.shape)}; "
            "convert them with openstylegan.images.to_uint8"
        )
    if images.shape[1] in (2, 4):
        colour, alpha = images[:, :-1].to(torch.float32), images[:, -1:].to(torch.float32)
        images = (colour * (alpha / 255) + (255 - alpha)).round().to(torch.uint8)
    return images.expand(-1, 3, -1, -1)


def in_chunks(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`function` of `images` in chunks of one fixed size, the last one filled up with its own last image.

    The convolution libraries choose their algorithms by the batch size, so features would otherwise depend, in the
    last bits, on how a set is cut into batches and shared among processes.
    """
    size = CHUNK_ON_CPU if images.device.type == "cpu" else CHUNK_ON_GPU
    parts = []
    for chunk in images.split(size):
        missing = size - len(chunk)
        filled = torch.cat([chunk, chunk[-1:].expand(missing, *chunk.shape[1:])]) if missing else chunk
        parts.append(function(filled)[: len(chunk)])
    return torch.cat(parts)
