"""Grids for lists of psi and mixing probabilities, the mean style from samples, networks drawn at a smaller size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.networks import GENERATORS
from openstylegan.networks.base import Generator
from openstylegan.networks.growing import lod_of
from openstylegan.sampling.generate import generate, ws_of_seeds
from openstylegan.sampling.mean_style import mean_style, toward
from openstylegan.sampling.samples import Form, GridLatents, SampleOptions, dated_folder, sample_grids, write_samples
from openstylegan.sampling.sizes import set_size, sizes_of
from openstylegan.snapshot import write_snapshot

NO_LABELS = torch.zeros(1, 0)
SMALL: dict[str, dict[str, Any]] = {
    "stylegan2": {"synthesis_kwargs": {"channel_base": 64, "channel_max": 8}},
    "stylegan1": {"num_layers": 2, "channels": [8, 6, 4], "fused_resolution": 16},
}


def network(name: str = "stylegan2", **options: Any) -> Generator:
    torch.manual_seed(0)
    kwargs = {"z_dim": 6, "w_dim": 6, "c_dim": 0, "img_resolution": 16, "img_channels": 3, **SMALL[name], **options}
    if name == "stylegan2":
        kwargs["mapping_kwargs"] = {"num_layers": 2, **options.get("mapping_kwargs", {})}
    return GENERATORS[name](**kwargs).eval().requires_grad_(False)


def test_the_mean_style_is_the_running_mean_or_that_of_samples() -> None:
    G = network()
    G.mapping.w_avg.normal_()
    assert torch.equal(mean_style(G, NO_LABELS), G.mapping.w_avg.expand(G.num_ws, -1))
    z = torch.randn(50_000, 6, generator=torch.Generator().manual_seed(0))
    expected = G.mapping(z).mean(0)
    estimated = mean_style(G, NO_LABELS, 20_000)
    assert float((estimated - expected).abs().max()) < 0.03 * float(G.mapping(z).std())
    assert torch.equal(estimated, mean_style(G, NO_LABELS, 20_000))
    assert not torch.equal(estimated, mean_style(G, NO_LABELS, 20_000, seed=1))
    with pytest.raises(InputError, match="at least 1 latent"):
        mean_style(G, NO_LABELS, 0)


def test_the_mean_style_of_a_class() -> None:
    G = network(c_dim=2)
    labels = torch.eye(2)
    of_each = [mean_style(G, labels[n : n + 1], 1000) for n in range(2)]
    assert torch.allclose(mean_style(G, labels, 2000), (of_each[0] + of_each[1]) / 2, atol=0.1)
    assert not torch.allclose(*of_each, atol=1e-3)


def test_a_network_without_a_running_mean_estimates_one() -> None:
    G = network(mapping_kwargs={"w_avg_beta": None})
    assert torch.equal(mean_style(G, NO_LABELS), mean_style(G, NO_LABELS, 20_000))
    with pytest.raises(InputError, match="--w-samples"):
        generate(G, [0], trunc=0.5)
    found = generate(G, [3], trunc=0.5, w_samples=100)
    mean = mean_style(G, NO_LABELS, 100)
    own = ws_of_seeds(G, [3])
    assert torch.equal(ws_of_seeds(G, [3], 0.5, mean=mean), mean.lerp(own, 0.5))
    assert not np.array_equal(found, generate(G, [3]))
    for wrong in ({"trunc": 1.0}, {"trunc": 0.5, "projected_w": "x.npz"}):
        with pytest.raises(InputError, match="with --w-samples"):
            generate(G, [3], w_samples=100, **wrong)  # type: ignore[arg-type]


def test_truncation_stops_at_the_cutoff() -> None:
    ws, mean = torch.randn(2, 4, 3), torch.randn(4, 3)
    found = toward(ws, mean, 0.3, cutoff=1)
    assert torch.equal(found[:, 1:], ws[:, 1:]) and torch.allclose(
        found[:, :1], mean[:1] + 0.3 * (ws[:, :1] - mean[:1])
    )


def test_mixing_takes_the_last_layers_of_some_pictures_from_a_second_latent() -> None:
    G = network()
    latents = GridLatents.drawn(6, torch.zeros(200, 0), seed=0)
    first, second = G.mapping(latents.first), G.mapping(latents.second)
    assert torch.equal(latents.styles(G, Form(), None), first)
    shares = []
    for probability in (0.3, 1.0):
        ws = latents.styles(G, Form(mixing=probability), None)
        foreign = (ws == second).all(2)
        assert torch.equal(foreign | (ws == first).all(2), torch.ones_like(foreign))
        assert torch.equal(foreign, foreign.int().cummax(1).values.bool()), "once begun, it goes on to the last layer"
        assert not foreign[:, 0].any()
        shares.append(foreign.any(1))
    assert 0.2 < float(shares[0].float().mean()) < 0.4 and shares[1].all() and (shares[1] | ~shares[0]).all()
    assert set(foreign.int().sum(1).tolist()) == set(range(1, G.num_ws))
    with pytest.raises(InputError, match="probabilities from 0 to 1"):
        SampleOptions(mixing=(1.5,))


def test_psi_0_is_the_picture_of_the_mean_style() -> None:
    G = network()
    G.mapping.w_avg.normal_()
    (grid,) = sample_grids(G, SampleOptions(2, 1, psi=(0.0,)))
    assert torch.equal(grid.images, grid.mean_image.expand(2, -1, -1, -1))


def test_a_dated_folder_with_every_grid_its_mean_style_and_what_they_are(tmp_path: Path) -> None:
    G = network()
    options = SampleOptions(3, 2, repeat=2, psi=(1.0, 0.5), mixing=(0.0, 0.9), w_samples=100, batch=4)
    folder = write_samples(G, tmp_path, options, {"network": "cats"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(folder.relative_to(tmp_path)))
    told = json.loads((folder / "parameters.json").read_text())
    assert told["network"] == "cats" and told["w_samples"] == 100 and told["psi"] == [1, 0.5]
    assert [(g["repetition"], g["psi"], g["mixing"]) for g in told["grids"]] == [
        (n, psi, p) for n in range(2) for psi in (1, 0.5) for p in (0, 0.9)
    ]
    names = {f"{k}.png" for k in range(8)} | {f"truncation_base_{k}.png" for k in range(8)}
    assert {p.name for p in folder.iterdir()} == names | {"parameters.json"}
    for k in range(8):
        with Image.open(folder / f"{k}.png") as grid, Image.open(folder / f"truncation_base_{k}.png") as base:
            assert (grid.size, base.size) == ((48, 32), (16, 16))
    bases = [(folder / f"truncation_base_{k}.png").read_bytes() for k in (0, 3, 4)]
    assert bases[0] == bases[1] != bases[2], "each repetition estimates it anew"
    assert dated_folder(tmp_path) != dated_folder(tmp_path)


def test_a_conditional_network_draws_random_classes_or_one() -> None:
    G = network(c_dim=3)
    grids = [next(sample_grids(G, SampleOptions(4, 1, class_idx=n))).images for n in (None, 0)]
    assert not torch.equal(*grids)


def saved(path: Path, G: Generator, options: dict[str, Any], name: str) -> Path:
    """A snapshot of a generator."""
    write_snapshot(path, {"G_ema": G}, {"G": Component(name, options)}, {})
    return path


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A snapshot of a StyleGAN1 of 16 px that has grown to 8 px."""
    G = network("stylegan1")
    G.set_lod(1)
    options = {"z_dim": 6, "w_dim": 6, "c_dim": 0, "img_resolution": 16, "img_channels": 3, **SMALL["stylegan1"]}
    return saved(tmp_path / "grown.safetensors", G, options, "stylegan1")


