"""The MSG-StyleGAN discriminator: one picture at every resolution to one number.

Paper: MSG-GAN (arXiv 1903.06048); its combine function is phi_cat_lin: the features that come from above and the
picture of their resolution, one after the other, through a linear 1x1 convolution. Minibatch standard deviation
stands in every block.

Differs from MSG-StyleGAN: pictures need not be square.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.images import Images
from openstylegan.networks.base import Discriminator, check_channels, check_labels
from openstylegan.networks.layers import MinibatchStddev
from openstylegan.networks.msg import CHANNEL_BASE, CHANNEL_MAX
from openstylegan.networks.msg_layers import HalvingConv, ScaledConv, ScaledDense, ScaledWeight, lrelu
from openstylegan.networks.resolution import ResolutionPlan
from openstylegan.networks.stylegan2 import channels_at


def pyramid(images: Tensor, num_levels: int) -> tuple[Tensor, ...]:
    """Images [N, C, H, W] at `num_levels` resolutions, the smallest first, each the 2x2 means of the next.

    The levels hang together: a gradient with respect to one of them includes what it does through those below.
    """
    levels = [images]
    for _ in range(num_levels - 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return tuple(reversed(levels))


class Combine(ScaledWeight):
    """The picture joins the features: x [N, C, h, w] and image [N, img_channels, h, w] to [N, C, h, w]."""

    def __init__(self, channels: int, img_channels: int):
        super().__init__(channels + img_channels, channels, 1)

    def forward(self, x: Tensor, image: Tensor | None = None) -> Tensor:
        """1x1 convolution of [x; image], without bias and activation."""
        assert image is not None
        return super().forward(torch.cat([x, image], dim=1))


class MSGDownBlock(nn.Module):
    """One resolution: statistics of the batch, convolution, convolution that halves. `combine` below the top."""

    def __init__(self, channels: int, out_channels: int, img_channels: int | None, mbstd: MinibatchStddev):
        super().__init__()
        self.combine = None if img_channels is None else Combine(channels, img_channels)
        self.mbstd = mbstd
        self.conv0 = ScaledConv(channels + mbstd.num_channels, channels, 3)
        self.conv1 = HalvingConv(channels, out_channels)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """[N, C, h, w] to [N, O, h / 2, w / 2]."""
        x = x if self.combine is None else self.combine(x, image)
        return self.conv1(self.conv0(self.mbstd(x)))


class MSGLastBlock(nn.Module):
    """The lowest resolution: [N, C, h, w] to scores [N, num_scores]."""

    def __init__(
        self,
        widths: tuple[int, int],
        shape: tuple[int, int],
        img_channels: int | None,
        mbstd: MinibatchStddev,
        num_scores: int,
    ):
        super().__init__()
        channels, hidden = widths
        self.combine = None if img_channels is None else Combine(channels, img_channels)
        self.mbstd = mbstd
        self.conv = ScaledConv(channels + mbstd.num_channels, channels, 3)
        self.fc = ScaledDense(channels * shape[0] * shape[1], hidden)
        self.out = ScaledDense(hidden, num_scores, gain=1.0)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        x = x if self.combine is None else self.combine(x, image)
        return self.out(lrelu(self.fc(self.conv(self.mbstd(x)).flatten(1))))


class MSGDiscriminator(Discriminator):
    """MSG-StyleGAN's discriminator of a tuple of pictures, the smallest first; logits [N, 1].

    Labels choose among one score a class. `channel_base` and `channel_max` are those of the generator;
    `mbstd_group_size` None takes the whole micro-batch.
    """

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int | Sequence[int] = 1024,
        img_channels: int = 3,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = CHANNEL_MAX,
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
    ):
        super().__init__()
        plan = ResolutionPlan.of(img_resolution)
        self.plan, self.c_dim, self.img_channels = plan, c_dim, check_channels(img_channels)
        self.img_resolution, self.image_shape = plan.resolution, (img_channels, *plan.shape)

        def width(r: int) -> int:
            return channels_at(r, channel_base, channel_max)

        def mbstd() -> MinibatchStddev:
            return MinibatchStddev(mbstd_group_size, mbstd_num_channels)

        self.fromrgb = ScaledConv(img_channels, width(plan.nominal), 1)
        for r in plan.nominals[:0:-1]:
            joins = None if r == plan.nominal else img_channels
            self.add_module(f"b{r}", MSGDownBlock(width(r), width(r // 2), joins, mbstd()))
        joins = None if plan.nominal == 4 else img_channels
        self.b4 = MSGLastBlock((width(4), width(2)), plan.base, joins, mbstd(), max(c_dim, 1))

    def prepare_reals(self, images: Images) -> Images:
        """Real images [N, C, H, W] at every resolution (`pyramid`)."""
        assert isinstance(images, Tensor)
        return pyramid(images, len(self.plan.nominals))

    def forward(self, images: Images, c: Tensor | None = None, force_fp32: bool = False) -> Tensor:
        """Logits [N, 1] in the parameters' dtype. No block runs in low precision, whatever `force_fp32` says.

        Raises `InputError` for other resolutions, and for labels of another shape.
        """
        levels = self.checked(images)
        check_labels(c, self.c_dim, len(levels[-1]))
        levels = [level.to(self.fromrgb.weight.dtype) for level in levels]
        x = self.fromrgb(levels[-1])
        for r, level in zip(reversed(self.plan.nominals), reversed(levels), strict=True):
            x = self.get_submodule(f"b{r}")(x, level)
        return x if c is None or self.c_dim == 0 else (x * c.to(x)).sum(dim=1, keepdim=True)

    def checked(self, images: Images) -> list[Tensor]:
        """The pictures, when there is one of every resolution. Raises `InputError`."""
        shapes = [(self.img_channels, *self.plan.shape_at(r)) for r in self.plan.nominals]
        if not isinstance(images, tuple):
            raise InputError(
                f"expected pictures at {len(shapes)} resolutions, got one tensor {list(images.shape)}; "
                "use a generator that makes all of them"
            )
        found = [tuple(level.shape[1:]) for level in images]
        if found != shapes or len({len(level) for level in images}) > 1:
            got = ", ".join(str(list(level.shape)) for level in images)
            raise InputError(f"expected pictures [N, C, H, W] of {', '.join(map(str, shapes))}, got {got}")
        return list(images)
