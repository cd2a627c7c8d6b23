"""Class labels for generated pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.latents import class_of_seed

ClassChoice = int | Literal["random"] | None
"""A class, or that each seed draws its own; None where a network has none."""


def one_hot(class_idx: int | None, c_dim: int, num: int) -> Tensor:
    """`num` labels [num, c_dim] of one class; of width 0 for an unconditional network. Raises `InputError`."""
    labels = torch.zeros(num, c_dim)
    if c_dim == 0:
        return labels
    if class_idx is None:
        raise InputError(f"expected a class for this conditional network: give --class a number from 0 to {c_dim - 1}")
    if not 0 <= class_idx < c_dim:
        raise InputError(f"expected a class from 0 to {c_dim - 1}, got {class_idx}")
    labels[:, class_idx] = 1
    return labels


def labels_of_seeds(G: Generator, seeds: Sequence[int], chosen: ClassChoice) -> Tensor:
    """The labels [n, c_dim] of pictures of `seeds`. Raises `InputError`."""
    if chosen != "random":
        return one_hot(chosen, G.c_dim, len(seeds))
    if G.c_dim == 0:
        raise InputError("--class random needs a conditional network, and this one is not; leave --class out")
    return torch.cat([one_hot(class_of_seed(seed, G.z_dim, G.c_dim), G.c_dim, 1) for seed in seeds])
