"""Training the plain StyleGAN2 keeps the laws, with several steps of D for one of G; the averaged generator's start;
further grids, tables of losses, and building without training."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import check_cut, check_processes, check_resume, everything, overall_distance, trained

from openstylegan.config import OutputConfig, SampleConfig, TrainConfig, with_overrides
from openstylegan.errors import InputError
from openstylegan.presets.plain import PRESET
from openstylegan.snapshot import load
from openstylegan.training.build import build_run, interval, lazy_every
from openstylegan.training.checkpoint import checkpoints_of
from openstylegan.training.ema import Ema
from openstylegan.training.loop import train_step
from openstylegan.training.run import resume, train

CPU = torch.device("cpu")
LOSSES = pytest.mark.parametrize("loss", ["vanilla", "wasserstein"])
QUIET = {"output.tensorboard": False, "output.grid": [2, 1]}


def plain_config(
    data: Path, loss: str = "wasserstein", changes: dict[str, Any] | None = None, **options: Any
) -> TrainConfig:
    """Thin networks, D moving twice for each move of G, penalties every other time."""
    small = {"latent_dim": 12, "map_depth": 2, "capacity": 2, "cmax": 8, "mbstd_group": 2, "batch": 8, "workers": 1}
    lazy = {"d_steps": 2, "plr_every": 2, "gp_every": 2, "steps": 6}
    given = replace(PRESET.options, loss=loss, **{**small, **lazy, **options})
    return with_overrides(PRESET.make_config(given, str(data), 16), {**QUIET, **(changes or {})})


@LOSSES
def test_resume_is_exact(pictures: Path, tmp_path: Path, loss: str) -> None:
    check_resume(plain_config(pictures, loss, tanh=True), tmp_path, 3, 3)


@LOSSES
def test_the_cut_into_micro_batches_changes_nothing(pictures: Path, loss: str) -> None:
    whole = plain_config(pictures, loss, precision="float64")
    check_cut(whole, {"schedule.options.batch_gpu": 4}, 4, 1e-10, overall_distance)


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    check_processes(plain_config(pictures, batch_gpu=2), 4, tmp_path)


def test_the_generator_moves_in_its_own_steps_only(pictures: Path) -> None:
    run = build_run(plain_config(pictures, d_steps=3), CPU)
    moved = []
    for _ in range(6):
        before = [p.detach().clone() for p in (run.state.G.synthesis.b4.const, run.state.D.b4.out.weight)]
        train_step(run)
        after = (run.state.G.synthesis.b4.const, run.state.D.b4.out.weight)
        moved.append([not torch.equal(x, y) for x, y in zip(before, after, strict=True)])
    run.loader.close()
    assert moved == [[n % 3 == 0, True] for n in range(6)]


def test_gain_and_correction_count_the_players_own_moves(pictures: Path) -> None:
    config = plain_config(pictures, "vanilla", d_steps=3, plr_every=4, gp_every=16)
    run = build_run(config, CPU)
    run.loader.close()
    assert {p.name: (p.every, p.gain) for p in run.state.phases} == {
        "Gmain": (3, 1), "Greg": (12, 4), "Dmain": (1, 1), "Dreg": (16, 16)
    }  # fmt: skip
    assert (interval(config, "G"), lazy_every(config, "G"), lazy_every(config, "D")) == (3, 4, 16)
    with pytest.raises(InputError, match="lazy phases of G, a multiple of 3"):
        build_run(with_overrides(config, {"phases.1.every": 10}), CPU)


def test_the_average_is_the_generator_until_it_starts(pictures: Path) -> None:
    start = 2
    config = plain_config(pictures, d_steps=1, ema_start=start, ema_beta=0.9)
    for steps in (start, start + 1):
        numbers = everything(trained(config, steps))
        names = [n for n in numbers if n.startswith("G/") and n.endswith("conv1.weight")]
        equal = [torch.equal(numbers[n], numbers["G_ema" + n[1:]]) for n in names]
        assert names and all(equal) == (steps == start) and any(equal) == (steps == start)


def test_the_average_moves_once_for_each_move_of_the_generator() -> None:
    """Three steps of D between two of G keep together what one step keeps of --ema-beta."""
    config = PRESET.make_config(replace(PRESET.options, d_steps=3, ema_beta=0.9), "cats", 16)
    source = torch.nn.Linear(2, 2)
    ema = Ema(source, config.ema)
    before = ema.module.weight.clone()
    with torch.no_grad():
        source.weight += 1
    for n in range(3):
        ema.update(8 * n, 8)
    assert torch.allclose(ema.module.weight - before, torch.full((2, 2), 0.1))


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps of G, with grids every second and all outputs."""
    config = plain_config(
        pictures, "vanilla", d_steps=2, steps=4, sample_every=2, sample_psi="1,0.5", sample_mixing="0,1",
        w_mean="samples", w_samples=50,
    )  # fmt: skip
    return train(config, tmp_path_factory.mktemp("runs"), device="cpu")


