"""Players, averages, statistics, schedules, cuts: the parts of a run, one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from openstylegan.config import Component, EmaConfig, PlayerConfig
from openstylegan.errors import InputError
from openstylegan.training.ema import Ema
from openstylegan.training.forward_pass import Batch, Moment, cut, local_positions
from openstylegan.training.phase import MAX_SKIPS_IN_A_ROW, Health
from openstylegan.training.players import Player
from openstylegan.training.schedule import ConstantSchedule
from openstylegan.training.signals import Stopped
from openstylegan.training.stats import Stats, moments


def player(module: nn.Module, lazy_every: int | None = None) -> Player:
    return Player("G", module, PlayerConfig(Component("x"), lr=0.002), lazy_every)


@pytest.mark.parametrize(
    ("every", "lr", "beta2"), [(4, 0.0016, 0.9919919678228657), (16, 0.001882352941176, 0.9905854573074332)]
)
def test_adam_is_corrected_for_lazy_regularization(every: int, lr: float, beta2: float) -> None:
    group = player(nn.Linear(2, 2), every).optimizer.param_groups[0]
    assert math.isclose(group["lr"], lr, rel_tol=1e-9)
    assert group["betas"] == (0.0, pytest.approx(beta2, rel=1e-14))
    assert group["eps"] == 1e-8


def test_frozen_stays_frozen() -> None:
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    own = player(module)
    own.set_trainable(True)
    assert module.weight.requires_grad and not module.bias.requires_grad
    assert list(own.parameters) == ["weight"]


def test_the_learning_rate_follows_the_schedule() -> None:
    own = player(nn.Linear(2, 2))
    own.set_lr_scale(0.5)
    assert own.optimizer.param_groups[0]["lr"] == 0.001


def test_gradients_are_averaged_over_micro_batches() -> None:
    module = nn.Linear(3, 1)
    own = player(module)
    own.set_trainable(True)
    x = torch.randn(8, 3)
    for part in x.chunk(4):
        module(part).square().mean().backward()
        own.add_gradients()
    norm = own.average_gradients(4)
    mine = module.weight.grad
    module.zero_grad()
    module(x).square().mean().backward()
    assert mine is not None and torch.allclose(mine, module.weight.grad)
    whole = torch.cat([module.weight.grad.flatten(), module.bias.grad])
    assert torch.allclose(norm, whole.double().norm(), rtol=1e-6)


def test_a_gradient_that_is_not_finite_shows_in_the_norm() -> None:
    module = nn.Linear(2, 1)
    own = player(module)
    own.set_trainable(True)
    (module(torch.tensor([[float("inf"), 1.0]])) ** 2).mean().backward()
    assert not bool(own.average_gradients(1).isfinite())


def test_health_counts_and_stops() -> None:
    health = Health()
    health.judge(True, "Gmain", "skip")
    health.judge(False, "Gmain", "skip")
    health.judge(True, "Gmain", "skip")
    assert (health.skipped, health.in_a_row) == (1, 0)
    with pytest.raises(InputError, match="expected finite gradients"):
        health.judge(False, "Dmain", "stop")
    with pytest.raises(InputError, match=f"{MAX_SKIPS_IN_A_ROW} steps in a row"):
        for _ in range(MAX_SKIPS_IN_A_ROW):
            health.judge(False, "Dmain", "skip")


def test_ema_half_life_and_ramp_up() -> None:
    net = nn.BatchNorm1d(2)
    plain = Ema(net, EmaConfig(10, None))
    assert math.isclose(plain.beta(0, 32), 0.99778439, rel_tol=1e-7)
    ramped = Ema(net, EmaConfig(10, 0.05))
    assert ramped.beta(0, 32) == 0.0
    assert math.isclose(ramped.beta(1000, 32), 0.5 ** (32 / 50))
    assert ramped.beta(10**9, 32) == plain.beta(0, 32)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.running_mean.fill_(7.0)
    plain.update(0, 10_000)
    assert torch.allclose(plain.module.weight, torch.full([2], 2.0))
    assert torch.equal(plain.module.running_mean, net.running_mean)
    assert not plain.module.training and not plain.module.weight.requires_grad


def test_statistics() -> None:
    stats = Stats()
    values = torch.tensor([1.0, 2.0, 4.0])
    stats.add("a", moments(values[:2]))
    stats.add("a", moments(values[2:]))
    stats.add_number("b", 5)
    found = stats.collect()
    assert found["a"] == {
        "num": 3,
        "mean": pytest.approx(7 / 3),
        "std": pytest.approx(values.double().std(correction=0)),
    }
    assert found["b"] == {"num": 1, "mean": 5.0, "std": 0.0}
    stats.add_number("b", 6)
    assert stats.collect()["a"] == found["a"], "a name without news keeps its numbers"
    other = Stats()
    other.load(stats.state(), torch.device("cpu"))
    assert other.collect() == stats.collect()


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    assert ConstantSchedule(8, 2).at(10**6).num_micro_batches == 4
    for batch, micro in ((8, 3), (0, 1), (8, 0), (8, 16)):
        with pytest.raises(InputError, match="divisible"):
            ConstantSchedule(batch, micro)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_micro_batches_hold_the_same_samples_on_any_number_of_processes(world_size: int) -> None:
    expected = [list(range(m, 16, 4)) for m in range(4)]
    found = []
    for rank in range(world_size):
        positions = local_positions(16, 4, rank, world_size)
        empty = torch.zeros(len(positions), 1)
        batch = Batch(empty, empty, empty, [int(p) for p in positions])
        found += [list(part.positions) for part in cut(batch, 4 // world_size)]
    assert sorted(found) == sorted(expected)


def test_the_strided_cut_keeps_the_groups_of_minibatch_std() -> None:
    batch, group, micro = 16, 4, 8
    whole = {frozenset(range(j, batch, batch // group)) for j in range(batch // group)}
    parts = set()
    for m in range(batch // micro):
        own = np.arange(m, batch, batch // micro)
        parts |= {frozenset(own[j :: micro // group].tolist()) for j in range(micro // group)}
    assert parts == whole


def test_mixing_cutoffs() -> None:
    found = [Moment(0, n, "Gmain").mixing_cutoff(8, 0.9) for n in range(2000)]
    assert set(found) == set(range(1, 9))
    assert abs(found.count(8) / 2000 - 0.1) < 0.03
    assert all(abs(found.count(k) / 1800 - 1 / 7) < 0.03 for k in range(1, 8))
    assert {Moment(0, n, "Gmain").mixing_cutoff(8, 0.0) for n in range(50)} == {8}
    assert Moment(0, 0, "Gmain").mixing_cutoff(1, 1.0) == 1


def test_exit_codes() -> None:
    assert [Stopped(n).exit_code for n in (15, 2, 0)] == [75, 130, 75]
