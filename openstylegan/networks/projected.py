"""The projected discriminator: Sauer et al., "Projected GANs converge faster" (arXiv 2111.01007).

    D = ProjectedDiscriminator()
    logits = D(images)                      # [N, K] of images [N, 3, H, W] in [-1, 1]

Frozen ImageNet features, mixed by fixed random projections, are judged by small discriminators at four scales; only
those are trained. Names of all tensors are those of Projected GAN.

Differs from Projected GAN: augmentation stands before the discriminator (`augment.diffaugment`), not in it; pictures of
1, 2 or 4 channels are shown to the features in colour, alpha on white; the side at which features look is an option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.features.efficientnet_trunk import EfficientNetTrunk, load_trunk
from openstylegan.images import Images
from openstylegan.networks.base import Discriminator, PrecisionBlock, check_channels
from openstylegan.networks.outline import weights_follow
from openstylegan.networks.projected_layers import (
    ConditionalDiscriminator,
    CrossChannel,
    CrossScale,
    MultiScaleDiscriminator,
    SingleDiscriminator,
    nominal_start,
)
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.registry import lookup


class Backbone(NamedTuple):
    """A frozen network: `load` gives it with its weights, `blank` without. It has `channels`, its forward gives as many
    maps, halving in size, and it has `see_black`."""

    load: Callable[[], Any]
    blank: Callable[[], Any]

    def made(self, shift_statistics: bool) -> Any:
        """The network, or a blank one where all weights (the statistics too) follow."""
        if weights_follow():
            return self.blank()
        network = self.load()
        if shift_statistics:
            network.see_black()
        return network


BACKBONES: Mapping[str, Backbone] = {"efficientnet-lite0": Backbone(load_trunk, EfficientNetTrunk)}
"""Frozen networks by name."""
STRIDES = (4, 8, 16, 32)
NOMINAL_SIDE = 256
"""The side of pictures for which the small discriminators are laid out, whatever the data's."""
FEATURE_SIDE = 224
"""Smaller pictures are enlarged to this (short) side for the features."""


class KeptFeatureWeights:
    """What is derived from a frozen network's weights, kept from one forward pass to the next while none changes."""

    def __init__(self) -> None:
        self.seen: tuple[Any, ...] = ()
        self.weights = FrozenWeights()

    def of(self, network: nn.Module) -> FrozenWeights:
        """Those of `network`, begun anew when a tensor of it is another one, or was written to."""
        tensors = [*network.parameters(), *network.buffers()]
        seen = (torch.is_inference_mode_enabled(), *((id(t), t._version) for t in tensors))
        if seen != self.seen:
            self.seen, self.weights = seen, FrozenWeights()
        return self.weights

    def __deepcopy__(self, memo: Any) -> KeptFeatureWeights:
        return KeptFeatureWeights()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return KeptFeatureWeights, ()


