"""The StyleGAN3 generators T and R: no layer sees where the pixels are, so the picture moves and turns as a whole.

Paper: "Alias-free generative adversarial networks" (arXiv 2106.12423). Names, shapes and order of all tensors are those
of the StyleGAN3 PyTorch release, so its weights load as they are. R is `conv_kernel=1, use_radial_filters=True` with
`channel_base` and `channel_max` doubled.

Differs from StyleGAN3: unknown options are refused; low precision is off until `set_precision` (num_fp16_res says which
layers may use it); styles are normalized a sample at a time; in training w_avg and the magnitudes follow whole batches,
once a phase and after its step (there: a process's micro-batches, before the layer that uses them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.images import Images
from openstylegan.networks.base import Generator, PrecisionBlock, check_channels, options_from
from openstylegan.networks.layers import Dense
from openstylegan.networks.mapping import MappingNetwork, MappingOptions
from openstylegan.networks.stylegan2 import NOISE_MODES
from openstylegan.networks.stylegan3_input import FourierInput
from openstylegan.networks.stylegan3_schedule import LayerPlan, SynthesisOptions, check_resolution, make_schedule
from openstylegan.ops.filtered_lrelu import filtered_lrelu
from openstylegan.ops.modulated_conv2d import modulated_conv2d_sg3
from openstylegan.randomness import NoiseSource
from openstylegan.registry import lookup


@dataclass(frozen=True)
class AliasFreeMappingOptions:
    """`mapping_kwargs` of StyleGAN3."""

    num_layers: int = 2
    lr_multiplier: float = 0.01
    w_avg_beta: float = 0.998

    def mapping_options(self) -> MappingOptions:
        """The same for a mapping network."""
        return MappingOptions(self.num_layers, lr_multiplier=self.lr_multiplier, w_avg_beta=self.w_avg_beta)


def magnitudes(x: Tensor) -> Tensor:
    """The mean square of each sample, [N], of x [N, C, H, W]; low precision is left before squaring."""
    x = x.detach()
    return (x.float() if x.dtype.itemsize < 4 else x).square().mean(dim=[1, 2, 3])


class AliasFreeLayer(PrecisionBlock):
    """Modulated convolution and filtered leaky ReLU: x [N, I, H, W] and w [N, w_dim] to [N, O, H', W'].

    The convolution's input is divided by the root of `magnitude_ema`, the running mean square of this layer's input.
    ToRGB neither demodulates nor filters, and its activation is linear.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, w_dim: int, plan: LayerPlan, conv_clamp: float | None, magnitude_ema_beta: float):
        super().__init__()
        self.plan, self.conv_clamp, self.magnitude_ema_beta = plan, conv_clamp, magnitude_ema_beta
        self.low_precision_allowed = plan.low_precision_allowed
        before, after, k = plan.before, plan.after, plan.conv_kernel
        self.affine = Dense(w_dim, before.channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, k, k))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", plan.up_filter())
        self.register_buffer("down_filter", plan.down_filter())

    def forward(self, x: Tensor, w: Tensor, force_fp32: bool = False) -> Tensor:
        """Features in the dtype the layer computes in; planes are contiguous, as the filters take them."""
        plan = self.plan
        styles = self.affine(w)
        if plan.is_torgb:
            styles = styles / math.sqrt(plan.before.channels)
        else:
            # The convolution normalizes the styles of the whole batch together; after this, that changes nothing, and
            # a sample does not feel (by the 1e-8 in the demodulation) which others are beside it.
            styles = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
        x = modulated_conv2d_sg3(
            x.to(self.compute_dtype(w.dtype, force_fp32)),
            self.weight,
            styles,
            demodulate=not plan.is_torgb,
            padding=plan.conv_kernel - 1,
            input_gain=self.magnitude_ema.rsqrt(),
        )
        return filtered_lrelu(
            x,
            fu=self.up_filter,
            fd=self.down_filter,
            b=self.bias.to(x.dtype),
            up=plan.up,
            down=plan.down,
            padding=[*plan.padding, *plan.padding],
            gain=1.0 if plan.is_torgb else math.sqrt(2),
            slope=1.0 if plan.is_torgb else 0.2,
            clamp=self.conv_clamp,
        )

    @torch.no_grad()
    def update_magnitude(self, mean: Tensor) -> None:
        """magnitude_ema <- beta magnitude_ema + (1 - beta) mean, the mean square of the layer's input."""
        self.magnitude_ema.copy_(mean.to(self.magnitude_ema).lerp(self.magnitude_ema, self.magnitude_ema_beta))


