"""Progressive growing: the numbers of the schedule; a run that grows keeps the laws, in the middle of a fade too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import check_cut, check_processes, check_resume, everything, growing_config, trained

from openstylegan.config import Component, PlayerConfig
from openstylegan.errors import InputError
from openstylegan.networks.growing import detail_at
from openstylegan.training.build import build_run
from openstylegan.training.loop import tick_is_due, train_step
from openstylegan.training.players import Player
from openstylegan.training.schedule import GrowingSchedule

CPU = torch.device("cpu")
FADING = 7
"""Steps of `growing_config` after which the upper level is half faded in."""


def schedule(phase: int = 600_000, **options: Any) -> GrowingSchedule:
    """8 to 32 px as with --sched: batches of 256, 128 and 64."""
    levels = [{"lod": lod, "batch_size": 64 << lod, "batch_gpu": 32, "lr_scale": 1.5 - lod} for lod in (2, 1, 0)]
    return GrowingSchedule(levels, phase, **options)


def test_a_level_lasts_more_than_two_phases() -> None:
    """At batch 32 a level of two phases of 600,000 takes 37,501 steps."""
    own = GrowingSchedule([{"lod": n, "batch_size": 32, "batch_gpu": 32} for n in (1, 0)])
    images = 37_501 * 32
    assert own.at(images - 32).milestone == 0 and own.at(images - 32).lod == 1
    assert own.at(images).milestone == 1
    assert detail_at(own.at(images).lod, 1) == (1, 0.0)
    assert detail_at(own.at(images + 32).lod, 1) == (1, pytest.approx(33 / 600_000, rel=1e-9))
    assert detail_at(own.at(images + 300_000).lod, 1) == (1, pytest.approx(300_001 / 600_000, rel=1e-9))
    assert own.at(images + 600_000).lod == 0 == own.at(10**9).lod


def test_batches_and_rates_change_with_the_level() -> None:
    own = schedule(phase=1000)
    lengths = [(2000 // batch + 1) * batch for batch in (256, 128, 64)]
    seen = 0
    for level, (batch, length) in enumerate(zip((256, 128, 64), lengths, strict=True)):
        for stage in (own.at(seen), own.at(seen + length - batch)):
            assert (stage.batch_size, stage.num_micro_batches) == (batch, batch // 32)
            assert stage.lr_scale == pytest.approx(level - 0.5)
            assert (stage.milestone, stage.renewals) == (level, 0)
        seen += length
    assert own.at(seen).milestone == 2 and own.at(seen).lod == 0


def test_the_first_level_fades_when_asked_to() -> None:
    assert schedule().at(0).lod == 2
    assert detail_at(schedule(fade_first=True).at(0).lod, 3) == (1, pytest.approx(1 / 600_000, rel=1e-6))
    assert detail_at(schedule(phase=512, fade_first=True).at(256).lod, 3) == (1, pytest.approx(257 / 512))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": []}, "at least one level"),
        ({"levels": [{"lod": 0, "batch_size": 8, "batch_gpu": 3}]}, "divisible by batch_gpu"),
        ({"levels": [{"lod": n, "batch_size": 8, "batch_gpu": 8} for n in (2, 0)]}, r"falling lod, got \[2, 0\]"),
        ({"levels": [{"lod": 0, "batch": 8}]}, "no option 'batch'.*did you mean"),
        ({"levels": [{"lod": 0, "batch_size": 8, "batch_gpu": 8}], "phase": 0}, "a phase of at least 1 image"),
    ],
)
def test_schedules_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GrowingSchedule(**options)


@pytest.mark.parametrize("loss", ["wgan-gp", "r1"])
def test_resume_in_a_fade_is_exact(pictures: Path, tmp_path: Path, loss: str) -> None:
    config = growing_config(pictures, loss)
    assert trained(config, FADING).stage().lod == pytest.approx(1 - 9 / 16)
    resumed = check_resume(config, tmp_path, FADING, 2)
    # The last step was two of 4 pictures later, in the same fade.
    assert float(resumed.state.D.state_dict()["growth.lod"]) == pytest.approx(1 - 13 / 16)


@pytest.mark.parametrize("loss", ["wgan-gp", "r1"])
def test_the_cut_into_micro_batches_changes_nothing(pictures: Path, loss: str) -> None:
    whole = growing_config(pictures, loss, precision="float64")
    check_cut(whole, {f"schedule.options.levels.{n}.batch_gpu": 2 for n in (0, 1)}, FADING, 1e-9)


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = growing_config(pictures, **{f"schedule.options.levels.{n}.batch_gpu": 2 for n in (0, 1)})
    check_processes(config, FADING, tmp_path)


def test_only_the_levels_in_use_move(pictures: Path) -> None:
    """At 8 px nothing above moves; the average follows and has the lod of the generator."""
    start, low = trained(growing_config(pictures), 0), trained(growing_config(pictures), 3)
    before, after = everything(start), everything(low)
    moved = {n for n in before if not torch.equal(before[n], after[n]) and n.startswith(("G/", "D/"))}
    assert not any("progression.2." in n or "to_rgb.2." in n for n in moved if n.startswith("G/"))
    assert not any("progression.6." in n or "from_rgb.6." in n for n in moved if n.startswith("D/"))
    assert any("progression.1." in n for n in moved) and any(n.startswith("D/from_rgb.7.") for n in moved)
    assert before["G_ema/synthesis.growth.lod"] == after["G_ema/synthesis.growth.lod"] == 1
    fading = everything(trained(growing_config(pictures), FADING + 1))
    assert fading["G_ema/synthesis.growth.lod"] == fading["D/growth.lod"] == pytest.approx(1 - 9 / 16)
    assert not torch.equal(before["G/generator.to_rgb.2.conv.bias"], fading["G/generator.to_rgb.2.conv.bias"])


def test_the_average_keeps_a_share_a_step(pictures: Path) -> None:
    runs = [everything(trained(growing_config(pictures, **{"ema.beta": beta}), 1)) for beta in (0.9, 0.0)]
    start = everything(trained(growing_config(pictures), 0))
    name = "G_ema/generator.progression.0.conv1.input"
    moved = [run[name] - start[name] for run in runs]
    assert torch.allclose(moved[0], 0.1 * moved[1], rtol=1e-4, atol=1e-7) and bool(moved[1].any())


def test_milestones_end_ticks_and_renew_optimizers_when_asked(pictures: Path) -> None:
    config = growing_config(pictures, **{"schedule.options.renew_optimizers": True})
    run = trained(config, 5)
    run.state.counters.tick = 1
    assert run.at_milestone() and tick_is_due(run, 0.0)
    assert {float(t) for n, t in run.state.optimizer_tensors().items() if n.endswith("/step")} == {5.0}
    train_step(run)
    run.loader.close()
    assert not run.at_milestone()
    assert {float(t) for n, t in run.state.optimizer_tensors().items() if n.endswith("/step")} == {1.0}
    assert run.state.counters.renewals == 1
    kept = trained(growing_config(pictures), 6)
    assert {float(t) for n, t in kept.state.optimizer_tensors().items() if n.endswith("/step")} == {1.0, 6.0}


def test_rates_by_the_beginning_of_a_name() -> None:
    module = torch.nn.ModuleDict({"style": torch.nn.Linear(2, 2), "rest": torch.nn.Linear(2, 2)})
    config = PlayerConfig(Component("x"), lr=0.001, lr_factors={"style.": 0.01})
    player = Player("G", module, config)
    player.set_lr_scale(1.5)
    rates = {id(p): g["lr"] for g in player.optimizer.param_groups for p in g["params"]}
    assert rates[id(module["style"].weight)] == pytest.approx(1.5e-5)
    assert rates[id(module["rest"].bias)] == pytest.approx(1.5e-3)
    with pytest.raises(InputError, match="G has no parameter whose name begins with 'stile'"):
        Player("G", module, PlayerConfig(Component("x"), lr_factors={"stile": 0.01}))


def test_a_network_that_does_not_grow_says_so(pictures: Path) -> None:
    options = {"channel_base": 64, "channel_max": 4}
    config = growing_config(pictures, **{"discriminator.network": {"name": "stylegan2", "options": options}})
    with pytest.raises(InputError, match="StyleGAN2Discriminator does not grow"):
        build_run(config, CPU)
