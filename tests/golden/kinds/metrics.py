"""Golden metrics: values for fixed features and class probabilities, in the array file and in a table beside it.

The table gives the tolerances; an array file on its own is held to the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from golden.check import Check, compare, compare_arrays
from golden.document import Document, Fields, NotUnderstood, read
from golden.tolerances import METRICS, STATISTICS, Tolerance

RNG = "numpy global RandomState: np.random.seed(seed) right before compute_kid"
"""The beginning of how KID's sub-sets were drawn; another way would give other sub-sets."""


@dataclass
class Features:
    """The arrays of a file, and how many of their rows each metric takes."""

    document: Document
    options: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, document: Document, options: Fields) -> Features:
        """The options by metric, all of them known."""
        # Row and column batches cut the work and change no value.
        known = {
            "fid": ("num_real", "num_gen"),
            "kid": ("num_subsets", "max_subset_size", "seed", "rng"),
            "pr": ("nhood_size", "row_batch_size", "col_batch_size"),
            "is_": ("num_splits", "num_gen"),
        }
        taken = {}
        for name, names in known.items():
            fields = Fields(options.take(name, {}), f"options of {name}")
            taken[name] = fields.take_given(*names)
            fields.finish()
        options.finish()
        if not str(taken["kid"].get("rng", RNG)).startswith(RNG):
            raise NotUnderstood(f"options of kid: rng is {taken['kid']['rng']!r}")
        return cls(document, taken)

    def rows(self, name: str, limit: int | None = None) -> Tensor:
        """The first `limit` rows of an array, on the CPU, where sets of features live."""
        rows = self.document.tensor(f"in/{name}").cpu()
        if limit is not None and limit > len(rows):
            raise NotUnderstood(f"options: {limit} rows of in/{name}, which has {len(rows)}")
        return rows[:limit]

    def num_probes(self, family: str) -> int:
        """How many pictures precision or recall tries; 1 for what does not count pictures."""
        probes = {"precision": "pr_gen_features", "recall": "pr_real_features"}
        return len(self.rows(probes[family])) if family in probes else 1

    @property
    def kid_rounding(self) -> float:
        """What is left of the float32 rounding of the original's kernels where they cancel."""
        largest = max(float((rows.square().mean(1) + 1).max()) ** 3 for rows in (self.real, self.generated))
        return largest * torch.finfo(torch.float32).eps

    @property
    def real(self) -> Tensor:
        return self.rows("real_features", self.options["fid"].get("num_real"))

    @property
    def generated(self) -> Tensor:
        return self.rows("gen_features", self.options["fid"].get("num_gen"))

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and covariance of both sets, streamed by in batches."""
        return (*streamed_moments(self.real), *streamed_moments(self.generated))

    def fid(self) -> float:
        from openstylegan.metrics.fid import frechet_distance

        return frechet_distance(*self.moments)

    def fid_unbiased(self) -> float:
        """With covariances divided by N - 1, which the original does not do: its value is in the file all the same."""
        from openstylegan.metrics.fid import frechet_distance

        mean_1, covariance_1, mean_2, covariance_2 = self.moments
        n, m = len(self.real), len(self.generated)
        return frechet_distance(mean_1, covariance_1 * (n / (n - 1)), mean_2, covariance_2 * (m / (m - 1)))

    def kid(self, **options: Any) -> float:
        from openstylegan.metrics.kid import kernel_distance

        given = {name: value for name, value in self.options["kid"].items() if name != "rng"}
        return kernel_distance(self.real, self.generated, **{**given, **options})

    def kid_of_everything(self, num_subsets: int) -> float:
        """Sub-sets as large as the smaller set."""
        return self.kid(max_subset_size=len(self.real) + len(self.generated), num_subsets=num_subsets)

    @cached_property
    def precision_recall(self) -> tuple[float, float]:
        from openstylegan.metrics.precision_recall import precision_recall

        real, generated = self.rows("pr_real_features"), self.rows("pr_gen_features")
        return precision_recall(real, generated, self.options["pr"].get("nhood_size", 3))

    @cached_property
    def inception_score(self) -> tuple[float, float]:
        from openstylegan.metrics.inception_score import inception_score

        options = self.options["is_"]
        return inception_score(self.rows("probs", options.get("num_gen")), options.get("num_splits", 10))


def streamed_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance collected batch by batch."""
    from openstylegan.metrics.statistics import Collector

    collector = Collector(len(features), features.shape[1], moments=True, features=False)
    for indices in torch.arange(len(features)).split(48):
        collector.add(indices.tolist(), features[indices])
    return collector.finish().moments()


