"""Running pictures through feature extractors, once for all that want them, shared among the processes.

Pictures are numbered and cut into batches by their numbers; process r of R takes batches r, r + R, ... So neither the
number of processes nor the order in which they finish changes a set beyond the rounding of its float64 sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.distributed import broadcast, is_main, rank, world_size
from openstylegan.errors import InputError
from openstylegan.features.base import FeatureExtractor
from openstylegan.metrics.statistics import Collector, FeatureSet

Pictures = Callable[[Any], Tensor | np.ndarray]
"""From picture numbers (an int64 array) to uint8 [n, C, H, W]; the same number is always the same picture."""
Progress = Callable[[int, int, str], None]
"""Called with pictures done and to do (on this process), and what is being looked at."""


def silent(done: int, total: int, what: str) -> None:
    """A `Progress` that says nothing."""


@dataclass(frozen=True)
class Want:
    """A set that some metric needs: the features by `extractor` of the first `num` pictures; moments, rows or both."""

    extractor: str
    num: int
    part: str


def collect(
    pictures: Pictures,
    wants: Sequence[Want],
    extractors: dict[str, FeatureExtractor],
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
    what: str = "pictures",
) -> dict[Want, FeatureSet]:
    """All sets of `wants` in one pass over the pictures. Raises `InputError` for pictures of a wrong form.

    Where `pictures` makes them in groups (`group_size`), the batch is rounded up to whole groups: none is made twice.
    """
    group_size = getattr(pictures, "group_size", 1)
    batch_size = -(-batch_size // group_size) * group_size
    collectors = {want: collector_of(want, extractors[want.extractor], device) for want in wants}
    total = max((want.num for want in wants), default=0)
    starts = range(rank() * batch_size, total, batch_size * world_size())
    for count, start in enumerate(starts):
        indices = np.arange(start, min(start + batch_size, total))
        batch = as_batch(pictures(indices), len(indices), what).to(device)
        for name in dict.fromkeys(want.extractor for want in wants):
            needed = min(max(want.num for want in wants if want.extractor == name) - start, len(indices))
            if needed > 0:
                hand_out(extractors[name](batch[:needed]), indices[:needed], name, collectors)
        progress(count + 1, len(starts), what)
    return {want: collector.finish() for want, collector in collectors.items()}


def collector_of(want: Want, extractor: FeatureExtractor, device: torch.device) -> Collector:
    """An empty collector for one want."""
    moments = want.part == "moments"
    return Collector(want.num, extractor.num_features, moments=moments, features=not moments, device=device)


def hand_out(features: Tensor, indices: np.ndarray, extractor: str, collectors: dict[Want, Collector]) -> None:
    """Adds a batch's features to each collector that wants some of them."""
    for want, collector in collectors.items():
        mine = min(want.num - int(indices[0]), len(indices))
        if want.extractor == extractor and mine > 0:
            collector.add(indices[:mine], features[:mine])


def as_batch(pictures: Tensor | np.ndarray, num: int, what: str) -> Tensor:
    """The pictures as a tensor. Raises `InputError` unless they are uint8 [num, C, H, W]."""
    batch = torch.from_numpy(pictures) if isinstance(pictures, np.ndarray) else pictures
    if batch.dtype != torch.uint8 or batch.dim() != 4 or len(batch) != num:
        raise InputError(
            f"expected {num} {what} as uint8 [N, C, H, W], got {batch.dtype} {list(batch.shape)}; "
            "convert them with openstylegan.images.to_uint8"
        )
    return batch


def share(found: FeatureSet | None, want: Want, num_features: int, device: torch.device) -> FeatureSet | None:
    """What the main process found (a set or None), on every process."""
    flag = torch.tensor([float(found is not None)], device=device)
    broadcast([flag])
    if not flag.item():
        return None
    if want.part == "moments":
        mean = torch.zeros(num_features, dtype=torch.float64, device=device)
        covariance = torch.zeros(num_features, num_features, dtype=torch.float64, device=device)
        if found is not None and is_main():
            mean, covariance = (part.to(device) for part in found.moments())
        broadcast([mean, covariance])
        return FeatureSet(want.num, mean.cpu(), covariance.cpu())
    rows = torch.zeros(want.num, num_features, device=device)
    if found is not None and is_main():
        rows = found.all_features().to(device)
    broadcast([rows])
    return FeatureSet(want.num, features=rows.cpu())
