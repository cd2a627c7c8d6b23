"""Fakes for measuring: pictures that are a function of their number, and extractors that are small projections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.features import EXTRACTORS
from openstylegan.features.base import as_rgb
from openstylegan.files import append_line
from openstylegan.metrics import METRICS
from openstylegan.metrics.evaluate import Setup, evaluate

SHAPE = (3, 4, 4)


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


def projections() -> dict[str, Projection]:
    """A fake for every extractor that a metric uses."""
    return {name: Projection(name, softmax="probabilities" in name) for name in EXTRACTORS}


def measure_everything(job: tuple[Path, int, int]) -> None:
    """For several processes: all metrics, each process's records as a line of a file of its own."""
    from openstylegan.distributed import rank

    folder, num_generated, batch_size = job
    fakes, reals = Fakes(), Reals()
    setup = Setup(extractors=projections(), device="cpu")
    records = evaluate(
        list(METRICS), fakes, reals, num_generated=num_generated, batch_size=batch_size, cache=False, setup=setup
    )
    for record in records:
        append_line(folder / f"rank{rank()}.jsonl", record.to_json())
    append_line(folder / f"made{rank()}.jsonl", str(fakes.numbers))
