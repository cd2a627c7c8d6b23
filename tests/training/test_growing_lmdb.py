"""A growing run on a multi-resolution LMDB reads the size that it works at, and keeps the law of exact resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import everything, growing_config, make_pictures, trained

from openstylegan.data.dataset import open_dataset
from openstylegan.data.lmdb_storage import Size
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.images import from_uint8
from openstylegan.training.build import build_run
from openstylegan.training.checkpoint import read_checkpoint, write_checkpoint
from openstylegan.training.loop import fetch, train_step

pytest.importorskip("lmdb")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    source = make_pictures(folder / "pictures.zip", size=(40, 40))
    prepare(source, folder / "pictures.lmdb", PrepareOptions(sizes=(Size(8, 8), Size(16, 16))))
    return folder / "pictures.lmdb"


def test_each_level_reads_its_own_size(pictures: Path) -> None:
    run = build_run(growing_config(pictures), CPU)
    dataset, sides = open_dataset(pictures, xflip=True), []
    for _ in range(7):
        nimg, stage = run.state.counters.cur_nimg, run.stage()
        batch = fetch(run, stage)
        sides.append(batch.reals.shape[-1])
        expected = dataset.at_lod(stage.lod).images(run.loader.items(nimg, slice(None), stage.batch_size))
        assert torch.equal(batch.reals, from_uint8(torch.from_numpy(expected)))
        train_step(run)
    run.loader.close()
    assert sides == [8] * 5 + [16] * 2


def test_resume_in_a_fade_is_exact(pictures: Path, tmp_path: Path) -> None:
    config = growing_config(pictures)
    whole, half = trained(config, 8), trained(config, 6)
    folder = write_checkpoint(tmp_path, half.state, {"config": {}})
    resumed = build_run(config, CPU)
    read_checkpoint(folder, resumed.state, CPU)
    for _ in range(2):
        train_step(resumed)
    resumed.loader.close()
    mine, theirs = everything(whole), everything(resumed)
    assert mine.keys() == theirs.keys()
    assert [n for n in mine if not torch.equal(mine[n], theirs[n])] == []


def test_ordinary_training_on_one_size_is_that_on_the_zip(pictures: Path, tmp_path: Path) -> None:
    """Bit for bit."""
    prepare(pictures.with_name("pictures.zip"), tmp_path / "one.zip", PrepareOptions(width=16, height=16))
    runs = [trained(growing_config(path), 2) for path in (pictures / "16", tmp_path / "one.zip")]
    mine, theirs = map(everything, runs)
    assert [n for n in mine if not torch.equal(mine[n], theirs[n])] == []
    assert runs[0].dataset.content_hash == runs[1].dataset.content_hash
