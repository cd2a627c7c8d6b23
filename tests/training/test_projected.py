"""Training against a projected discriminator keeps the laws, with any generator and augmentation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import (
    check_processes,
    check_resume,
    distance,
    everything,
    overall_distance,
    projected_config,
    trained,
    weights,
)

from openstylegan.training.memory import next_smaller
from openstylegan.training.schedule import Stage

CPU = torch.device("cpu")


def test_resume_is_exact(pictures: Path, tmp_path: Path) -> None:
    check_resume(projected_config(pictures), tmp_path, 2, 2)


@pytest.mark.parametrize(
    ("generator", "augment"), [("stylegan2", "diffaugment"), ("stylegan3", "ada"), ("fastgan", "ada")]
)
def test_any_generator_with_any_augmentation(pictures: Path, generator: str, augment: str) -> None:
    config = projected_config(pictures, generator, augment)
    before, run = weights(trained(config, 0)), trained(config, 2)
    after = weights(run)
    assert run.state.health.skipped == 0
    assert all(bool(t.isfinite().all()) for t in after.values())
    assert overall_distance(before, after) > 1e-4


def test_the_features_never_move(pictures: Path) -> None:
    config = projected_config(pictures)
    before, after = everything(trained(config, 0)), everything(trained(config, 2))
    features = [n for n in before if "feature_network" in n]
    assert len(features) > 290
    assert all(torch.equal(before[n], after[n]) for n in features)
    heads = [n for n in before if n.startswith("D/discriminator") and n.endswith("weight_orig")]
    assert heads and not any(torch.equal(before[n], after[n]) for n in heads)


def test_running_buffers_move_as_far_however_the_batch_is_cut(pictures: Path) -> None:
    """Spectral norm takes as many steps of power iteration; batch normalisation has seen as many batches, and follows
    the mean of the whole batch."""
    only_D = {"phases": [{"name": "Dmain", "player": "D", "terms": [{"name": "hinge_d"}]}]}  # G's weights stay
    found = []
    for micro in (8, 4, 2):
        run = trained(projected_config(pictures, **only_D, **{"schedule.options.batch_gpu": micro}), 1)
        found.append({n: t for n, t in everything(run).items() if n.startswith("G/synthesis")})
    start = everything(trained(projected_config(pictures), 0))
    for name, value in found[0].items():
        moves = name.endswith(("num_batches_tracked", "weight_u", "weight_v"))
        statistics = name.endswith(("running_mean", "running_var", "stored_mean", "stored_var"))
        assert torch.equal(value, start[name]) == (not moves and not statistics), name
        for other in found[1:]:
            if moves or name.endswith("init.1.running_mean"):
                torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    config = projected_config(pictures, **{"schedule.options.batch_gpu": 4})
    check_processes(config, 3, tmp_path)


def test_memory_is_never_saved_at_the_cost_of_batch_statistics(pictures: Path) -> None:
    run = trained(projected_config(pictures), 0)
    assert next_smaller(Stage(0.0, 8, 8), run.state.modules().values(), 1) is None


def test_path_length_of_a_generator_whose_ws_are_its_latents(pictures: Path) -> None:
    phases = [
        {"name": "Gmain", "player": "G", "terms": [{"name": "hinge_g"}, {"name": "path_length"}]},
        {"name": "Dmain", "player": "D", "terms": [{"name": "hinge_d"}]},
    ]
    run = trained(projected_config(pictures, phases=phases), 2)
    assert distance(weights(run), weights(run)) == 0
    assert "Loss/pl_penalty" in run.state.stats.pending
