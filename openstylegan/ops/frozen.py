"""What is derived from a network's weights, kept while they do not change: casts, transforms, sums of squares.

    weights = FrozenWeights()
    for z in batches:               # sampling, metrics, video, the viewer
        with weights:
            images = G(z)

Kept are only the derivations of parameters that need no gradient, while the block is entered; whoever changes such a
parameter begins with a new `FrozenWeights`. Measured on one core, a StyleGAN2 generator of 256 px at batch 1, float32:
350 to 390 CPU-ms with, 450 without (with 512 channels, most of the rest is spent on weights).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from torch import Tensor, nn

_CURRENT: ContextVar[FrozenWeights | None] = ContextVar("openstylegan_frozen_weights", default=None)
_RESTING: ContextVar[RestingWeights | None] = ContextVar("openstylegan_resting_weights", default=None)


class FrozenWeights:
    """A context manager that owns what was derived, about 1.8 times the size of the weights.

    It may be entered again, and by several threads at once.

    It is entered around each call of a network, not across the `yield` of a generator function, which would leave
    it in force in the caller.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}
        self._results: set[int] = set()
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
        return (isinstance(weight, nn.Parameter) and not weight.requires_grad) or id(weight) in self._results

    def derived(self, weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """`make(weight)` of the first call for this `purpose`."""
        found = self._kept.get((id(weight), purpose))
        if found is None:
            # The weight is held beside the result, so that its id cannot be given to another tensor.
            found = self._kept[id(weight), purpose] = (weight, make(weight))
            self._results.add(id(found[1]))
        return found[1]


def kept(weight: Tensor) -> bool:
    """Whether what is derived from `weight` is kept here and now."""
    current = _CURRENT.get()
    return current is not None and current.keeps(weight)


def derived(weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`make(weight)`, made once for each `purpose` where `kept(weight)`."""
    current = _CURRENT.get()
    return current.derived(weight, purpose, make) if current is not None and current.keeps(weight) else make(weight)


class RestingWeights:
    """A context manager for training, around the passes between two moves of a player: it owns what `while_resting`
    derived from parameters, trained ones too, of which nothing is recorded. A parameter that was written to is new.

    A discriminator sees generated and real pictures, and goes back over both: half of its weights' orders are saved.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[Tensor, int, Tensor]] = {}
        self._tokens: list[Token[RestingWeights | None]] = []

    def __enter__(self) -> RestingWeights:
        self._tokens.append(_RESTING.set(self))
        return self

    def __exit__(self, *exception: Any) -> None:
        _RESTING.reset(self._tokens.pop())
        self._kept.clear()

    def derived(self, weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """`make(weight)` of the first call for this `purpose` since `weight` was written to."""
        found = self._kept.get((id(weight), purpose))
        if found is None or found[1] != weight._version:
            found = self._kept[id(weight), purpose] = (weight, weight._version, make(weight))
        return found[2]


def while_resting(weight: Tensor, purpose: str, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`derived`, also of parameters with gradients inside `RestingWeights`: for what is made without recording."""
    resting = _RESTING.get()
    if resting is None or kept(weight) or not isinstance(weight, nn.Parameter):
        return derived(weight, purpose, make)
    return resting.derived(weight, purpose, make)