def test_grids_of_both_generators_by_step_psi_and_mixing(finished: Path) -> None:
    found = {p.name for p in (finished / "training_samples").iterdir()}
    steps = {name[:8] for name in found}
    assert steps == {"00000001", "00000005", "00000008"}
    forms = [f"psi{psi}-mixing{p}" for psi in ("1", "0.5") for p in ("0", "1")]
    assert found == {f"{step}-{net}-{form}.png" for step in steps for net in ("current", "ema") for form in forms}
    last = {n: (finished / "training_samples" / f"00000008-{n}.png").read_bytes() for n in (
        "ema-psi1-mixing0", "ema-psi1-mixing1", "ema-psi0.5-mixing0", "current-psi1-mixing0")}  # fmt: skip
    assert len(set(last.values())) == len(last)


def test_a_table_for_every_loss(finished: Path) -> None:
    folder = finished / "losses"
    tables = {p.stem: list(csv.DictReader(p.open())) for p in folder.glob("*.csv")}
    assert tables.keys() == {"d_adversarial_loss", "d_gp", "g_adversarial_loss", "g_plr"}
    for rows in tables.values():
        assert [int(row["step"]) for row in rows] == [1, 5, 8]
        assert [float(row["kimg"]) for row in rows] == [0.008, 0.04, 0.064]
        assert all(float(row["value"]) == float(row["value"]) for row in rows)


def test_a_plot_for_every_table(finished: Path) -> None:
    pytest.importorskip("matplotlib")
    plots = {p.stem for p in (finished / "losses").glob("*.png")}
    assert plots == {p.stem for p in (finished / "losses").glob("*.csv")}


def test_a_network_without_a_running_mean_is_kept_and_loaded(finished: Path) -> None:
    assert not load(finished).G_ema.mapping.tracks_w


def test_building_only_and_going_on_gives_what_training_gives(pictures: Path, tmp_path: Path) -> None:
    config = plain_config(pictures, steps=2)
    built = train(config, tmp_path / "built", device="cpu", build_only=True)
    assert [p.name for p in checkpoints_of(built)] == ["000000-00000000"]
    fresh = everything(trained(config, 0))
    stored = load(built).G_ema.state_dict()
    assert all(torch.equal(stored[n], fresh[f"G_ema/{n}"]) for n in stored)
    resume(built, device="cpu")
    whole = train(config, tmp_path / "whole", device="cpu")
    ours, theirs = (load(folder).G_ema.state_dict() for folder in (built, whole))
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)
    resume(built, device="cpu", build_only=True)
    assert len(checkpoints_of(built)) == 2


def test_outputs_are_off_unless_asked_for() -> None:
    assert OutputConfig().samples is None and not OutputConfig().loss_tables
    assert SampleConfig().psi == (1.0,)
