"""Mean and covariance however the features come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.statistics import Collector, FeatureSet, RunningMoments, feature_set, moments_of

D = 5


def rows(num: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(num, D))


def expected(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), torch.from_numpy(np.cov(x.numpy(), rowvar=False, bias=True)).reshape(D, D)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_batches_in_any_order_give_the_covariance_divided_by_n(sizes: list[int], random) -> None:
    x = rows(sum(sizes))
    parts = list(x.split(sizes))
    random.shuffle(parts)
    running = RunningMoments(D)
    for part in parts:
        running.update(part)
    mean, covariance = expected(x)
    assert running.num == len(x)
    torch.testing.assert_close(running.mean, mean, rtol=0, atol=1e-13)
    torch.testing.assert_close(running.covariance, covariance, rtol=0, atol=1e-13)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 0))
def test_merged_parts_are_the_whole(sizes: list[int]) -> None:
    x = rows(sum(sizes))
    total = RunningMoments(D)
    for part in x.split(sizes):
        other = RunningMoments(D)
        other.update(part)
        total.merge(other)
    mean, covariance = expected(x)
    torch.testing.assert_close(total.mean, mean, rtol=0, atol=1e-13)
    torch.testing.assert_close(total.covariance, covariance, rtol=0, atol=1e-13)


def test_features_far_from_zero_lose_no_digits() -> None:
    """Raw sums of squares would have no correct digit left: the offset is 1e9 standard deviations."""
    x = rows(300)
    far = x + 1e9
    exact = far - 1e9  # what is left of x after the rounding of the sum
    torch.testing.assert_close(moments_of(far)[1], expected(exact)[1], rtol=1e-6, atol=1e-8)
    raw = far.T @ far / 300 - torch.outer(far.mean(0), far.mean(0))
    assert float((raw - expected(exact)[1]).abs().max()) > 1


def test_reduce_in_one_process_changes_nothing() -> None:
    running = RunningMoments(D)
    running.update(rows(20))
    before = running.mean.clone(), running.covariance.clone()
    running.reduce()
    torch.testing.assert_close((running.mean, running.covariance), before, rtol=0, atol=1e-15)


def test_reduce_sums_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes of unequal shares (one empty), simulated: all_reduce adds what the others would send."""
    x = rows(11)
    shares = x.split([7, 4, 0])
    parts = [RunningMoments(D) for _ in shares]
    for part, share in zip(parts, shares, strict=True):
        part.update(share)
    mean = sum(p.mean * p.num for p in parts) / 11
    sums = iter(
        [
            torch.tensor([11.0], dtype=torch.float64),
            mean,
            sum(p.scatter + p.num * torch.outer(p.mean - mean, p.mean - mean) for p in parts),
        ]
    )
    sent = []
    monkeypatch.setattr(
        "openstylegan.metrics.statistics.all_reduce_sum", lambda tensor: (sent.append(tensor.clone()), next(sums))[1]
    )
    parts[0].reduce()
    assert parts[0].num == 11
    torch.testing.assert_close(sent[1], shares[0].sum(0) / 11)
    torch.testing.assert_close(parts[0].mean, expected(x)[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(parts[0].covariance, expected(x)[1], rtol=0, atol=1e-13)


def test_collector_keeps_rows_by_number() -> None:
    x = rows(10).float()
    keeping = Collector(10, D, moments=True, features=True)
    for indices in ([7, 8, 9], [0, 1, 2, 3], [4, 5, 6]):
        keeping.add(indices, x[indices])
    found = keeping.finish()
    assert torch.equal(found.all_features(), x)
    torch.testing.assert_close(found.moments()[1], expected(x.double())[1], rtol=0, atol=1e-13)


def test_features_that_are_not_finite_are_refused() -> None:
    collector = Collector(2, D, moments=True, features=False)
    with pytest.raises(InputError, match="finite features"):
        collector.add([0, 1], torch.tensor([[1.0] * D, [float("nan")] * D]))


def test_moments_are_taken_from_features_when_asked_for() -> None:
    x = rows(30).float()
    torch.testing.assert_close(feature_set(x).moments()[1], expected(x.double())[1], rtol=0, atol=1e-13)


def test_a_set_without_the_asked_part_says_so() -> None:
    mean, covariance = expected(rows(5))
    with pytest.raises(InputError, match="moments only"):
        FeatureSet(5, mean, covariance).all_features()
    with pytest.raises(InputError, match="got neither"):
        FeatureSet(5).moments()
    with pytest.raises(InputError, match="at least one picture"):
        feature_set(torch.zeros(0, 4))
