"""Training with the Brownian Motion Controller on both players keeps the laws, for any networks and losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import check_cut, check_processes, check_resume, everything, projected_config, small_config, trained

from openstylegan.config import Component, PhaseConfig, TrainConfig, to_dict
from openstylegan.training.build import build_run
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")


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
    resumed = check_resume(config_of(pictures, noise), tmp_path, 3, 3)
    assert float(everything(resumed)["terms/Gmain/1/real_square"]) > 0


@pytest.mark.parametrize("noise", ["step", "image"])
def test_the_cut_into_micro_batches_changes_nothing(pictures: Path, noise: str) -> None:
    check_cut(config_of(pictures, noise, precision="float64"), {"schedule.options.batch_gpu": 4}, 10, 1e-10)


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = config_of(pictures, **{"schedule.options.batch_gpu": 4})
    check_processes(config, 4, tmp_path)


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
