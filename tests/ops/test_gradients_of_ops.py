"""Every op's gradients to second order against finite differences, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from openstylegan.ops.bias_act import ACTIVATIONS, bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.filtered_lrelu import filtered_lrelu
from openstylegan.ops.modulated_conv2d import modulated_conv2d, modulated_conv2d_sg3
from openstylegan.ops.upfirdn2d import setup_filter, upfirdn2d

F4 = setup_filter([1, 3, 3, 1])


def random(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_()


def check(function, *inputs: Tensor) -> None:
    assert gradcheck(function, inputs, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize(
    "options",
    [
        {"up": 2, "padding": [2, 1, 2, 1], "gain": 4},
        {"down": 2, "padding": 1},
        {"padding": [2, 2, 2, 2]},
        {"up": [2, 1], "down": [1, 2], "padding": [3, -1, 0, 2], "flip_filter": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("taps", [F4, torch.tensor([0.3, -0.1, 0.5, 0.2])], ids=["2d", "1d"])
def test_upfirdn2d(taps: Tensor, options: dict) -> None:
    check(lambda x: upfirdn2d(x, taps, **options), random(2, 2, 5, 4))


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act(act: str, clamp: float | None) -> None:
    check(lambda x, b: bias_act(x, b, act=act, clamp=clamp, gain=1.3), random(2, 3, 3, 2), random(3, seed=1))


@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"padding": 1, "up": 2, "flip_weight": False}, {"padding": 1, "down": 2}], ids=str
)
@pytest.mark.parametrize("kernel", [1, 3])
def test_conv2d_resample(kernel: int, options: dict) -> None:
    options = options | {"padding": kernel // 2}
    x, w = random(2, 2, 4, 4), random(3, 2, kernel, kernel, seed=1)
    check(lambda x, w: conv2d_resample(x, w, F4, **options), x, w)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_modulated_conv2d(batch: int, up: int, fused: bool) -> None:
    noise = random(batch, 1, 4 * up, 4 * up, seed=3)

    def function(x: Tensor, w: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        return modulated_conv2d(
            x, w, s, noise, up=up, padding=1, resample_filter=F4, flip_weight=up == 1, fused_modconv=fused
        )

    check(function, random(batch, 2, 4, 4), random(3, 2, 3, 3, seed=1), random(batch, 2, seed=2), noise)


def test_modulated_conv2d_without_demodulation() -> None:
    def function(x: Tensor, w: Tensor, s: Tensor) -> Tensor:
        return modulated_conv2d(x, w, s, demodulate=False)

    check(function, random(2, 2, 3, 3), random(3, 2, 1, 1, seed=1), random(2, 2, seed=2))


def test_modulated_conv2d_sg3() -> None:
    def function(x: Tensor, w: Tensor, s: Tensor, g: Tensor) -> Tensor:
        return modulated_conv2d_sg3(x, w, s, padding=2, input_gain=g)

    check(function, random(2, 2, 3, 4), random(3, 2, 3, 3, seed=1), random(2, 2, seed=2), random(2, seed=4))


def test_filtered_lrelu() -> None:
    taps = setup_filter([1, 3, 3, 1], separable=True)

    def function(x: Tensor, b: Tensor) -> Tensor:
        return filtered_lrelu(x, taps, taps, b, up=2, down=2, padding=[3, 2, 3, 2], clamp=0.9)

    check(function, random(1, 2, 4, 5), random(2, seed=1))
