"""Equivariance: generators that move as a whole or not at all, and the ratio of totals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics import METRICS, GeneratorMetric
from openstylegan.metrics.equivariance import MOTIONS, equivariance_errors, psnr
from openstylegan.networks import GENERATORS
from openstylegan.randomness import NoiseSource
from openstylegan.registry import build
from openstylegan.sampling.measured import NumberedSampler


class Waves:
    """Waves in the plane at frequencies a rotation keeps, moved by the transform; `stuck`: not moved."""

    z_dim, transformable = 6, True

    def __init__(self, size: int = 48, stuck: bool = False):
        self.image_shape, self.stuck = (3, size, size), stuck
        self.transforms: list[Tensor] = []

    def __call__(self, indices: Sequence[int]) -> Tensor:
        raise AssertionError("equivariance needs no numbered pictures")

    def labels(self, indices: Sequence[int]) -> Tensor:
        return torch.zeros(len(indices), 0)

    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        return z[:, None]

    def synthesis(self, ws: Tensor, noise: NoiseSource, transform: Tensor | None = None) -> Tensor:
        assert transform is not None
        self.transforms.append(transform)
        size = self.image_shape[1]
        axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        points = torch.stack([x, y, torch.ones_like(x)])
        if not self.stuck:
            points = torch.einsum("ij,jhw->ihw", transform.double(), points)
        frequency = 2 * ws[:, 0, :].double().view(-1, 3, 2)
        phase = torch.einsum("ncd,dhw->nchw", frequency, points[:2])
        return torch.sin(2 * math.pi * phase + 0.5).float()


def score(probe: object, motion: str, groups: int = 3) -> float:
    rows = [equivariance_errors(probe, range(4 * g, 4 * g + 4), 3, motion) for g in range(groups)]  # type: ignore[arg-type]
    return psnr(torch.cat(rows))[0]


@pytest.mark.parametrize(
    ("motion", "perfect", "stuck"), [("whole", 100, 10), ("fraction", 40, 10), ("rotation", 35, 8)]
)
def test_what_moves_as_a_whole_scores_high_and_what_sticks_scores_low(motion: str, perfect: int, stuck: int) -> None:
    assert score(Waves(), motion) > perfect
    assert score(Waves(stuck=True), motion) < stuck


@pytest.mark.parametrize("motion", MOTIONS)
def test_each_group_has_one_transform_within_the_limits(motion: str) -> None:
    probe = Waves(16 if motion != "rotation" else 32)
    for group in range(40):
        equivariance_errors(probe, range(4 * group, 4 * group + 4), 0, motion)
    still, moved = torch.stack(probe.transforms[::2]), torch.stack(probe.transforms[1::2])
    assert torch.equal(still, torch.eye(3, dtype=torch.float64).expand(40, 3, 3))
    assert len(moved.unique(dim=0)) > 15
    if motion == "rotation":
        angles = torch.atan2(moved[:, 1, 0], moved[:, 0, 0])
        assert float(angles.min()) < -2.5 and float(angles.max()) > 2.5
        torch.testing.assert_close(torch.linalg.det(moved), torch.ones(40).double())
    else:
        shifts = moved[:, :2, 2]
        assert 0.09 < float(shifts.abs().max()) <= 0.125
        assert float(shifts.min()) < -0.06 and float(shifts.max()) > 0.06
        pixels = shifts * 16
        assert bool(torch.equal(pixels, pixels.round())) == (motion == "whole")


def test_samples_are_keyed_by_their_group() -> None:
    first = equivariance_errors(Waves(), range(4), 3, "fraction")
    assert first.shape == (4, 2)
    assert first.dtype == torch.float64
    assert torch.equal(first, equivariance_errors(Waves(), range(4), 3, "fraction"))
    assert not torch.equal(first, equivariance_errors(Waves(), range(4, 8), 3, "fraction"))
    assert not torch.equal(first, equivariance_errors(Waves(), range(4), 4, "fraction"))


def test_the_score_is_a_ratio_of_totals() -> None:
    """Not a mean of each picture's: 4 dB of range 2 less the logarithm of the mean squared error."""
    rows = torch.tensor([[1.0, 100.0], [0.0, 300.0]], dtype=torch.float64)
    assert psnr(rows)[0] == pytest.approx(10 * math.log10(4 / (1 / 400)), rel=1e-12)
    assert psnr(torch.tensor([[0.0, 5.0]])) == (math.inf,)
    with pytest.raises(InputError, match="at least 32 x 32"):
        psnr(torch.zeros(2, 2))


def test_the_table_has_the_published_protocols() -> None:
    found = {n: m for n, m in METRICS.items() if isinstance(m, GeneratorMetric) and m.needs_transform}
    assert {n: m.options["motion"] for n, m in found.items()} == {
        "eqt50k_int": "whole",
        "eqt50k_frac": "fraction",
        "eqr50k": "rotation",
    }
    for name, metric in found.items():
        assert (metric.group_size, metric.num_generated, metric.results) == (4, 50_000, (name,))
        assert metric.higher_is_better
        assert metric.perceptual is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (60, 60, 25)), ({"conv_kernel": 1, "use_radial_filters": True}, (60, 60, 60))],
    ids=["T", "R"],
)
def test_an_untrained_stylegan3_moves_as_a_whole(options: dict, expected: tuple[int, ...]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {
            "z_dim": 16,
            "w_dim": 16,
            "img_resolution": 32,
            "img_channels": 3,
            "channel_base": 512,
            "channel_max": 16,
        }
        G = build(GENERATORS, "stylegan3", sizes | options, "generator").eval().requires_grad_(False)
    found = [score(NumberedSampler(G, 0), motion, groups=2) for motion in MOTIONS]
    assert all(value > least for value, least in zip(found, expected, strict=True))
