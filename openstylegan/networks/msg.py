"""The MSG-StyleGAN generator: StyleGAN1 without growing and mixing, with a picture made at every resolution.

Papers: MSG-GAN (arXiv 1903.06048), StyleGAN (arXiv 1812.04948). The pictures are independent of one another: each is
made by its own layer from the features of its block, and the discriminator judges all of them together.

Differs from MSG-StyleGAN: truncation is the caller's choice (there psi 0.7 below layer 8 unless told otherwise);
pictures need not be square; the noise of all layers is drawn as one block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator, check_channels
from openstylegan.networks.layers import normalize_second_moment
from openstylegan.networks.mapping import StyleMapping
from openstylegan.networks.msg_layers import DoublingConv, ScaledConv, ScaledDense, ScaledWeight, StyledEnd, lrelu
from openstylegan.networks.resolution import ResolutionPlan
from openstylegan.networks.stylegan2 import NOISE_MODES, channels_at, random_noises
from openstylegan.randomness import NoiseSource
from openstylegan.registry import lookup

CHANNEL_BASE, CHANNEL_MAX = 16384, 512


class LabelMatrix(nn.Module):
    """c [N, c_dim] times a matrix that is used as it is: `weight` [z_dim, c_dim], N(0, 1) at first."""

    def __init__(self, c_dim: int, z_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(z_dim, c_dim))

    def forward(self, c: Tensor) -> Tensor:
        """[N, z_dim]."""
        return c @ self.weight.t()


class MSGMapping(StyleMapping):
    """z [N, z_dim] and c [N, c_dim] to ws [N, num_ws, w_dim], with truncation towards the running mean `w_avg` [w_dim].

    z and what the labels give are normalized as one vector.
    """

    def __init__(
        self,
        sizes: tuple[int, int, int],
        num_ws: int,
        num_layers: int,
        layer_features: int,
        lr_multiplier: float,
        w_avg_beta: float,
    ):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = sizes
        self.num_ws, self.num_layers, self.w_avg_beta = num_ws, num_layers, w_avg_beta
        if self.c_dim > 0:
            self.label = LabelMatrix(self.c_dim, self.z_dim)
        first = self.z_dim * (2 if self.c_dim > 0 else 1)
        widths = [first, *[layer_features] * (num_layers - 1), self.w_dim]
        for n in range(num_layers):
            self.add_module(f"fc{n}", ScaledDense(widths[n], widths[n + 1], lr_multiplier=lr_multiplier))
        self.track()

    def map(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """w [N, w_dim]. Raises `InputError` for z or c of another shape."""
        x = normalize_second_moment(self.joined(z, c, self.label if self.c_dim > 0 else None))
        for n in range(self.num_layers):
            x = lrelu(self.get_submodule(f"fc{n}")(x))
        return x


class ConstantLayer(StyledEnd):
    """The first layer: a learned picture `const` [C, h, w], ones at first, instead of a convolution."""

    def __init__(self, channels: int, w_dim: int, shape: tuple[int, int]):
        super().__init__(channels, w_dim, shape)
        self.const = nn.Parameter(torch.ones(channels, *shape))

    def forward(self, x: Tensor | None, w: Tensor, noise: Tensor | None) -> Tensor:
        """[N, C, h, w]; there is no x."""
        return super().forward(self.const.expand(len(w), -1, -1, -1), w, noise)


class ConvLayer(StyledEnd):
    """A convolution, which may double the picture, and the end of a layer: x [N, I, H, W] to [N, O, ...]."""

    def __init__(self, conv: ScaledWeight, channels: int, w_dim: int, shape: tuple[int, int]):
        super().__init__(channels, w_dim, shape)
        self.conv = conv

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        return super().forward(self.conv(x), w, noise)


class MSGBlock(nn.Module):
    """One resolution: two layers, each with its own w and noise, and a layer that makes a picture. `in_channels` None:
    the first block."""

    def __init__(self, in_channels: int | None, channels: int, w_dim: int, shape: tuple[int, int], img_channels: int):
        super().__init__()
        self.conv0: StyledEnd
        if in_channels is None:
            self.conv0 = ConstantLayer(channels, w_dim, shape)
        else:
            self.conv0 = ConvLayer(DoublingConv(in_channels, channels), channels, w_dim, shape)
        self.conv1 = ConvLayer(ScaledWeight(channels, channels, 3), channels, w_dim, shape)
        self.torgb = ScaledConv(channels, img_channels, 1, linear=True)

    def forward(self, x: Tensor | None, ws: Tensor, noises: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Features [N, O, h, w] and the picture [N, C, h, w], from ws [N, 2, w_dim] and two noises."""
        x = self.conv0(x, ws[:, 0], noises[0])
        x = self.conv1(x, ws[:, 1], noises[1])
        return x, self.torgb(x)