class Projector(nn.Module):
    """Images to feature maps, mixed at random but fixed: `proj_type` 0 not at all, 1 across channels, 2 across scales.

    `cout` is the width of the finest map; `expand` doubles it towards the coarse ones.
    """

    def __init__(self, pretrained: Any, proj_type: int, cout: int, expand: bool):
        super().__init__()
        lookup({"0": 0, "1": 1, "2": 2}, str(proj_type), "proj_type")
        self.pretrained, self.enlarges = pretrained, 2 if proj_type == 2 else 1
        self.scratch: CrossChannel | None = None
        widths = [cout << n if expand else cout for n in range(len(pretrained.channels))]
        self.channels: list[int] = list(pretrained.channels)
        if proj_type == 1:
            self.scratch, self.channels = CrossChannel(pretrained.channels, widths), widths
        elif proj_type == 2:
            self.scratch = CrossScale(pretrained.channels, widths, expand)
            self.channels = [w // 2 if expand and n > 0 else w for n, w in enumerate(widths)]

    def forward(self, images: Tensor) -> Sequence[Tensor]:
        """Maps [N, C, h, w], finest first."""
        maps = self.pretrained(images)
        return maps if self.scratch is None else self.scratch.mixed(maps)

    def starts(self, feature_side: int | None) -> list[int]:
        """The nominal sides of the maps; those of Projected GAN's unless `feature_side` says how large the input is."""
        if feature_side is None:
            return [NOMINAL_SIDE * self.enlarges // stride for stride in STRIDES]
        return [nominal_start(feature_side * self.enlarges // stride) for stride in STRIDES]


def in_colour(images: Tensor) -> Tensor:
    """[N, 1 to 4, H, W] as [N, 3, H, W]: grey repeated, alpha on white; all in [-1, 1]."""
    channels = images.shape[1]
    colour = images[:, :3] if channels >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    if channels in (1, 3):
        return colour
    opacity = (images[:, -1:] + 1) / 2
    return colour * opacity + (1 - opacity)


class ProjectedDiscriminator(Discriminator, PrecisionBlock):
    """Logits [N, K] of the small discriminators' maps, side by side; K depends on the side of the features' input.

    `feature_side` None: `FEATURE_SIDE` for pictures that are smaller, their own side otherwise (any size will do).
    `interp224`: pictures of any side are resized to `FEATURE_SIDE`, or (False) none; as Projected GAN calls it.
    `norm` False: without batch normalisation, which hides from D what generated pictures differ from real ones in as a
    whole (colours, contrast), since each kind is normalised by statistics of its own.
    `shift_statistics`: the backbone's batch normalisation is moved once, as Projected GAN does when it is made.
    `separable`: the light kind of its StyleGAN2 configuration. `width` None: the widths of the paper.
    `mbstd_group_size`: the small discriminators see how much samples differ (not in Projected GAN; None: they do not).
    """

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: Any = 256,
        img_channels: int = 3,
        backbone: str = "efficientnet-lite0",
        proj_type: int = 2,
        cout: int = 64,
        expand: bool = True,
        num_discs: int = 4,
        separable: bool = False,
        patch: bool = False,
        width: int | None = None,
        feature_side: int | None = None,
        num_classes: int = 1000,
        shift_statistics: bool = True,
        mbstd_group_size: int | None = None,
        mbstd_channels: int = 1,
        interp224: bool | None = None,
        norm: bool = True,
    ):
        super().__init__()
        self.low_precision_allowed = True
        height, width_px = (img_resolution, img_resolution) if isinstance(img_resolution, int) else img_resolution
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, check_channels(img_channels)
        self.image_shape = (img_channels, height, width_px)
        least = STRIDES[-1] * (2 if proj_type == 2 else 4)
        if feature_side is not None and feature_side < least:
            raise InputError(
                f"expected feature_side of at least {least} with proj_type {proj_type}, got {feature_side}"
            )
        if c_dim > num_classes:
            raise InputError(f"expected at most {num_classes} classes, got {c_dim}; set num_classes")
        if min(height, width_px) < 8:
            raise InputError(f"expected pictures of at least 8 px, got {img_resolution}")
        if feature_side is not None and interp224 is not None:
            raise InputError("expected feature_side or interp224, got both; leave one out")
        if interp224 is False and min(height, width_px) < least:
            raise InputError(f"expected pictures of at least {least} px without interp224, got {img_resolution}")
        self.feature_side, self.interp224 = feature_side, interp224
        pretrained = lookup(BACKBONES, backbone, "backbone").made(shift_statistics)
        self.feature_network = Projector(pretrained, proj_type, cout, expand)
        self.feature_network.eval().requires_grad_(False)
        self.kept = KeptFeatureWeights()
        if not 1 <= num_discs <= len(self.feature_network.channels):
            raise InputError(f"expected num_discs from 1 to {len(self.feature_network.channels)}, got {num_discs}")
        options: dict[str, Any] = {"width": width, "separable": separable, "patch": patch}
        options |= {"mbstd_group_size": mbstd_group_size, "mbstd_channels": mbstd_channels, "norm": norm}
        starts = self.feature_network.starts(feature_side)
        levels = list(zip(self.feature_network.channels, starts, strict=True))[:num_discs]
        levels = [(channels, 16 if patch else side) for channels, side in levels]
        if c_dim > 0:
            options |= {"c_dim": c_dim, "num_classes": num_classes}
        kind = ConditionalDiscriminator if c_dim > 0 else SingleDiscriminator
        self.discriminator = MultiScaleDiscriminator([kind(i, start, **options) for i, start in levels])

    def usual_side(self, short: int) -> int:
        """The side at which features look at pictures of this short side where `feature_side` does not say it."""
        if self.interp224 is None:
            return max(short, FEATURE_SIDE)
        return FEATURE_SIDE if self.interp224 else short

    def train(self, mode: bool = True) -> ProjectedDiscriminator:
        """Training mode for the small discriminators; the features stay in eval mode."""
        super().train(mode)
        self.feature_network.eval()
        return self

    def forward(self, images: Images, c: Tensor | None = None) -> Tensor:
        """Logits [N, K] of images [N, C, H, W] in [-1, 1]."""
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != self.img_channels:
            got = list(images.shape) if isinstance(images, Tensor) else f"{len(images)} resolutions"
            raise InputError(f"expected images of shape [N, {self.img_channels}, H, W], got {got}; check img_channels")
        x = in_colour(images)
        short = min(x.shape[2:])
        side = self.feature_side or self.usual_side(short)
        if side != short:
            sides = [round(size * side / short) for size in x.shape[2:]]
            x = F.interpolate(x, sides, mode="bilinear", align_corners=False)
        dtype = next(self.discriminator.parameters()).dtype
        with self.kept.of(self.feature_network):
            maps = self.feature_network(self.placed(x, self.compute_dtype(dtype)))
        return self.discriminator(maps, c).to(dtype)
