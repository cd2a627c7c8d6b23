"""The contract of a loss term: a part of one player's loss, seen through a forward pass."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from openstylegan.images import Images
from openstylegan.randomness import NoiseSource


class ForwardPass(Protocol):
    """One micro-batch of one phase: what a term may look at. Each part is computed once, when first asked.

    `fakes` and logits have a graph to the player's parameters only. A term that differentiates with respect to images
    lists them in `needs` and takes them from `images_with_gradient`.
    """

    @property
    def reals(self) -> Images: ...
    @property
    def fakes(self) -> Images: ...
    @property
    def real_logits(self) -> Tensor: ...
    @property
    def fake_logits(self) -> Tensor: ...
    @property
    def num_samples(self) -> int: ...

    def images_with_gradient(self, need: str) -> Images:
        """The images named by `need` ("real_images" or "fake_images"), attached to the graph of their logits."""

    def logits_of(self, images: Images, which: str) -> Tensor:
        """Logits of images that the term has made, with the labels of the real ones; `which` names their statistics."""

    def generate(self, num: int) -> tuple[Images, Tensor]:
        """New fakes from the first `num` latents, and the ws [num, num_ws, w_dim] they come from, with graph."""

    def stream(self, purpose: str, num: int) -> NoiseSource:
        """Random numbers of the first `num` samples, for one purpose."""

    def step_stream(self, purpose: str) -> NoiseSource:
        """Random numbers of the step: the same for all samples, micro-batches, processes and phases."""

    def report(self, name: str, values: Tensor) -> None:
        """Adds `values` to the statistic `name` of this tick."""

    def batch_mean(self, term: LossTerm, values: Tensor) -> Tensor:
        """Detached mean of a term's surveyed `values` over the whole batch (all micro-batches, all processes)."""

    def track(self, owner: LossTerm, values: Tensor) -> None:
        """Gives the batch's mean of `values` [n] or [n, d] to `owner.update_statistics` after the phase's step."""


class LossTerm(nn.Module):
    """A part of a player's loss: `forward(forward_pass)` is its mean over the micro-batch, a scalar.

    `needs` names the images whose gradient it takes: any of "real_images", "fake_images". Running state lives in
    buffers and changes in `update_statistics` only, so that every process and every cut of the batch agrees on it.
    A term that needs a number of the whole batch inside its loss sets `surveys` and defines `survey`. One that sets
    `watches_real_logits` gets the mean square of D at real pictures, [1], after every phase of the discriminator that
    looked at them, whichever player's term it is.
    """

    needs: frozenset[str] = frozenset()
    surveys: bool = False
    watches_real_logits: bool = False

    def forward(self, f: ForwardPass) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def survey(self, f: ForwardPass) -> Tensor:
        """Values [n] of one micro-batch whose mean over the batch `forward` will ask for."""
        raise NotImplementedError(f"{type(self).__name__} surveys but does not define survey")

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """Moves the running state by what was tracked: its mean over the whole batch, float64, and over how many."""
