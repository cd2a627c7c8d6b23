"""Numbers that say how good a generator is: `METRICS`, the table of them by name. `evaluate.py` takes them.

An entry says which features a metric looks at, of how many pictures, and what it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from openstylegan.metrics import fid, inception_score, kid, precision_recall
from openstylegan.metrics.statistics import FeatureSet

Compute = Callable[[FeatureSet | None, FeatureSet, int], tuple[float, ...]]
"""From the real and the generated set and a seed to the values of a metric's `results`."""


@dataclass(frozen=True)
class Metric:
    """An entry of `METRICS`.

    `results`: names of the values; a snapshot is judged by the first. `max_reals`: the first so many real pictures,
    None for all, 0 for none. `keeps_xflip`: mirrored pictures of the data count as real ones too. A training sub-set
    is never used: reals are those of the whole dataset. `min_pictures`: fewer of either kind are refused.
    """

    extractor: str
    part: Literal["moments", "features"]
    results: tuple[str, ...]
    compute: Compute
    num_generated: int = 50_000
    max_reals: int | None = None
    keeps_xflip: bool = False
    higher_is_better: bool = False
    min_pictures: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


def _fid(real: FeatureSet | None, generated: FeatureSet, seed: int) -> tuple[float, ...]:
    assert real is not None
    return (fid.fid(real, generated),)


def _kid(real: FeatureSet | None, generated: FeatureSet, seed: int) -> tuple[float, ...]:
    assert real is not None
    return (kid.kid(real, generated, seed),)


def _precision_recall(real: FeatureSet | None, generated: FeatureSet, seed: int) -> tuple[float, ...]:
    assert real is not None
    return precision_recall.precision_recall_of(real, generated)


def _inception_score(real: FeatureSet | None, generated: FeatureSet, seed: int) -> tuple[float, ...]:
    return inception_score.inception_score_of(generated)


def _frechet(name: str, extractor: str, **settings: Any) -> Metric:
    return Metric(extractor, "moments", (name,), _fid, **settings)


def _kernel(name: str, extractor: str, **settings: Any) -> Metric:
    options = {"num_subsets": kid.NUM_SUBSETS, "max_subset_size": kid.MAX_SUBSET_SIZE}
    return Metric(extractor, "features", (name,), _kid, min_pictures=2, options=options, **settings)


def _manifold(name: str, extractor: str, **settings: Any) -> Metric:
    options = {"k": precision_recall.NEIGHBOURHOOD, "rounding": "float16"}
    results = (f"{name}_precision", f"{name}_recall")
    return Metric(
        extractor,
        "features",
        results,
        _precision_recall,
        higher_is_better=True,
        min_pictures=precision_recall.NEIGHBOURHOOD + 1,
        options=options,
        **settings,
    )


METRICS: Mapping[str, Metric] = {
    "fid50k_full": _frechet("fid50k_full", "inception"),
    "kid50k_full": _kernel("kid50k_full", "inception", max_reals=1_000_000),
    "pr50k3_full": _manifold("pr50k3_full", "vgg16", max_reals=200_000),
    "is50k": Metric(
        "inception-probabilities",
        "features",
        ("is50k_mean", "is50k_std"),
        _inception_score,
        max_reals=0,
        higher_is_better=True,
        min_pictures=inception_score.NUM_SPLITS,
        options={"num_splits": inception_score.NUM_SPLITS},
    ),
    "fid50k": _frechet("fid50k", "inception", max_reals=50_000, keeps_xflip=True),
    "kid50k": _kernel("kid50k", "inception", max_reals=50_000, keeps_xflip=True),
    "pr50k3": _manifold("pr50k3", "vgg16", max_reals=50_000, keeps_xflip=True),
    "fd_efflite0": _frechet("fd_efflite0", "efficientnet-lite0", num_generated=10_000),
    "kd_efflite0": _kernel("kd_efflite0", "efficientnet-lite0", num_generated=10_000, max_reals=200_000),
    "pr_efflite0": _manifold("pr_efflite0", "efficientnet-lite0", num_generated=10_000, max_reals=200_000),
}
