"""The StyleGAN2 generator: mapping network and a synthesis network of modulated convolutions.

Papers: StyleGAN2 (arXiv 1912.04958), StyleGAN2-ADA (arXiv 2006.06676). Names, shapes and order of all tensors are
those of the StyleGAN2-ADA PyTorch release, so its weights load as they are.

Differs from StyleGAN2-ADA: pictures need not be square; the noise of all layers is drawn as one block, from a source
that the caller may give; low precision is off until `set_precision` (num_fp16_res says which blocks may use it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator, PrecisionBlock, check_channels, options_from
from openstylegan.networks.layers import Conv2d, Dense, check_activation
from openstylegan.networks.mapping import MappingNetwork, MappingOptions
from openstylegan.networks.resolution import ResolutionPlan
from openstylegan.ops.bias_act import ACTIVATIONS
from openstylegan.ops.modulated_conv2d import modulated_conv2d_bias_act
from openstylegan.ops.upfirdn2d import setup_filter, upsample2d
from openstylegan.randomness import NoiseSource
from openstylegan.registry import lookup

ARCHITECTURES = {"orig": "", "skip": "", "resnet": ""}
NOISE_MODES = {"random": "", "const": "", "none": ""}


@dataclass(frozen=True)
class SynthesisOptions:
    """`synthesis_kwargs`: channels(r) = min(channel_base // r, channel_max) at the nominal resolution r."""

    channel_base: int = 32768
    channel_max: int = 512
    num_fp16_res: int = 0
    architecture: str = "skip"
    resample_filter: Sequence[float] = (1, 3, 3, 1)
    conv_clamp: float | None = None
    fp16_channels_last: bool = False
    use_noise: bool = True
    activation: str = "lrelu"
    kernel_size: int = 3

    def __post_init__(self) -> None:
        lookup(ARCHITECTURES, self.architecture, "architecture")
        check_activation(self.activation)
        if self.kernel_size % 2 != 1:
            raise InputError(f"expected an odd kernel_size, got {self.kernel_size}")

    def channels(self, nominal: int) -> int:
        """Feature maps at the block named `nominal`."""
        return channels_at(nominal, self.channel_base, self.channel_max)


def channels_at(nominal: int, channel_base: int, channel_max: int) -> int:
    """min(channel_base // nominal, channel_max); raises `InputError` when that is none."""
    channels = min(channel_base // nominal, channel_max)
    if channels < 1:
        raise InputError(f"expected at least one channel at resolution {nominal}, got channel_base {channel_base}")
    return channels


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias, activation: x [N, I, H, W] and w [N, w_dim] to [N, O, H up, W up]."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        shape: tuple[int, int],
        up: int,
        options: SynthesisOptions,
    ):
        super().__init__()
        self.shape, self.up, self.conv_clamp = shape, up, options.conv_clamp
        self.activation, self.use_noise, self.padding = options.activation, options.use_noise, options.kernel_size // 2
        self.act_gain = ACTIVATIONS[options.activation].gain
        self.affine = Dense(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, options.kernel_size, options.kernel_size))
        self.register_buffer("resample_filter", setup_filter(list(options.resample_filter)))
        if self.use_noise:
            self.register_buffer("noise_const", torch.randn(shape))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(
        self, x: Tensor, w: Tensor, noise: Tensor | None = None, fused_modconv: bool = True, gain: float = 1.0
    ) -> Tensor:
        """`noise` [N, 1, H up, W up] or [H up, W up] is multiplied by noise_strength and added before the bias."""
        return modulated_conv2d_bias_act(
            x,
            self.weight,
            self.affine(w),
            noise=None if noise is None else noise * self.noise_strength,
            b=self.bias,
            up=self.up,
            padding=self.padding,
            resample_filter=self.resample_filter,
            flip_weight=self.up == 1,
            fused_modconv=fused_modconv,
            act=self.activation,
            gain=self.act_gain * gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )


