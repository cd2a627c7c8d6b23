"""Class labels for generated pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.errors import InputError


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
