"""StyleGAN1's networks beyond the goldens: growing, fading, sizes, and what of them files and copies carry."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import relative_error

from openstylegan.errors import InputError
from openstylegan.networks.growing import Growth, detail_at, just_appeared, lod_of
from openstylegan.networks.outline import WithoutInitialWeights
from openstylegan.networks.stylegan1 import StyleGAN1Generator
from openstylegan.networks.stylegan1_discriminator import StyleGAN1Discriminator
from openstylegan.networks.stylegan1_layers import Blur, EqualConv2d, FusedUpsample

SMALL: dict[str, Any] = {"img_resolution": 32, "channels": [8, 6, 6, 4], "fused_resolution": 32}


def networks() -> tuple[StyleGAN1Generator, StyleGAN1Discriminator]:
    torch.manual_seed(0)
    G = StyleGAN1Generator(z_dim=8, w_dim=8, num_layers=2, **SMALL)
    D = StyleGAN1Discriminator(**SMALL)
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if "noise" in name:
                parameter.normal_()
    return G.eval().requires_grad_(False), D.eval().requires_grad_(False)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.35, 1.0])
@pytest.mark.parametrize("below", [0, 3, 7])
def test_a_lod_is_a_level_and_its_alpha(alpha: float, below: int) -> None:
    lod = lod_of(below, alpha)
    assert detail_at(lod, 8) == (8 - below, pytest.approx(alpha, abs=1e-12))
    in_float32 = detail_at(float(torch.tensor(lod, dtype=torch.float32)), 8)
    assert in_float32 == (8 - below, pytest.approx(alpha, abs=1e-6))
    assert detail_at(just_appeared(below), 8) == (8 - below, 0.0)


def test_a_fade_begins_at_the_level_below_and_ends_at_its_own() -> None:
    G, D = networks()
    ws, image = G.mapping(normal(4, 8)), normal(4, 3, 16, 16)
    G.set_lod(2)
    D.set_lod(2)
    small, logits = G.synthesis(ws, noise_mode="const"), D(F.avg_pool2d(image, 2))
    for network in (G, D):
        network.set_lod(just_appeared(1))
    assert torch.equal(G.synthesis(ws, noise_mode="const"), F.interpolate(small, scale_factor=2))
    assert torch.equal(D(image), logits)
    for network in (G, D):
        network.set_lod(lod_of(1, 0.25))
    quarter, logits_quarter = G.synthesis(ws, noise_mode="const"), D(image)
    G.set_lod(1)
    D.set_lod(1)
    whole = G.synthesis(ws, noise_mode="const")
    expected = 0.75 * F.interpolate(small, scale_factor=2) + 0.25 * whole
    assert relative_error(quarter, expected) < 1e-6
    assert not torch.equal(D(image), logits_quarter)


def test_the_lod_is_carried_by_copies_and_files() -> None:
    G, D = networks()
    for network, name in ((G, "synthesis.growth.lod"), (D, "growth.lod")):
        network.set_lod(1.5)
        assert network.state_dict()[name] == 1.5
        other = networks()[network is D]
        assert other.state_dict()[name] == 0
        other.load_state_dict(network.state_dict())
        growth: Any = other.get_submodule(name.rsplit(".", 1)[0])
        assert growth.detail() == (2, 0.5)
        growth.lod.fill_(3.0)
        assert growth.detail() == (0, 1.0)
        assert copy.deepcopy(network).get_submodule(name.rsplit(".", 1)[0]).detail() == (2, 0.5)


def test_a_lod_outside_is_refused() -> None:
    growth = Growth(3)
    for lod in (-0.5, 3.5, float("nan")):
        with pytest.raises(InputError, match="lod from 0 to 3"):
            growth.set_lod(lod)


def test_only_the_levels_in_use_matter() -> None:
    G, _ = networks()
    G.set_lod(lod_of(1, 0.5))
    assert G.num_ws_in_use == 3
    ws = G.mapping(normal(2, 8))
    before = G.synthesis(ws, noise_mode="const")
    for part in (G.generator.progression[3], G.generator.to_rgb[3], G.generator.to_rgb[0]):
        for parameter in part.parameters():
            parameter.normal_()
    assert torch.equal(G.synthesis(ws, noise_mode="const"), before)


def test_constant_noise_is_the_same_at_every_level() -> None:
    G, _ = networks()
    ws = G.mapping(normal(2, 8))
    top = G.synthesis.noises(ws, "const", None)
    G.set_lod(2)
    low = G.synthesis.noises(ws, "const", None)
    assert [n.shape[-1] for n in low if n is not None] == [4, 8]
    assert all(torch.equal(a, b) for a, b in zip(low, top, strict=False) if a is not None and b is not None)


def test_real_pictures_are_reduced_and_do_not_fade() -> None:
    _, D = networks()
    pictures = normal(2, 3, 32, 32)
    for lod in (1.0, lod_of(1, 0.5), just_appeared(1)):
        D.set_lod(lod)
        assert torch.equal(D.prepare_reals(pictures), F.avg_pool2d(pictures, 2))
    with pytest.raises(InputError, match=r"shape \[N, \*\(3, 16, 16\)\], got \[2, 3, 32, 32\]"):
        D(pictures)


def test_numbers_of_parameters_at_full_size() -> None:
    with WithoutInitialWeights():
        found = [sum(p.numel() for p in n.parameters()) for n in (StyleGAN1Generator(), StyleGAN1Discriminator())]
    assert found == [26_219_115, 25_444_737]


def test_fused_upsampling_is_a_fourth_of_the_two_steps() -> None:
    x = torch.ones(1, 4, 8, 8)
    apart, fused = EqualConv2d(4, 1, 3, 1), FusedUpsample(4, 1)
    with torch.no_grad():
        apart.conv.weight_orig.fill_(1)
        fused.weight.fill_(1)
        middle = [apart(F.interpolate(x, scale_factor=2))[0, 0, 8, 8], fused(x)[0, 0, 8, 8]]
    assert float(middle[0] / middle[1]) == pytest.approx(4, rel=1e-6)


def test_the_blur_keeps_sums_inside() -> None:
    x = torch.zeros(1, 2, 5, 5)
    x[:, :, 2, 2] = 16
    y = Blur(2)(x)
    assert y[0, 1, 1:4, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert y.sum() == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"img_resolution": 2048}, "8 to 1024 px for StyleGAN1, got 2048"),
        ({"img_resolution": 4}, "8 to 1024 px"),
        ({"img_resolution": 16, "channels": [4, 4]}, r"expected 3 positive numbers of channels, for 4 to 16 px, got"),
        ({"img_resolution": 16, "channels": [4, 4, 4], "channel_max": 4}, "got both"),
        ({"img_resolution": 16, "channel_base": 8}, r"positive numbers of channels.*got \[2, 1, 0\]"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    for network in (StyleGAN1Generator, StyleGAN1Discriminator):
        with pytest.raises(InputError, match=message):
            network(**options)


def test_the_mean_style_is_where_truncation_leads() -> None:
    G, _ = networks()
    z = normal(64, 8)
    G.mapping.w_avg.copy_(G.mapping.mean_style(z)[0])
    ws = G.mapping(z, truncation_psi=0)
    assert torch.equal(ws, G.mapping.w_avg.expand(64, 4, 8))
    half = G.mapping(z, truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(half[:, 2:], G.mapping(z)[:, 2:])
    assert relative_error(half[:, 0], (G.mapping(z)[:, 0] + G.mapping.w_avg) / 2) < 1e-6
