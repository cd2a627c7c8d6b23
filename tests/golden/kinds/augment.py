"""Golden ADA pipelines: every augmentation at a fixed percentile, so that nothing is random but the image noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from golden.check import Check, as_array, compare, failure, worst
from golden.document import Document, NotUnderstood
from golden.kinds.paths import every_path
from golden.tolerances import AUGMENT, AUGMENT_FILTER


@dataclass
class GivenNoise:
    """A noise source whose normal numbers of the images' size are the recorded image noise.

    Any other draw is answered with the middle of its distribution, which a percentile overrides.
    """

    noise: Tensor | None

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        size = torch.Size(shape).numel()
        if self.noise is not None and self.noise.numel() == size:
            return self.noise.reshape(tuple(shape)).to(dtype)
        return torch.zeros(tuple(shape), dtype=dtype)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full(tuple(shape), 0.5, dtype=dtype)


def run(document: Document) -> Iterator[Check]:
    """Every output of the file, then the filters."""
    options = document.options()
    specs = options.take("specs")
    options.finish()
    for key, fields in document.cases():
        spec, p, percentile = fields.take("spec"), fields.take("p"), fields.take("debug_percentile", None)
        if spec not in specs:
            raise NotUnderstood(f"{fields.where}: spec {spec!r} is not among the options")
        if percentile is None and p != 0:
            raise NotUnderstood(f"{fields.where}: p = {p} without a percentile is random")
        yield from worst(key.removeprefix("out/"), check_pipe(document, key, specs[spec], p, percentile))
    from openstylegan.augment.pipe import AugmentPipe

    buffers = dict(AugmentPipe().named_buffers())
    for name in document.names("buf/"):
        buffer = name.removeprefix("buf/")
        if buffer not in buffers:
            document.take(name)
            yield failure(name, "", "this package's pipe has no such buffer")
        else:
            yield compare(document, name, name, buffers[buffer], AUGMENT_FILTER)


def check_pipe(
    document: Document, key: str, spec: dict[str, Any], p: float, percentile: float | None
) -> Iterator[Check]:
    """One output, by every path."""
    from openstylegan.augment.pipe import AugmentPipe

    noise = document.tensor("in/noise") if document.has("in/noise") else None
    pipe = AugmentPipe(**spec).to(document.device)
    pipe.p.fill_(p)
    for word, path in every_path():
        with path:
            images = pipe(document.tensor("in/images"), GivenNoise(noise), debug_percentile=percentile)
        yield replace(compare(document, "", key, images, AUGMENT), part=word)
        if spec.get("cutout") and percentile is not None:
            yield from check_cutout(as_array(images), document.take(key), word)


def check_cutout(actual: np.ndarray, expected: np.ndarray, word: str) -> Iterator[Check]:
    """The rectangle that is cut out must be the same to the pixel."""
    if actual.shape == expected.shape:
        moved = int(((actual == 0).all(1) != (expected == 0).all(1)).sum())
        if moved:
            yield failure("", word, f"{moved} pixels on the other side of the edge of the cutout")
