"""The projected discriminator: what is kept of its frozen features, its sides, and groups that see each other."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.features.efficientnet_trunk import SameConv2d
from openstylegan.networks.base import set_precision
from openstylegan.networks.projected import ProjectedDiscriminator
from openstylegan.networks.spectral import SpectralWeight
from openstylegan.ops.paths import reference_paths


def discriminator(**options: object) -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(img_resolution=32, width=8, cout=4, **{"feature_side": 64, **options}).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_what_is_kept_of_the_features_follows_their_weights(images: torch.Tensor) -> None:
    D = discriminator()
    with torch.inference_mode():  # what is made here may not be part of a graph later
        before = D(images).clone()
    first = D.kept.weights
    leaf = images.clone().requires_grad_()
    D(leaf).sum().backward()
    assert D.kept.weights is not first and leaf.grad is not None
    kept = D.kept.weights
    torch.testing.assert_close(D(images), before)
    assert D.kept.weights is kept
    with torch.no_grad():
        D.feature_network.pretrained.layer0[1].running_var.mul_(2)
    changed = D(images)
    assert D.kept.weights is not kept and (changed - before).abs().max() > 1e-3
    fresh = discriminator()
    fresh.load_state_dict(D.state_dict())
    torch.testing.assert_close(fresh(images), changed)


def test_copies_keep_their_own(images: torch.Tensor) -> None:
    D = discriminator()
    expected = D(images)
    for other in (copy.deepcopy(D), pickle.loads(pickle.dumps(D))):
        assert other.kept is not D.kept and other.kept.seen == ()
        torch.testing.assert_close(other(images), expected)


@pytest.mark.parametrize("kernel", [3, 5])
def test_strided_depthwise_convolutions_in_bfloat16(kernel: int) -> None:
    torch.manual_seed(0)
    conv = SameConv2d(8, 8, kernel, stride=2, groups=8).requires_grad_(False)
    x = torch.randn(2, 8, 9, 10)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        leaf = x.clone().to(dtype).requires_grad_()
        y = conv(leaf)
        assert y.dtype == dtype and y.shape == (2, 8, 5, 5)
        y.square().sum().backward()
        found += [y.detach().float(), leaf.grad.float()]
    for ours, exact in zip(found[2:], found[:2], strict=True):
        assert (ours - exact).norm() < 0.01 * exact.norm()


def test_the_small_discriminators_see_how_much_samples_differ(images: torch.Tensor) -> None:
    D = discriminator(mbstd_group_size=2)
    with torch.no_grad():
        for head in D.discriminator.mini_discs.values():
            head.main[-1].weight_orig[:, :-1] = 0  # only the deviation is looked at
    alike, different = images[:1].repeat(2, 1, 1, 1), images[:2]
    assert D(alike).abs().max() < 0.01 * D(different).abs().min()


def test_the_side_of_the_features(images: torch.Tensor) -> None:
    usual = discriminator(feature_side=None)
    enlarged = discriminator(feature_side=None, interp224=True)
    torch.testing.assert_close(usual(images), enlarged(images))
    assert usual(images).shape == (4, 64)
    large = torch.rand(1, 3, 256, 256) * 2 - 1
    assert usual(large).shape == (1, 100) and enlarged(large).shape == (1, 64)
    assert discriminator(interp224=None)(large).shape == discriminator()(images[:1]).shape
    with pytest.raises(InputError, match="at least 64 with proj_type 2"):
        discriminator(feature_side=32)


def test_fast_paths_compute_the_same(images: torch.Tensor) -> None:
    D = discriminator()
    expected = D(images)
    with reference_paths():
        assert (D(images) - expected).norm() < 1e-3 * expected.norm()
    set_precision(D, "bfloat16")
    assert (D(images) - expected).norm() < 0.1 * expected.norm()


def test_without_batch_normalisation_a_sample_is_judged_by_itself(images: torch.Tensor) -> None:
    """With it, generated pictures are normalised among themselves: what they have in common is not seen."""
    for norm in (True, False):
        D = discriminator(norm=norm).train()
        for part in D.modules():
            if isinstance(part, SpectralWeight):
                part.eval()  # the vectors stay where they are
        alone = D(images[:2])
        beside = D(torch.cat([images[:2], images[2:] * 0.1]))[:2]
        assert torch.allclose(alone, beside, rtol=1e-4, atol=1e-4) != norm
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in D.discriminator.modules())
