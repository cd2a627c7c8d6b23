"""Numbers that say how good a generator is: `METRICS`, the table of them by name. `evaluate.py` takes them.

There are two kinds. A `Metric` compares the features of generated pictures with those of real ones; it sees pictures
only. A `GeneratorMetric` asks the generator itself, through a `Probe`: path lengths and equivariance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from openstylegan.features.lpips import PerceptualFeatures
from openstylegan.metrics import equivariance, fid, inception_score, kid, ppl, precision_recall
from openstylegan.metrics.probe import Probe
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


Measure = Callable[[Probe, Sequence[int], int, PerceptualFeatures | None], Tensor]
"""From a probe, the numbers of one group's samples, a seed and features to a row for each sample, [n, columns]."""


@dataclass(frozen=True)
class GeneratorMetric:
    """An entry of `METRICS` that asks the generator itself.

    `measure` gives the rows of a group of `group_size` samples, `combine` the values of `results` from all rows
    [num_generated, columns]. `perceptual`: a name of `PERCEPTUAL`, or None. `needs_transform`: only for generators
    that can move what they draw, and one group after the other; without it groups may run at the same time.
    """

    results: tuple[str, ...]
    measure: Measure
    combine: Callable[[Tensor], tuple[float, ...]]
    columns: int
    group_size: int
    perceptual: str | None = None
    needs_transform: bool = False
    num_generated: int = 50_000
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


def _path_length(
    name: str, perceptual: str, space: ppl.Space, sampling: ppl.Sampling, crop: bool, num_generated: int = 50_000
) -> GeneratorMetric:
    protocol = ppl.PathProtocol(space, sampling, crop)

    def measure(probe: Probe, indices: Sequence[int], seed: int, features: PerceptualFeatures | None) -> Tensor:
        assert features is not None
        return ppl.path_distances(probe, indices, seed, features, protocol)

    options = asdict(protocol)
    return GeneratorMetric(
        (name,), measure, ppl.path_length, 1, 2, perceptual, num_generated=num_generated, options=options
    )


def _path_length_lite(name: str, space: ppl.Space, sampling: ppl.Sampling, crop: bool) -> GeneratorMetric:
    return _path_length(name, "efficientnet-lite0", space, sampling, crop, num_generated=10_000)


def _equivariance(name: str, motion: str, limit: float) -> GeneratorMetric:
    def measure(probe: Probe, indices: Sequence[int], seed: int, features: PerceptualFeatures | None) -> Tensor:
        return equivariance.equivariance_errors(probe, indices, seed, motion)

    options = {"motion": motion, "limit": limit}
    return GeneratorMetric(
        (name,), measure, equivariance.psnr, 2, 4, needs_transform=True, higher_is_better=True, options=options
    )


METRICS: Mapping[str, Metric | GeneratorMetric] = {
    "fid50k_full": _frechet("fid50k_full", "inception"),
    "kid50k_full": _kernel("kid50k_full", "inception", max_reals=1_000_000),
    "pr50k3_full": _manifold("pr50k3_full", "vgg16", max_reals=200_000),
    "ppl2_wend": _path_length("ppl2_wend", "vgg16", "w", "end", crop=False),
    "eqt50k_int": _equivariance("eqt50k_int", "whole", equivariance.MAX_TRANSLATION),
    "eqt50k_frac": _equivariance("eqt50k_frac", "fraction", equivariance.MAX_TRANSLATION),
    "eqr50k": _equivariance("eqr50k", "rotation", equivariance.MAX_ROTATION),
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
    "ppl_zfull": _path_length("ppl_zfull", "vgg16", "z", "full", crop=True),
    "ppl_wfull": _path_length("ppl_wfull", "vgg16", "w", "full", crop=True),
    "ppl_zend": _path_length("ppl_zend", "vgg16", "z", "end", crop=True),
    "ppl_wend": _path_length("ppl_wend", "vgg16", "w", "end", crop=True),
    "fd_efflite0": _frechet("fd_efflite0", "efficientnet-lite0", num_generated=10_000),
    "kd_efflite0": _kernel("kd_efflite0", "efficientnet-lite0", num_generated=10_000, max_reals=200_000),
    "pr_efflite0": _manifold("pr_efflite0", "efficientnet-lite0", num_generated=10_000, max_reals=200_000),
    "pl2_efflite0_wend": _path_length_lite("pl2_efflite0_wend", "w", "end", crop=False),
    "pl_efflite0_zfull": _path_length_lite("pl_efflite0_zfull", "z", "full", crop=True),
    "pl_efflite0_wfull": _path_length_lite("pl_efflite0_wfull", "w", "full", crop=True),
    "pl_efflite0_zend": _path_length_lite("pl_efflite0_zend", "z", "end", crop=True),
    "pl_efflite0_wend": _path_length_lite("pl_efflite0_wend", "w", "end", crop=True),
}
