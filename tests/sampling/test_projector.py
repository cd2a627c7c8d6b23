"""The projector: it finds pictures of the network's own, gives the same numbers again, and leaves the network alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_generator
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import generate
from openstylegan.sampling.project import Projected, as_bytes, control_target, project_targets, psnr
from openstylegan.sampling.projector import (
    ProjectorOptions,
    learning_rate,
    looked_at,
    noise_maps,
    noise_regularization,
    noise_scale,
    normalized_noise,
    project,
    w_statistics,
)
from openstylegan.sampling.targets import Target

QUICK = {"w_avg_samples": 200}


class Pixels:
    """Features that are the picture itself: [N, C H W], scaled as perceptual ones are."""

    name, sha256 = "pixels", ""
    protocol: ClassVar[dict[str, Any]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        return (images / 127.5).flatten(1) / math.sqrt(images[0].numel())


@pytest.fixture(scope="module")
def G() -> Generator:
    return tiny_generator()


def target_of(G: Generator, seed: int) -> Tensor:
    return control_target(G, seed).image


def test_the_schedule_at_its_corners() -> None:
    options = ProjectorOptions(num_steps=200)
    assert learning_rate(options, 0) == 0
    assert learning_rate(options, 5) == pytest.approx(0.05)
    assert learning_rate(options, 10) == learning_rate(options, 150) == 0.1
    assert learning_rate(options, 175) == pytest.approx(0.05)
    assert noise_scale(options, 0, 2.0) == 0.1
    assert noise_scale(options, 75) == pytest.approx(0.05 / 4)
    assert noise_scale(options, 150) == noise_scale(options, 199) == 0


def test_statistics_of_w_are_one_number_for_the_spread(G: Generator) -> None:
    mean, std = w_statistics(G, 1500)
    z = torch.from_numpy(np.random.RandomState(123).randn(1500, G.z_dim))
    w = G.mapping(z, None)[:, 0].double()
    assert torch.allclose(mean.double(), w.mean(0), atol=1e-6)
    assert std == pytest.approx(math.sqrt(float((w - w.mean(0)).square().sum(1).mean())), rel=1e-6)


def test_regularization_of_noise_is_taken_at_every_scale() -> None:
    stripes = torch.ones(1, 1, 16, 16)
    stripes[..., ::2] = -1
    assert noise_regularization([stripes]).tolist() == [2.0], "alternating at 16 px, nothing left at 8"
    noise = torch.randn(2, 1, 16, 32, generator=torch.Generator().manual_seed(0))
    expected = []
    for own in noise[:, 0]:
        half = own.reshape(8, 2, 16, 2).mean((1, 3))
        levels = [(n * n.roll(1, axis)).mean() ** 2 for n in (own, half) for axis in (0, 1)]
        expected.append(sum(levels))
    assert torch.allclose(noise_regularization([noise]), torch.stack(expected))  # type: ignore[arg-type]
    assert noise_regularization([noise, noise]).allclose(2 * noise_regularization([noise]))


def test_normalized_noise() -> None:
    found = normalized_noise(5 + 3 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert found.mean((1, 2, 3)).abs().max() < 1e-6 and (found.square().mean((1, 2, 3)) - 1).abs().max() < 1e-6


def test_noise_maps_are_those_of_the_seed_and_of_every_layer(G: Generator) -> None:
    maps = noise_maps(G, 2, 7)
    assert len(maps) == len(G.synthesis.noise_shapes()) and maps["b8.conv0.noise_const"].shape == (2, 1, 8, 8)
    assert all(torch.equal(m[0], m[1]) for m in maps.values())
    assert not torch.equal(maps["b8.conv0.noise_const"], maps["b8.conv1.noise_const"])
    assert torch.equal(maps["b4.conv1.noise_const"], noise_maps(G, 2, 7)["b4.conv1.noise_const"])
    assert not torch.equal(maps["b4.conv1.noise_const"], noise_maps(G, 2, 8)["b4.conv1.noise_const"])


def test_large_pictures_are_looked_at_smaller() -> None:
    assert looked_at(torch.zeros(1, 3, 512, 512)).shape[2:] == (256, 256)
    assert looked_at(torch.zeros(1, 3, 512, 256)).shape[2:] == (256, 128)
    small = torch.rand(1, 3, 256, 256)
    assert looked_at(small) is small
    assert torch.allclose(looked_at(torch.arange(512.0).expand(1, 3, 512, 512))[0, 0, 0], 2 * torch.arange(256.0) + 0.5)


def test_a_picture_of_the_network_is_found() -> None:
    G = tiny_generator(synthesis_kwargs={"channel_base": 64, "channel_max": 4, "use_noise": False})
    target = control_target(G, 5)
    (found,) = project_targets(G, [target], Pixels(), options=ProjectorOptions(100, **QUICK))
    start = psnr(target.image, as_bytes(G.synthesis(w_statistics(G, 200)[0].expand(1, G.num_ws, -1), "const"))[0])
    assert found.psnr > start + 10
    assert found.w_error is not None and found.w_error < 0.5


def test_the_same_seed_gives_the_same_bits_whatever_it_is_projected_after(G: Generator) -> None:
    a, b = target_of(G, 3), target_of(G, 4)
    options = ProjectorOptions(12, **QUICK)
    alone = project(G, b[None], Pixels(), options)
    torch.manual_seed(99)
    rows = list(project_targets(G, [Target("a", a), Target("b", b)], Pixels(), options=options))
    assert torch.equal(rows[1].ws, alone.ws)
    together = project(G, torch.stack([a, b]), Pixels(), options)
    assert torch.allclose(together.ws[1:], alone.ws, atol=1e-3)
    other = project(G, b[None], Pixels(), ProjectorOptions(12, seed=304, **QUICK))
    assert not torch.allclose(other.ws, alone.ws, atol=1e-3)


def test_w_plus_gives_every_layer_its_own_w(G: Generator) -> None:
    target = target_of(G, 3)[None]
    w, w_plus = (project(G, target, Pixels(), ProjectorOptions(20, space=s, **QUICK)) for s in ("w", "w+"))
    assert all(torch.equal(w.ws[:, 0], w.ws[:, n]) for n in range(G.num_ws))
    assert not torch.equal(w_plus.ws[:, 0], w_plus.ws[:, 1])
    assert w.ws.shape == w_plus.ws.shape == (1, G.num_ws, G.w_dim)


def test_the_first_step_does_not_move_and_every_step_is_kept(G: Generator) -> None:
    found = project(G, target_of(G, 3)[None], Pixels(), ProjectorOptions(7, **QUICK))
    assert found.path.shape == (7, 1, 1, G.w_dim) and found.distances.shape == (7, 1)
    assert torch.equal(found.ws_after(0)[0, 0], found.w_avg)
    assert torch.equal(found.ws_after(6), found.ws)
    assert not torch.equal(found.ws_after(1), found.ws_after(0))


def test_the_network_is_left_alone() -> None:
    G = tiny_generator()
    G.requires_grad_(True)
    before = {name: t.clone() for name, t in G.state_dict().items()}
    project(G, target_of(G, 3)[None], Pixels(), ProjectorOptions(3, **QUICK))
    assert all(torch.equal(t, before[name]) for name, t in G.state_dict().items())
    assert all(p.grad is None for p in G.parameters())


def test_optimized_noise_has_its_part_in_the_descent() -> None:
    """With a noise strength of zero the maps cannot matter; with one they do."""
    with_noise, without = tiny_generator(), tiny_generator()
    for name, parameter in without.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    target = target_of(without, 3)[None]
    w = [project(G, target, Pixels(), ProjectorOptions(5, **QUICK)).ws for G in (without, with_noise)]
    assert not torch.equal(*w)
    weights = [ProjectorOptions(5, regularize_noise_weight=v, **QUICK) for v in (0.0, 1e5)]
    assert not torch.equal(*(project(with_noise, target, Pixels(), options).ws for options in weights))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stylegan2", {"img_resolution": [16, 24]}),
        ("stylegan2", {"img_channels": 1}),
        ("stylegan2", {"img_channels": 4}),
        ("stylegan2", {"synthesis_kwargs": {"channel_base": 64, "channel_max": 4, "use_noise": False}}),
        ("stylegan3", {"channel_base": 128, "channel_max": 4}),
    ],
)
def test_any_generator_is_projected_into(name: str, options: dict[str, Any]) -> None:
    G = tiny_generator(name, **options)
    (found,) = project_targets(G, [control_target(G, 1)], Pixels(), options=ProjectorOptions(6, **QUICK))
    assert found.picture.shape == tuple(G.image_shape) and math.isfinite(found.psnr)


def test_a_conditional_network_is_searched_within_a_class() -> None:
    G = tiny_generator(c_dim=3)
    a, b = (w_statistics(G, 50, n)[0] for n in (0, 2))
    assert not torch.allclose(a, b)
    with pytest.raises(InputError, match="expected a class"):
        project(G, target_of_class(G), Pixels(), ProjectorOptions(2, **QUICK))


def target_of_class(G: Generator) -> Tensor:
    return control_target(G, 1, 0).image[None]


def test_files_as_users_know_them(G: Generator, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    options = ProjectorOptions(6, **QUICK)
    target = control_target(G, 3)
    (found,) = project_targets(G, [target], Pixels(), tmp_path / "one", options)
    assert {p.name for p in (tmp_path / "one").iterdir()} == {"target.png", "proj.png", "projected_w.npz", "proj.mp4"}
    with np.load(tmp_path / "one" / "projected_w.npz") as file:
        assert file.files == ["w"] and file["w"].shape == (1, G.num_ws, G.w_dim)
    shown = np.array(Image.open(tmp_path / "one" / "proj.png"))
    drawn = generate(G, projected_w=tmp_path / "one" / "projected_w.npz")[0]
    assert np.abs(shown.astype(int) - drawn).max() <= 1, "two conversions to bytes, half a level apart"
    assert np.array_equal(np.array(Image.open(tmp_path / "one" / "target.png")), target.image.permute(1, 2, 0).numpy())
    with av.open(str(tmp_path / "one" / "proj.mp4")) as file:
        assert file.streams.video[0].average_rate == 10
        frames = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    assert len(frames) == 6 and frames[0].shape == (16, 32, 3)
    seen, whole = (picture @ np.array([0.299, 0.587, 0.114]) for picture in (frames[-1][:, 16:], shown))
    assert np.abs(seen - whole).mean() < 4, "brightness; the colours are at half resolution"
    assert found.psnr == psnr(target.image, found.picture)


def test_several_targets_get_a_folder_each(G: Generator, tmp_path: Path) -> None:
    targets = [control_target(G, 1), Target("tom", target_of(G, 2)), Target("kim", target_of(G, 5))]
    options = ProjectorOptions(2, **QUICK)
    found = list(project_targets(G, targets, Pixels(), tmp_path, options, save_video=False, batch=2))
    assert [f.target.name for f in found] == ["control-seed0001", "tom", "kim"]
    for name in ("control-seed0001", "tom", "kim"):
        assert {p.name for p in (tmp_path / name).iterdir()} == {"target.png", "proj.png", "projected_w.npz"}
    assert [f.w_error is None for f in found] == [False, True, True]


def test_psnr() -> None:
    a = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert psnr(a, a) == math.inf
    assert psnr(a, a + 255) == 0
    assert psnr(a, a + 10) == pytest.approx(28.1308, abs=1e-4)


def test_bytes_are_truncated_half_a_level_lower_than_elsewhere() -> None:
    values = torch.tensor([-2.0, -1, 0, 0.999, 1, 3]).reshape(1, 1, 1, 6)
    assert as_bytes(values).flatten().tolist() == [0, 0, 127, 254, 255, 255]


@pytest.mark.parametrize("options", [{"num_steps": 0}, {"space": "z"}, {"seed": -1}, {"w_avg_samples": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        ProjectorOptions(**options)


def test_wrong_targets_are_refused(G: Generator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"targets of shape \['T', 3, 16, 16\], got \[1, 3, 8, 8\]"):
        project(G, torch.zeros(1, 3, 8, 8), Pixels())
    with pytest.raises(InputError, match="at least one target"):
        list(project_targets(G, [], Pixels(), tmp_path))


def test_what_became_of_a_target_is_a_record(G: Generator) -> None:
    (found,) = project_targets(G, [Target("a", target_of(G, 1))], Pixels(), options=ProjectorOptions(2, **QUICK))
    assert isinstance(found, Projected) and found.ws.shape == (1, G.num_ws, G.w_dim) and found.distance > 0
