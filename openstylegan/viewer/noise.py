"""The strength of a network's noise, for as long as a picture takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from openstylegan.networks.base import Generator


def takes_noise(G: Generator) -> bool:
    """Whether the synthesis takes any noise. Every family's that does gives it out in its method `noises`."""
    noises: Callable[..., list[Tensor | None]] | None = getattr(G.synthesis, "noises", None)
    if noises is None:
        return False
    own = next(G.parameters())
    return any(n is not None for n in noises(own.new_zeros(1, G.num_ws, G.w_dim), "const", None))


@contextmanager
def noise_times(G: Generator, strength: float) -> Iterator[None]:
    """Inside, all noise of `G` is multiplied by `strength`; 1 changes nothing."""
    if strength == 1 or not hasattr(G.synthesis, "noises"):
        yield
        return
    original: Callable[..., list[Tensor | None]] = G.synthesis.noises  # type: ignore[assignment]

    def scaled(*arguments: object) -> list[Tensor | None]:
        return [None if n is None else n * strength for n in original(*arguments)]

    # An attribute of the instance goes before the method of its class.
    object.__setattr__(G.synthesis, "noises", scaled)
    try:
        yield
    finally:
        object.__delattr__(G.synthesis, "noises")