class MSGSynthesis(nn.Module):
    """ws [N, num_ws, w_dim] to a picture at every resolution, the smallest first: a tuple of [N, C, h, w]."""

    def __init__(self, plan: ResolutionPlan, w_dim: int, img_channels: int, channel_base: int, channel_max: int):
        super().__init__()
        self.plan, self.w_dim, self.num_ws = plan, w_dim, 2 * len(plan.nominals)
        before: int | None = None
        for r in plan.nominals:
            channels = channels_at(r, channel_base, channel_max)
            self.add_module(f"b{r}", MSGBlock(before, channels, w_dim, plan.shape_at(r), img_channels))
            before = channels

    def blocks(self) -> list[MSGBlock]:
        """One for each resolution, the smallest first."""
        return [cast(MSGBlock, self.get_submodule(f"b{r}")) for r in self.plan.nominals]

    def layers(self) -> list[StyledEnd]:
        """All layers in the order of ws."""
        return [layer for block in self.blocks() for layer in (block.conv0, block.conv1)]

    def noises(self, ws: Tensor, noise_mode: str, noise_source: NoiseSource | None) -> Sequence[Tensor | None]:
        """The noise [N or 1, 1, h, w] of every layer, None for "none"."""
        layers = self.layers()
        if noise_mode == "none":
            return [None] * len(layers)
        if noise_mode == "const":
            return [layer.noise_const[None, None] for layer in layers]
        shapes = [(layer.noise_const.shape[0], layer.noise_const.shape[1]) for layer in layers]
        return list(random_noises(shapes, ws, noise_source))

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
    ) -> tuple[Tensor, ...]:
        """`noise_mode` "random" draws from `noise_source` (None: torch's global generator), "const" takes the layers'
        own noise, "none" leaves it out. No block runs in low precision, whatever `force_fp32` says."""
        lookup(NOISE_MODES, noise_mode, "noise_mode")
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise InputError(f"expected ws of shape [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}")
        if noise_source is not None and noise_mode != "random":
            raise InputError(f"expected noise_mode 'random' with a noise_source, got '{noise_mode}'; leave one out")
        blocks = self.blocks()
        ws = ws.to(blocks[0].torgb.weight)
        noises = self.noises(ws, noise_mode, noise_source)
        x, images = None, []
        for k, block in enumerate(blocks):
            x, image = block(x, ws[:, 2 * k : 2 * k + 2], noises[2 * k : 2 * k + 2])
            images.append(image)
        return tuple(images)


class MSGGenerator(Generator):
    """MSG-StyleGAN's generator: a tuple of pictures from 4 px (4..7 on the short side) up, each twice the one before.

    channels(r) = min(channel_base // r, channel_max) at the nominal resolution r. `layer_features` None: w_dim.
    """

    mapping: MSGMapping
    synthesis: MSGSynthesis

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int | Sequence[int] = 1024,
        img_channels: int = 3,
        num_layers: int = 8,
        layer_features: int | None = None,
        lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.995,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = CHANNEL_MAX,
    ):
        super().__init__()
        plan = ResolutionPlan.of(img_resolution)
        if num_layers < 1:
            raise InputError(f"expected num_layers of the mapping to be at least 1, got {num_layers}")
        self.z_dim, self.c_dim, self.w_dim, self.img_channels = z_dim, c_dim, w_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = plan.resolution, (img_channels, *plan.shape)
        self.synthesis = MSGSynthesis(plan, w_dim, img_channels, channel_base, channel_max)
        self.num_ws = self.synthesis.num_ws
        features = layer_features or w_dim
        self.mapping = MSGMapping((z_dim, c_dim, w_dim), self.num_ws, num_layers, features, lr_multiplier, w_avg_beta)

    @property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the picture of every block."""
        plan = self.synthesis.plan
        return tuple(plan.shape_at(r) for r in plan.nominals)

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """w_avg <- beta w_avg + (1 - beta) mean."""
        self.mapping.update_w_avg(mean)
