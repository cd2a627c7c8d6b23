"""What every loss term keeps to, reached through the table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import make_pictures, small_config

from openstylegan.config import Component, PhaseConfig, TrainConfig, to_dict, with_overrides
from openstylegan.losses import LOSS_TERMS
from openstylegan.training.build import build_run
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")
PLAYERS = {"logistic_g": "G", "path_length": "G", "logistic_d": "D", "r1": "D", "hinge_g": "G", "hinge_d": "D",
           "saturating_g": "G", "bmc_g": "G", "bmc_d": "D", "scale_r1": "D", "scale_r2": "D",
           "wasserstein_g": "G", "wasserstein_d": "D", "gradient_penalty": "D"}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip", num=12)


def config_of(pictures: Path, name: str, **overrides: object) -> TrainConfig:
    phase = PhaseConfig("only", PLAYERS[name], (Component(name),))  # type: ignore[arg-type]
    config = small_config(pictures, precision="float64")
    return with_overrides(config, {"phases": [to_dict(phase)], **overrides})


def test_every_term_says_whose_it_is() -> None:
    assert PLAYERS.keys() == LOSS_TERMS.keys()


@pytest.mark.parametrize("name", LOSS_TERMS)
def test_a_term_moves_its_player_alone_and_finitely(pictures: Path, name: str) -> None:
    run = build_run(config_of(pictures, name), CPU)
    before = {k: v.clone() for k, v in run.state.network_tensors().items()}
    train_step(run)
    run.loader.close()
    after = run.state.network_tensors()
    parameters = {f"{n}/{p}" for n in "GD" for p, _ in getattr(run.state, n).named_parameters()}
    moved = {n for n in parameters if not torch.equal(before[n], after[n])}
    assert moved and all(n.startswith(PLAYERS[name]) for n in moved)
    assert all(bool(t.isfinite().all()) for t in after.values() if t.is_floating_point())


@pytest.mark.parametrize("name", LOSS_TERMS)
def test_a_term_does_not_see_the_cut(pictures: Path, name: str) -> None:
    found = []
    for micro in (8, 4):
        run = build_run(config_of(pictures, name, **{"schedule.options.batch_gpu": micro}), CPU)
        for _ in range(3):
            train_step(run)
        run.loader.close()
        tensors = run.state.network_tensors()
        found.append(torch.cat([t.double().flatten() for _, t in sorted(tensors.items())]))
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 1e-11


@pytest.mark.parametrize("name", LOSS_TERMS)
def test_a_term_reports_what_it_adds(pictures: Path, name: str) -> None:
    run = build_run(config_of(pictures, name), CPU)
    train_step(run)
    run.loader.close()
    expected = {
        "logistic_g": "Loss/G/loss",
        "logistic_d": "Loss/D/loss",
        "hinge_g": "Loss/G/loss",
        "saturating_g": "Loss/G/loss",
        "hinge_d": "Loss/D/loss",
        "r1": "Loss/r1_penalty",
        "scale_r1": "Loss/r1_penalty",
        "scale_r2": "Loss/r2_penalty",
        "path_length": "Loss/pl_penalty",
        "wasserstein_g": "Loss/G/loss",
        "wasserstein_d": "Loss/D/loss",
        "gradient_penalty": "Loss/gradient_penalty",
        "bmc_g": "Loss/G/bmc",
        "bmc_d": "Loss/D/bmc",
    }
    assert expected[name] in run.state.stats.pending


def test_a_forgotten_need_is_named(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOSS_TERMS["r1"], "needs", frozenset())
    run = build_run(config_of(pictures, "r1"), CPU)
    with pytest.raises(RuntimeError, match="'R1' takes the gradient of 'real_images'"):
        train_step(run)
    run.loader.close()
