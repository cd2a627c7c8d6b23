"""The parts of Projected GAN's discriminator (Sauer et al., arXiv 2111.01007): random projections of feature maps, and
small discriminators on each of them. Names of all tensors are those of Projected GAN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.networks.base import check_labels
from openstylegan.networks.fastgan_layers import BatchNorm, NormedSequence
from openstylegan.networks.layers import MinibatchStddev
from openstylegan.networks.spectral import SpectralConv2d
from openstylegan.ops.frozen import in_dtype
from openstylegan.ops.pointwise import pointwise

WIDTHS: Mapping[int, int] = {4: 512, 8: 512, 16: 256, 32: 128, 64: 64, 128: 64, 256: 32, 512: 16, 1024: 8}
"""Channels of a small discriminator at a (nominal) side of its map."""
END = 8
SLOPE = 0.2


class Mix(nn.Conv2d):
    """A 1x1 convolution with a bias, in the dtype of what it is given."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return pointwise(x, in_dtype(self.weight, x.dtype), in_dtype(self.bias, x.dtype))


class FeatureFusion(nn.Module):
    """Maps (their sum, when there are two) enlarged twice and mixed across channels by a 1x1 convolution.

    Bilinear with aligned corners. `expand` halves the channels. The order does not matter, as each pixel's weights sum
    to one, so channels are mixed first, where there are four times fewer pixels.
    """

    def __init__(self, channels: int, expand: bool = False):
        super().__init__()
        self.out_conv = Mix(channels, channels // 2 if expand else channels)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        x = x if other is None else x + other
        return F.interpolate(self.out_conv(x), scale_factor=2, mode="bilinear", align_corners=True)


class CrossChannel(nn.Module):
    """A 1x1 convolution for each stage of features: `scratch.layerN_ccm`."""

    def __init__(self, channels: Sequence[int], out_channels: Sequence[int]):
        super().__init__()
        for n, (i, o) in enumerate(zip(channels, out_channels, strict=True)):
            self.add_module(f"layer{n}_ccm", Mix(i, o))

    def mixed(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Every stage's maps, their channels mixed."""
        return [self.get_submodule(f"layer{n}_ccm")(x) for n, x in enumerate(maps)]


class CrossScale(CrossChannel):
    """`CrossChannel`, then each stage mixed with the coarser ones: `scratch.layerN_csm`. All maps come out twice as
    large; `expand` widens towards the coarse stages."""

    def __init__(self, channels: Sequence[int], out_channels: Sequence[int], expand: bool):
        super().__init__(channels, out_channels)
        for n, width in enumerate(out_channels):
            self.add_module(f"layer{n}_csm", FeatureFusion(width, expand and n > 0))

    def mixed(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """From the coarsest stage to the finest, each seeing what the coarser one gave."""
        own, coarser, found = super().mixed(maps), None, []
        for n in reversed(range(len(own))):
            coarser = self.get_submodule(f"layer{n}_csm")(own[n] if coarser is None else coarser + own[n])
            found.append(coarser)
        return found[::-1]


class SeparableConv2d(nn.Module):
    """A depthwise 3x3 and a 1x1 convolution, both spectrally normalised, without bias."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.depthwise = SpectralConv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
        self.pointwise = SpectralConv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


def normed_activation(channels: int, norm: bool) -> list[nn.Module]:
    """What follows a convolution."""
    return [*([BatchNorm(channels)] if norm else []), nn.LeakyReLU(SLOPE)]


class DownBlock(nn.Module):
    """Halves the resolution: a strided 4x4 convolution, or (`separable`) a separable one and average pooling.

    `norm`: with batch normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, separable: bool = False, norm: bool = True):
        super().__init__()
        tail = normed_activation(out_channels, norm)
        if separable:
            self.main = NormedSequence(SeparableConv2d(in_channels, out_channels), *tail, nn.AvgPool2d(2))
        else:
            self.main = NormedSequence(SpectralConv2d(in_channels, out_channels, 4, 2, 1, bias=True), *tail)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class DownBlockPatch(nn.Module):
    """A `DownBlock` and a 1x1 convolution, normalised and rectified."""

    def __init__(self, in_channels: int, out_channels: int, separable: bool = False, norm: bool = True):
        super().__init__()
        self.main = NormedSequence(
            DownBlock(in_channels, out_channels, separable, norm),
            SpectralConv2d(out_channels, out_channels, 1),
            *normed_activation(out_channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


def trunk(
    in_channels: int, start: int, end: int, width: int | None, separable: bool, patch: bool, norm: bool = True
) -> tuple[list[nn.Module], int]:
    """Blocks from maps of side `start` to maps of side `end`, and the channels of the latter; `width` (None: `WIDTHS`)
    for all but the input."""
    blocks: list[nn.Module] = []
    channels, side = in_channels, start
    while side > end:
        side //= 2
        wider = WIDTHS[side] if width is None else width
        blocks.append((DownBlockPatch if patch else DownBlock)(channels, wider, separable, norm))
        channels = wider
    return blocks, channels


def nominal_start(side: int) -> int:
    """The nominal side of maps that really have `side` pixels: halved as often, they keep more than 4."""
    num_blocks = 0
    while side // 2 > 4:
        side, num_blocks = side // 2, num_blocks + 1
    return END << num_blocks


class SingleDiscriminator(nn.Module):
    """Maps [N, in_channels, s, s] to logits [N, 1, h, w]; `start` is the nominal side s.

    `mbstd_group_size`: shows the last layer how much groups of so many samples differ, in `mbstd_channels` channels.
    """

    def __init__(
        self,
        in_channels: int,
        start: int,
        width: int | None = None,
        end: int = END,
        separable: bool = False,
        patch: bool = False,
        mbstd_group_size: int | None = None,
        mbstd_channels: int = 1,
        norm: bool = True,
    ):
        super().__init__()
        blocks, channels = trunk(in_channels, start, end, width, separable, patch, norm)
        if mbstd_group_size is not None:
            blocks.append(MinibatchStddev(mbstd_group_size, mbstd_channels))
            channels += mbstd_channels
        self.main = nn.Sequential(*blocks, SpectralConv2d(channels, 1, 4))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.main(x)


class ConditionalDiscriminator(nn.Module):
    """As `SingleDiscriminator`, its logits the products of a map with the embedded class, over sqrt(`cmap_dim`)."""

    def __init__(
        self,
        in_channels: int,
        start: int,
        c_dim: int,
        width: int | None = None,
        end: int = END,
        separable: bool = False,
        patch: bool = False,
        cmap_dim: int = 64,
        embedding_dim: int = 128,
        num_classes: int = 1000,
        mbstd_group_size: int | None = None,
        mbstd_channels: int = 1,
        norm: bool = True,
    ):
        super().__init__()
        self.c_dim, self.cmap_dim = c_dim, cmap_dim
        blocks, channels = trunk(in_channels, start, end, width, separable, patch, norm)
        if mbstd_group_size is not None:
            blocks.append(MinibatchStddev(mbstd_group_size, mbstd_channels))
            channels += mbstd_channels
        self.main = nn.Sequential(*blocks)
        self.cls = SpectralConv2d(channels, cmap_dim, 4)
        self.embed = nn.Embedding(num_classes, embedding_dim)
        self.embed_proj = nn.Sequential(nn.Linear(embedding_dim, cmap_dim), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        check_labels(c, self.c_dim, x.shape[0])
        assert c is not None
        condition = self.embed_proj(self.embed(c.argmax(1)))[:, :, None, None].to(x.dtype)
        return (self.cls(self.main(x)) * condition).sum(1, keepdim=True) / math.sqrt(self.cmap_dim)


class MultiScaleDiscriminator(nn.Module):
    """A small discriminator for each of several maps; their logits side by side, [N, all pixels]."""

    def __init__(self, discriminators: Sequence[nn.Module]):
        super().__init__()
        self.mini_discs = nn.ModuleDict({str(n): own for n, own in enumerate(discriminators)})

    def forward(self, maps: Sequence[Tensor], c: Tensor | None = None) -> Tensor:
        found = [own(x, c).flatten(1) for own, x in zip(self.mini_discs.values(), maps, strict=False)]
        return torch.cat(found, dim=1)
