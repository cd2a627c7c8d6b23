"""What is derived from a network's weights, kept while they do not change: casts, transforms, sums of squares.

    weights = FrozenWeights()
    for z in batches:               # sampling, metrics, video, the viewer
        with weights:
            images = G(z)

Kept are only the derivations of parameters that need no gradient, while the block is entered. Where one of them was
written to or moved, everything is derived anew; but writing to its `.data`, or by a fused optimizer, leaves no trace:
then begin with a new `FrozenWeights`. Measured on one core, a StyleGAN2 generator of 256 px at batch 1, float32:
350 to 390 CPU-ms with, 450 without (with 512 channels, most of the rest is spent on weights).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_CURRENT: ContextVar[FrozenWeights | None] = ContextVar("openstylegan_frozen_weights", default=None)
_RESTING: ContextVar[RestingWeights | None] = ContextVar("openstylegan_resting_weights", default=None)

State = tuple[int, torch.dtype, torch.device]


def state_of(weight: Tensor) -> State:
    """What is another when `weight` was written to, or changed its type or device. Inference tensors count nothing."""
    return (0 if weight.is_inference() else weight._version, weight.dtype, weight.device)


class _Derived(NamedTuple):
    """What was derived from a weight, by purpose. The weight is held, so that its id is given to no other tensor."""

    weight: Tensor
    state: State
    results: dict[str, Tensor]


class _Derivations:
    """What was derived from weights, and from that in turn."""

    def __init__(self) -> None:
        self._of: dict[int, _Derived] = {}
        self._lock = threading.Lock()

    def derived(self, weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """`make(weight)` of the first call for this `purpose`, of whichever thread, since `weight` was written to."""
        state, found = state_of(weight), self._of.get(id(weight))
        if found is None or found.state != state or purpose not in found.results:
            made = make(weight)
            with self._lock:
                found = self._of.get(id(weight))
                if found is not None and found.state != state:
                    self._forget(weight)
                    found = None
                if found is None:
                    found = self._of[id(weight)] = _Derived(weight, state, {})
                result = found.results.setdefault(purpose, made)
                self._of.setdefault(id(result), _Derived(result, state_of(result), {}))
        return found.results[purpose]

    def _forget(self, weight: Tensor) -> None:
        """Drops what was derived from `weight`, and from that: an old result's id may be that of any tensor later."""
        found = self._of.pop(id(weight), None)
        for result in found.results.values() if found is not None else ():
            self._forget(result)


class FrozenWeights(_Derivations):
    """A context manager that owns what was derived, about 1.8 times the size of the weights.

    It may be entered again, and by several threads at once.

    It is entered around each call of a network, not across the `yield` of a generator function, which would leave
    it in force in the caller.
    """

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    def __enter__(self) -> FrozenWeights:
        before: list[Token[FrozenWeights | None]] = getattr(self._here, "tokens", [])
        self._here.tokens = [*before, _CURRENT.set(self)]
        return self

    def __exit__(self, *exception: Any) -> None:
        *self._here.tokens, last = self._here.tokens
        _CURRENT.reset(last)

    def keeps(self, weight: Tensor) -> bool:
        """Whether `weight` is a parameter without gradient, or was itself derived from one."""
        return not weight.requires_grad if isinstance(weight, nn.Parameter) else id(weight) in self._of

    def _forget(self, weight: Tensor) -> None:
        """Drops everything: much is derived from a weight and from others with it, such as running statistics."""
        self._of.clear()


def kept(weight: Tensor) -> bool:
    """Whether what is derived from `weight` is kept here and now."""
    current = _CURRENT.get()
    return current is not None and current.keeps(weight)


def derived(weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`make(weight)`, made once for each `purpose` where `kept(weight)`."""
    current = _CURRENT.get()
    return current.derived(weight, purpose, make) if current is not None and current.keeps(weight) else make(weight)


def in_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """`weight` in `dtype`, kept where derived weights are."""
    return weight if weight.dtype == dtype else derived(weight, f"{dtype}", lambda w: w.to(dtype))


class RestingWeights(_Derivations):
    """A context manager for training, around the passes between two moves of a player: it owns what `while_resting`
    derived from parameters, trained ones too, and from what was derived from those; nothing of it is recorded.

    A parameter that was written to is new; optimizers whose steps leave no trace (fused ones) call
    `torch.autograd.graph.increment_version`. It may be entered again, and keeps what it has until then: a discriminator
    sees generated and real pictures, goes back over both, and judges the generator with the same weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tokens: list[Token[RestingWeights | None]] = []

    def __enter__(self) -> RestingWeights:
        self._tokens.append(_RESTING.set(self))
        return self

    def __exit__(self, *exception: Any) -> None:
        _RESTING.reset(self._tokens.pop())

    def keeps(self, weight: Tensor) -> bool:
        """Whether `weight` is a parameter, or was itself derived from one here."""
        return isinstance(weight, nn.Parameter) or id(weight) in self._of


def while_resting(weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`derived`, also of parameters with gradients inside `RestingWeights`: for what is made without recording.

    A view of all of a parameter, as it lies, is the parameter.
    """
    resting = _RESTING.get()
    if resting is None or kept(weight):
        return derived(weight, purpose, make)
    base = weight._base
    if base is not None and (base.shape, base.stride()) == (weight.shape, weight.stride()):
        weight = base
    return resting.derived(weight, purpose, make) if resting.keeps(weight) else make(weight)
