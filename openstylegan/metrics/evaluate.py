"""Taking metrics: `evaluate(names, sample, dataset)` measures any function from picture numbers to pictures.

    records = evaluate(["fd_efflite0"], sample, open_dataset("pictures.zip"), num_generated=5000)
    records[0].results["fd_efflite0"], records[0].protocol

All metrics of pictures share one pass over the generated pictures and one over the real ones, whose statistics are
cached. A metric of the generator itself (path length, equivariance) needs a `sample` that is also a `Probe`. On several
processes each takes its share, and all return the same records.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist

from openstylegan import __version__
from openstylegan.data.dataset import ImageDataset
from openstylegan.data.labels import Labels
from openstylegan.distributed import broadcast, is_distributed, is_main, world_size
from openstylegan.errors import InputError
from openstylegan.features import check_weights, load_extractor
from openstylegan.features.base import FeatureExtractor
from openstylegan.features.lpips import PerceptualFeatures, check_perceptual, perceptual_distance
from openstylegan.features.weights import WeightPolicy
from openstylegan.metrics import METRICS, GeneratorMetric, Metric
from openstylegan.metrics.cache import cache_key, cache_path, load_set, save_set
from openstylegan.metrics.collect import Pictures, Progress, Want, collect, share, silent
from openstylegan.metrics.probe import Probe, collect_rows
from openstylegan.metrics.record import MetricRecord
from openstylegan.metrics.statistics import FeatureSet
from openstylegan.registry import lookup


class RealPictures(Protocol):
    """What a metric needs of a dataset."""

    @property
    def name(self) -> str:
        """For the cache file's name."""

    @property
    def content_hash(self) -> str:
        """Changes when the pictures do."""

    def __len__(self) -> int: ...

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [n, C, H, W]."""


@dataclass(frozen=True)
class Setup:
    """How metrics are taken. `extractors`, `perceptual`: ready ones by name, used instead of loading them; `device`:
    None picks."""

    policy: WeightPolicy = field(default_factory=WeightPolicy)
    extractors: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    perceptual: Mapping[str, PerceptualFeatures] = field(default_factory=dict)
    device: str | torch.device | None = None
    seed: int = 0
    snapshot: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """What the records' protocol says of `sample` (seed, truncation, noise)."""

    def own_device(self) -> torch.device:
        """The given device, or this process's GPU where there is one and processes do not talk by gloo."""
        if self.device is not None:
            return torch.device(self.device)
        on_cpu = is_distributed() and dist.get_backend() == "gloo"
        if on_cpu or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", torch.cuda.current_device())


def check_available(names: Iterable[str], policy: WeightPolicy | None = None) -> None:
    """Raises `InputError`, one line, for a metric that does not exist or whose weights are not there."""
    for name in names:
        metric = lookup(METRICS, name, "metric")
        try:
            if isinstance(metric, Metric):
                check_weights(metric.extractor, policy)
            elif metric.perceptual is not None:
                check_perceptual(metric.perceptual, policy)
        except InputError as error:
            raise InputError(f"metric '{name}': {error}") from error


def check_measurable(names: Iterable[str], sample: Pictures) -> None:
    """Raises `InputError`, one line, for a metric that asks of the generator behind `sample` what it cannot do."""
    for name in names:
        metric = lookup(METRICS, name, "metric")
        if isinstance(metric, Metric):
            continue
        if not isinstance(sample, Probe):
            raise InputError(
                f"metric '{name}' asks the generator itself: expected a sample callable that is a Probe, such as "
                f"sampling.measured.NumberedSampler, got {type(sample).__name__}"
            )
        if metric.needs_transform and not sample.transformable:
            raise InputError(
                f"metric '{name}' moves the generator's input: expected a network with synthesis.input.transform "
                "(StyleGAN3), got one without; leave this metric out"
            )


def is_better(result: str, value: float, best: float) -> bool:
    """Whether `value` of a result such as "fid50k_full" or "pr50k3_recall" is better than `best`; never when NaN."""
    table = {key: metric for metric in METRICS.values() for key in metric.results}
    return value > best if lookup(table, result, "metric result").higher_is_better else value < best


def whole(dataset: Any, xflip: bool) -> Any:
    """All pictures of a dataset without its sub-set, and without its mirrored ones unless `xflip`.

    Anything that is not an `ImageDataset` is measured as it is.
    """
    if not isinstance(dataset, ImageDataset):
        return dataset
    mirrored = xflip and dataset.xflip
    everything = np.arange(len(dataset.names))
    if len(dataset) == len(everything) * (2 if mirrored else 1) and dataset.xflip == mirrored:
        return dataset
    return ImageDataset(
        dataset.storage, dataset.names, dataset.image_shape, Labels(), everything, mirrored, dataset.raw_cache
    )


