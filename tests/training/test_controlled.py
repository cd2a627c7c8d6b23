"""Training with the Brownian Motion Controller on both players keeps the laws, for any networks and losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import distance, everything, make_pictures, overall_distance, projected_config, small_config, trained, weights

from openstylegan.config import Component, PhaseConfig, TrainConfig, to_dict, with_overrides
from openstylegan.distributed import is_main
from openstylegan.training.build import build_run
from openstylegan.training.checkpoint import read_checkpoint, write_checkpoint
from openstylegan.training.launch import run_processes
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def phases(noise: str, loss: str = "logistic") -> list[dict[str, Any]]:
    """Both players with their controller, strong enough to be seen."""
    options = {"rho1": 0.5, "rho2": 0.2, "mean": -0.3, "noise": noise}
    main = [
        PhaseConfig(f"{p}main", p, (Component(f"{loss}_{p.lower()}"), Component(f"bmc_{p.lower()}", options)))
        for p in ("G", "D")
    ]
    return [to_dict(p) for p in (*main, PhaseConfig("Dreg", "D", (Component("r1", {"gamma": 1.0}),), 2, lazy=True))]


def config_of(pictures: Path, noise: str = "step", **overrides: Any) -> TrainConfig:
    return small_config(pictures, **{"phases": phases(noise), **overrides})


@pytest.mark.parametrize("noise", ["step", "image"])
def test_resume_is_exact(pictures: Path, tmp_path: Path, noise: str) -> None:
    """Also in what the generator's term knows of real pictures: the checkpoint is its only memory."""
    config = config_of(pictures, noise)
    whole, half = trained(config, 6), trained(config, 3)
    resumed = build_run(config, CPU)
    read_checkpoint(write_checkpoint(tmp_path, half.state, {"config": {}}), resumed.state, CPU)
    for _ in range(3):
        train_step(resumed)
    resumed.loader.close()
    mine, theirs = everything(whole), everything(resumed)
    assert float(mine["terms/Gmain/1/real_square"]) > 0
    assert mine.keys() == theirs.keys()
    assert [n for n in mine if not torch.equal(mine[n], theirs[n])] == []
    assert whole.state.numbers() == resumed.state.numbers()


@pytest.mark.parametrize("noise", ["step", "image"])
def test_the_cut_into_micro_batches_changes_nothing(pictures: Path, noise: str) -> None:
    found = [
        weights(trained(config_of(pictures, noise, precision="float64", **{"schedule.options.batch_gpu": micro}), 10))
        for micro in (8, 4)
    ]
    assert distance(*found) < 1e-10


TOLERANCES = {"float64": 1e-12, "float32": 1e-6}


def rank_job(job: tuple[TrainConfig, Path]) -> None:
    config, folder = job
    torch.set_num_threads(1)
    for precision in TOLERANCES:
        run = trained(with_overrides(config, {"precision": precision}), 4)
        if is_main():
            torch.save(weights(run), folder / f"{precision}.pt")


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = config_of(pictures, **{"schedule.options.batch_gpu": 4})
    for num in (1, 2):
        (tmp_path / str(num)).mkdir()
        run_processes(rank_job, (config, tmp_path / str(num)), num, "cpu")
    for precision, tolerance in TOLERANCES.items():
        one, two = (torch.load(tmp_path / num / f"{precision}.pt", weights_only=True) for num in ("1", "2"))
        assert overall_distance(one, two) <= tolerance


def test_the_statistic_is_that_of_the_latest_scores(pictures: Path) -> None:
    """What the generator's term holds is the mean square of D at the real pictures of the step."""
    run = trained(config_of(pictures), 1)
    num, _, squares = run.state.stats.pending["Loss/scores/real"].tolist()
    assert num == 16, "Dmain and Dreg"
    run = trained(config_of(pictures, **{"phases": phases("step")[:2]}), 1)
    num, _, squares = run.state.stats.pending["Loss/scores/real"].tolist()
    assert num == 8, "the generator's phase looks at no real picture"
    assert float(run.state.network_tensors()["terms/Gmain/1/real_square"]) == pytest.approx(squares / num, rel=1e-6)


def test_the_noise_of_a_step_is_one_for_both_players(pictures: Path) -> None:
    """X = (D(x), D(G(z))) has one pair of Brownian motions."""
    run = build_run(config_of(pictures), CPU)
    drawn: list[torch.Tensor] = []
    for phase in run.state.phases[:2]:
        term = phase.terms[1]
        before = term.draw
        term.draw = lambda f, like, before=before: drawn.append(before(f, like)) or drawn[-1]
    for _ in range(2):
        train_step(run)
    run.loader.close()
    assert len(drawn) == 4
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[2], drawn[3])
    assert not torch.equal(drawn[0], drawn[2])


def test_any_networks_and_losses(pictures: Path) -> None:
    config = projected_config(pictures, phases=phases("image", "hinge")[:2])
    run = trained(config, 2)
    assert run.state.health.skipped == 0
    contributions = {n: run.state.stats.pending[f"Loss/{n}/bmc"].tolist() for n in "GD"}
    assert all(num > 16 and squares > 0 for num, _, squares in contributions.values()), "several logits a picture"
