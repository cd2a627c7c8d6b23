"""Detector files in TorchScript: Inception v3 of 2015 (FID, KID, IS), VGG16 (precision and recall, arXiv:1904.06991).

They are the files that the StyleGAN2-ADA line measures with, so numbers are comparable with published ones. They are
not shipped: the user puts them in place or allows the download.

What loading one means: TorchScript is not a pickle that can run Python, but it is a program. `torch.jit.load` reads
its code and constants with readers of its own; calling the module then runs that program with all of torch's
operators, in this process. A file is therefore loaded only when its SHA-256 is known here or given by the user. The
two hashes below are those that several independent public projects give for these files; we have not had the files
ourselves, so a file that differs is refused with both hashes named, and the user decides.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.features.base import ExtractorKind, FeatureExtractor, as_rgb, in_chunks
from openstylegan.features.weights import FoundWeights, WeightFile

SOURCE = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
INCEPTION_FILE = WeightFile(
    key="inception",
    name="inception-2015-12-05.pt",
    sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    url=SOURCE + "inception-2015-12-05.pt",
)
VGG16_FILE = WeightFile(
    key="vgg16",
    name="vgg16.pt",
    sha256="b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3",
    url=SOURCE + "vgg16.pt",
)
PROBE_SIZE = 64


class TorchScriptDetector:
    """A detector called as `module(images, **{option: True})` with uint8 RGB images of any size; it resizes inside."""

    def __init__(self, found: FoundWeights, device: torch.device, name: str, option: str):
        self.name, self.sha256, self.device, self.option = name, found.sha256, device, option
        self.module = load_module(found, device)
        self.num_features = self.probe(found)
        self.protocol: dict[str, Any] = {
            "extractor": name,
            "file": found.path.name,
            "sha256": found.sha256,
            "verified": found.verified,
            "option": option,
            "resize": "inside the detector",
            "channels": "grey repeated, alpha on white",
        }

    def probe(self, found: FoundWeights) -> int:
        """The number of features; raises `InputError` when the module is not a detector of this kind."""
        try:
            features = self(torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE, dtype=torch.uint8))
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise InputError(
                f"expected {found.path} to be a detector that takes (uint8 images, {self.option}=True), but calling it "
                f"so failed ({last}); check that it is the file {self.name} needs"
            ) from error
        if features.dim() != 2:
            raise InputError(f"expected features [N, D] from {found.path}, got {list(features.shape)}; check the file")
        return features.shape[1]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, num_features] of `images` uint8 [N, C, H, W], C = 1 to 4."""
        images = as_rgb(images.to(self.device))
        return in_chunks(lambda x: self.module(x, **{self.option: True}).to(torch.float32), images)


def load_module(found: FoundWeights, device: torch.device) -> torch.jit.ScriptModule:
    """Reads a TorchScript file. Raises `InputError` when it is none."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            return torch.jit.load(str(found.path), map_location=device).eval()
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"expected a TorchScript file at {found.path}, but it cannot be read ({first})") from error


def load_detector(found: FoundWeights, device: torch.device, name: str, option: str) -> FeatureExtractor:
    """The detector in a verified file."""
    return TorchScriptDetector(found, device, name, option)


def detector(file: WeightFile, name: str, option: str) -> ExtractorKind:
    """The table entry for one way to call a detector file."""
    return ExtractorKind(file, functools.partial(load_detector, name=name, option=option))


INCEPTION = detector(INCEPTION_FILE, "inception", "return_features")
INCEPTION_PROBABILITIES = detector(INCEPTION_FILE, "inception-probabilities", "no_output_bias")
VGG16 = detector(VGG16_FILE, "vgg16", "return_features")
