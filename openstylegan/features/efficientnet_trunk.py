"""The trunk of EfficientNet-Lite0 (arXiv 1905.11946) as a differentiable network in four stages, for discriminators.

The architecture and the weights are those of `features.efficientnet_lite`; here batch normalisation is kept apart from
the convolutions, because Projected GAN (arXiv 2111.01007) moves its statistics once, and the names of all tensors are
those of its checkpoints (`layer0.0.weight`, ...). Inputs are [-1, 1], which is this network's own normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.features.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    MAP_CHANNELS,
    STAGES,
    STEM_CHANNELS,
    WEIGHTS,
    same_padding,
)
from openstylegan.features.weights import WeightPolicy, locate
from openstylegan.ops.frozen import derived
from openstylegan.ops.paths import fast
from openstylegan.ops.pointwise import pointwise

LAYERS = ((0, 1), (2,), (3, 4), (5, 6))
"""Which stages of blocks make up layer0 to layer3; their outputs have strides 4, 8, 16 and 32."""
NUM_CHANNELS = MAP_CHANNELS


class SameConv2d(nn.Conv2d):
    """A convolution without bias and with TensorFlow's "SAME" padding: the odd pixel goes to the bottom and right."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.correlate(x, self.weight.to(x.dtype))

    def correlate(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution with another weight of this shape, and a bias."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1 and self.groups > 1 and x.dtype == torch.bfloat16 and fast(x):
            # In bfloat16 oneDNN takes the gradient of a strided depthwise convolution 15 to 200 times as long.
            return self.correlate(x.float(), weight.float(), None if bias is None else bias.float()).to(x.dtype)
        if kernel == 1 and stride == 1 and bias is not None:
            return pointwise(x, weight, bias)
        if stride == 1:
            return F.conv2d(x, weight, bias, padding=kernel // 2, groups=self.groups)
        if x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
            # A zero row and column before the kernel make the padding symmetric, which spares a copy of the map.
            return F.conv2d(x, F.pad(weight, (1, 0, 1, 0)), bias, stride, kernel // 2, groups=self.groups)
        sides = (*same_padding(x.shape[3], kernel, stride), *same_padding(x.shape[2], kernel, stride))
        return F.conv2d(F.pad(x, sides), weight, bias, stride, groups=self.groups)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation as this network has it."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


def normalised(conv: SameConv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """norm(conv(x)); by running statistics, the normalisation is multiplied into the convolution (a pass less)."""
    if norm.training:
        return norm(conv(x))
    mean = norm.running_mean
    assert mean is not None
    weight = derived(conv.weight, f"normalised {x.dtype}", lambda w: (w * gain(norm)[:, None, None, None]).to(x.dtype))
    bias = derived(norm.bias, f"normalised {x.dtype}", lambda b: (b - mean * gain(norm)).to(x.dtype))
    return conv.correlate(x, weight, bias)


def rectified(x: Tensor) -> Tensor:
    """ReLU6 of x, which nobody else holds: over it where no gradient is recorded."""
    return F.relu6(x, inplace=not (torch.is_grad_enabled() and x.requires_grad))


def gain(norm: nn.BatchNorm2d) -> Tensor:
    """What a normalisation by running statistics multiplies each channel with."""
    assert norm.running_var is not None
    return norm.weight * (norm.running_var + norm.eps).rsqrt()


class SeparableBlock(nn.Module):
    """The first block: a depthwise convolution and a linear 1x1 projection."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv_dw, self.bn1 = SameConv2d(inputs, inputs, kernel, groups=inputs), batch_norm(inputs)
        self.conv_pw, self.bn2 = SameConv2d(inputs, outputs), batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return normalised(self.conv_pw, self.bn2, rectified(normalised(self.conv_dw, self.bn1, x)))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inputs * expansion
        self.conv_pw, self.bn1 = SameConv2d(inputs, middle), batch_norm(middle)
        self.conv_dw, self.bn2 = SameConv2d(middle, middle, kernel, stride, groups=middle), batch_norm(middle)
        self.conv_pwl, self.bn3 = SameConv2d(middle, outputs), batch_norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = rectified(normalised(self.conv_pw, self.bn1, x))
        y = rectified(normalised(self.conv_dw, self.bn2, y))
        y = normalised(self.conv_pwl, self.bn3, y)
        return x + y if self.residual else y


def stages() -> list[nn.Sequential]:
    """The seven stages of blocks."""
    made, channels = [], STEM_CHANNELS
    for kernel, stride, expansion, width, count in STAGES:
        blocks: list[nn.Module] = []
        for n in range(count):
            if expansion == 1:
                blocks.append(SeparableBlock(channels, width, kernel))
            else:
                blocks.append(InvertedResidual(channels, width, kernel, 1 if n else stride, expansion))
            channels = width
        made.append(nn.Sequential(*blocks))
    return made


class StemAndBlocks(nn.Sequential):
    """layer0: the stem's convolution, normalisation and ReLU6, then blocks."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, _, *blocks = self
        assert isinstance(conv, SameConv2d) and isinstance(norm, nn.BatchNorm2d)
        x = rectified(normalised(conv, norm, x))
        for block in blocks:
            x = block(x)
        return x


class EfficientNetTrunk(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] to four maps [N, 24 | 40 | 112 | 320, H / stride, W / stride], strides 4 to 32."""

    channels = NUM_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        parts = stages()
        stem = [SameConv2d(3, STEM_CHANNELS, 3, 2), batch_norm(STEM_CHANNELS), nn.ReLU6()]
        for n, own in enumerate(LAYERS):
            layer = [parts[k] for k in own]
            self.add_module(f"layer{n}", nn.Sequential(*layer) if n else StemAndBlocks(*stem, *layer))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for n in range(len(LAYERS)):
            x = self.get_submodule(f"layer{n}")(x)
            maps.append(x)
        return maps

    @torch.no_grad()
    def see_black(self, side: int = 224) -> None:
        """Moves all running statistics by one picture of zeros, as Projected GAN's discriminator does when it is made.

        It learns the numbers of channels from such a picture before the network is put in eval mode.
        """
        was = self.training
        self.train()
        self(torch.zeros(1, 3, side, side))
        self.train(was)


def stored_names() -> Iterator[tuple[str, str]]:
    """(module of the trunk, module of the package's state dict) of everything that has tensors."""
    yield "layer0.0", "_conv_stem"
    yield "layer0.1", "_bn0"
    place = {stage: f"layer{n}.{k + 3 * (n == 0)}" for n, own in enumerate(LAYERS) for k, stage in enumerate(own)}
    number = 0
    for stage, (_, _, expansion, _, count) in enumerate(STAGES):
        for block in range(count):
            ours, theirs = f"{place[stage]}.{block}", f"_blocks.{number}"
            if expansion == 1:
                pairs = [("conv_dw", "_depthwise_conv"), ("bn1", "_bn1"), ("conv_pw", "_project_conv"), ("bn2", "_bn2")]
            else:
                pairs = [("conv_pw", "_expand_conv"), ("bn1", "_bn0"), ("conv_dw", "_depthwise_conv"), ("bn2", "_bn1")]
                pairs += [("conv_pwl", "_project_conv"), ("bn3", "_bn2")]
            for own, stored in pairs:
                yield f"{ours}.{own}", f"{theirs}.{stored}"
            number += 1


def trunk_state(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trunk's part of the package's state dict, under the trunk's names."""
    state = {}
    for ours, theirs in stored_names():
        found = {name: tensor for name, tensor in stored.items() if name.startswith(f"{theirs}.")}
        state.update({ours + name[len(theirs) :]: tensor for name, tensor in found.items()})
    return state


def load_trunk(policy: WeightPolicy = WeightPolicy()) -> EfficientNetTrunk:
    """The frozen trunk with ImageNet weights, in eval mode. Raises `InputError` when they are not on this machine."""
    found = locate(WEIGHTS, policy)
    with torch.random.fork_rng(devices=[]):
        trunk = EfficientNetTrunk()
    state = trunk_state(torch.load(found.path, map_location="cpu", weights_only=True))
    missing = trunk.load_state_dict(state, strict=False).missing_keys
    if any(not name.endswith("num_batches_tracked") for name in missing):
        raise InputError(f"expected the weights of EfficientNet-Lite0 in {found.path}, found no {missing[0]}")
    return trunk.eval().requires_grad_(False)