def test_the_sizes_of_a_network_that_grows() -> None:
    G = network("stylegan1")
    for lod, sizes in ((0, [16, 8, 4]), (lod_of(0, 0.3), [16, 8, 4]), (1, [8, 4])):
        G.set_lod(lod)
        assert list(sizes_of(G)) == sizes
    set_size(G, 4)
    assert G(torch.randn(1, 6)).shape == (1, 3, 4, 4)
    with pytest.raises(InputError, match="expected one of 4, which"):
        set_size(G, 16)
    with pytest.raises(InputError, match="expected a network that grows"):
        set_size(network(), 8)


def test_commands_draw_at_a_size(grown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [f"--network={grown}", f"--outdir={tmp_path / 'out'}", "--device=cpu", "--size=4"]
    assert main(["generate", *common, "--seeds=0"]) == 0
    assert "1 pictures of 4x4" in capsys.readouterr().out
    assert main(["style-mixing", *common, "--rows=1", "--cols=2"]) == 0
    grids = ["--grid=2x1", "--psi=1,0.5", "--mixing=0,1", "--w-samples=10"]
    assert main(["samples", *common, *grids]) == 2, "at 4 px there is one style, so none to mix"
    assert "mixing probability 0 for a network of one style" in capsys.readouterr().err
    for path, size in (("seed0000.png", (4, 4)), ("grid.png", (8, 8))):
        with Image.open(tmp_path / "out" / path) as image:
            assert image.size == size
