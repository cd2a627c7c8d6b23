"""Perceptual distance: features of a picture whose squared distance says how different two pictures look.

The form is that of LPIPS (arXiv:1801.03924): the maps of several layers, each position's channels scaled to length 1,
averaged over the positions. `PERCEPTUAL` holds two, by the name of their weights:

- "vgg16": NVIDIA's TorchScript detector called with `return_lpips=True`, which is LPIPS with its learned channel
  weights. The file is the user's; see `detectors.py` on what loading it means.
- "efficientnet-lite0": the maps of EfficientNet-Lite0 at strides 4, 8, 16 and 32, all channels and layers weighted
  alike (the "baseline" form of the paper). Offline, and never called LPIPS or PPL2: its numbers are of another scale.

Both are differentiable, as a projector needs, and look at a picture in the size it comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.features import detectors, efficientnet_lite
from openstylegan.features.weights import FoundWeights, WeightFile, WeightPolicy, locate
from openstylegan.registry import lookup

LENGTH_EPSILON = 1e-10
PROBE_SIZE = 64


class PerceptualFeatures(Protocol):
    """Pictures to features [N, D] whose squared Euclidean distance is the perceptual distance; D follows the size."""

    name: str
    sha256: str
    protocol: dict[str, Any]

    def __call__(self, images: Tensor) -> Tensor:
        """float32 [N, D] of `images` [N, C, H, W], float, in [0, 255], C = 1 to 4; gradients flow through."""


@dataclass(frozen=True)
class PerceptualKind:
    """An entry of `PERCEPTUAL`: which weights it needs, and how it is made from them."""

    weights: WeightFile
    load: Callable[[FoundWeights, torch.device], PerceptualFeatures]


def float_rgb(images: Tensor) -> Tensor:
    """float [N, 3, H, W] in [0, 255]: grey is repeated, alpha (the last of 2 or 4 channels) laid on white.

    Raises `InputError` for bytes, other shapes and other numbers of channels.
    """
    if not images.is_floating_point() or images.dim() != 4 or not 1 <= images.shape[1] <= 4:
        raise InputError(
            f"expected images as floats [N, C, H, W] in [0, 255] with 1 to 4 channels, got {images.dtype} "
            f"{list(images.shape)}; convert them with (x + 1) * 127.5"
        )
    if images.shape[1] in (2, 4):
        colour, alpha = images[:, :-1], images[:, -1:]
        images = colour * (alpha / 255) + (255 - alpha)
    return images.expand(-1, 3, -1, -1)


def normalised_rows(maps: Sequence[Tensor]) -> Tensor:
    """Feature maps [N, C_l, H_l, W_l] of L layers as rows [N, D], D = sum of C_l H_l W_l.

    row_l = f / sqrt(sum_c f^2 + 1e-10) / sqrt(L H_l W_l), so that the squared distance of two rows is the mean over
    layers of the mean over positions of the squared distance of unit vectors: from 0 (the same) to 4 (the opposite).
    """
    rows = []
    for f in maps:
        unit = f * (f.square().sum(1, keepdim=True) + LENGTH_EPSILON).rsqrt()
        rows.append(unit.flatten(1) * (len(maps) * f.shape[2] * f.shape[3]) ** -0.5)
    return torch.cat(rows, 1)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """sum_d (a - b)^2 of rows [N, D], summed in float64: [N]."""
    return (a.double() - b.double()).square().sum(1)


class EfficientNetLitePerceptual:
    """The distance over the maps of EfficientNet-Lite0; pictures of any size from 32 px."""

    name = efficientnet_lite.NAME

    def __init__(self, found: FoundWeights, device: torch.device):
        self.sha256 = found.sha256
        network = efficientnet_lite.load_network(found, device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, scale = efficientnet_lite.PIXEL_MEAN, efficientnet_lite.PIXEL_SCALE
        self.protocol: dict[str, Any] = {
            "perceptual": self.name,
            "file": found.path.name,
            "sha256": found.sha256,
            "verified": found.verified,
            "maps": "strides 4, 8, 16, 32; unit length over channels; mean over positions and layers",
            "normalisation": f"(x - {mean:g}) / {scale:g}",
            "resize": "none",
            "channels": "grey repeated, alpha on white",
        }

    def __call__(self, images: Tensor) -> Tensor:
        """float32 [N, D] of `images` [N, C, H, W], float, in [0, 255]."""
        x = (float_rgb(images).float() - efficientnet_lite.PIXEL_MEAN) / efficientnet_lite.PIXEL_SCALE
        return normalised_rows(self.network.feature_maps(x.contiguous(memory_format=torch.channels_last)))


class DetectorPerceptual:
    """The distance inside NVIDIA's VGG16 file: `module(images, resize_images=False, return_lpips=True)`."""

    name = "vgg16"

    def __init__(self, found: FoundWeights, device: torch.device):
        self.sha256, self.path = found.sha256, found.path
        self.module = detectors.load_module(found, device)
        for parameter in self.module.parameters():
            parameter.requires_grad = False
        self.protocol: dict[str, Any] = {
            "perceptual": self.name,
            "file": found.path.name,
            "sha256": found.sha256,
            "verified": found.verified,
            "option": "return_lpips",
            "resize": "none",
            "channels": "grey repeated, alpha on white",
        }
        self.probe(device)

    def probe(self, device: torch.device) -> None:
        """Raises `InputError` when the module is not a detector with LPIPS features."""
        try:
            with torch.no_grad():
                rows = self(torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE, device=device))
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise InputError(
                f"expected {self.path} to be a detector that takes (images, resize_images=False, return_lpips=True), "
                f"but calling it so failed ({last}); check that it is the VGG16 file of StyleGAN2-ADA"
            ) from error
        if rows.dim() != 2:
            raise InputError(f"expected features [N, D] from {self.path}, got {list(rows.shape)}; check the file")

    def __call__(self, images: Tensor) -> Tensor:
        """float32 [N, D] of `images` [N, C, H, W], float, in [0, 255]."""
        rgb = float_rgb(images).float().contiguous()
        return self.module(rgb, resize_images=False, return_lpips=True)


PERCEPTUAL: Mapping[str, PerceptualKind] = {
    "efficientnet-lite0": PerceptualKind(efficientnet_lite.WEIGHTS, EfficientNetLitePerceptual),
    "vgg16": PerceptualKind(detectors.VGG16_FILE, DetectorPerceptual),
}


def check_perceptual(name: str, policy: WeightPolicy | None = None) -> None:
    """Finds and verifies the weights of `PERCEPTUAL[name]` without loading them. Raises `InputError`."""
    locate(lookup(PERCEPTUAL, name, "perceptual distance").weights, policy or WeightPolicy())


def perceptual_distance(
    name: str, policy: WeightPolicy | None = None, device: str | torch.device = "cpu"
) -> PerceptualFeatures:
    """The features of `PERCEPTUAL[name]` on `device`: floats [N, C, H, W] in [0, 255] -> float32 [N, D].

    Raises `InputError` when the weights are not to be had.
    """
    kind = lookup(PERCEPTUAL, name, "perceptual distance")
    return kind.load(locate(kind.weights, policy or WeightPolicy()), torch.device(device))