class AliasFreeSynthesis(nn.Module):
    """The synthesis network: ws [N, num_ws, w_dim] to images [N, C, H, W]; w 0 turns and moves the input."""

    def __init__(self, w_dim: int, schedule: Sequence[LayerPlan], options: SynthesisOptions):
        super().__init__()
        self.w_dim, self.num_ws, self.output_scale = w_dim, len(schedule) + 1, options.output_scale
        self.input = FourierInput(w_dim, schedule[0].before)
        self.layer_names = [plan.name for plan in schedule]
        for plan in schedule:
            layer = AliasFreeLayer(w_dim, plan, options.conv_clamp, options.magnitude_ema_beta)
            self.add_module(plan.name, layer)

    @property
    def layers(self) -> list[AliasFreeLayer]:
        """The layers, first to last; the last is ToRGB."""
        return [layer for layer in self.children() if isinstance(layer, AliasFreeLayer)]

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
        update_emas: bool = False,
        observed: list[Tensor] | None = None,
    ) -> Tensor:
        """Images [N, C, H, W], nominal range [-1, 1], not clamped, in the parameters' dtype.

        There is no noise: `noise_mode` and `noise_source` are checked, and change nothing. `force_fp32` switches low
        precision off for this call. `update_emas` moves every layer's magnitude by this batch's before it is used.
        `observed` is given the mean squares [N] of every layer's input, a tensor a layer.
        """
        lookup(NOISE_MODES, noise_mode, "noise_mode")
        if noise_source is not None and noise_mode != "random":
            raise InputError(f"expected noise_mode 'random' with a noise_source, got '{noise_mode}'; leave one out")
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise InputError(f"expected ws of shape [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}")
        ws = ws.to(self.input.weight.dtype)
        x = self.input(ws[:, 0])
        for i, layer in enumerate(self.layers):
            if update_emas:
                layer.update_magnitude(magnitudes(x).mean())
            if observed is not None:
                observed.append(magnitudes(x))
            x = layer(x, ws[:, i + 1], force_fp32)
        return (x * self.output_scale).to(ws.dtype).contiguous()


class StyleGAN3Generator(Generator):
    """StyleGAN3's generator of square pictures, `img_resolution` pixels wide: 4..7 times a power of two.

    `mapping_kwargs` are `AliasFreeMappingOptions`; all that follow it are `SynthesisOptions`.
    """

    mapping: MappingNetwork
    synthesis: AliasFreeSynthesis

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int | Sequence[int] = 256,
        img_channels: int = 3,
        mapping_kwargs: Mapping[str, Any] | None = None,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_layers: int = 14,
        num_critical: int = 2,
        first_cutoff: float = 2.0,
        first_stopband: float = 2**2.1,
        last_stopband_rel: float = 2**0.3,
        margin_size: int = 10,
        output_scale: float = 0.25,
        num_fp16_res: int = 4,
        conv_kernel: int = 3,
        filter_size: int = 6,
        lrelu_upsampling: int = 2,
        use_radial_filters: bool = False,
        conv_clamp: float | None = 256,
        magnitude_ema_beta: float = 0.999,
    ):
        super().__init__()
        side = check_resolution(img_resolution)
        self.z_dim, self.c_dim, self.w_dim, self.img_channels = z_dim, c_dim, w_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = side, (img_channels, side, side)
        options = SynthesisOptions(
            channel_base=channel_base,
            channel_max=channel_max,
            num_layers=num_layers,
            num_critical=num_critical,
            first_cutoff=first_cutoff,
            first_stopband=first_stopband,
            last_stopband_rel=last_stopband_rel,
            margin_size=margin_size,
            output_scale=output_scale,
            num_fp16_res=num_fp16_res,
            conv_kernel=conv_kernel,
            filter_size=filter_size,
            lrelu_upsampling=lrelu_upsampling,
            use_radial_filters=use_radial_filters,
            conv_clamp=conv_clamp,
            magnitude_ema_beta=magnitude_ema_beta,
        )
        mapping_options = options_from(AliasFreeMappingOptions, mapping_kwargs, "mapping_kwargs").mapping_options()
        self.synthesis = AliasFreeSynthesis(w_dim, make_schedule(side, img_channels, options), options)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, mapping_options)

    def observed_synthesis(self, ws: Tensor, **synthesis_options: Any) -> tuple[Images, Tensor]:
        """Images, and the mean squares [N, num_ws - 1] of every layer's input."""
        observed: list[Tensor] = []
        images = self.synthesis(ws, observed=observed, **synthesis_options)
        return images, torch.stack(observed, dim=1)

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """w_avg and every layer's magnitude move by `mean`: that of w, then those of the layers' inputs."""
        self.mapping.update_w_avg(mean[: self.w_dim])
        for layer, magnitude in zip(self.synthesis.layers, mean[self.w_dim :], strict=True):
            layer.update_magnitude(magnitude)

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
        update_w_avg: bool | None = None,
        update_emas: bool = False,
        **synthesis_options: Any,
    ) -> Images:
        """Images [N, C, H, W]. `update_emas` moves w_avg and all magnitudes by this batch; without it neither moves,
        unless `update_w_avg` says so of the former."""
        follows = update_emas if update_w_avg is None else update_w_avg
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, follows)
        return self.synthesis(ws, update_emas=update_emas, **synthesis_options)