def evaluate(
    names: Sequence[str],
    sample: Pictures,
    dataset: RealPictures | None = None,
    *,
    num_generated: int | None = None,
    batch_size: int = 64,
    cache: bool = True,
    progress: Progress | None = None,
    setup: Setup | None = None,
) -> list[MetricRecord]:
    """The metrics `names` of the pictures that `sample` makes, against the real ones of `dataset`.

    `sample(indices)` gives uint8 [n, C, H, W] and must depend on the indices only. `num_generated` replaces each
    metric's own number. `cache` reads and writes the statistics of real pictures. Raises `InputError` before any
    picture is made when a metric is unknown, lacks its weights or needs a dataset.
    """
    setup = setup or Setup()
    chosen = {name: lookup(METRICS, name, "metric") for name in dict.fromkeys(names)}
    check_request(chosen, dataset, num_generated, batch_size)
    check_measurable(chosen, sample)
    check_available([name for name, metric in chosen.items() if not is_given(metric, setup)], setup.policy)
    device = setup.own_device()
    of_pictures = {name: metric for name, metric in chosen.items() if isinstance(metric, Metric)}
    extractors, perceptual = (
        ready(of_pictures.values(), setup, device),
        ready_perceptual(chosen.values(), setup, device),
    )
    run = Evaluation(extractors, perceptual, device, batch_size, cache, progress or silent)
    plans = {name: Plan(metric, dataset, num_generated) for name, metric in of_pictures.items()}
    real = run.real_sets([plan for plan in plans.values() if plan.reals is not None])
    generated = run.generated_sets(sample, list(plans.values()))
    records = {name: run.record(name, plan, real, generated, setup) for name, plan in plans.items()}
    for name, metric in chosen.items():
        if isinstance(metric, GeneratorMetric) and isinstance(sample, Probe):
            records[name] = run.generator_record(name, metric, sample, num_generated, setup)
    return [records[name] for name in chosen]


def is_given(metric: Metric | GeneratorMetric, setup: Setup) -> bool:
    """Whether the setup holds the features of this metric."""
    if isinstance(metric, Metric):
        return metric.extractor in setup.extractors
    return metric.perceptual in setup.perceptual


def check_request(
    chosen: Mapping[str, Metric | GeneratorMetric],
    dataset: RealPictures | None,
    num_generated: int | None,
    batch_size: int,
) -> None:
    """Raises `InputError` for a request that cannot be met."""
    if num_generated is not None and num_generated < 1:
        raise InputError(f"expected at least 1 generated picture, got {num_generated}; check --num-generated")
    if batch_size < 1:
        raise InputError(f"expected a batch of at least 1 picture, got {batch_size}; check --batch")
    for name, metric in chosen.items():
        if (num_generated or metric.num_generated) < metric.min_pictures:
            raise InputError(
                f"expected at least {metric.min_pictures} generated pictures for metric '{name}', got {num_generated}; "
                "check --num-generated"
            )
        if isinstance(metric, GeneratorMetric) or metric.max_reals == 0:
            continue
        if dataset is None:
            raise InputError(f"expected real pictures for metric '{name}', got no dataset; give --data")
        if len(dataset) < metric.min_pictures:
            raise InputError(
                f"expected at least {metric.min_pictures} real pictures for metric '{name}', got {len(dataset)}"
            )


def ready(metrics: Iterable[Metric], setup: Setup, device: torch.device) -> dict[str, FeatureExtractor]:
    """The extractors of `metrics`: those of the setup, the others loaded."""
    needed = dict.fromkeys(metric.extractor for metric in metrics)
    return {n: setup.extractors.get(n) or load_extractor(n, setup.policy, device) for n in needed}


def ready_perceptual(
    metrics: Iterable[Metric | GeneratorMetric], setup: Setup, device: torch.device
) -> dict[str, PerceptualFeatures]:
    """The perceptual distances of `metrics`: those of the setup, the others loaded."""
    needed = dict.fromkeys(m.perceptual for m in metrics if isinstance(m, GeneratorMetric) and m.perceptual is not None)
    return {n: setup.perceptual.get(n) or perceptual_distance(n, setup.policy, device) for n in needed}


class Plan:
    """One metric on one dataset: which real pictures, and which sets it wants."""

    def __init__(self, metric: Metric, dataset: RealPictures | None, num_generated: int | None):
        self.metric = metric
        self.fake = Want(metric.extractor, num_generated or metric.num_generated, metric.part)
        self.reals: Any = None
        self.real: Want | None = None
        if metric.max_reals != 0:
            self.reals = whole(dataset, metric.keeps_xflip)
            num = len(self.reals) if metric.max_reals is None else min(len(self.reals), metric.max_reals)
            self.real = Want(metric.extractor, num, metric.part)

    @property
    def real_key(self) -> tuple[str, Want] | None:
        """What the real set depends on."""
        return None if self.real is None else (self.reals.content_hash, self.real)


