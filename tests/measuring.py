"""Fakes for measuring: pictures that are a function of their number, and extractors that are small projections."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from openstylegan.distributed import rank
from openstylegan.features import EXTRACTORS
from openstylegan.features.base import as_rgb
from openstylegan.files import append_line
from openstylegan.metrics import METRICS, Metric
from openstylegan.metrics.evaluate import Setup, evaluate
from openstylegan.networks import GENERATORS
from openstylegan.networks.base import Generator
from openstylegan.registry import build
from openstylegan.sampling.measured import NumberedSampler

SHAPE = (3, 4, 4)
PICTURE_METRICS = [name for name, metric in METRICS.items() if isinstance(metric, Metric)]


def noise_picture(number: int, shift: int) -> np.ndarray:
    return np.random.RandomState(1000 * shift + number).randint(0, 200 + shift, SHAPE).astype(np.uint8)


class Reals:
    """A dataset of `num` pictures that counts how often it is read."""

    def __init__(self, num: int = 50, name: str = "reals", shift: int = 1):
        self.num, self.name, self.shift, self.reads = num, name, shift, 0

    @property
    def content_hash(self) -> str:
        return f"reals of {self.num}, {self.shift}"

    def __len__(self) -> int:
        return self.num

    def images(self, indices: np.ndarray) -> np.ndarray:
        self.reads += len(indices)
        return np.stack([noise_picture(int(i), self.shift) for i in indices])


class Fakes:
    """A `sample` function that counts what it makes."""

    def __init__(self, shift: int = 40):
        self.shift, self.numbers = shift, list[int]()

    def __call__(self, indices: Any) -> Tensor:
        self.numbers += [int(i) for i in indices]
        return torch.from_numpy(np.stack([noise_picture(int(i), self.shift) for i in indices]))


class Projection:
    """Features that are a fixed linear map of the pixels, in float32; `softmax` makes them probabilities."""

    sha256 = "0" * 64

    def __init__(self, name: str, num_features: int = 6, softmax: bool = False):
        self.name, self.num_features, self.softmax, self.pictures = name, num_features, softmax, 0
        random = np.random.RandomState(num_features)
        self.weight = torch.from_numpy(random.randn(np.prod(SHAPE), num_features)).float()

    @property
    def protocol(self) -> dict[str, Any]:
        return {"extractor": self.name, "sha256": self.sha256, "num_features": self.num_features}

    def __call__(self, images: Tensor) -> Tensor:
        self.pictures += len(images)
        features = as_rgb(images).flatten(1).float() / 255 @ self.weight
        return features.softmax(1) if self.softmax else features


class Pooled(Projection):
    """Works on pictures of any size."""

    def __call__(self, images: Tensor) -> Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images.float(), SHAPE[1:])
        return super().__call__(small.to(torch.uint8))


class Pixels:
    """Perceptual features that are the pixels; of any size."""

    name, sha256 = "pixels", "0" * 64
    protocol: ClassVar[dict[str, Any]] = {"perceptual": "pixels", "sha256": sha256}

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def projections() -> dict[str, Projection]:
    """A fake for every extractor that a metric uses."""
    return {name: Projection(name, softmax="probabilities" in name) for name in EXTRACTORS}


GENERATOR_METRICS = ["fd_efflite0", "eqt50k_frac", "ppl2_wend", "eqr50k", "kd_efflite0", "ppl_zfull", "eqt50k_int"]


def small_generator(kind: str = "stylegan3", c_dim: int = 2, width: int = 4) -> Generator:
    """A 32 px generator with weights of its own."""
    widths = {"channel_base": 32 * width, "channel_max": width}
    options = {"z_dim": 6, "c_dim": c_dim, "w_dim": 6, "img_resolution": 32, "img_channels": 3}
    options |= widths if kind == "stylegan3" else {"synthesis_kwargs": widths}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build(GENERATORS, kind, options, "generator").eval().requires_grad_(False)


def small_sampler(kind: str = "stylegan3") -> NumberedSampler:
    """Of a conditional generator, in groups of 4."""
    labels = np.eye(2, dtype=np.float32)[np.arange(50) % 2]
    return NumberedSampler(small_generator(kind), 3, 50, lambda i: labels[i], group_size=4)


def generator_setup() -> Setup:
    """Small features for every metric that asks a generator."""
    extractors = {name: Pooled(name, softmax="probabilities" in name) for name in EXTRACTORS}
    return Setup(
        extractors=extractors, perceptual={"vgg16": Pixels(), "efficientnet-lite0": Pixels()}, device="cpu", seed=4
    )


def measure_everything(job: tuple[Path, int, int]) -> None:
    """For several processes: all metrics of pictures, then some of a generator; a file of records for each process."""
    folder, num_generated, batch_size = job
    fakes, own = Fakes(), rank()
    options = {"batch_size": batch_size, "cache": False}
    setup = Setup(extractors=projections(), device="cpu")
    records = evaluate(PICTURE_METRICS, fakes, Reals(), num_generated=num_generated, setup=setup, **options)
    for record in records:
        append_line(folder / f"pictures{own}.jsonl", record.to_json())
    append_line(folder / f"made{own}.jsonl", str(fakes.numbers))
    sample, setup = small_sampler(), generator_setup()
    for record in evaluate(GENERATOR_METRICS, sample, Reals(), num_generated=10, setup=setup, **options):
        append_line(folder / f"generator{own}.jsonl", record.to_json())
