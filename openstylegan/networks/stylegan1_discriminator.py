"""The StyleGAN1 discriminator, which grows: from a picture at the present resolution down to one number.

Papers: StyleGAN (arXiv 1812.04948), Progressive GAN (arXiv 1710.10196). Names and shapes of its tensors are those of
style-based-gan-pytorch: level k of 4 * 2^k px is `progression.{8 - k}`; beside them stands `growth.lod`.

Differs from style-based-gan-pytorch: pictures need not be square, and a network has the levels of its pictures only;
minibatch standard deviation may be taken over groups; labels, which that one does not have, choose among one score a
class, as in NVIDIA's StyleGAN1; real pictures come at full resolution and are reduced by averaging (there: by Lanczos,
before training).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.images import Images
from openstylegan.networks.base import Discriminator, check_channels, check_labels
from openstylegan.networks.growing import Growth
from openstylegan.networks.layers import MinibatchStddev
from openstylegan.networks.stylegan1 import MAX_LEVEL, growing_plan, level_channels
from openstylegan.networks.stylegan1_layers import SLOPE, DownBlock, EqualConv2d, EqualLinear, LastBlock


def numbered(blocks: Sequence[nn.Module]) -> nn.ModuleDict:
    """Blocks by level from the base up, under the numbers that they have in the files: 8 at the base."""
    return nn.ModuleDict({str(MAX_LEVEL - k): blocks[k] for k in reversed(range(len(blocks)))})


def from_rgb(img_channels: int, channels: int, activate: bool) -> nn.Module:
    """Features of a picture; the layer alone, or in a sequence with its activation."""
    layer = EqualConv2d(img_channels, channels, 1)
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE)) if activate else layer


class StyleGAN1Discriminator(Discriminator):
    """StyleGAN1's growing discriminator of images [N, C, h, w] at the resolution of the present lod; logits [N, 1].

    `channels`, `channel_base`, `channel_max` and `fused_resolution` are those of the generator.
    `from_rgb_activate`: a leaky ReLU after the layer that reads a picture. `mbstd_group_size` None takes the whole
    micro-batch.
    """

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int | Sequence[int] = 1024,
        img_channels: int = 3,
        channels: Sequence[int] | None = None,
        channel_base: int | None = None,
        channel_max: int | None = None,
        fused_resolution: int = 128,
        from_rgb_activate: bool = True,
        mbstd_group_size: int | None = None,
    ):
        super().__init__()
        plan = growing_plan(img_resolution)
        self.plan, self.max_lod = plan, plan.num_doublings
        self.c_dim, self.img_channels = c_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = plan.resolution, (img_channels, *plan.shape)
        widths = level_channels(plan, channels, channel_base, channel_max)
        blocks: list[nn.Module] = [LastBlock(widths[0] + 1, widths[0], plan.base)]
        for k, r in enumerate(plan.nominals[1:], start=1):
            blocks.append(DownBlock(widths[k], widths[k - 1], r >= fused_resolution))
        self.progression = numbered(blocks)
        self.from_rgb = numbered([from_rgb(img_channels, width, from_rgb_activate) for width in widths])
        self.mbstd = MinibatchStddev(mbstd_group_size)
        self.linear = EqualLinear(widths[0], max(c_dim, 1))
        self.growth = Growth(self.max_lod)

    def set_lod(self, lod: float) -> None:
        """Sets the level of detail. Raises `InputError` outside 0..max_lod."""
        self.growth.set_lod(lod)

    def shape_in_use(self) -> tuple[int, int, int]:
        """(C, h, w) of the pictures at the present level."""
        return (self.img_channels, *self.plan.shape_at(self.plan.nominals[self.growth.detail().level]))

    def prepare_reals(self, images: Images) -> Images:
        """Real pictures [N, C, H, W] at the present resolution, means of squares. They do not fade; networks do."""
        assert isinstance(images, Tensor)
        factor = images.shape[-1] // self.shape_in_use()[-1]
        return F.avg_pool2d(images, factor) if factor > 1 else images

    def forward(self, images: Images, c: Tensor | None = None, force_fp32: bool = False) -> Tensor:
        """Logits [N, 1] in the parameters' dtype. No block runs in low precision, whatever `force_fp32` says."""
        assert isinstance(images, Tensor)
        shape = self.shape_in_use()
        if images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise InputError(f"expected images of shape [N, *{shape}], got {list(images.shape)}")
        check_labels(c, self.c_dim, len(images))
        images = images.to(self.linear.linear.bias.dtype)
        scores = self.linear(self.last_features(images).flatten(1))
        return scores if c is None or self.c_dim == 0 else (scores * c.to(scores)).sum(dim=1, keepdim=True)

    def last_features(self, images: Tensor) -> Tensor:
        """[N, C, 1, 1]: (1 - alpha) of what the level below sees in the reduced picture, and alpha of this one."""
        level, alpha = self.growth.detail()
        x = self.from_rgb[str(MAX_LEVEL - level)](images)
        for k in reversed(range(1, level + 1)):
            x = self.progression[str(MAX_LEVEL - k)](x)
            if k == level and alpha < 1:
                skip = self.from_rgb[str(MAX_LEVEL - k + 1)](F.avg_pool2d(images, 2))
                x = skip.lerp(x, alpha)
        return self.progression[str(MAX_LEVEL)](self.mbstd(x))
