"""Perceptual path length: paths, trimming, crops, and a generator whose path length is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from measuring import Pixels
from torch import Tensor

from openstylegan.features.lpips import perceptual_distance
from openstylegan.metrics import METRICS, GeneratorMetric
from openstylegan.metrics.ppl import (
    PathProtocol,
    box_downsample,
    face_crop,
    for_features,
    path_distances,
    path_ends,
    slerp,
    trimmed_mean,
)
from openstylegan.randomness import NoiseSource

WIDTH = 3 * 4 * 4


class LinearProbe:
    """ws = z (conditional: scaled by the label); pictures = ws / 127.5, so distances in [0, 255] are those of ws."""

    z_dim, image_shape, transformable = WIDTH, (3, 4, 4), False

    def __init__(self) -> None:
        self.asked: list[tuple[int, Tensor]] = []

    def __call__(self, indices: Sequence[int]) -> Tensor:
        raise AssertionError("path lengths need no numbered pictures")

    def labels(self, indices: Sequence[int]) -> Tensor:
        return torch.tensor([[1.0 + i % 3] for i in indices])

    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        return (z * c)[:, None]

    def synthesis(self, ws: Tensor, noise: NoiseSource, transform: Tensor | None = None) -> Tensor:
        self.asked.append((len(ws), noise.normal((len(ws), 2))))
        return (ws[:, 0] / 127.5).view(-1, 3, 4, 4)


def distances(protocol: PathProtocol, indices: Sequence[int] = (4, 5, 6)) -> Tensor:
    return path_distances(LinearProbe(), indices, 7, Pixels(), protocol)[:, 0]


@pytest.mark.parametrize("dimensions", [2, 5])
def test_slerp_runs_along_the_great_circle(dimensions: int) -> None:
    random = torch.Generator().manual_seed(dimensions)
    a, b = torch.randn(2, 4, dimensions, generator=random, dtype=torch.float64)
    unit = torch.nn.functional.normalize
    angle = torch.acos((unit(a) * unit(b)).sum(-1))
    for t in (0.0, 0.3, 1.0, 1.2):
        point = slerp(a, b, torch.full((4, 1), t).double())
        torch.testing.assert_close(point.norm(dim=1), torch.ones(4).double())
        torch.testing.assert_close(torch.acos((unit(a) * point).sum(-1).clamp(-1, 1)), t * angle, rtol=1e-7, atol=2e-8)
    torch.testing.assert_close(slerp(a, b, torch.ones(4, 1).double()), unit(b))
    same = slerp(a, a, torch.full((4, 1), 0.5).double())
    torch.testing.assert_close(same, unit(a))


def test_the_tails_are_left_out() -> None:
    values = np.random.RandomState(0).permutation(200).astype(float)
    assert trimmed_mean(values) == 99.5  # 1 to 198: of 0..199, the 1st percentile lies at 1.99, the 99th at 197.01
    values[values == 199] = 1e9
    assert trimmed_mean(values) == 99.5
    assert trimmed_mean(np.array([3.0])) == 3.0
    assert trimmed_mean(np.arange(101.0)) == 50.0
    expected = np.arange(1, 100).mean()
    assert trimmed_mean(np.append(np.arange(100.0), 100.0)) == expected


def test_faces_are_cropped_by_eighths() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(face_crop(images), images[:, :, 3:7, 2:6])
    assert face_crop(torch.zeros(1, 3, 1024, 1024)).shape == (1, 3, 512, 512)


def test_large_pictures_are_averaged_by_their_uncropped_size() -> None:
    images = torch.rand(1, 1, 1024, 1024)
    assert for_features(images, crop=True).shape == (1, 1, 128, 128)
    assert for_features(images, crop=False).shape == (1, 1, 256, 256)
    expected = images[0, 0, :4, :4].mean()
    torch.testing.assert_close(for_features(images, crop=False)[0, 0, 0, 0], (expected + 1) * 127.5)
    small = torch.rand(1, 1, 511, 511)
    assert torch.equal(box_downsample(small, 511), small)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_a_straight_path_has_the_length_of_its_ends(sampling: str) -> None:
    """With pictures linear in w, |G(w1) - G(w0)|^2 wherever on the path, at any epsilon."""
    protocol = PathProtocol("w", sampling, crop=False, epsilon=1e-2)  # type: ignore[arg-type]
    start, _ = path_ends(LinearProbe(), range(3), 7, PathProtocol("w", "end", crop=False, epsilon=1.0))
    _, end = path_ends(LinearProbe(), range(3), 7, PathProtocol("w", "end", crop=False, epsilon=1.0))
    expected = (end - start).square().sum((1, 2))
    torch.testing.assert_close(distances(protocol, range(3)), expected, rtol=5e-4, atol=0)
    published = PathProtocol("w", sampling, crop=False)  # type: ignore[arg-type]
    assert published.epsilon == 1e-4
    torch.testing.assert_close(distances(published, range(3)), expected, rtol=2e-2, atol=0)


def test_a_path_in_z_has_the_length_of_its_angle() -> None:
    start, end = (
        path_ends(LinearProbe(), range(3), 7, PathProtocol("z", "end", crop=False, epsilon=e))[1] for e in (0.0, 1.0)
    )
    scale = LinearProbe().labels(range(3))[:, 0].double()
    angle = torch.acos((start * end).sum((1, 2)) / scale**2)
    found = distances(PathProtocol("z", "full", crop=False, epsilon=1e-2), range(3))
    torch.testing.assert_close(found, (scale * angle) ** 2, rtol=1e-3, atol=0)


def test_the_sampling_of_t_matters_for_curved_paths_only() -> None:
    full, end = (path_ends(LinearProbe(), range(64), 1, PathProtocol("w", s, crop=False))[0] for s in ("full", "end"))
    step = path_ends(LinearProbe(), range(64), 1, PathProtocol("w", "end", crop=False, epsilon=1.0))[1] - end
    t = ((full - end) / step).mean((1, 2))
    assert 0 <= float(t.min()) < 0.1 and 0.9 < float(t.max()) < 1
    assert float((t - 0.5).mean().abs()) < 0.12


def test_both_ends_share_the_noise_and_the_label() -> None:
    probe = LinearProbe()
    path_distances(probe, [4, 5], 7, Pixels(), PathProtocol("z", "end", crop=False))
    path_distances(probe, [6, 7], 7, Pixels(), PathProtocol("z", "end", crop=False))
    (num, first), (_, second) = probe.asked
    assert num == 4
    assert first.unique(dim=0).shape == second.unique(dim=0).shape == (1, 2)
    assert not torch.equal(first, second)
    at, after = path_ends(probe, range(6), 7, PathProtocol("z", "end", crop=False))
    lengths = probe.labels(range(6))[:, 0].double()
    torch.testing.assert_close(at.flatten(1).norm(dim=1), lengths, rtol=1e-6, atol=0)
    torch.testing.assert_close(after.flatten(1).norm(dim=1), lengths, rtol=1e-6, atol=0)


def test_a_sample_has_its_own_path() -> None:
    protocol = PathProtocol("w", "full", crop=False)
    whole = path_ends(LinearProbe(), range(8), 7, protocol)
    part = path_ends(LinearProbe(), [5], 7, protocol)
    assert all(torch.equal(p, w[5:6]) for p, w in zip(part, whole, strict=True))


def test_the_table_has_the_published_protocols() -> None:
    paths = {n: m for n, m in METRICS.items() if isinstance(m, GeneratorMetric) and m.perceptual is not None}
    assert {n: (m.options["space"], m.options["t_sampling"], m.options["crop"]) for n, m in paths.items()} == {
        "ppl2_wend": ("w", "end", False),
        "ppl_zfull": ("z", "full", True),
        "ppl_wfull": ("w", "full", True),
        "ppl_zend": ("z", "end", True),
        "ppl_wend": ("w", "end", True),
        "pl2_efflite0_wend": ("w", "end", False),
        "pl_efflite0_zfull": ("z", "full", True),
        "pl_efflite0_wfull": ("w", "full", True),
        "pl_efflite0_zend": ("z", "end", True),
        "pl_efflite0_wend": ("w", "end", True),
    }
    for name, metric in paths.items():
        assert (metric.group_size, metric.options["epsilon"], metric.results) == (2, 1e-4, (name,))
        lite = "efflite0" in name
        assert (metric.perceptual, metric.num_generated) == (
            ("efficientnet-lite0", 10_000) if lite else ("vgg16", 50_000)
        )
        assert not metric.higher_is_better


def test_the_offline_features_measure_a_path() -> None:
    class Wave(LinearProbe):
        """A wave that moves with w, or not at all."""

        speed = 1.0

        def synthesis(self, ws: Tensor, noise: NoiseSource, transform: Tensor | None = None) -> Tensor:
            x = torch.linspace(-6, 6, 32)
            wave = torch.sin(x + self.speed * ws[:, 0, :1, None, None]) * torch.cos(x)[:, None]
            return wave.expand(-1, 3, -1, -1) * 0.5

    features, protocol = perceptual_distance("efficientnet-lite0"), PathProtocol("w", "end", crop=False, epsilon=1e-2)
    found = path_distances(Wave(), [0, 1], 3, features, protocol)
    assert found.shape == (2, 1)
    assert bool((found > 0.01).all() and torch.isfinite(found).all())
    still = Wave()
    still.speed = 0.0
    assert torch.equal(path_distances(still, [0, 1], 3, features, protocol), torch.zeros(2, 1).double())
