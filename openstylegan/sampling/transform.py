"""Moving and turning pictures through the input of an alias-free generator (StyleGAN3, arXiv:2106.12423).

Differs from the original program: the network is as it was afterwards, so that no snapshot is ever written moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator


def input_transform(
    translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0, stretch: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """What the input's `transform` must be, [3, 3] float64: the inverse of the movement M wanted in the picture.

    M = [[cos a, sin a, x], [-sin a, cos a, y], [0, 0, 1]] diag(stretch, 1): first the picture is stretched about its
    middle, then turned by `rotate` degrees (counter-clockwise), then moved by `translate` = (x, y) in picture widths
    and heights, to the right and down.
    """
    a = math.radians(rotate)
    c, s = math.cos(a), math.sin(a)
    turned = np.array([[c, s, translate[0]], [-s, c, translate[1]], [0.0, 0.0, 1.0]])
    return np.linalg.inv(turned * np.array([*stretch, 1.0]))


def transform_of(G: Generator) -> Tensor | None:
    """The buffer [3, 3] that moves the pictures of `G`, or None where there is none."""
    found = getattr(getattr(G.synthesis, "input", None), "transform", None)
    return found if isinstance(found, Tensor) else None


@contextmanager
def transformed(G: Generator, transform: Tensor | None) -> Iterator[None]:
    """`transform` [3, 3] stands in the generator meanwhile, and what stood there does again after; None changes none.

    Raises `InputError` when the generator cannot be transformed.
    """
    if transform is None:
        yield
        return
    own = transform_of(G)
    if own is None:
        raise InputError(
            f"--translate and --rotate need a network that transforms its input (StyleGAN3); {type(G).__name__} has no "
            "such input; leave them out"
        )
    before = own.clone()
    own.copy_(transform)
    try:
        yield
    finally:
        own.copy_(before)


def moved(
    G: Generator, translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0
) -> AbstractContextManager[None]:
    """Inside, the pictures of `G` are turned and then translated. Raises `InputError` for networks that cannot do it.

    Without a movement the network keeps the transform it has.
    """
    if not all(math.isfinite(v) for v in (*translate, rotate)):
        raise InputError(f"expected finite numbers for --translate and --rotate, got {translate} and {rotate}")
    still = tuple(translate) == (0, 0) and rotate == 0
    return transformed(G, None if still else torch.from_numpy(input_transform(translate, rotate)))