@dataclass
class Evaluation:
    """The passes over pictures of one call of `evaluate`, and how long they took."""

    extractors: dict[str, FeatureExtractor]
    perceptual: dict[str, PerceptualFeatures]
    device: torch.device
    batch_size: int
    cache: bool
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    def real_sets(self, plans: list[Plan]) -> dict[tuple[str, Want], FeatureSet]:
        """The sets of real pictures: from the cache, or in one pass for each version of the dataset."""
        found: dict[tuple[str, Want], FeatureSet] = {}
        for content in dict.fromkeys(plan.reals.content_hash for plan in plans):
            start = time.monotonic()
            mine = [plan for plan in plans if plan.reals.content_hash == content]
            reals, wants = mine[0].reals, list(dict.fromkeys(plan.real for plan in mine if plan.real is not None))
            have = {want: cached for want in wants if (cached := self.cached(reals, want)) is not None}
            rest = [want for want in wants if want not in have]
            made = self.run(reals.images, rest, "real pictures")
            for want in rest:
                self.keep(reals, want, made[want])
            found |= {(content, want): part for want, part in (have | made).items()}
            self.seconds[content] = time.monotonic() - start
        return found

    def generated_sets(self, sample: Pictures, plans: list[Plan]) -> dict[Want, FeatureSet]:
        """The sets of generated pictures, in one pass."""
        start = time.monotonic()
        made = self.run(sample, list(dict.fromkeys(plan.fake for plan in plans)), "generated pictures")
        self.seconds["generated"] = time.monotonic() - start
        return made

    def run(self, pictures: Pictures, wants: list[Want], what: str) -> dict[Want, FeatureSet]:
        """One pass."""
        return collect(pictures, wants, self.extractors, self.batch_size, self.device, self.progress, what)

    def cached(self, reals: RealPictures, want: Want) -> FeatureSet | None:
        """The set as the main process finds it in the cache, on every process; or None."""
        if not self.cache:
            return None
        found = None
        if is_main():
            with contextlib.suppress(OSError):
                found = load_set(*self.place(reals, want), want.num)
        return share(found, want, self.extractors[want.extractor].num_features, self.device)

    def keep(self, reals: RealPictures, want: Want, made: FeatureSet) -> None:
        """Puts a set into the cache; a cache that cannot be written costs a warning, not the metric."""
        if not (self.cache and is_main()):
            return
        try:
            save_set(*self.place(reals, want), made)
        except (OSError, InputError) as error:
            warnings.warn(f"the statistics of {reals.name} were not cached: {error}", stacklevel=2)

    def place(self, reals: RealPictures, want: Want) -> tuple[Path, str]:
        """Path and key of a set in the cache."""
        key = cache_key(reals.content_hash, self.extractors[want.extractor].protocol, want.num, want.part)
        return cache_path(reals.name, want.extractor, key), key

    def record(
        self,
        name: str,
        plan: Plan,
        real: Mapping[tuple[str, Want], FeatureSet],
        generated: Mapping[Want, FeatureSet],
        setup: Setup,
    ) -> MetricRecord:
        """Computes one metric."""
        start = time.monotonic()
        real_set = None if plan.real_key is None else real[plan.real_key]
        values = plan.metric.compute(real_set, generated[plan.fake], setup.seed)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        broadcast([shared])
        own = time.monotonic() - start
        passes = self.seconds["generated"] + (self.seconds[plan.real_key[0]] if plan.real_key else 0.0)
        return MetricRecord(
            results=dict(zip(plan.metric.results, shared.tolist(), strict=True)),
            metric=name,
            protocol=self.protocol(plan, setup),
            total_time=own + passes,
            num_gpus=world_size(),
            snapshot=setup.snapshot,
            timestamp=time.time(),
        )

    def generator_record(
        self, name: str, metric: GeneratorMetric, probe: Probe, num_generated: int | None, setup: Setup
    ) -> MetricRecord:
        """Takes one metric of the generator itself."""
        start = time.monotonic()
        features = None if metric.perceptual is None else self.perceptual[metric.perceptual]

        def rows_of(indices: Sequence[int]) -> torch.Tensor:
            return metric.measure(probe, indices, setup.seed, features)

        num = num_generated or metric.num_generated
        alone = metric.needs_transform
        rows = collect_rows(
            rows_of, num, metric.group_size, metric.columns, self.device, self.progress, name, concurrent=not alone
        )
        return MetricRecord(
            results=dict(zip(metric.results, metric.combine(rows), strict=True)),
            metric=name,
            protocol={
                **(features.protocol if features is not None else {}),
                "num_real": 0,
                "num_generated": num,
                "group_size": metric.group_size,
                **metric.options,
                "precision": "float32",
                "seed": setup.seed,
                "sampling": {**setup.sampling, "noise_mode": "const, drawn anew for each group"},
                "version": __version__,
            },
            total_time=time.monotonic() - start,
            num_gpus=world_size(),
            snapshot=setup.snapshot,
            timestamp=time.time(),
        )

    def protocol(self, plan: Plan, setup: Setup) -> dict[str, Any]:
        """Everything a number depends on."""
        reals = plan.reals
        data: dict[str, Any] = {"num_real": 0}
        if plan.real is not None:
            data = {
                "num_real": plan.real.num,
                "dataset": reals.name,
                "dataset_hash": reals.content_hash,
                "xflip": bool(getattr(reals, "xflip", False)),
            }
        return {
            **self.extractors[plan.metric.extractor].protocol,
            **data,
            "num_generated": plan.fake.num,
            **plan.metric.options,
            "seed": setup.seed,
            "sampling": dict(setup.sampling),
            "version": __version__,
        }
