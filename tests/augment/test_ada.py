from __future__ import annotations

from typing import Any

import pytest
import torch

from openstylegan.augment import AdaptiveAugment, FixedAugment
from openstylegan.errors import InputError
from openstylegan.randomness import SampleStream


def steps(augment: AdaptiveAugment, num: int, sign: float, batch_size: int = 64) -> None:
    for _ in range(num):
        augment.observe(torch.full((batch_size, 1), sign))
        augment.update(0, batch_size)


@pytest.mark.parametrize(("kimg", "step"), [(500, 0.000512), (100, 0.00256)])
def test_size_of_a_step(kimg: float, step: float):
    augment = AdaptiveAugment(kimg=kimg)
    steps(augment, 4, +1)
    assert float(augment.p) == pytest.approx(step)
    steps(augment, 8, +1)
    assert float(augment.p) == pytest.approx(3 * step)


def test_p_moves_every_fourth_step_only():
    augment = AdaptiveAugment()
    for step in range(1, 13):
        steps(augment, 1, +1)
        assert float(augment.p) == pytest.approx(step // 4 * 0.000512)


def test_p_does_not_fall_below_zero_and_has_no_upper_bound():
    augment = AdaptiveAugment(interval=1, kimg=0.064)
    steps(augment, 3, -1)
    assert float(augment.p) == 0
    steps(augment, 3, +1)
    assert float(augment.p) == 3
    steps(augment, 1, -1)
    assert float(augment.p) == 2


@pytest.mark.parametrize(
    ("signs", "direction"),
    [
        ([1, 1, 1, 1, -1], 0),  # their mean is 0.6, the target
        ([1, 1, 1, 1, 0], 1),  # a logit of 0 has sign 0: the mean is 0.8
        ([1, 1, 1, 0, 0], 0),
        ([1, 1, 0, 0, 0], -1),
        ([3, 2, 1, 1, 0.1], 1),  # signs, not values
        ([0.001, -100], -1),
    ],
)
def test_the_mean_sign_is_held_at_the_target(signs: list[float], direction: int):
    augment = AdaptiveAugment(interval=1, kimg=1, initial_p=0.5)
    augment.observe(torch.tensor(signs))
    augment.update(0, 100)
    assert float(augment.p) == pytest.approx(0.5 + 0.1 * direction)


def test_the_mean_is_over_all_logits_since_p_moved():
    augment = AdaptiveAugment(interval=2, kimg=1, initial_p=0.5)
    augment.observe(torch.ones(9, 1))
    augment.observe(-torch.ones(1, 1))
    augment.update(0, 50)
    augment.observe(-torch.ones(2, 4))  # several logits a sample count each: the mean is now 0
    augment.update(0, 50)
    assert float(augment.p) == pytest.approx(0.4)
    augment.observe(torch.ones(4, 1))  # what was said before is forgotten
    augment.update(0, 50)
    augment.update(0, 50)
    assert float(augment.p) == pytest.approx(0.5)


def test_nothing_observed_moves_nothing():
    augment = AdaptiveAugment(interval=1, initial_p=0.3)
    augment.update(0, 64)
    assert float(augment.p) == pytest.approx(0.3)
    augment.observe(torch.full((4,), float("nan")))
    augment.update(0, 64)
    assert float(augment.p) == pytest.approx(0.3)


def test_logits_that_are_no_number_are_left_out():
    augment = AdaptiveAugment(interval=1, kimg=1, initial_p=0.5)
    augment.observe(torch.tensor([float("nan"), 1, float("inf"), float("nan")]))
    augment.update(0, 100)
    assert float(augment.p) == pytest.approx(0.6)


def test_statistics_of_the_whole_batch_count_as_observations():
    observed, told = AdaptiveAugment(interval=1, kimg=1), AdaptiveAugment(interval=1, kimg=1)
    logits = torch.tensor([1.0, -1.0, 2.0])
    observed.observe(logits)
    told.update_statistics(logits.sign().mean(0, keepdim=True).double(), torch.tensor(3.0).double())
    assert float(observed.sign_sum) == pytest.approx(float(told.sign_sum))
    assert float(observed.sign_count) == float(told.sign_count) == 3


def test_p_moves_by_the_images_seen():
    augment = AdaptiveAugment(interval=2, kimg=1)
    augment.observe(torch.ones(4))
    augment.update(0, 10)
    augment.update(0, 30)
    assert float(augment.p) == pytest.approx(0.04)


def test_between_two_moves_all_state_is_in_the_state_dict():
    augment, other = AdaptiveAugment(initial_p=0.2), AdaptiveAugment()
    steps(augment, 6, +1)
    other.load_state_dict(augment.state_dict())
    steps(augment, 2, -1)
    steps(other, 2, -1)
    for name, value in augment.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_fixed_strength():
    x = torch.randn(2, 3, 8, 8)
    stream = SampleStream(0, "fixed", [], [0, 1])
    assert FixedAugment(p=0)(x, stream) is x
    augment = FixedAugment(p=0.7, preset="blit")
    assert float(augment.p) == pytest.approx(0.7)
    assert not torch.equal(augment(x, stream), x)
    assert float(augment.pipe.p) == pytest.approx(0.7)


def test_adaptive_at_zero_resamples():
    """As in the original: the pipe runs from the first step on, so the discriminator sees no change when p leaves 0."""
    x = torch.randn(2, 3, 16, 16)
    assert 0 < (AdaptiveAugment()(x) - x).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.5}, "target as a number from 0 to 1"),
        ({"target": None}, "target"),
        ({"interval": 0}, "interval as an integer of at least 1"),
        ({"interval": 2.5}, "interval"),
        ({"kimg": 0}, "kimg > 0"),
        ({"initial_p": -1}, "initial_p"),
        ({"preset": "bgd"}, "did you mean"),
        ({"targett": 0.5}, "did you mean 'target'"),
        ({"xflop": 1}, "did you mean 'xflip'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        AdaptiveAugment(**options)


def test_fixed_needs_a_strength_of_at_least_zero():
    with pytest.raises(InputError, match="p as a number from 0 on"):
        FixedAugment(p=-0.1)
    with pytest.raises(InputError, match="did you mean 'preset'"):
        FixedAugment(p=0.1, presett="bgc")
