"""From seeds to latents, as every tool of the family does: NumPy's RandomState(seed).randn(1, z_dim)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError


def z_from_seed(seed: int, z_dim: int) -> np.ndarray:
    """The latent of a seed, [1, z_dim] float64."""
    if not 0 <= seed < 2**32:
        raise InputError(f"expected a seed from 0 to {2**32 - 1}, got {seed}")
    return np.random.RandomState(seed).randn(1, z_dim)


def class_of_seed(seed: int, z_dim: int, c_dim: int) -> int:
    """The class that a seed draws after its latent, for pictures of a conditional network whose class is not said."""
    random = np.random.RandomState(seed)
    random.randn(z_dim)
    return int(random.randint(c_dim))


def latents(seeds: Sequence[int], z_dim: int) -> Tensor:
    """The latents of several seeds, [N, z_dim] float64."""
    return torch.from_numpy(np.concatenate([z_from_seed(s, z_dim) for s in seeds]))


def parse_range(text: str) -> list[int]:
    """Numbers from a list with inclusive ranges: `"1,3-5"` is [1, 3, 4, 5]. Raises `InputError`."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None:
            raise InputError(f"expected numbers and ranges such as 0,3,10-19, got '{text}'")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"expected a range that goes up, got '{part.strip()}'; write {last}-{first}")
        numbers.extend(range(first, last + 1))
    return numbers
