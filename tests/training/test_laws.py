"""The laws of training: resume, micro-batch cut, processes. Each compares two runs number by number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import (
    check_cut,
    check_processes,
    check_resume,
    everything,
    overall_distance,
    projected_config,
    small_config,
    trained,
)

from openstylegan.config import TrainConfig
from openstylegan.ops.frozen import RestingWeights
from openstylegan.training.build import Run
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")


def test_resume_is_exact(pictures: Path, tmp_path: Path) -> None:
    check_resume(small_config(pictures), tmp_path, 4, 4)


def test_training_moves_everything(pictures: Path) -> None:
    """What the other laws compare is not a run that stands still."""
    before, after = everything(trained(small_config(pictures), 0)), everything(trained(small_config(pictures), 4))
    still = [n for n in before if torch.equal(before[n], after[n])]
    moving = ("weight", "bias", "const", "w_avg", "pl_mean", "noise_strength", "/p")
    assert [n for n in still if n.endswith(moving) and "fbank" not in n and "noise_const" not in n] == []


@pytest.mark.parametrize("micro", [4, 2])
def test_the_cut_into_micro_batches_changes_nothing(pictures: Path, micro: int) -> None:
    check_cut(small_config(pictures, precision="float64"), {"schedule.options.batch_gpu": micro}, 20, 1e-10)


def test_the_cut_into_micro_batches_changes_nothing_in_float32(pictures: Path) -> None:
    """With Adam's eps at 1e-5: a convolution of another batch size rounds otherwise, and with eps 1e-8 and beta1 = 0
    Adam turns that rounding, where a gradient is nearly zero, into steps of full size (6e-6 of the weights' norm)."""
    eps = {"generator.eps": 1e-5, "discriminator.eps": 1e-5}
    check_cut(small_config(pictures, **eps), {"schedule.options.batch_gpu": 4}, 20, 1e-6, overall_distance)


def test_the_number_of_processes_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    """20 steps of 4 micro-batches."""
    check_processes(small_config(pictures, **{"schedule.options.batch_gpu": 2}), 20, tmp_path, (2, 4))


def test_state_owns_everything_that_changes(pictures: Path) -> None:
    """Walks all tensors and numbers reachable from a run; those that a step changed must be in the state."""
    run = trained(small_config(pictures), 2)
    before = snapshot_of(run)
    for _ in range(2):
        train_step(run)
    owned = {t.data_ptr() for t in everything(run).values()}
    pending = {id(t) for t in run.state.stats.pending.values()}
    changed = [
        path
        for path, (value, tensor) in snapshot_of(run).items()
        if path in before
        and not equal(before[path][0], value)
        and (tensor is None or (tensor.data_ptr() not in owned and id(tensor) not in pending))
    ]
    numbers = ("state.counters.", "state.health.", "state.stats.")
    # Gradients, the loader's prefetched batch and what rests of weights are made anew from what the state owns.
    derived = (".grad", "loader.", "context.resting.")
    unowned = [p for p in changed if not p.startswith(numbers) and not any(d in p for d in derived)]
    assert unowned == []


@pytest.mark.parametrize("config_of", [small_config, projected_config])
def test_what_rests_of_weights_is_what_would_be_derived_anew(
    pictures: Path, config_of: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every player's move, whose fused optimizer tells nobody, is seen by what was derived before it."""
    with_rest = trained(config_of(pictures), 3)
    monkeypatch.setattr(RestingWeights, "keeps", lambda self, weight: False)
    anew = trained(config_of(pictures), 3)
    assert with_rest.context.resting._of and not anew.context.resting._of
    found, wanted = everything(with_rest), everything(anew)
    assert [n for n in wanted if not torch.equal(found[n], wanted[n])] == []


def equal(a: object, b: object) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def snapshot_of(run: Run) -> dict[str, tuple[object, torch.Tensor | None]]:
    """Every tensor and number reachable through attributes, items and module dictionaries, by its path."""
    found: dict[str, tuple[object, torch.Tensor | None]] = {}
    seen: set[int] = set()

    def visit(value: object, path: str, depth: int) -> None:
        if isinstance(value, bool | int | float | str):
            found[path] = (value, None)
        elif isinstance(value, torch.Tensor):
            found[path] = (value.detach().double().numpy().copy(), value)
        elif isinstance(value, np.ndarray):
            found[path] = (value.copy(), None)
        elif id(value) not in seen and depth < 12:
            seen.add(id(value))
            if isinstance(value, dict):
                for key, inner in list(value.items()):
                    visit(inner, f"{path}.{key if isinstance(key, str) else type(key).__name__}", depth + 1)
            elif isinstance(value, list | tuple):
                for n, inner in enumerate(value):
                    visit(inner, f"{path}.{n}", depth + 1)
            elif type(value).__module__.startswith(("openstylegan", "torch.optim", "torch.nn")):
                for name, inner in list(vars(value).items()):
                    visit(inner, f"{path}.{name}", depth + 1)

    for name in ("state", "context", "schedule", "loader", "dataset"):
        visit(getattr(run, name), name, 0)
    return found
