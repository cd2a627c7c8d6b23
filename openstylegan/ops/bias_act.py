"""Bias, activation, gain and clamp: the tail of every layer.

From StyleGAN2-ADA (arXiv 2006.06676). Differs from the original: no compiled kernel is needed, gradients of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.ops.paths import fast, on_triton
from openstylegan.ops.tail import Slopes, slopes_of, tail
from openstylegan.registry import lookup


@dataclass(frozen=True)
class Activation:
    """A non-linearity `function(x, alpha)` with the slope and gain used when none are given."""

    function: Callable[[Tensor, float], Tensor]
    alpha: float = 0.0
    gain: float = 1.0


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: torch.relu(x), gain=sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), alpha=0.2, gain=sqrt(2)),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: torch.sigmoid(x) * x, gain=sqrt(2)),
}
"""The gains keep the variance of a normal input about 1. Only `lrelu` reads alpha."""


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """`clip(act(x + b) * gain, -clamp, clamp)`, in this order: the clamp acts after the gain.

    b: [x.shape[dim]] or None. alpha, gain: None takes the activation's own. clamp: None for none, else >= 0.
    Raises `InputError` for an unknown activation, a bias that does not fit, or a negative clamp.
    """
    _, slope, factor = check_bias_act(x, b, dim, act, alpha, gain, clamp)
    slopes = slopes_of(act, slope, factor, clamp)
    if slopes is None or dim != 1 or x.ndim != 4 or not (on_triton(x) or (fast(x) and x.dtype != torch.float16)):
        return bias_act_reference(x, b, dim, act, alpha, gain, clamp)
    if b is None and slopes == Slopes(1, 1, None):
        return x
    return tail(x, None, None, None if b is None else b.to(x.dtype)[:, None, None], slopes, own=False)


def bias_act_reference(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """What `bias_act` computes, one plain operation after the other."""
    activation, alpha, gain = check_bias_act(x, b, dim, act, alpha, gain, clamp)
    if b is not None:
        x = x + b.to(x.dtype).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    x = activation.function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x


def check_bias_act(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float | None, gain: float | None, clamp: float | None
) -> tuple[Activation, float, float]:
    """The activation with its slope and gain filled in. Raises `InputError` (see `bias_act`)."""
    activation = lookup(ACTIVATIONS, act, "activation")
    if not 0 <= dim < x.ndim:
        raise InputError(f"expected dim of 0..{x.ndim - 1} for x {list(x.shape)}, got {dim}")
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[dim]):
        raise InputError(f"expected a bias of shape [{x.shape[dim]}] for x {list(x.shape)}, got {list(b.shape)}")
    if clamp is not None and clamp < 0:
        raise InputError(f"expected clamp >= 0 or None, got {clamp}")
    return activation, activation.alpha if alpha is None else alpha, activation.gain if gain is None else gain
