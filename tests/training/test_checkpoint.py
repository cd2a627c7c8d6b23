"""Checkpoints: damaged ones are recognised and passed over, old ones removed, foreign ones refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from runs import make_pictures, small_config

from openstylegan.errors import InputError
from openstylegan.training.build import Run, build_run
from openstylegan.training.checkpoint import (
    checkpoints_of,
    latest_checkpoint,
    problem_of,
    read_checkpoint,
    rotate,
    write_checkpoint,
)
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("run")
    run = build_run(small_config(make_pictures(folder / "pictures.zip")), CPU)
    for _ in range(2):
        train_step(run)
        write_checkpoint(folder, run.state, {"config": {}})
    run.loader.close()
    return run, folder


@pytest.fixture
def copy(saved: tuple[Run, Path], tmp_path: Path) -> Path:
    shutil.copytree(saved[1] / "checkpoints", tmp_path / "checkpoints")
    return tmp_path


def newest(run: Path) -> Path:
    return checkpoints_of(run)[-1]


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a flipped bit": lambda p: flip_a_byte(p / "networks.safetensors"),
    "a cut tail": lambda p: (p / "optimizers.safetensors").write_bytes(b""),
    "a missing file": lambda p: (p / "state.json").unlink(),
    "a manifest of nothing": lambda p: (p / "manifest.json").write_text("{}"),
    "a manifest that is not one": lambda p: (p / "manifest.json").write_text("[1, 2"),
    "a manifest of another kind": lambda p: (p / "manifest.json").write_text('{"state.json": 3}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(copy: Path, damage: str) -> None:
    assert problem_of(newest(copy)) is None
    DAMAGE[damage](newest(copy))
    warnings: list[str] = []
    assert latest_checkpoint(copy, warnings.append) == checkpoints_of(copy)[0]
    assert len(warnings) == 1 and newest(copy).name in warnings[0]


def test_no_whole_checkpoint_is_one_clear_line(copy: Path) -> None:
    for folder in checkpoints_of(copy):
        flip_a_byte(folder / "networks.safetensors")
    with pytest.raises(InputError, match="expected a whole checkpoint"):
        latest_checkpoint(copy, lambda text: None)


def test_an_unfinished_checkpoint_is_not_seen(copy: Path) -> None:
    (copy / "checkpoints" / ".000099-00000099.abc.tmp").mkdir()
    assert newest(copy).name != ".000099-00000099.abc.tmp"


def test_writing_the_same_step_again_mends_a_damaged_one(saved: tuple[Run, Path], copy: Path) -> None:
    flip_a_byte(newest(copy) / "networks.safetensors")
    assert problem_of(write_checkpoint(copy, saved[0].state, {"config": {}})) is None
    assert len(checkpoints_of(copy)) == 2


def test_a_checkpoint_of_other_options_is_refused(saved: tuple[Run, Path], tmp_path: Path) -> None:
    run, folder = saved
    wider = small_config(Path(run.config.data.path), **{"generator.network.options.synthesis_kwargs.channel_max": 6})
    other = build_run(wider, CPU)
    with pytest.raises(InputError, match="does not fit"):
        read_checkpoint(newest(folder), other.state, CPU)
    other.loader.close()


def test_a_newer_format_is_refused(saved: tuple[Run, Path], copy: Path) -> None:
    state = json.loads((newest(copy) / "state.json").read_text()) | {"format": 99}
    (newest(copy) / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="format"):
        read_checkpoint(newest(copy), saved[0].state, CPU)


def test_rotation_keeps_the_newest_and_the_best(copy: Path) -> None:
    names = [p.name for p in checkpoints_of(copy)]
    rotate(copy, 0, None)
    assert [p.name for p in checkpoints_of(copy)] == names
    rotate(copy, 1, names[0])
    assert [p.name for p in checkpoints_of(copy)] == names
    rotate(copy, 1, None)
    assert [p.name for p in checkpoints_of(copy)] == names[1:]
