"""The generators FastGAN and FastGAN-lite, as Projected GAN (Sauer et al., arXiv 2111.01007) trains them.

FastGAN: Liu et al., arXiv 2101.04775. Names, shapes and order of all tensors are those of Projected GAN.

Differs from Projected GAN: pictures from 8 px on (there from 128); the embedded label travels beside z in ws, so that
`synthesis(ws)` is all it takes to draw; noise_mode is obeyed ("const" draws from a generator of its own); truncation,
which these networks do not have, is refused instead of ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator, PrecisionBlock, check_channels, check_labels
from openstylegan.networks.fastgan_layers import (
    ConditionalBigUpBlock,
    ConditionalUpBlock,
    InitLayer,
    SkipExcitation,
    UpBlock,
)
from openstylegan.networks.layers import normalize_second_moment
from openstylegan.networks.spectral import SpectralConv2d
from openstylegan.networks.stylegan2 import NOISE_MODES
from openstylegan.randomness import NoiseSource, generator
from openstylegan.registry import lookup

MULTIPLIERS: Mapping[int, float] = {
    4: 16,
    8: 8,
    16: 4,
    32: 2,
    64: 2,
    128: 1,
    256: 0.5,
    512: 0.25,
    1024: 0.125,
}
"""Channels at a resolution, in units of `ngf`."""
EXCITATIONS: Mapping[int, int] = {64: 4, 128: 8, 256: 16, 512: 32}
"""From which resolution a map is excited."""
ALWAYS_THERE = 256
"""From 128 px on, Projected GAN makes the blocks up to this resolution, needed or not."""


class FastGANMapping(nn.Module):
    """z [N, z_dim] and, with labels, the embedding of their class, as ws [N, 1 or 2, z_dim]. It has no tensors."""

    def __init__(self, z_dim: int, c_dim: int, embed: nn.Embedding | None):
        super().__init__()
        self.z_dim, self.c_dim = z_dim, c_dim
        self._embed = (embed,)  # a tuple, so that its weight is the synthesis network's alone

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
        update_w_avg: bool | None = None,
    ) -> Tensor:
        """Raises `InputError` for a truncation: there is no average w to move to."""
        if truncation_psi != 1:
            raise InputError(
                f"expected truncation 1, got {truncation_psi}; FastGAN has no average w; leave --trunc out"
            )
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise InputError(f"expected z of shape [N, {self.z_dim}], got {list(z.shape)}")
        check_labels(c, self.c_dim, z.shape[0])
        embed = self._embed[0]
        if embed is None:
            return z.unsqueeze(1)
        assert c is not None
        return torch.stack([z.to(embed.weight), embed(c.argmax(1))], dim=1)


class FastGANSynthesis(PrecisionBlock):
    """ws [N, 1 or 2, z_dim] to images [N, C, R, R], not clamped."""

    def __init__(self, z_dim: int, resolution: int, img_channels: int, ngf: int, lite: bool, num_classes: int | None):
        super().__init__()
        self.low_precision_allowed = True
        self.resolution, self.z_dim, self.num_ws = resolution, z_dim, 1 if num_classes is None else 2
        channels = {r: int(m * ngf) for r, m in MULTIPLIERS.items()}
        if channels[resolution] < 1:
            raise InputError(f"expected channels at {resolution} px, got ngf {ngf}; it must be at least 8")
        self.levels = [r for r in channels if 8 <= r <= resolution]
        self.init = InitLayer(z_dim, channels[4])
        made = [r for r in channels if 8 <= r <= (resolution if resolution < 128 else max(resolution, ALWAYS_THERE))]
        for r in made:
            self.add_module(f"feat_{r}", self.block(channels[r // 2], channels[r], lite, num_classes))
        for r in [r for r in made if r in EXCITATIONS]:
            self.add_module(f"se_{r}", SkipExcitation(channels[EXCITATIONS[r]], channels[r]))
        self.to_big = SpectralConv2d(channels[resolution], img_channels, 3, padding=1, bias=True)
        if num_classes is not None:
            self.embed = nn.Embedding(num_classes, z_dim)
        for r in [r for r in made if r > resolution]:  # never used, so never trained
            for name in (f"feat_{r}", f"se_{r}"):
                self.get_submodule(name).requires_grad_(False)

    def num_noises(self, r: int) -> int:
        """How many noises the block at `r` takes."""
        block: Any = self.get_submodule(f"feat_{r}")
        return block.num_noises

    def block(self, in_channels: int, out_channels: int, lite: bool, num_classes: int | None) -> nn.Module:
        """One doubling of the resolution."""
        if num_classes is None:
            return UpBlock(in_channels, out_channels, 1 if lite else 2)
        kind = ConditionalUpBlock if lite else ConditionalBigUpBlock
        return kind(in_channels, out_channels, self.z_dim)

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
    ) -> Tensor:
        """Images. noise_mode: "random" draws from `noise_source` (None: torch's global generator), "const" the same
        noise for every picture, "none" leaves it out; a lite generator has no noise at all."""
        lookup(NOISE_MODES, noise_mode, "noise_mode")
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.z_dim):
            raise InputError(f"expected ws of shape [N, {self.num_ws}, {self.z_dim}], got {list(ws.shape)}")
        return self.run(ws, self.noises(ws, noise_mode, noise_source), force_fp32)

    def noises(self, ws: Tensor, noise_mode: str, noise_source: NoiseSource | None) -> list[Tensor | None]:
        """The noises [N or 1, 1, r, r] of all blocks in order; drawn as one block of numbers a sample."""
        sides = [r for r in self.levels for _ in range(self.num_noises(r))]
        if noise_mode == "none" or not sides:
            return [None] * len(sides)
        total = sum(r * r for r in sides)
        if noise_mode == "const":
            numbers = torch.randn((1, total), generator=generator(0, "fastgan/noise")).to(ws)
        elif noise_source is None:
            numbers = torch.randn((ws.shape[0], total), device=ws.device, dtype=ws.dtype)
        else:
            numbers = noise_source.normal((ws.shape[0], total), dtype=ws.dtype).to(ws.device)
        parts = numbers.split([r * r for r in sides], dim=1)
        return [part.reshape(-1, 1, r, r) for part, r in zip(parts, sides, strict=True)]

    def run(self, ws: Tensor, noises: list[Tensor | None], force_fp32: bool = False) -> Tensor:
        """Images, with the `noises` of all blocks in order."""
        parameter = self.to_big.weight_orig
        dtype = self.compute_dtype(parameter.dtype, force_fp32)
        z, y = ws[:, 0].to(parameter), ws[:, 1].to(parameter) if self.num_ws > 1 else None
        x = self.placed(self.init(normalize_second_moment(z)), dtype)
        maps, left = {4: x}, list(noises)
        for r in self.levels:
            own = [left.pop(0) for _ in range(self.num_noises(r))]
            x = self.get_submodule(f"feat_{r}")(x, y, own)
            if r in EXCITATIONS:
                x = self.get_submodule(f"se_{r}")(maps[EXCITATIONS[r]], x)
            maps[r] = x
        return self.to_big(x).to(parameter.dtype).contiguous()


class FastGANGenerator(Generator):
    """FastGAN (or `lite`: one convolution a block, no noise) for square pictures of 8 to 1024 px, a power of two.

    `ngf` is the width of the network; `num_classes` the rows of the label embedding, of which the first c_dim are used
    (Projected GAN always has 1000). ws hold z and, with labels, the embedded class: w_dim is z_dim.
    """

    mapping: FastGANMapping
    synthesis: FastGANSynthesis

    def __init__(
        self,
        z_dim: int = 256,
        c_dim: int = 0,
        img_resolution: Any = 256,
        img_channels: int = 3,
        ngf: int = 128,
        lite: bool = False,
        num_classes: int = 1000,
    ):
        super().__init__()
        if img_resolution not in MULTIPLIERS or img_resolution < 8:
            raise InputError(
                f"expected square pictures of 8 to 1024 px, a power of two, got {img_resolution}; resize them"
            )
        if c_dim > num_classes:
            raise InputError(f"expected at most {num_classes} classes, got {c_dim}; set num_classes")
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, z_dim
        self.img_resolution, self.img_channels = img_resolution, check_channels(img_channels)
        self.image_shape = (img_channels, img_resolution, img_resolution)
        rows = num_classes if c_dim > 0 else None
        self.synthesis = FastGANSynthesis(z_dim, img_resolution, img_channels, ngf, lite, rows)
        self.mapping = FastGANMapping(z_dim, c_dim, self.synthesis.embed if c_dim > 0 else None)
        self.num_ws = self.synthesis.num_ws