class ToRGBLayer(nn.Module):
    """Modulated 1x1 convolution without demodulation: features [N, I, H, W] to an image [N, C, H, W]."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int, conv_clamp: float | None):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = Dense(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor, fused_modconv: bool = True) -> Tensor:
        """The weight's gain 1 / sqrt(I) sits on the styles."""
        styles = self.affine(w) * self.weight_gain
        return modulated_conv2d_bias_act(
            x,
            self.weight,
            styles,
            b=self.bias,
            demodulate=False,
            fused_modconv=fused_modconv,
            clamp=self.conv_clamp,
        )


class SynthesisBlock(PrecisionBlock):
    """The layers of one resolution. `in_channels=0` makes it the first, which starts from a learned constant."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        shape: tuple[int, int],
        img_channels: int,
        is_last: bool,
        options: SynthesisOptions,
    ):
        super().__init__()
        self.is_first = in_channels == 0
        self.channels_last_on_gpu = options.fp16_channels_last
        self.register_buffer("resample_filter", setup_filter(list(options.resample_filter)))
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, *shape))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, shape, 2, options)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, shape, 1, options)
        self.has_torgb = is_last or options.architecture == "skip"
        if self.has_torgb:
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, options.conv_clamp)
        self.has_skip = options.architecture == "resnet" and not self.is_first
        if self.has_skip:
            filter_taps = options.resample_filter
            self.skip = Conv2d(in_channels, out_channels, 1, bias=False, up=2, resample_filter=filter_taps)

    @property
    def layers(self) -> list[SynthesisLayer]:
        """The modulated layers that take noise and a w each, in order."""
        return [self.conv1] if self.is_first else [self.conv0, self.conv1]

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Tensor,
        noises: Iterator[Tensor | None],
        force_fp32: bool = False,
        fused_modconv: bool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(features, image) of this resolution from those below; ws [N, layers + torgb, w_dim]."""
        dtype = self.compute_dtype(ws.dtype, force_fp32)
        if fused_modconv is None:
            fused_modconv = not self.training and (dtype == ws.dtype or len(ws) == 1)
        if x is None:
            x = self.const.expand(ws.shape[0], -1, -1, -1)  # len(ws) would fix the size in an exported graph
        x = self.features(self.placed(x, dtype), ws, noises, fused_modconv)
        if img is not None:
            img = upsample2d(img, self.resample_filter)
        if self.has_torgb:
            y = self.torgb(x, ws[:, len(self.layers)], fused_modconv).to(ws.dtype)
            img = y if img is None else img + y
        return x, img

    def features(self, x: Tensor, ws: Tensor, noises: Iterator[Tensor | None], fused_modconv: bool) -> Tensor:
        """The convolutions; those of a residual block and its skip are scaled by sqrt(1/2) each."""
        gain = math.sqrt(0.5) if self.has_skip else 1.0
        skip = self.skip(x, gain) if self.has_skip else None
        for i, layer in enumerate(self.layers):
            x = layer(x, ws[:, i], next(noises), fused_modconv, gain if layer is self.conv1 else 1.0)
        return x if skip is None else skip + x


