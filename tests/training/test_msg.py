"""Training MSG-StyleGAN keeps the laws of resume, cut and processes; the grid and metrics take tuples of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from runs import check_cut, check_processes, check_resume, everything, overall_distance, small_config, trained, weights

from openstylegan.config import Component, PhaseConfig, TrainConfig, to_dict, with_overrides
from openstylegan.images import leaves
from openstylegan.sampling.generate import generate
from openstylegan.sampling.measured import NumberedSampler
from openstylegan.training.build import build_run
from openstylegan.training.forward_pass import ForwardPass, Moment, Recipe, Tally
from openstylegan.training.grids import fake_images
from openstylegan.training.loop import fetch

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
        PhaseConfig("Dmain", "D", (Component("logistic_d"), r1), fake_labels="reals"),
        PhaseConfig("Gmain", "G", (Component("logistic_g"),)),
    )
    changes = {
        "generator.network": {"name": "msg_stylegan", "options": sizes},
        "discriminator.network": {"name": "msg_stylegan", "options": {**WIDTHS, "mbstd_group_size": 2}},
        "phases": [to_dict(phase) for phase in phases],
        "style_mixing_prob": 0.0,
        "generator.eps": 1e-4,
    }
    return small_config(data, **{**changes, **overrides})


def test_resume_is_exact(pictures: Path, tmp_path: Path) -> None:
    check_resume(msg_config(pictures), tmp_path, 2, 2)


def test_the_cut_into_micro_batches_changes_nothing(pictures: Path) -> None:
    whole = msg_config(pictures, precision="float64")
    check_cut(whole, {"schedule.options.batch_gpu": 2}, 4, 1e-11, overall_distance)


def test_training_moves_everything_but_the_stored_noise(pictures: Path) -> None:
    config = msg_config(pictures)
    before, after = everything(trained(config, 0)), everything(trained(config, 3))
    still = {n for n in before if torch.equal(before[n], after[n]) and not n.startswith("augment/")}
    assert [n for n in still if not n.endswith(("noise_const", "taps"))] == []


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = msg_config(pictures, **{"schedule.options.batch_gpu": 2})
    check_processes(config, 4, tmp_path)


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


def test_labels_of_generated_pictures_are_those_of_the_reals_where_a_phase_says_so(pictures: Path) -> None:
    config = msg_config(pictures)
    run = build_run(config, CPU)
    batch = fetch(run, run.stage())
    run.loader.close()
    assert not torch.equal(batch.labels, batch.fake_labels)
    Dmain, Gmain = (phase.labelled(batch) for phase in run.state.phases)
    assert torch.equal(Dmain.fake_labels, batch.labels) and torch.equal(Gmain.fake_labels, batch.fake_labels)
    random = trained(with_overrides(config, {"phases.0.fake_labels": "random"}), 1)
    assert overall_distance(weights(trained(config, 1)), weights(random)) > 1e-6


def test_the_largest_picture_is_drawn_generated_and_measured(pictures: Path) -> None:
    run = trained(msg_config(pictures), 1)
    G, c = run.state.ema.module, torch.eye(3)
    assert [tuple(i.shape) for i in fake_images(G, torch.randn(3, 12), c, 2)] == [(3, 3, s, s) for s in (4, 8, 16)]
    assert generate(G, [0, 1], class_idx=1).shape == (2, 16, 16, 3)
    sampler = NumberedSampler(G, 0, len(run.dataset), run.dataset.labels)
    assert sampler(range(3)).shape == (3, 3, 16, 16)