VALUES: dict[str, tuple[str, Callable[[Features], float]]] = {
    "fid": ("fid", Features.fid),
    "fid_recomputed_biased_cov": ("fid", Features.fid),
    "fid_if_unbiased_cov_were_used_(NOT_the_reference)": ("fid", Features.fid_unbiased),
    "kid": ("kid", Features.kid),
    # How many sub-sets were taken is not recorded; among 1 to 120 of them and 60 seeds only 5 with KID's seed fit.
    "kid_subset_larger_than_data": ("kid", lambda features: features.kid_of_everything(5)),
    **{
        f"precision_{form}": ("precision", lambda features: features.precision_recall[0])
        for form in ("fp16_features_fp32_distances", "fp16_distances", "float64_unrounded")
    },
    **{
        f"recall_{form}": ("recall", lambda features: features.precision_recall[1])
        for form in ("fp16_features_fp32_distances", "fp16_distances", "float64_unrounded")
    },
    "is_mean": ("inception", lambda features: features.inception_score[0]),
    "is_std": ("inception", lambda features: features.inception_score[1]),
}
"""The values a file may hold: by which tolerance, and computed how."""

TOLERANCE_NAMES = {"fid": "fid", "kid": "kid", "precision": "precision_recall", "recall": "precision_recall"}


def looks_like_values(document: Document) -> bool:
    """A table of values and no arrays."""
    values = document.meta.get("values")
    return isinstance(values, dict) and not document.arrays and not values.keys().isdisjoint(VALUES)


def run_arrays(document: Document) -> Iterator[Check]:
    """The values in the description of an array file, and the statistics it holds as arrays."""
    features = Features.of(document, document.options())
    yield from check_values(features, document.description.take("values", {}), METRICS)
    mean, covariance = features.moments[:2]
    traces = torch.stack([covariance.trace(), features.moments[3].trace()])
    for name, actual in (("out/mu_real", mean), ("out/trace_sigma_real_gen", traces)):
        if document.has(name):
            yield compare(document, name.removeprefix("out/"), name, actual, STATISTICS)


def run_values(document: Document) -> Iterator[Check]:
    """The values of a table, computed from the array file that belongs to it."""
    arrays = partner(document)
    features = Features.of(arrays, document.options())
    stated = Fields(document.description.take("tolerance", {}), "tolerance")
    tolerances = {name: str(stated.take(name, METRICS[name])) for name in METRICS}
    stated.finish()
    yield from check_values(features, document.description.take("values"), tolerances)


def partner(document: Document) -> Document:
    """The array file a table speaks of: by its description, else by its name."""
    names = re.findall(r"\S+\.npz", f"{document.what} {document.meta.get('notes', '')}")
    names.append(document.path.stem.removesuffix("_values") + ".npz")
    for name in names:
        path = document.path.parent / name
        if path.is_file():
            return read(path, document.device)
    raise NotUnderstood(f"the features it speaks of are not beside it: {', '.join(dict.fromkeys(names))}")


def tolerance_of(text: str, num_probes: int) -> Tolerance:
    """`rel 1e-5`, `abs 0.1`, or `abs 2/N` of the number of pictures tried; words after it explain."""
    match = re.match(r"(rel|abs) ([0-9.]+(?:e-?[0-9]+)?)(/N)?(?=$|[ (])", text)
    if not match:
        raise NotUnderstood(f"tolerance: expected rel NUMBER, abs NUMBER or abs NUMBER/N, got {text!r}")
    value = float(match[2]) / (num_probes if match[3] else 1)
    return Tolerance(relative=value) if match[1] == "rel" else Tolerance(absolute=value)


def check_values(features: Features, values: dict[str, float], tolerances: dict[str, str]) -> Iterator[Check]:
    """Each value against this package's."""
    unknown = sorted(set(values) - set(VALUES))
    if unknown:
        raise NotUnderstood(f"values: unknown value {', '.join(map(repr, unknown))}")
    for name, expected in values.items():
        family, compute = VALUES[name]
        text = tolerances[TOLERANCE_NAMES.get(family, family)]
        tolerance = tolerance_of(text, features.num_probes(family))
        noise = features.kid_rounding if family == "kid" else 0.0
        yield compare_arrays(name, "", compute(features), expected, tolerance, noise)