class SynthesisNetwork(nn.Module):
    """The synthesis network g: ws [N, num_ws, w_dim] to images [N, C, H, W]. A block's ToRGB shares its w with the
    first layer of the next block."""

    def __init__(self, w_dim: int, plan: ResolutionPlan, img_channels: int, options: SynthesisOptions):
        super().__init__()
        self.w_dim, self.plan, self.img_channels = w_dim, plan, img_channels
        first_low_precision = plan.first_low_precision(options.num_fp16_res)
        in_channels = 0
        for r in plan.nominals:
            out_channels, is_last = options.channels(r), r == plan.nominal
            block = SynthesisBlock(in_channels, out_channels, w_dim, plan.shape_at(r), img_channels, is_last, options)
            block.low_precision_allowed = r >= first_low_precision
            self.add_module(f"b{r}", block)
            in_channels = out_channels
        self.num_ws = 2 * len(plan.nominals)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks, smallest first."""
        return [block for block in self.children() if isinstance(block, SynthesisBlock)]

    @property
    def layers(self) -> list[SynthesisLayer]:
        """The modulated layers, first to last."""
        return [layer for block in self.blocks for layer in block.layers]

    def noise_shapes(self) -> list[tuple[int, int]]:
        """(height, width) of the noise of every layer that takes noise, first to last."""
        return [layer.shape for layer in self.layers if layer.use_noise]

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
        fused_modconv: bool | None = None,
    ) -> Tensor:
        """Images [N, C, H, W], nominal range [-1, 1], not clamped, in the parameters' dtype.

        `noise_mode` is "random" (drawn from `noise_source`, else from torch's global generator), "const" (the
        noise_const buffers) or "none". `force_fp32` switches low precision off for this call. `fused_modconv` None
        means: modulate the weights rather than the activations in evaluation, unless a low-precision batch is > 1.
        Both forms are equal but for rounding, and the fast path of the op takes the cheaper one whatever is asked.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise InputError(f"expected ws of shape [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}")
        lookup(NOISE_MODES, noise_mode, "noise_mode")
        if noise_source is not None and noise_mode != "random":
            raise InputError(f"expected noise_mode 'random' with a noise_source, got '{noise_mode}'; leave one out")
        blocks = self.blocks
        ws = ws.to(blocks[0].const.dtype)
        noises = iter(self.noises(ws, noise_mode, noise_source))
        x = img = None
        for i, block in enumerate(blocks):
            first = max(2 * i - 1, 0)
            block_ws = ws[:, first : first + len(block.layers) + 1]
            x, img = block(x, img, block_ws, noises, force_fp32, fused_modconv)
        assert img is not None
        return img.contiguous()

    def noises(self, ws: Tensor, noise_mode: str, noise_source: NoiseSource | None) -> list[Tensor | None]:
        """The noise of every layer before its strength: [N, 1, h, w], [h, w] for "const", None for "none"."""
        layers = self.layers
        if noise_mode == "const":
            return [layer.noise_const if layer.use_noise else None for layer in layers]
        if noise_mode == "none" or not self.noise_shapes():
            return [None] * len(layers)
        return list(random_noises(self.noise_shapes(), ws, noise_source))


def random_noises(shapes: Sequence[tuple[int, int]], like: Tensor, source: NoiseSource | None) -> Iterator[Tensor]:
    """Standard normal noise [N, 1, h, w] for each shape, drawn as one [N, total] block; device and dtype of `like`."""
    sizes = [h * w for h, w in shapes]
    block = (len(like), sum(sizes))
    if source is None:
        drawn = torch.randn(block, device=like.device, dtype=like.dtype)
    else:
        drawn = source.normal(block).to(like)
    for part, (h, w) in zip(drawn.split(sizes, dim=1), shapes, strict=True):
        yield part.reshape(-1, 1, h, w)


class StyleGAN2Generator(Generator):
    """StyleGAN2's generator. `img_resolution` is a side in pixels or (height, width): 4..7 times 2^n on the short
    side. `mapping_kwargs` are `MappingOptions`, `synthesis_kwargs` are `SynthesisOptions`."""

    mapping: MappingNetwork
    synthesis: SynthesisNetwork
    synthesis_type: type[SynthesisNetwork] = SynthesisNetwork

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int | Sequence[int] = 256,
        img_channels: int = 3,
        mapping_kwargs: Mapping[str, Any] | None = None,
        synthesis_kwargs: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        plan = ResolutionPlan.of(img_resolution)
        self.z_dim, self.c_dim, self.w_dim, self.img_channels = z_dim, c_dim, w_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = plan.resolution, (img_channels, *plan.shape)
        synthesis_options = options_from(SynthesisOptions, synthesis_kwargs, "synthesis_kwargs")
        mapping_options = options_from(MappingOptions, mapping_kwargs, "mapping_kwargs")
        self.synthesis = self.synthesis_type(w_dim, plan, img_channels, synthesis_options)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, mapping_options)

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """w_avg <- beta w_avg + (1 - beta) mean, unless w_avg_beta is None."""
        if self.mapping.tracks_w:
            self.mapping.update_w_avg(mean)

    def noise_shapes(self) -> list[tuple[int, int]]:
        """(height, width) of the noise of every layer that takes noise, first to last."""
        return self.synthesis.noise_shapes()
