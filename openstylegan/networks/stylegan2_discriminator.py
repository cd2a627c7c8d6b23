"""The StyleGAN2 discriminator: residual, skip or plain, with minibatch standard deviation and label projection.

Papers: StyleGAN2 (arXiv 1912.04958), StyleGAN2-ADA (arXiv 2006.06676), projection discriminator (arXiv 1802.05637),
Freeze-D (arXiv 2002.10964). Names, shapes and order of all tensors are those of the StyleGAN2-ADA PyTorch release.

Differs from StyleGAN2-ADA: pictures need not be square; low precision is off until `set_precision` (num_fp16_res says
which blocks may use it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.images import Images
from openstylegan.networks.base import Discriminator, PrecisionBlock, check_channels, check_labels, options_from
from openstylegan.networks.layers import Conv2d, Dense, MinibatchStddev
from openstylegan.networks.mapping import MappingNetwork, MappingOptions
from openstylegan.networks.resolution import ResolutionPlan
from openstylegan.networks.stylegan2 import ARCHITECTURES, channels_at
from openstylegan.ops.upfirdn2d import downsample2d, setup_filter
from openstylegan.registry import lookup


@dataclass(frozen=True)
class BlockOptions:
    """`block_kwargs`: the first `freeze_layers` layers, counted from the image, are not trained."""

    activation: str = "lrelu"
    resample_filter: Sequence[float] = (1, 3, 3, 1)
    fp16_channels_last: bool = False
    freeze_layers: int = 0


@dataclass(frozen=True)
class EpilogueOptions:
    """`epilogue_kwargs`: mbstd_group_size None takes the whole batch, mbstd_num_channels 0 leaves the layer out."""

    mbstd_group_size: int | None = 4
    mbstd_num_channels: int = 1
    activation: str = "lrelu"


@dataclass(frozen=True)
class LabelMappingOptions:
    """`mapping_kwargs` of a discriminator: the mapping of c to the vector on which logits are projected."""

    num_layers: int = 8
    embed_features: int | None = None
    layer_features: int | None = None
    activation: str = "lrelu"
    lr_multiplier: float = 0.01

    def mapping_options(self) -> MappingOptions:
        """The same for a mapping network that keeps no running mean."""
        return MappingOptions(
            self.num_layers, self.embed_features, self.layer_features, self.activation, self.lr_multiplier, None
        )


class DiscriminatorBlock(PrecisionBlock):
    """The layers of one resolution: features [N, tmp, H, W] (and the image) to [N, out, H/2, W/2]."""

    resample_filter: Tensor

    def __init__(
        self,
        is_first: bool,
        channels: tuple[int, int],
        img_channels: int,
        first_layer: int,
        architecture: str,
        conv_clamp: float | None,
        options: BlockOptions,
    ):
        super().__init__()
        tmp, out = channels
        self.architecture, self.channels_last_on_gpu = architecture, options.fp16_channels_last
        self.num_layers = 0
        self.register_buffer("resample_filter", setup_filter(list(options.resample_filter)))

        def conv(in_channels: int, out_channels: int, kernel_size: int, down: int = 1, plain: bool = False) -> Conv2d:
            frozen = first_layer + self.num_layers < options.freeze_layers
            self.num_layers += 1
            return Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                bias=not plain,
                activation="linear" if plain else options.activation,
                down=down,
                resample_filter=options.resample_filter,
                conv_clamp=None if plain else conv_clamp,
                frozen=frozen,
            )

        self.has_fromrgb = is_first or architecture == "skip"
        if self.has_fromrgb:
            self.fromrgb = conv(img_channels, tmp, 1)
        self.conv0 = conv(tmp, tmp, 3)
        self.conv1 = conv(tmp, out, 3, down=2)
        if architecture == "resnet":
            self.skip = conv(tmp, out, 1, down=2, plain=True)

    def forward(self, x: Tensor | None, img: Tensor | None, force_fp32: bool = False) -> tuple[Tensor, Tensor | None]:
        """(features, image for the next block or None)."""
        reference = img if x is None else x
        assert reference is not None
        dtype = self.compute_dtype(self.conv0.weight.dtype, force_fp32)
        if x is not None:
            x = self.placed(x, dtype)
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(self.placed(img, dtype))
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture != "resnet":
            return self.conv1(self.conv0(x)), img
        gain = math.sqrt(0.5)
        skip = self.skip(x, gain)
        return skip + self.conv1(self.conv0(x), gain), img


class DiscriminatorEpilogue(nn.Module):
    """The last block: minibatch standard deviation, one convolution, two dense layers, projection on the labels.

    Always runs in the parameters' dtype; its fromrgb ('skip') is not clamped.
    """

    def __init__(
        self,
        channels: int,
        shape: tuple[int, int],
        img_channels: int,
        cmap_dim: int,
        architecture: str,
        conv_clamp: float | None,
        options: EpilogueOptions,
    ):
        super().__init__()
        self.cmap_dim, self.architecture = cmap_dim, architecture
        activation, mbstd_channels = options.activation, options.mbstd_num_channels
        if architecture == "skip":
            self.fromrgb = Conv2d(img_channels, channels, 1, activation=activation)
        self.mbstd = MinibatchStddev(options.mbstd_group_size, mbstd_channels) if mbstd_channels > 0 else nn.Identity()
        self.conv = Conv2d(channels + mbstd_channels, channels, 3, activation=activation, conv_clamp=conv_clamp)
        self.fc = Dense(channels * shape[0] * shape[1], channels, activation=activation)
        self.out = Dense(channels, cmap_dim or 1)

    def forward(self, x: Tensor, img: Tensor | None, cmap: Tensor | None) -> Tensor:
        """Logits [N, 1] from features [N, channels, h, w] and the embedded labels [N, cmap_dim]."""
        x = x.to(self.fc.weight.dtype)
        if self.architecture == "skip":
            assert img is not None
            x = x + self.fromrgb(img)
        x = self.conv(self.mbstd(x))
        # reshape flattens in C, H, W order whatever the memory layout.
        x = self.out(self.fc(x.reshape(len(x), -1)))
        if cmap is not None:
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class StyleGAN2Discriminator(Discriminator):
    """StyleGAN2's discriminator of images [N, C, H, W]; logits [N, 1].

    Labels are embedded, and the last features projected on them; with `class_scores` there is a score a class instead,
    sum_k(c_k score_k), as in the TensorFlow networks up to StyleGAN2.

    `architecture` is 'orig', 'skip' or 'resnet'; `cmap_dim` None means as many as channels at 4x4. `block_kwargs` are
    `BlockOptions`, `mapping_kwargs` `LabelMappingOptions` (conditional networks only), `epilogue_kwargs`
    `EpilogueOptions`. Minibatch-stddev groups are formed inside the batch given.
    """

    channels_at: Callable[[int, int, int], int] = staticmethod(channels_at)
    """Feature maps at a nominal resolution, of channel_base and channel_max."""

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int | Sequence[int] = 256,
        img_channels: int = 3,
        architecture: str = "resnet",
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        cmap_dim: int | None = None,
        block_kwargs: Mapping[str, Any] | None = None,
        mapping_kwargs: Mapping[str, Any] | None = None,
        epilogue_kwargs: Mapping[str, Any] | None = None,
        class_scores: bool = False,
    ):
        super().__init__()
        plan = ResolutionPlan.of(img_resolution)
        if plan.num_doublings == 0:
            raise InputError(f"expected an img_resolution of at least 8 for a discriminator, got {plan.resolution}")
        lookup(ARCHITECTURES, architecture, "architecture")
        self.c_dim, self.img_channels = c_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = plan.resolution, (img_channels, *plan.shape)
        options = options_from(BlockOptions, block_kwargs, "block_kwargs")
        epilogue_options = options_from(EpilogueOptions, epilogue_kwargs, "epilogue_kwargs")
        label_options = options_from(LabelMappingOptions, mapping_kwargs, "mapping_kwargs")
        widths = {r: self.channels_at(r, channel_base, channel_max) for r in plan.nominals}
        self.class_scores = class_scores and c_dim > 0
        if class_scores:
            refuse_embedding(c_dim, cmap_dim, mapping_kwargs)
        cmap_dim = (widths[4] if cmap_dim is None else cmap_dim) if c_dim > 0 else 0
        cmap_dim = c_dim if self.class_scores else cmap_dim

        num_layers = 0
        for r in reversed(plan.nominals[1:]):
            channels = (widths[r], widths[r // 2])
            block = DiscriminatorBlock(
                r == plan.nominal, channels, img_channels, num_layers, architecture, conv_clamp, options
            )
            block.low_precision_allowed = r >= plan.first_low_precision(num_fp16_res)
            num_layers += block.num_layers
            self.add_module(f"b{r}", block)
        if c_dim > 0 and not self.class_scores:
            self.mapping = MappingNetwork(0, c_dim, cmap_dim, None, label_options.mapping_options())
        self.b4 = DiscriminatorEpilogue(
            widths[4], plan.base, img_channels, cmap_dim, architecture, conv_clamp, epilogue_options
        )

    @property
    def blocks(self) -> list[DiscriminatorBlock]:
        """The blocks above the epilogue, largest first."""
        return [block for block in self.children() if isinstance(block, DiscriminatorBlock)]

    def forward(self, images: Images, c: Tensor | None = None, force_fp32: bool = False) -> Tensor:
        """Logits [N, 1] in the parameters' dtype. `force_fp32` switches low precision off for this call."""
        assert isinstance(images, Tensor)
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise InputError(f"expected images of shape [N, *{self.image_shape}], got {list(images.shape)}")
        check_labels(c, self.c_dim, len(images))
        x, img = None, images.to(self.b4.fc.weight.dtype)
        for block in self.blocks:
            x, img = block(x, img, force_fp32)
        return self.b4(x, img, self.embedded(c))

    def embedded(self, c: Tensor | None) -> Tensor | None:
        """What the last features [N, cmap_dim] are multiplied with, or None without labels."""
        if self.c_dim == 0:
            return None
        if not self.class_scores:
            return self.mapping(None, c)
        assert c is not None
        # The epilogue divides by the root of the number of features, which scores are not.
        return c.to(self.b4.fc.weight.dtype) * math.sqrt(self.c_dim)


def refuse_embedding(c_dim: int, cmap_dim: int | None, mapping_kwargs: Mapping[str, Any] | None) -> None:
    """Raises `InputError` for options that have no effect beside `class_scores`."""
    if c_dim == 0:
        raise InputError("expected classes (c_dim > 0) with class_scores, got c_dim 0; leave class_scores out")
    if cmap_dim is not None or mapping_kwargs:
        raise InputError("expected neither cmap_dim nor mapping_kwargs with class_scores: there is no embedding")
