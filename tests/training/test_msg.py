"""Training MSG-StyleGAN keeps the laws of resume, cut and processes; the grid and metrics take tuples of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import everything, make_pictures, overall_distance, small_config, trained, weights

from openstylegan.config import Component, PhaseConfig, TrainConfig, to_dict, with_overrides
from openstylegan.distributed import is_main
from openstylegan.images import leaves
from openstylegan.sampling.generate import generate
from openstylegan.sampling.measured import NumberedSampler
from openstylegan.training.build import build_run
from openstylegan.training.checkpoint import read_checkpoint, write_checkpoint
from openstylegan.training.forward_pass import ForwardPass, Moment, Recipe, Tally
from openstylegan.training.grids import fake_images
from openstylegan.training.launch import run_processes
from openstylegan.training.loop import fetch, train_step

CPU = torch.device("cpu")
WIDTHS = {"channel_base": 128, "channel_max": 8}


def msg_config(data: Path, **overrides: Any) -> TrainConfig:
    """As `small_config`, with MSG-StyleGAN's networks and losses.

    G's first bias has no gradient but rounding, for instance normalization takes a constant away: eps keeps Adam from
    making steps of full size of it.
    """
    sizes = {"z_dim": 12, "w_dim": 12, "num_layers": 2, **WIDTHS}
    r1 = Component("scale_r1", {"gamma": 1.0})
    phases = (
        PhaseConfig("Dmain", "D", (Component("logistic_d"), r1)),
        PhaseConfig("Gmain", "G", (Component("logistic_g"),)),
    )
    changes = {
        "generator.network": {"name": "msg_stylegan", "options": sizes},
        "discriminator.network": {"name": "msg_stylegan", "options": {**WIDTHS, "mbstd_group_size": 2}},
        "phases": [to_dict(phase) for phase in phases],
        "style_mixing_prob": 0.0,
        "generator.eps": 1e-5,
    }
    return small_config(data, **{**changes, **overrides})


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def test_resume_is_exact(pictures: Path, tmp_path: Path) -> None:
    config = msg_config(pictures)
    whole, half = trained(config, 4), trained(config, 2)
    resumed = build_run(config, CPU)
    read_checkpoint(write_checkpoint(tmp_path, half.state, {"config": {}}), resumed.state, CPU)
    for _ in range(2):
        train_step(resumed)
    resumed.loader.close()
    mine, theirs = everything(whole), everything(resumed)
    assert mine.keys() == theirs.keys()
    assert [n for n in mine if not torch.equal(mine[n], theirs[n])] == []


def test_the_cut_into_micro_batches_changes_nothing(pictures: Path) -> None:
    whole = msg_config(pictures, precision="float64")
    cut = with_overrides(whole, {"schedule.options.batch_gpu": 2})
    assert overall_distance(weights(trained(whole, 4)), weights(trained(cut, 4))) < 1e-12


def test_training_moves_everything_but_the_stored_noise(pictures: Path) -> None:
    config = msg_config(pictures)
    before, after = everything(trained(config, 0)), everything(trained(config, 3))
    still = {n for n in before if torch.equal(before[n], after[n]) and not n.startswith("augment/")}
    assert [n for n in still if not n.endswith(("noise_const", "taps"))] == []


TOLERANCES = {"float64": 1e-12, "float32": 1e-6}


def rank_job(job: tuple[TrainConfig, Path]) -> None:
    config, folder = job
    torch.set_num_threads(1)
    for precision in TOLERANCES:
        run = trained(with_overrides(config, {"precision": precision}), 4)
        if is_main():
            torch.save(weights(run), folder / f"{precision}.pt")


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = msg_config(pictures, **{"schedule.options.batch_gpu": 2})
    for num in (1, 2):
        (tmp_path / str(num)).mkdir()
    rank_job((config, tmp_path / "1"))
    run_processes(rank_job, (config, tmp_path / "2"), 2, "cpu")
    for precision, tolerance in TOLERANCES.items():
        one, two = (torch.load(tmp_path / num / f"{precision}.pt", weights_only=True) for num in ("1", "2"))
        assert overall_distance(one, two) <= tolerance


def test_gradients_at_real_pictures_are_total_in_training(pictures: Path) -> None:
    """The gradient at a level is its own part and a quarter of that of the level below, over each 2x2 block."""
    run = build_run(msg_config(pictures, **{"augment": {"name": "none", "options": {}}}, precision="float64"), CPU)
    batch, state = fetch(run, run.stage()), run.state
    run.loader.close()
    recipe = Recipe(0.0, run.context.blur, False)
    moment = Moment(0, 0, "Dmain")
    f = ForwardPass((state.G, state.D, state.augment), "D", frozenset({"real_images"}), batch, moment, Tally(), recipe)
    total = torch.autograd.grad(f.real_logits.sum(), leaves(f.images_with_gradient("real_images")))
    apart = tuple(level.detach().requires_grad_() for level in leaves(f.reals))
    partial = torch.autograd.grad(state.D(apart, batch.labels).sum(), apart)
    expected = partial[0]
    assert torch.allclose(total[0], expected)
    for level, own in zip(total[1:], partial[1:], strict=True):
        expected = own + expected.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
        assert torch.allclose(level, expected)
    assert not torch.allclose(total[-1], partial[-1])


def test_the_largest_picture_is_drawn_generated_and_measured(pictures: Path) -> None:
    run = trained(msg_config(pictures), 1)
    G, c = run.state.ema.module, torch.eye(3)
    assert fake_images(G, torch.randn(3, 12), c, 2).shape == (3, 3, 16, 16)
    assert generate(G, [0, 1], class_idx=1).shape == (2, 16, 16, 3)
    sampler = NumberedSampler(G, 0, len(run.dataset), run.dataset.labels)
    assert sampler(range(3)).shape == (3, 3, 16, 16)
