"""StyleGAN2's networks in the forms that plain rewritings give them: a generator that ends in tanh, a discriminator
whose layers get thinner towards its answer.

Paper: StyleGAN2 (arXiv 1912.04958).

Differs from StyleGAN2: the generator's pictures are squashed into [-1, 1]; the discriminator's block at 2^k px has
min(channel_max, capacity 2^(k-1)) feature maps, so it is widest at the picture. Names and shapes of tensors are
StyleGAN2's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from openstylegan.networks.stylegan2 import StyleGAN2Generator, SynthesisNetwork
from openstylegan.networks.stylegan2_discriminator import StyleGAN2Discriminator
from openstylegan.randomness import NoiseSource


class TanhSynthesisNetwork(SynthesisNetwork):
    """The synthesis network of StyleGAN2, and tanh."""

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
        fused_modconv: bool | None = None,
    ) -> Tensor:
        """Images [N, C, H, W] within (-1, 1)."""
        return super().forward(ws, noise_mode, noise_source, force_fp32, fused_modconv).tanh()


class TanhStyleGAN2Generator(StyleGAN2Generator):
    """StyleGAN2's generator with a tanh after its last layer; options as there."""

    synthesis_type = TanhSynthesisNetwork


def rising_channels(nominal: int, capacity: int, channel_max: int) -> int:
    """min(channel_max, capacity 2^(k-1)) at the nominal resolution 2^k."""
    return min(channel_max, capacity * nominal // 2)


class RisingStyleGAN2Discriminator(StyleGAN2Discriminator):
    """StyleGAN2's discriminator with min(channel_max, capacity 2^(k-1)) feature maps at 2^k px: the
    more, the larger the picture. The other options are as there."""

    channels_at = staticmethod(rising_channels)

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int | Sequence[int] = 256,
        img_channels: int = 3,
        capacity: int = 16,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        block_kwargs: Mapping[str, Any] | None = None,
        epilogue_kwargs: Mapping[str, Any] | None = None,
    ):
        super().__init__(
            c_dim,
            img_resolution,
            img_channels,
            channel_base=capacity,
            channel_max=channel_max,
            num_fp16_res=num_fp16_res,
            conv_clamp=conv_clamp,
            block_kwargs=block_kwargs,
            epilogue_kwargs=epilogue_kwargs,
        )
