"""Derived weights are kept for frozen parameters only, and change no result beyond rounding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

from openstylegan.networks.base import set_precision
from openstylegan.networks.stylegan2 import StyleGAN2Generator
from openstylegan.ops.frozen import FrozenWeights, RestingWeights, derived, kept, while_resting


def counted():
    calls = []

    def make(w):
        calls.append(w)
        return w * 2

    return make, calls


def test_made_once_inside_and_every_time_outside():
    make, calls = counted()
    weight, weights = nn.Parameter(torch.ones(3), requires_grad=False), FrozenWeights()
    with weights:
        first = derived(weight, "double", make)
        assert derived(weight, "double", make) is first
    derived(weight, "double", make)
    assert len(calls) == 2
    with weights:
        assert derived(weight, "double", make) is first


def test_what_is_derived_from_the_derived_is_kept_too():
    weight, make = nn.Parameter(torch.ones(3), requires_grad=False), counted()[0]
    with FrozenWeights():
        double = derived(weight, "double", make)
        assert kept(double)
        assert derived(double, "again", make) is derived(double, "again", make)


@pytest.mark.parametrize("weight", [nn.Parameter(torch.ones(3)), torch.ones(3)], ids=["trainable", "no parameter"])
def test_others_are_not_kept(weight):
    make, calls = counted()
    with FrozenWeights(), torch.no_grad():
        derived(weight, "double", make)
        derived(weight, "double", make)
    assert len(calls) == 2


def test_nested_and_left_after_an_error():
    outer, inner = FrozenWeights(), FrozenWeights()
    weight = nn.Parameter(torch.ones(3), requires_grad=False)
    with pytest.raises(RuntimeError, match="stop"), outer:
        with outer, inner:
            assert kept(weight)
        assert kept(weight)
        raise RuntimeError("stop")
    assert not kept(weight)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_generator_draws_the_same_pictures(precision, batch):
    torch.manual_seed(0)
    options = {"channel_base": 4096, "channel_max": 256, "num_fp16_res": 4}
    G = StyleGAN2Generator(z_dim=16, w_dim=16, img_resolution=32, synthesis_kwargs=options).eval()
    G.requires_grad_(False)
    set_precision(G, precision)
    z, weights = torch.randn(batch, 16), FrozenWeights()
    expected = G(z, noise_mode="const")
    for _ in range(2):
        with weights:
            got = G(z, noise_mode="const")
        tolerance = 2e-6 if precision == "float32" else 2e-2
        assert (got - expected).abs().max() <= tolerance * expected.abs().max()


def test_several_threads_may_enter_at_once():
    weight, weights, make = nn.Parameter(torch.ones(3), requires_grad=False), FrozenWeights(), counted()[0]
    barrier = Barrier(4)

    def work(_: int) -> bool:
        with weights:
            barrier.wait(10)
            derived(weight, "double", make)
            inside = kept(weight)
        return inside and not kept(weight)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_threads_that_derive_at_once_get_the_same():
    weight, weights, barrier = nn.Parameter(torch.ones(3), requires_grad=False), FrozenWeights(), Barrier(2)
    made = []

    def make(w):
        result = w * 2
        made.append(result)
        barrier.wait(10)
        return result

    def work(_: int) -> torch.Tensor:
        with weights:
            return derived(weight, "double", make)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, range(2))
    assert first is second
    with weights:
        # The other result is let go, and its id may be that of any tensor later.
        assert sum(kept(result) for result in made) == 1


WRITES = {
    "copied to": lambda layer: layer.weight.copy_(torch.full((2, 2), 5.0)),
    "loaded": lambda layer: layer.load_state_dict({"weight": torch.full((2, 2), 5.0)}),
    "averaged": lambda layer: torch._foreach_lerp_([layer.weight], [torch.full((2, 2), 5.0)], 1.0),
    "converted": lambda layer: layer.double(),
}


@pytest.mark.parametrize("change", WRITES.values(), ids=WRITES.keys())
def test_frozen_weights_that_change_are_derived_anew(change):
    layer, weights = nn.Linear(2, 2, bias=False).requires_grad_(False), FrozenWeights()
    make = counted()[0]

    def draw():
        with weights:
            return derived(derived(layer.weight, "double", make), "again", make)

    before = draw()
    assert draw() is before
    with torch.no_grad():
        change(layer)
    after = draw()
    assert torch.equal(after, layer.weight * 4)
    assert after.dtype == layer.weight.dtype
    assert draw() is after


def test_what_was_derived_with_the_help_of_others_goes_with_them():
    first, second = (nn.Parameter(torch.ones(2), requires_grad=False) for _ in range(2))
    weights = FrozenWeights()

    def draw():
        with weights:
            return derived(second, "own", lambda w: w * 2), derived(first, "of both", lambda w: w * second)

    draw()
    with torch.no_grad():
        second.fill_(3)
    assert draw()[1].tolist() == [3, 3]


def test_parameters_made_in_inference_mode_are_kept():
    make, weights = counted()[0], FrozenWeights()
    with torch.inference_mode(), weights:
        weight = nn.Parameter(torch.ones(3), requires_grad=False)
        assert derived(weight, "double", make) is derived(weight, "double", make)


def test_resting_weights_are_derived_once_until_they_are_written_to():
    make, calls = counted()
    weight, resting = nn.Parameter(torch.ones(3)), RestingWeights()
    while_resting(weight, "double", make)
    with resting, torch.no_grad():
        first = while_resting(weight, "double", make)
        assert while_resting(weight, "double", make) is first
        assert while_resting(weight, "other", make) is not first
        weight.add_(1)
        assert while_resting(weight, "double", make).tolist() == [4, 4, 4]
        assert not kept(weight)
    assert len(calls) == 4
    with resting, torch.no_grad():
        while_resting(weight, "double", make)
    assert len(calls) == 4  # entered again, it has them still


def test_resting_weights_know_a_parameter_s_view_and_what_is_derived_from_the_derived():
    make, calls = counted()
    weight, resting = nn.Parameter(torch.ones(3)), RestingWeights()
    with resting:
        double = while_resting(weight, "double", make)
        again = while_resting(double, "again", make)
        assert while_resting(weight.view_as(weight), "double", make) is double
        assert while_resting(double, "again", make) is again
        part = while_resting(weight[:2], "double", make)
        assert part.tolist() == [2, 2]
        with torch.no_grad():
            weight.add_(1)
        assert while_resting(while_resting(weight, "double", make), "again", make).tolist() == [8, 8, 8]
        assert not resting.keeps(double) and not resting.keeps(again)
    assert len(calls) == 5


def test_what_is_no_parameter_does_not_rest():
    make, calls = counted()
    weight = torch.ones(3)
    with RestingWeights():
        while_resting(weight, "double", make)
        while_resting(weight, "double", make)
    assert len(calls) == 2
