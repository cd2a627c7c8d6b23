"""Class conditions from the demo's pictures to a grid of each class, with the networks of Projected GAN."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_generator

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.data.dataset import open_dataset
from openstylegan.data.demo import demo_path
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.errors import InputError
from openstylegan.sampling.generate import generate
from openstylegan.sampling.latents import class_of_seed
from openstylegan.snapshot import load, write_snapshot

SETTINGS = (
    'generator.network={"name":"fastgan","options":{"z_dim":8,"ngf":2,"lite":true,"num_classes":8}}',
    'discriminator.network={"name":"projected","options":{"width":4,"cout":4,"feature_side":64,"num_classes":8}}',
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on the eight classes."""
    folder = tmp_path_factory.mktemp("classes")
    prepare(demo_path(), folder / "emoji.zip", PrepareOptions(width=16, height=16))
    line = (
        f"train --outdir {folder / 'runs'} --data {folder / 'emoji.zip'} --cfg fastgan_lite --gpus 1 --batch 4 --cond"
    )
    more = "--kimg 0.008 --tick 0.004 --snap 1 --grid 3x10 --metrics none --workers 1 --device cpu"
    assert main([*line.split(), *more.split(), *(word for setting in SETTINGS for word in ("--set", setting))]) == 0
    (found,) = (folder / "runs").iterdir()
    return found


def test_every_row_of_the_grids_is_a_class(run_folder: Path) -> None:
    config = json.loads((run_folder / "config.json").read_text())
    dataset = open_dataset(config["data"]["path"], use_labels=True)
    assert dataset.label_dim == 8
    about = json.loads((run_folder / "grid.json").read_text())
    labels = dataset.labels(np.array(about["real_indices"])).argmax(1).reshape(about["rows"], about["columns"])
    assert (about["columns"], about["rows"]) == (3, 10)
    assert labels.tolist() == [[row % 8] * 3 for row in range(10)]
    assert Image.open(run_folder / "fakes000000.png").size == (48, 160)


def test_a_grid_of_each_class(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"generate --network {run_folder} --seeds 0-3 --class all --outdir {tmp_path}".split()) == 0
    assert "32 pictures of 16x16" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {f"class{n}" for n in range(8)}
    assert {p.name for p in (tmp_path / "class3").iterdir()} == {"grid.png", *(f"seed000{n}.png" for n in range(4))}
    assert main(f"generate --network {run_folder} --seeds 0-3 --class 3 --outdir {tmp_path / 'one'}".split()) == 0
    grids = {p: (p / "grid.png").read_bytes() for p in (tmp_path / "one", tmp_path / "class3", tmp_path / "class4")}
    assert grids[tmp_path / "one"] == grids[tmp_path / "class3"] != grids[tmp_path / "class4"]
    main(f"generate --network {run_folder} --seeds 0-3 --class random --outdir {tmp_path / 'random'}".split())
    networks = load(next(run_folder.glob("network-snapshot-0*.safetensors")))
    assert networks.G_ema.c_dim == networks.D.c_dim == 8
    for seed in range(4):
        own = tmp_path / f"class{class_of_seed(seed, 8, 8)}" / f"seed000{seed}.png"
        assert (tmp_path / "random" / own.name).read_bytes() == own.read_bytes()
    with pytest.raises(InputError, match="one class with --w-samples"):
        generate(networks.G_ema, [0], class_idx="random", trunc=0.5, w_samples=4)


@pytest.mark.parametrize("choice", ["all", "random"])
def test_all_classes_of_none(choice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"synthesis_kwargs": {"channel_base": 64, "channel_max": 4}}
    component = Component("stylegan2", {"z_dim": 8, "w_dim": 8, "img_resolution": 16, **options})
    G = tiny_generator("stylegan2", **options)
    write_snapshot(tmp_path / "plain.safetensors", {"G_ema": G}, {"G": component}, {})
    words = (
        f"generate --network {tmp_path / 'plain.safetensors'} --seeds 1 --class {choice} --outdir {tmp_path / 'out'}"
    )
    assert main(words.split()) == 2
    assert f"--class {choice} needs a conditional network" in capsys.readouterr().err
