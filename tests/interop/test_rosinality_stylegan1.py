"""Checkpoints of style-based-gan-pytorch: read whole, with their pictures; written so that its names and levels fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden.kinds.stylegan1 import counted_to_base
from helpers import golden, relative_error

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.interop import load
from openstylegan.interop.writing import write
from openstylegan.networks.stylegan1 import StyleGAN1Generator
from openstylegan.networks.stylegan1_discriminator import StyleGAN1Discriminator
from openstylegan.snapshot import write_snapshot

ARRAYS, _ = golden("sg1_thin_networks")
SIZES: dict[str, Any] = {"img_resolution": 16, "channels": [6, 5, 4], "fused_resolution": 16}


def recorded(prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): torch.from_numpy(a.copy()) for n, a in ARRAYS.items() if n.startswith(prefix)}


def checkpoint(path: Path, **more: Any) -> Path:
    generator, judge = recorded("state_generator/"), recorded("state_discriminator/")
    other = {name: tensor + 1 for name, tensor in generator.items()}
    torch.save({"generator": other, "discriminator": judge, "g_running": generator, **more}, path)
    return path


def test_a_training_checkpoint_opens_and_draws_the_same(tmp_path: Path) -> None:
    networks = load(checkpoint(tmp_path / "mine.model", g_optimizer={"state": {}}))
    G, D = networks.G_ema, networks.D
    assert D is not None and networks.G is not None
    noises = [torch.from_numpy(ARRAYS[f"in/noise{k}"]) for k in range(4)]
    images = G.synthesis.run(G.mapping(torch.from_numpy(ARRAYS["in/z"])), noises)  # type: ignore[operator]
    assert relative_error(images, ARRAYS["out/img_step3_alpha-1"]) < 2e-5
    logits = D(torch.from_numpy(ARRAYS["in/dimg_step3"]))
    assert relative_error(logits, ARRAYS["out/logits_step3_alpha-1"]) < 2e-5
    assert not torch.equal(networks.G.generator.to_rgb[0].conv.bias, G.generator.to_rgb[0].conv.bias)  # type: ignore
    assert networks.about["unread"] == {"g_optimizer": "a dict of 1"}
    z = torch.randn(4096, 24, generator=torch.Generator().manual_seed(0))
    mean = G.mapping.mean_style(z)[0]  # type: ignore[operator]
    assert float((G.mapping.w_avg - mean).norm() / mean.norm()) < 0.1  # type: ignore[operator]


def test_a_bare_generator_opens(tmp_path: Path) -> None:
    torch.save(recorded("state_generator/"), tmp_path / "000000.model")
    networks = load(tmp_path / "000000.model")
    assert networks.D is None and networks.G_ema.img_resolution == 32


def test_the_name_of_a_training_checkpoint_says_how_far_it_had_grown(tmp_path: Path) -> None:
    networks = load(checkpoint(tmp_path / "train_step-3.model"))
    assert networks.G_ema(torch.zeros(1, 24)).shape[-1] == 16
    assert networks.D is not None and float(networks.D.get_buffer("growth.lod")) == 1
    assert networks.about["lod"] == "from the file's name"


def snapshot(path: Path) -> Path:
    torch.manual_seed(0)
    G, D = StyleGAN1Generator(8, 0, 8, num_layers=2, **SIZES), StyleGAN1Discriminator(**SIZES)
    G.mapping.w_avg.normal_()
    for network in (G, D):
        network.set_lod(0.5)
    sizes = {"z_dim": 8, "w_dim": 8, "num_layers": 2, "c_dim": 0, "img_channels": 3, **SIZES}
    judge = {"c_dim": 0, "img_channels": 3, **SIZES}
    write_snapshot(
        path, {"G": G, "D": D, "G_ema": G}, {"G": Component("stylegan1", sizes), "D": Component("stylegan1", judge)}, {}
    )
    return path


def test_there_and_back_changes_nothing(tmp_path: Path) -> None:
    ours = load(snapshot(tmp_path / "a.safetensors"))
    remarks = write(ours, tmp_path / "a.model")
    assert any("no optimizers" in r for r in remarks) and any("widths" in r for r in remarks)
    back = load(tmp_path / "a.model")
    for name in ("G", "D", "G_ema"):
        before, after = (getattr(n, name).state_dict() for n in (ours, back))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_names_in_the_file_are_the_programs(tmp_path: Path) -> None:
    write(load(checkpoint(tmp_path / "mine.model")), tmp_path / "again.model")
    again = torch.load(tmp_path / "again.model", weights_only=True)
    assert again["g_running"].keys() == recorded("state_generator/").keys()
    assert again["discriminator"].keys() == {counted_to_base(n, 4) for n in recorded("state_discriminator/")}


def test_levels_above_are_written_as_they_begin(tmp_path: Path) -> None:
    """A network of 8 px with the program's widths becomes one of all nine levels there, and again itself here."""
    torch.manual_seed(0)
    G = StyleGAN1Generator(num_layers=1, img_resolution=8)
    component = Component("stylegan1", {"num_layers": 1, "c_dim": 0, "img_channels": 3, "img_resolution": 8})
    write_snapshot(tmp_path / "a.safetensors", {"G_ema": G}, {"G": component}, {})
    assert len(write(load(tmp_path / "a.safetensors"), tmp_path / "a.model")) == 1
    content = torch.load(tmp_path / "a.model", weights_only=True, mmap=True)["g_running"]
    assert content["generator.to_rgb.8.conv.weight_orig"].shape == (3, 16, 1, 1)
    assert torch.equal(content["generator.to_rgb.1.conv.weight_orig"], G.generator.to_rgb[1].conv.weight_orig)
    back = load(tmp_path / "a.model").G_ema
    assert back.img_resolution == 8
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in G.state_dict().items())


def test_what_the_layout_cannot_hold_is_named(tmp_path: Path) -> None:
    networks = load(snapshot(tmp_path / "a.safetensors"))
    networks.about["networks"]["G"]["options"]["c_dim"] = 3
    with pytest.raises(InputError, match=r"c_dim = 0 for rosinality's StyleGAN1"):
        write(networks, tmp_path / "a.model")


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = checkpoint(tmp_path / "mine.model"), tmp_path / "ours.safetensors"
    assert main(["convert", str(file), str(out)]) == 0
    assert load(out).G_ema.img_resolution == 32
    damaged = recorded("state_generator/")
    del damaged["generator.progression.1.noise1.weight_orig"]
    torch.save(damaged, tmp_path / "damaged.model")
    assert main(["convert", str(tmp_path / "damaged.model"), str(out)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
