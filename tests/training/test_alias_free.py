"""Training a StyleGAN3 generator keeps the laws of resume, cut and processes; statistics and blur do their part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import (
    alias_free_config,
    check_cut,
    check_processes,
    check_resume,
    distance,
    everything,
    overall_distance,
    trained,
    weights,
)

from openstylegan.config import TrainConfig, with_overrides
from openstylegan.data.demo import demo_path
from openstylegan.training.build import build_run
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")
both = pytest.mark.parametrize("rotates", [False, True], ids=["T", "R"])


@both
def test_resume_is_exact(pictures: Path, tmp_path: Path, rotates: bool) -> None:
    check_resume(alias_free_config(pictures, rotates), tmp_path, 2, 2)


@both
def test_the_cut_into_micro_batches_changes_nothing(pictures: Path, rotates: bool) -> None:
    whole = alias_free_config(pictures, rotates, precision="float64")
    check_cut(whole, {"schedule.options.batch_gpu": 2}, 4, 1e-10)


def test_training_moves_everything_but_what_is_fixed(pictures: Path) -> None:
    config = alias_free_config(pictures)
    before, after = everything(trained(config, 0)), everything(trained(config, 3))
    still = {n.removeprefix("G_ema/").removeprefix("G/") for n in before if torch.equal(before[n], after[n])}
    fixed = ("transform", "freqs", "phases", "up_filter", "down_filter", "resample_filter")
    assert [n for n in still if not n.endswith(fixed) and not n.startswith("augment/")] == []


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = alias_free_config(pictures, **{"schedule.options.batch_gpu": 2})
    check_processes(config, 4, tmp_path)


def test_statistics_follow_the_phases_that_say_so(pictures: Path) -> None:
    """One step of D's main phase moves magnitudes and w_avg by the batch's means; G's phase leaves both alone."""
    config = alias_free_config(pictures)
    only_G = with_overrides(config, {"phases.1.updates_statistics": False})
    names = [n for n in weights(trained(config, 0)) if n.endswith(("magnitude_ema", "w_avg")) and n.startswith("G/")]
    start, still, moved = (weights(r) for r in (trained(config, 0), trained(only_G, 1), trained(config, 1)))
    assert len(names) == 6
    assert all(torch.equal(start[n], still[n]) for n in names)
    assert not any(torch.equal(start[n], moved[n]) for n in names)
    # The Fourier input of magnitude m moves the first layer's from 1 to 0.9 + 0.1 m, and m is near 1/2.
    first = next(n for n in names if ".L0_" in n)
    assert 0.9 < float(moved[first]) < 1
    follow_G = with_overrides(config, {"phases.0.updates_statistics": True})
    twice = weights(trained(follow_G, 1))
    assert float(twice[first]) < float(moved[first])


def test_the_blur_is_there_until_it_has_faded(pictures: Path) -> None:
    blurred = alias_free_config(pictures)
    sharp = with_overrides(blurred, {"blur": {"sigma_px": 0.0, "fade_kimg": 0.0}})

    def after_a_step(config: TrainConfig, cur_nimg: int) -> dict[str, torch.Tensor]:
        run = build_run(config, CPU)
        run.state.counters.cur_nimg = cur_nimg
        train_step(run)
        run.loader.close()
        return weights(run)

    assert overall_distance(after_a_step(blurred, 0), after_a_step(sharp, 0)) > 1e-4
    assert distance(after_a_step(blurred, 100), after_a_step(sharp, 100)) == 0


@both
def test_trains_on_the_demo_pictures(rotates: bool) -> None:
    sizes = {"num_layers": 7, "margin_size": 4, "channel_base": 512}
    config = alias_free_config(
        demo_path(),
        rotates,
        **{f"generator.network.options.{k}": v for k, v in sizes.items()},
        **{"schedule.options": {"batch_size": 4, "batch_gpu": 4}, "data.use_labels": False},
    )
    before, run = weights(trained(config, 0)), trained(config, 2)
    after = weights(run)
    assert run.state.health.skipped == 0
    assert all(bool(t.isfinite().all()) for t in after.values())
    assert overall_distance(before, after) > 1e-4
    assert run.state.G.image_shape == (3, 64, 64)
