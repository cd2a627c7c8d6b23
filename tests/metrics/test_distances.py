"""FID, KID, precision and recall, and inception score as functions of features: recordings, oracles, properties."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers import GOLDEN, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.fid import fid, frechet_distance
from openstylegan.metrics.inception_score import inception_score
from openstylegan.metrics.kid import kernel_distance, polynomial_kernel, sums_by_subset
from openstylegan.metrics.precision_recall import precision_recall, radii
from openstylegan.metrics.statistics import feature_set, moments_of

SEEDS = st.integers(0, 1000)


def normal(num: int, dim: int = 8, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(num, dim) * scale + shift).float()


def distance(x: Tensor, y: Tensor) -> float:
    return fid(feature_set(x), feature_set(y))


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, Tensor], dict[str, float], dict[str, Any]]:
    arrays, meta = golden("metrics")
    values = json.loads((GOLDEN / "metrics_values.json").read_text())["values"]
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, values, meta["options"]


# ---- recordings of the original


def test_fid_is_the_recorded_one(recorded) -> None:
    arrays, values, _ = recorded
    found = distance(arrays["in/real_features"], arrays["in/gen_features"])
    assert found == pytest.approx(values["fid"], rel=1e-10)
    unbiased = values["fid_if_unbiased_cov_were_used_(NOT_the_reference)"]
    assert abs(found - unbiased) > 1e-3


def test_moments_are_the_recorded_ones(recorded) -> None:
    arrays, _, _ = recorded
    (mean, real), (_, generated) = (moments_of(arrays[f"in/{n}_features"]) for n in ("real", "gen"))
    np.testing.assert_allclose(mean, arrays["out/mu_real"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose([real.trace(), generated.trace()], arrays["out/trace_sigma_real_gen"], rtol=1e-6)


@pytest.mark.parametrize(
    ("key", "num_subsets", "max_subset_size"), [("kid", 20, 100), ("kid_subset_larger_than_data", 5, 1000)]
)
def test_kid_draws_the_recorded_subsets(recorded, key: str, num_subsets: int, max_subset_size: int) -> None:
    arrays, values, options = recorded
    real, generated = arrays["in/real_features"], arrays["in/gen_features"]
    found = kernel_distance(real, generated, num_subsets, max_subset_size, options["kid"]["seed"])
    assert found == pytest.approx(values[key], rel=1e-5)
    other = kernel_distance(real, generated, num_subsets, max_subset_size, options["kid"]["seed"] + 1)
    assert other != pytest.approx(values[key], rel=1e-5)


def test_precision_and_recall_are_the_recorded_ones(recorded) -> None:
    arrays, values, options = recorded
    k = options["pr"]["nhood_size"]
    found = precision_recall(arrays["in/pr_real_features"], arrays["in/pr_gen_features"], k)
    assert found == (values["precision_fp16_features_fp32_distances"], values["recall_fp16_features_fp32_distances"])


def test_inception_score_is_the_recorded_one(recorded) -> None:
    arrays, values, _ = recorded
    assert inception_score(arrays["in/probs"]) == pytest.approx((values["is_mean"], values["is_std"]), rel=2e-6)


# ---- Frechet distance


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 100))
def test_frechet_distance_is_a_symmetric_distance(seed: int, n: int, m: int, scale: float) -> None:
    x, y = normal(n, seed=seed), normal(m, seed=seed + 1, shift=0.5, scale=scale)
    one, other = distance(x, y), distance(y, x)
    assert 0 <= one < math.inf
    assert one == pytest.approx(other, rel=1e-9, abs=1e-9)
    assert distance(x, x) <= 1e-11 * float(x.double().square().sum())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS, st.randoms(use_true_random=False))
def test_frechet_distance_does_not_depend_on_the_order(seed: int, random) -> None:
    x, y = normal(30, seed=seed), normal(20, seed=seed + 1)
    order = list(range(30))
    random.shuffle(order)
    assert distance(x[order], y) == pytest.approx(distance(x, y), rel=1e-10)


def test_frechet_distance_of_gaussians_on_the_axes() -> None:
    """Diagonal covariances: the sum of (m1 - m2)^2 + (s1 - s2)^2."""
    s1, s2 = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([3.0, 0.5, 4.0]).double()
    m1, m2 = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 0.0, -1.0])
    found = frechet_distance(m1, torch.diag(s1**2), m2, torch.diag(s2**2))
    assert found == pytest.approx(10 + 4 + 2.25 + 16, rel=1e-14)


@pytest.mark.parametrize(("n", "m", "dim"), [(200, 300, 16), (200, 300, 1)])
def test_frechet_distance_agrees_with_scipy(n: int, m: int, dim: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = normal(n, dim), normal(m, dim, seed=1, shift=0.3, scale=2.0)
    (m1, s1), (m2, s2) = moments_of(x), moments_of(y)
    root = np.real(linalg.sqrtm(s1.numpy() @ s2.numpy()))
    expected = float((m1 - m2).square().sum() + s1.trace() + s2.trace()) - 2 * float(np.trace(root))
    assert distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_agrees_with_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.fid")
    (m1, s1), (m2, s2) = moments_of(normal(200)), moments_of(normal(100, seed=1, shift=1.0))
    expected = float(image._compute_fid(m1, s1, m2, s2))
    assert frechet_distance(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-8)


def test_fewer_pictures_than_features_are_nothing_special() -> None:
    """20 and 30 points in 64 dimensions: the covariances are singular. Exact from the points themselves."""
    x, y = normal(20, 64).double(), normal(30, 64, seed=1, shift=0.2).double()
    a, b = (x - x.mean(0)) / 20**0.5, (y - y.mean(0)) / 30**0.5
    expected = (x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum()
    expected -= 2 * torch.linalg.svdvals(a @ b.T).sum()
    assert distance(x.float(), y.float()) == pytest.approx(float(expected), rel=1e-6)
    assert frechet_distance(*moments_of(x), *moments_of(y)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("collapsed", [torch.zeros(50, 8), torch.full((50, 8), 3.0), torch.zeros(1, 8)])
def test_a_collapsed_set_has_a_finite_distance(collapsed: Tensor) -> None:
    x = normal(100)
    mean, covariance = moments_of(x)
    expected = float((mean - collapsed[0].double()).square().sum() + covariance.trace())
    assert distance(x, collapsed) == pytest.approx(expected, rel=1e-12)
    assert distance(collapsed, collapsed) == 0


# ---- kernel distance


def test_kernel_distance_is_unbiased() -> None:
    """Of two samples of one distribution it is 0 on average, though each value has its error."""
    found = [kernel_distance(normal(60, seed=s), normal(60, seed=1000 + s), 10, 40) for s in range(30)]
    error = float(np.std(found) / np.sqrt(len(found)))
    assert abs(float(np.mean(found))) < 3 * error
    assert kernel_distance(normal(60), normal(60, seed=1, shift=1.0), 10, 40) > 20 * float(np.std(found))


def test_kernel_distance_is_the_plain_formula() -> None:
    """All pictures in the one sub-set, so nothing depends on the draw."""
    x, y = normal(12).double(), normal(12, seed=1, shift=0.4).double()
    k = lambda u, v: (float(u @ v) / 8 + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(12) for j in range(12)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / (12 * 11)
    between = sum(k(x[i], y[j]) for i, j in pairs) / 144
    assert kernel_distance(x, y, 1, 1000) == pytest.approx(within - 2 * between, rel=1e-12)


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.kid")
    x, y = normal(50).double(), normal(50, seed=1, shift=0.4).double()
    expected = float(image.poly_mmd(x, y, degree=3, gamma=None, coef=1.0))
    assert kernel_distance(x, y, 1, 50) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("num_subsets", [1, 40])
def test_both_ways_to_sum_over_subsets_agree(num_subsets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openstylegan.metrics.kid.ROWS_AT_A_TIME", 7)
    u, v = normal(30), normal(20, seed=1)
    random = np.random.RandomState(0)
    of_u = torch.from_numpy(np.stack([random.choice(30, 10, replace=False) for _ in range(num_subsets)]))
    of_v = torch.from_numpy(np.stack([random.choice(20, 10, replace=False) for _ in range(num_subsets)]))
    expected = torch.stack([polynomial_kernel(u[i], v[j]).sum() for i, j in zip(of_u, of_v, strict=True)])
    torch.testing.assert_close(sums_by_subset(u, v, of_u, of_v), expected, rtol=1e-12, atol=0)


def test_kernel_distance_needs_two_pictures() -> None:
    with pytest.raises(InputError, match="at least 2 pictures"):
        kernel_distance(normal(1), normal(10))


# ---- precision and recall


def brute_force(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    def inside(probes: Tensor, manifold: Tensor) -> float:
        r = (manifold[:, None] - manifold).square().sum(2).sqrt().sort(1).values[:, k]
        return float(((probes[:, None] - manifold).square().sum(2).sqrt() <= r).any(1).double().mean())

    real, generated = real.half().double(), generated.half().double()
    return inside(generated, real), inside(real, generated)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 5), st.integers(6, 30), st.integers(6, 30), st.integers(1, 12), st.integers(1, 40))
def test_precision_and_recall_are_the_brute_force_ones(seed: int, k: int, n: int, m: int, rows: int, cols: int) -> None:
    real, generated = normal(n, 3, seed), normal(m, 3, seed + 1, shift=0.3)
    found = precision_recall(real, generated, k, rows, cols)
    assert found == brute_force(real, generated, k)
    assert all(0 <= value <= 1 for value in found)


def test_precision_and_recall_of_a_set_with_itself_are_one() -> None:
    x = normal(40, 200, scale=30.0)
    assert precision_recall(x, x, 3, 16, 9) == (1.0, 1.0)


def test_precision_and_recall_of_distant_sets_are_zero() -> None:
    assert precision_recall(normal(40), normal(40, seed=1, shift=100.0)) == (0.0, 0.0)


def test_duplicates_are_at_distance_zero_whatever_the_blocks() -> None:
    """A collapsed generator: its manifold has no extent, so only an equal real picture is recalled."""
    real = normal(20, 300, scale=50.0)
    generated = real[:1].expand(64, -1)
    for block in (5, 16, 1000):
        assert float(radii(generated, 3, block, block).max()) == 0
        assert precision_recall(real, generated, 3, block, block) == (1.0, 1 / 20)


def test_precision_and_recall_see_what_each_is_for() -> None:
    """Generated pictures from half of the real distribution: precise, but not recalling."""
    real = torch.cat([normal(100, seed=0), normal(100, seed=1, shift=20.0)])
    precision, recall = precision_recall(real, normal(200, seed=2))
    assert precision > 0.9
    assert recall < 0.55


def test_precision_and_recall_refuse_what_they_cannot_use() -> None:
    with pytest.raises(InputError, match="more than 3 pictures"):
        precision_recall(normal(3), normal(10))
    with pytest.raises(InputError, match="float16"):
        precision_recall(normal(10, scale=1e6), normal(10))


# ---- inception score


def test_inception_score_of_certain_and_evenly_spread_classes_is_their_number() -> None:
    p = torch.eye(6).repeat(20, 1)
    assert inception_score(p) == pytest.approx((6.0, 0.0), abs=1e-12)


def test_inception_score_of_one_class_is_one() -> None:
    assert inception_score(torch.eye(6)[:1].expand(30, -1)) == (1.0, 0.0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(SEEDS, st.integers(10, 40))
def test_inception_score_lies_between_one_and_the_number_of_classes(seed: int, num: int) -> None:
    p = torch.softmax(normal(num, 7, seed, scale=3.0), 1)
    mean, std = inception_score(p)
    assert 1 - 1e-9 <= mean <= 7
    assert std >= 0


def test_inception_score_takes_consecutive_splits_of_any_number() -> None:
    p = torch.softmax(normal(23, 5, scale=2.0).double(), 1)
    cuts = [i * 23 // 10 for i in range(11)]
    scores = []
    for start, stop in itertools.pairwise(cuts):
        part = p[start:stop].numpy()
        scores.append(np.exp(np.mean(np.sum(part * (np.log(part) - np.log(part.mean(0))), 1))))
    assert inception_score(p) == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-10)


def test_inception_score_needs_a_picture_a_split() -> None:
    with pytest.raises(InputError, match="at least 10 pictures"):
        inception_score(torch.eye(9))
