"""Perceptual distances: the form, gradients, channels, and a VGG16-like detector file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.features.lpips import (
    check_perceptual,
    float_rgb,
    normalised_rows,
    perceptual_distance,
    squared_distance,
)
from openstylegan.features.weights import WeightPolicy
from openstylegan.files import sha256_file

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class SmallDetector(nn.Module):
    """Takes what NVIDIA's VGG16 takes: LPIPS features are the pixels around grey, others are colour means."""

    def forward(
        self, img: Tensor, resize_images: bool = True, return_features: bool = False, return_lpips: bool = False
    ) -> Tensor:
        if resize_images:
            img = nn.functional.interpolate(img.to(torch.float32), size=[8, 8])
        if return_lpips:
            return ((img.to(torch.float32) - 127.5) / 255).flatten(1)
        return img.to(torch.float32).mean((2, 3))


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> WeightPolicy:
    path = tmp_path_factory.mktemp("detectors") / "vgg16.pt"
    torch.jit.script(SmallDetector()).save(str(path))
    return WeightPolicy({"vgg16": f"{path}#sha256={sha256_file(path)}"})


def pictures(num: int, channels: int = 3, size: int = 32) -> Tensor:
    return torch.rand(num, channels, size, size, generator=torch.Generator().manual_seed(num + channels)) * 255


def test_rows_hold_the_mean_over_layers_and_positions_of_unit_vectors() -> None:
    maps = [torch.randn(2, 5, 4, 6).double(), torch.randn(2, 3, 2, 1).double()]
    rows = normalised_rows(maps)
    assert rows.shape == (2, 5 * 24 + 3 * 2)
    expected = torch.stack([1 - torch.cosine_similarity(f[0], f[1], dim=0).mean() for f in maps]).mean() * 2
    torch.testing.assert_close(squared_distance(rows[:1], rows[1:])[0], expected, rtol=1e-8, atol=0)
    opposite = normalised_rows([-f for f in maps])
    torch.testing.assert_close(squared_distance(rows, opposite), torch.full((2,), 4.0).double(), rtol=1e-8, atol=0)


def test_a_dark_position_is_no_division_by_zero() -> None:
    assert torch.equal(normalised_rows([torch.zeros(1, 3, 2, 2)]), torch.zeros(1, 12))


def test_the_offline_distance_grows_with_the_difference() -> None:
    features = perceptual_distance("efficientnet-lite0")
    a, noise = pictures(2), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    same, near, far = (squared_distance(features(a), features(a + s * noise)) for s in (0, 4, 40))
    assert torch.equal(same, torch.zeros(2).double())
    assert bool((0 < near).all() and (near < far).all() and (far < 4).all())
    assert features(a).shape == (2, 24 * 64 + 40 * 16 + 112 * 4 + 320)
    assert features.protocol["sha256"] == features.sha256


def test_the_offline_distance_has_gradients() -> None:
    features = perceptual_distance("efficientnet-lite0")
    a, b = pictures(1).requires_grad_(), pictures(1, size=32).flip(3)
    squared_distance(features(a), features(b)).sum().backward()
    assert a.grad is not None
    step = 1e-2 * a.grad / a.grad.abs().max()
    with torch.no_grad():
        change = squared_distance(features(a + step), features(b)) - squared_distance(features(a - step), features(b))
    expected = 2 * (a.grad * step).sum()
    assert float(change) == pytest.approx(float(expected), rel=0.05)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_is_repeated_and_alpha_laid_on_white(channels: int) -> None:
    images = pictures(2, channels)
    rgb = float_rgb(images)
    if channels == 1:
        assert torch.equal(rgb, images.expand(-1, 3, -1, -1))
    else:
        images[:, -1] = 0
        assert torch.equal(float_rgb(images), torch.full((2, 3, 32, 32), 255.0))
        images[:, -1] = 255
        torch.testing.assert_close(float_rgb(images), images[:, :-1].expand(-1, 3, -1, -1))


@pytest.mark.parametrize(
    "images", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 5, 8, 8), torch.zeros(3, 8, 8)]
)
def test_other_pictures_are_refused(images: Tensor) -> None:
    with pytest.raises(InputError, match="expected images as floats"):
        float_rgb(images)


def test_the_detector_file_is_called_for_lpips(vgg16: WeightPolicy) -> None:
    features = perceptual_distance("vgg16", vgg16)
    a = pictures(2, size=20).requires_grad_()
    torch.testing.assert_close(features(a), ((a - 127.5) / 255).flatten(1))
    features(a).sum().backward()
    torch.testing.assert_close(a.grad, torch.full_like(a, 1 / 255))
    assert features.protocol["option"] == "return_lpips"
    check_perceptual("vgg16", vgg16)


def test_another_module_is_refused(tmp_path: Path) -> None:
    class Other(nn.Module):
        def forward(self, img: Tensor) -> Tensor:
            return img

    path = tmp_path / "vgg16.pt"
    torch.jit.script(Other()).save(str(path))
    policy = WeightPolicy({"vgg16": f"{path}#sha256={sha256_file(path)}"})
    with pytest.raises(InputError, match="return_lpips=True") as error:
        perceptual_distance("vgg16", policy)
    assert "\n" not in str(error.value)


def test_missing_weights_and_unknown_names_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path))
    with pytest.raises(InputError, match="not on this machine"):
        check_perceptual("vgg16")
    with pytest.raises(InputError, match="did you mean 'vgg16'"):
        perceptual_distance("vgg")
