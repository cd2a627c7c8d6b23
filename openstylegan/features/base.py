"""What a feature extractor is: a frozen network from pictures as bytes to one row of features each.

An extractor's `protocol` says all that a number computed from its features depends on: the weights by their SHA-256
and what is done to a picture before the network sees it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.features.weights import FoundWeights, WeightFile

CHUNK_ON_CPU, CHUNK_ON_GPU = 4, 64
"""Images at a time: few on a CPU, where the feature maps then stay near the caches (34 against 27 images/s at 8)."""


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
    last bits, on how a set is cut into batches and shared among processes. `function` must not need gradients.
    """
    size = CHUNK_ON_CPU if images.device.type == "cpu" else CHUNK_ON_GPU
    chunks = [filled(chunk, size) for chunk in images.split(size)]
    if images.device.type != "cpu":
        return torch.cat([function(chunk) for chunk in chunks])[: len(images)]
    with one_thread_an_operation() as num_threads, ThreadPoolExecutor(num_threads) as pool:
        return torch.cat(list(pool.map(torch.no_grad()(function), chunks)))[: len(images)]


def filled(chunk: Tensor, size: int) -> Tensor:
    """`chunk` [n, ...] filled up to [size, ...] with its last image."""
    missing = size - len(chunk)
    return torch.cat([chunk, chunk[-1:].expand(missing, *chunk.shape[1:])]) if missing else chunk


@contextlib.contextmanager
def one_thread_an_operation() -> Iterator[int]:
    """Operations use one thread each meanwhile; yields how many they used before.

    Chunks on threads of their own scale where threads within an operation do not: these networks are hundreds of small
    operations, and on two busy cores waiting for each other at every one of them cost a factor of five.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
