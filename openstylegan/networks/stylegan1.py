"""The StyleGAN1 generator, which grows: mapping network, blocks of AdaIN, a picture made at every resolution.

Papers: StyleGAN (arXiv 1812.04948), Progressive GAN (arXiv 1710.10196). Names and shapes of its tensors are those of
style-based-gan-pytorch (`style`, `generator`); beside them stand `mapping.w_avg` and `synthesis.growth.lod`.

Differs from style-based-gan-pytorch: pictures need not be square, and a network has the levels of its pictures only;
the mean style is tracked in training (w_avg) instead of estimated at every use; labels, which that one does not have,
are embedded and joined to z before the pixel norm, as in NVIDIA's StyleGAN1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator, check_channels
from openstylegan.networks.growing import Growth
from openstylegan.networks.mapping import StyleMapping
from openstylegan.networks.resolution import ResolutionPlan
from openstylegan.networks.stylegan1_layers import SLOPE, EqualConv2d, EqualLinear, PixelNorm, StyledBlock
from openstylegan.networks.stylegan2 import NOISE_MODES, random_noises
from openstylegan.randomness import NoiseSource, generator
from openstylegan.registry import lookup

MAX_LEVEL = 8
CHANNEL_BASE, CHANNEL_MAX = 16384, 512
W_AVG_BETA = 0.995


def growing_plan(img_resolution: int | Sequence[int]) -> ResolutionPlan:
    """The sizes of a growing network. Raises `InputError` for less than one doubling or more than eight."""
    plan = ResolutionPlan.of(img_resolution)
    if not 1 <= plan.num_doublings <= MAX_LEVEL:
        raise InputError(f"expected pictures of 8 to 1024 px for StyleGAN1, got {plan.resolution}; resize them")
    return plan


def level_channels(
    plan: ResolutionPlan, channels: Sequence[int] | None, channel_base: int | None, channel_max: int | None
) -> list[int]:
    """Feature maps by level, from the base up: `channels`, or min(channel_base // r, channel_max) at r = 4, 8, ...

    Raises `InputError`.
    """
    if channels is None:
        base, most = channel_base or CHANNEL_BASE, channel_max or CHANNEL_MAX
        channels = [min(base // r, most) for r in plan.nominals]
    elif channel_base is not None or channel_max is not None:
        raise InputError("expected channels, or channel_base and channel_max, got both; leave one out")
    if len(channels) != len(plan.nominals) or min(channels) < 1:
        raise InputError(
            f"expected {len(plan.nominals)} positive numbers of channels, for {plan.nominals[0]} to {plan.nominal} px, "
            f"got {list(channels)}"
        )
    return list(channels)


class StyleGAN1Mapping(StyleMapping):
    """z [N, z_dim] and c [N, c_dim] to ws [N, num_ws, w_dim], with truncation towards the mean style w_avg [w_dim].

    The layers are the generator's `style`.
    """

    def __init__(self, style: nn.Sequential, sizes: tuple[int, int, int], num_ws: int):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = sizes
        self.num_ws, self.w_avg_beta = num_ws, W_AVG_BETA
        self._style = (style,)  # a tuple, so that its tensors keep the names they have in the generator
        if self.c_dim > 0:
            self.embed = EqualLinear(self.c_dim, self.z_dim)
        self.track()

    def map(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """w [N, w_dim]. Raises `InputError` for z or c of another shape."""
        return self._style[0](self.joined(z, c, self.embed if self.c_dim > 0 else None))

    def mean_style(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The mean w [1, w_dim] of a batch."""
        return self.map(z, c).mean(dim=0, keepdim=True)


class GrowingBlocks(nn.Module):
    """The tensors of the synthesis network: a block and a layer that makes a picture for every level."""

    def __init__(self, plan: ResolutionPlan, channels: Sequence[int], w_dim: int, img_channels: int, fused_from: int):
        super().__init__()
        blocks = [StyledBlock(channels[0], channels[0], w_dim, False, plan.base)]
        for k, r in enumerate(plan.nominals[1:], start=1):
            blocks.append(StyledBlock(channels[k - 1], channels[k], w_dim, r >= fused_from))
        self.progression = nn.ModuleList(blocks)
        self.to_rgb = nn.ModuleList(EqualConv2d(width, img_channels, 1) for width in channels)


class StyleGAN1Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] to images [N, C, h, w] of the resolution at the present lod, not clamped.

    Block k takes ws[:, k] and one noise picture. The blocks are the generator's `generator`.
    """

    def __init__(self, blocks: GrowingBlocks, plan: ResolutionPlan, w_dim: int):
        super().__init__()
        self._blocks = (blocks,)  # a tuple, as the mapping's layers
        self.plan, self.w_dim, self.num_ws = plan, w_dim, len(plan.nominals)
        self.growth = Growth(plan.num_doublings)

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
    ) -> Tensor:
        """`noise_mode` "random" draws from `noise_source` (None: torch's global generator), "const" takes the same
        noise for every picture and lod, "none" leaves it out. No block runs in low precision, whatever `force_fp32`."""
        lookup(NOISE_MODES, noise_mode, "noise_mode")
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise InputError(f"expected ws of shape [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}")
        if noise_source is not None and noise_mode != "random":
            raise InputError(f"expected noise_mode 'random' with a noise_source, got '{noise_mode}'; leave one out")
        ws = ws.to(next(self._blocks[0].parameters()))
        return self.run(ws, self.noises(ws, noise_mode, noise_source))

    def noise_shapes(self) -> list[tuple[int, int]]:
        """(height, width) of the noise of the levels in use."""
        return [self.plan.shape_at(r) for r in self.plan.nominals[: self.growth.detail().level + 1]]

    def noises(self, ws: Tensor, noise_mode: str, noise_source: NoiseSource | None) -> list[Tensor | None]:
        """The noise [N or 1, 1, h, w] of every level in use, None for "none"."""
        shapes = self.noise_shapes()
        if noise_mode == "none":
            return [None] * len(shapes)
        if noise_mode == "random":
            return list(random_noises(shapes, ws, noise_source))
        draws = (torch.randn(1, 1, *s, generator=generator(0, "stylegan1/noise", k)) for k, s in enumerate(shapes))
        return [noise.to(ws) for noise in draws]

    def run(self, ws: Tensor, noises: Sequence[Tensor | None]) -> Tensor:
        """Images, with the noise of every level: (1 - alpha) of the level below, enlarged, and alpha of this one."""
        (blocks,), (level, alpha) = self._blocks, self.growth.detail()
        x = below = None
        for k in range(level + 1):
            below, x = x, blocks.progression[k](x, ws[:, k], noises[k])
        image = blocks.to_rgb[level](x)
        if alpha < 1:
            skip = F.interpolate(blocks.to_rgb[level - 1](below), scale_factor=2, mode="nearest")
            image = skip.lerp(image, alpha)
        return image


class StyleGAN1Generator(Generator):
    """StyleGAN1's growing generator for pictures of 8 to 1024 px (4..7 times 2^n on the short side).

    `channels` are the feature maps by level from the base up, else min(channel_base // r, channel_max) at 4, 8, ... px
    (16384 and 512). Blocks from `fused_resolution` up convolve and up-sample in one.
    """

    mapping: StyleGAN1Mapping
    synthesis: StyleGAN1Synthesis

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int | Sequence[int] = 1024,
        img_channels: int = 3,
        num_layers: int = 8,
        channels: Sequence[int] | None = None,
        channel_base: int | None = None,
        channel_max: int | None = None,
        fused_resolution: int = 128,
    ):
        super().__init__()
        plan = growing_plan(img_resolution)
        if num_layers < 1:
            raise InputError(f"expected num_layers of the mapping to be at least 1, got {num_layers}")
        self.z_dim, self.c_dim, self.w_dim, self.img_channels = z_dim, c_dim, w_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = plan.resolution, (img_channels, *plan.shape)
        widths = level_channels(plan, channels, channel_base, channel_max)
        self.generator = GrowingBlocks(plan, widths, w_dim, img_channels, fused_resolution)
        features = [z_dim * (2 if c_dim > 0 else 1), *[w_dim] * num_layers]
        layers = [(EqualLinear(features[n], features[n + 1]), nn.LeakyReLU(SLOPE)) for n in range(num_layers)]
        self.style = nn.Sequential(PixelNorm(), *(part for layer in layers for part in layer))
        self.num_ws, self.max_lod = len(plan.nominals), plan.num_doublings
        self.mapping = StyleGAN1Mapping(self.style, (z_dim, c_dim, w_dim), self.num_ws)
        self.synthesis = StyleGAN1Synthesis(self.generator, plan, w_dim)

    @property
    def num_ws_in_use(self) -> int:
        """The blocks up to the present level."""
        return self.synthesis.growth.detail().level + 1

    def set_lod(self, lod: float) -> None:
        """Sets the level of detail. Raises `InputError` outside 0..max_lod."""
        self.synthesis.growth.set_lod(lod)

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """w_avg <- beta w_avg + (1 - beta) mean."""
        self.mapping.update_w_avg(mean)
