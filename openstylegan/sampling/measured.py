"""The pictures that metrics look at: numbered, so that every process and batch size measures the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.images import leaves, to_uint8
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.randomness import NoiseSource, SampleStream
from openstylegan.sampling.transform import transform_of, transformed

Labels = Callable[[np.ndarray], np.ndarray]
"""From dataset indices to their labels, float32 [n, c_dim]."""
MAX_GROUP, GROUP_PIXELS = 16, 2**20


class NumberedSampler:
    """A function from picture numbers to uint8 pictures [n, C, H, W] on the CPU, and a way into its generator.

    Picture i has its own latent, noise ('random', psi 1) and the label of a uniformly random one of the dataset's
    `num_items`, all keyed by (seed, i). Pictures are synthesized in groups of consecutive numbers that are never cut,
    because the rounding of a convolution depends on its batch: so a picture is the same, to the bit, whichever others
    are asked for with it. The generator's weights must not change meanwhile. `group_size`: None takes 16, fewer above
    256 x 256. Raises `InputError` for a conditional generator without labels to draw.
    """

    def __init__(
        self,
        G: Generator,
        seed: int,
        num_items: int = 0,
        labels: Labels | None = None,
        group_size: int | None = None,
    ):
        if G.c_dim > 0 and (labels is None or num_items < 1):
            raise InputError("expected a dataset to draw labels from for this conditional network; give --data")
        self.G, self.seed, self.num_items, self.labels_of = G, seed, num_items, labels
        height, width = G.image_shape[1:]
        self.group_size = group_size or max(1, min(MAX_GROUP, GROUP_PIXELS // (height * width)))
        self.device, self.weights = next(G.parameters()).device, FrozenWeights()

    @property
    def z_dim(self) -> int:
        """The length of a latent."""
        return self.G.z_dim

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.G.image_shape

    @property
    def transformable(self) -> bool:
        """Whether the generator can move what it draws."""
        return transform_of(self.G) is not None

    def __call__(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """uint8 [n, C, H, W] on the CPU."""
        numbers = [int(i) for i in indices]
        groups = {g: self.group(g) for g in dict.fromkeys(i // self.group_size for i in numbers)}
        return torch.stack([groups[i // self.group_size][i % self.group_size] for i in numbers])

    @torch.no_grad()
    def group(self, number: int) -> Tensor:
        """The pictures of one group."""
        indices = range(number * self.group_size, (number + 1) * self.group_size)
        z = SampleStream(self.seed, "metrics/latents", (), indices).normal((len(indices), self.z_dim))
        noise = SampleStream(self.seed, "metrics/noise", (), indices, self.device)
        ws = self.mapping(z, self.labels(indices))
        with self.weights:
            images = self.G.synthesis(ws, noise_mode="random", noise_source=noise)
        return to_uint8(leaves(images)[-1]).cpu()

    def labels(self, indices: Sequence[int]) -> Tensor:
        """The labels [n, c_dim] of uniformly random pictures of the dataset."""
        if self.labels_of is None or self.G.c_dim == 0:
            return torch.zeros(len(indices), 0)
        stream = SampleStream(self.seed, "metrics/labels", (), indices)
        chosen = (stream.uniform((len(indices), 1), torch.float64)[:, 0] * self.num_items).long().numpy()
        return torch.from_numpy(self.labels_of(chosen))

    @torch.no_grad()
    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        """ws [n, num_ws, w_dim], not truncated."""
        return self.G.mapping(z.to(self.device), c.to(self.device))

    @torch.no_grad()
    def synthesis(self, ws: Tensor, noise: NoiseSource, transform: Tensor | None = None) -> Tensor:
        """Images [n, C, H, W] in float32. Raises `InputError` for a transform of a generator that has none."""
        with transformed(self.G, transform), self.weights:
            images = self.G.synthesis(ws, noise_mode="random", noise_source=noise, force_fp32=True)
        return leaves(images)[-1].float()
