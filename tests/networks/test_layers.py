"""The layers against their equations, in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from openstylegan.errors import InputError
from openstylegan.networks.layers import Conv2d, Dense, minibatch_stddev, normalize_second_moment
from openstylegan.ops.bias_act import bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


def test_second_moment_is_one():
    assert normalize_second_moment(normal(3, 50) * 7).square().mean(1) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("activation", ["linear", "lrelu", "swish"])
def test_dense(activation):
    layer = Dense(5, 4, bias_init=1, activation=activation, lr_multiplier=0.01).double()
    x = normal(3, 5)
    expected = F.linear(x, layer.weight * (0.01 / math.sqrt(5)), layer.bias * 0.01)
    torch.testing.assert_close(layer(x), bias_act(expected, act=activation))


def test_initial_dense_weights_are_scaled_and_biases_are_not():
    torch.manual_seed(0)
    layer = Dense(200, 100, bias_init=1, lr_multiplier=0.01)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.05)
    assert (layer.bias == 1).all()


@pytest.mark.parametrize("resampling", [{}, {"up": 2}, {"down": 2}])
@pytest.mark.parametrize("activation", ["linear", "relu", "lrelu", "tanh", "swish"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_conv(activation, kernel_size, resampling):
    layer = Conv2d(3, 4, kernel_size, activation=activation, conv_clamp=0.7, **resampling).double()
    layer.bias.data = normal(4, seed=1)
    x, gain = normal(2, 3, 8, 6), math.sqrt(0.5)
    y = conv2d_resample(
        x,
        layer.weight / math.sqrt(3 * kernel_size**2),
        f=layer.resample_filter,
        padding=kernel_size // 2,
        flip_weight="up" not in resampling,
        **resampling,
    )
    expected = bias_act(y, layer.bias, act=activation, gain=layer.act_gain * gain, clamp=0.7 * gain)
    torch.testing.assert_close(layer(x, gain), expected)


def test_conv_without_bias_is_a_linear_map():
    layer = Conv2d(3, 4, 1, bias=False, down=2).double()
    x = normal(2, 3, 8, 6)
    expected = conv2d_resample(x, layer.weight * (0.5 / math.sqrt(3)), f=layer.resample_filter, down=2)
    torch.testing.assert_close(layer(x, 0.5), expected)


def test_conv_gradients_to_second_order():
    layer = Conv2d(2, 2, 3, activation="lrelu", down=2).double()
    x = normal(1, 2, 4, 4).requires_grad_()

    def function(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    inputs = (x, layer.weight, layer.bias)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_float16_sums_stay_in_range():
    torch.manual_seed(0)
    layer = Conv2d(512, 8, 3, activation="lrelu")
    x = torch.full([1, 512, 4, 4], 30.0)
    layer.weight.data = layer.weight.data.abs()
    assert layer(x.half()).isfinite().all()
    torch.testing.assert_close(layer(x.half()).float(), layer(x), rtol=5e-3, atol=0)


def test_frozen_conv_has_the_same_names_and_no_parameters():
    plain, frozen = Conv2d(2, 3, 3), Conv2d(2, 3, 3, frozen=True)
    assert set(plain.state_dict()) == set(frozen.state_dict())
    assert list(frozen.parameters()) == []
    frozen.load_state_dict(plain.state_dict())
    x = torch.randn(1, 2, 4, 4, generator=stream())
    torch.testing.assert_close(plain(x), frozen(x))


def test_unknown_activation_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'lrelu'"):
        Conv2d(1, 1, 1, activation="lrelo")


@pytest.mark.parametrize(("group_size", "num_channels", "n"), [(4, 1, 8), (2, 3, 4), (None, 1, 5), (4, 2, 3)])
def test_minibatch_stddev_by_hand(group_size, num_channels, n):
    x = normal(n, 6, 3, 2)
    y = minibatch_stddev(x, group_size, num_channels)
    group = n if group_size is None else min(group_size, n)
    num_groups = n // group
    assert torch.equal(y[:, :6], x)
    for sample in range(n):
        members = x[sample % num_groups :: num_groups]
        spread = (members.var(dim=0, unbiased=False) + 1e-8).sqrt()
        for channel, part in enumerate(spread.split(6 // num_channels)):
            torch.testing.assert_close(y[sample, 6 + channel], part.mean().expand(3, 2))


def test_minibatch_stddev_refuses_a_broken_group():
    with pytest.raises(InputError, match="multiple of the minibatch-stddev group size 4, got 6"):
        minibatch_stddev(normal(6, 4, 2, 2), 4)
    with pytest.raises(InputError, match="mbstd_num_channels"):
        minibatch_stddev(normal(4, 4, 2, 2), 4, 3)
