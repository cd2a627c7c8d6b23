"""The operations under random options against definitions written twice: once in the package, once in NumPy float64.

Recorded arrays pin the options they were recorded with; these tests pin the definition for all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from golden import oracles
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from openstylegan.ops.bias_act import bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.filtered_lrelu import filtered_lrelu
from openstylegan.ops.modulated_conv2d import modulated_conv2d, modulated_conv2d_sg3
from openstylegan.ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

few = settings(max_examples=30, deadline=None, derandomize=True)
factors = st.integers(1, 3)
sides = st.tuples(*[st.integers(-2, 4)] * 4)
gains = st.sampled_from([1, 0.7, 4])
seeds = st.integers(0, 2**31)
filters = st.one_of(
    st.none(),
    st.tuples(st.integers(1, 6)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
"""Shapes of filters: none, 1-D, 2-D and not square."""


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def taps(seed: int, shape: tuple[int, ...] | None) -> np.ndarray | None:
    return None if shape is None else numbers(seed + 1, *shape).astype(np.float32).astype(np.float64)


def tensor(array: np.ndarray | None, requires_grad: bool = False) -> Any:
    return None if array is None else torch.tensor(array).requires_grad_(requires_grad)


def assert_equal(actual: Tensor, expected: np.ndarray) -> None:
    assert list(actual.shape) == list(expected.shape)
    scale = max(np.abs(expected).max(), 1e-6)
    assert np.abs(actual.detach().numpy() - expected).max() <= 1e-11 * scale


def assert_slope(loss: Tensor, variable: Tensor, direction: np.ndarray, expected: float, tolerance: float) -> None:
    """The derivative of `loss` along `direction` in `variable`."""
    (gradient,) = torch.autograd.grad(loss, variable, retain_graph=True)
    assert float((gradient * torch.tensor(direction)).sum()) == pytest.approx(expected, rel=tolerance, abs=tolerance)


def possible(definition: Callable[[], np.ndarray]) -> np.ndarray:
    """What a definition gives; options under which nothing would be left are no case."""
    try:
        expected = definition()
    except ValueError:  # a window larger than the picture
        expected = np.zeros(0)
    assume(expected.size)
    return expected


def output_sizes(x: np.ndarray, shape: tuple[int, ...] | None, up: Any, down: Any, pad: Any) -> tuple[int, int]:
    """Width and height the definition gives; below 1 is no valid case."""
    width, height = (1, 1) if shape is None else (shape[-1], shape[0])
    x_size = (x.shape[3] * up[0] + pad[0] + pad[1] - width + down[0]) // down[0]
    y_size = (x.shape[2] * up[1] + pad[2] + pad[3] - height + down[1]) // down[1]
    return x_size, y_size


class TestUpfirdn2d:
    @few
    @given(
        seeds, filters, st.tuples(factors, factors), st.tuples(factors, factors), sides, st.booleans(), gains,
        st.integers(3, 6), st.integers(3, 6),
    )  # fmt: skip
    def test_any_options(self, seed, shape, up, down, pad, flip, gain, height, width):
        x, f = numbers(seed, 2, 2, height, width), taps(seed, shape)
        assume(min(output_sizes(x, shape, up, down, pad)) >= 1)
        variable = tensor(x, True)
        y = upfirdn2d(variable, tensor(f), up=list(up), down=list(down), padding=list(pad), flip_filter=flip, gain=gain)
        assert_equal(y, oracles.upfirdn2d(x, f, up, down, pad, flip, gain))
        # The operation is linear, so <gradient of <y, gy>, v> is <op(v), gy> exactly.
        gy, v = numbers(seed + 2, *y.shape), numbers(seed + 3, *x.shape)
        expected = float((oracles.upfirdn2d(v, f, up, down, pad, flip, gain) * gy).sum())
        assert_slope((y * torch.tensor(gy)).sum(), variable, v, expected, 1e-10)

    @pytest.mark.parametrize("pad", [(8, -5, 2, 2), (-4, 9, 5, -3), (1, 2, -5, 9), (-3, 6, 2, 2)])
    @pytest.mark.parametrize(("up", "down", "shape"), [(1, 1, None), (1, 2, (2,)), (2, 1, (3, 2)), (1, 1, (4,))])
    def test_more_is_cropped_than_there_is(self, up, down, shape, pad):
        """What is added on the other side is then cropped too."""
        x, f = numbers(0, 2, 3, 2, 3), taps(0, shape)
        assert min(output_sizes(x, shape, (up, up), (down, down), pad)) >= 1
        expected = oracles.upfirdn2d(x, f, (up, up), (down, down), pad)
        for dtype in (torch.float64, torch.float32):
            found = upfirdn2d(torch.tensor(x, dtype=dtype), tensor(f), up=up, down=down, padding=list(pad))
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
        w = numbers(1, 4, 3, 1, 1)
        y = conv2d_resample(tensor(x), tensor(w), tensor(f), up=up, down=down, padding=list(pad))
        assert_equal(y, oracles.conv2d_resample(x, w, f, up, down, pad))

    @few
    @given(seeds, filters.filter(lambda shape: shape is not None), sides, st.booleans(), gains)
    def test_filter2d_keeps_the_size(self, seed, shape, pad, flip, gain):
        x, f = numbers(seed, 1, 2, 7, 8), taps(seed, shape)
        width, height = shape[-1], shape[0]
        whole = (width // 2 + pad[0], (width - 1) // 2 + pad[1], height // 2 + pad[2], (height - 1) // 2 + pad[3])
        y = filter2d(tensor(x), tensor(f), padding=list(pad), flip_filter=flip, gain=gain)
        assert list(y.shape[2:]) == [7 + pad[2] + pad[3], 8 + pad[0] + pad[1]]
        assert_equal(y, oracles.upfirdn2d(x, f, sides=whole, flip_filter=flip, gain=gain))

    @few
    @given(seeds, filters, st.tuples(factors, factors), st.integers(0, 2), st.booleans(), gains)
    def test_upsample2d(self, seed, shape, up, pad, flip, gain):
        x, f = numbers(seed, 1, 2, 5, 4), taps(seed, shape)
        width, height = (1, 1) if shape is None else (shape[-1], shape[0])
        whole = (
            pad + (width + up[0] - 1) // 2,
            pad + (width - up[0]) // 2,
            pad + (height + up[1] - 1) // 2,
            pad + (height - up[1]) // 2,
        )
        assume(min(output_sizes(x, shape, up, (1, 1), whole)) >= 1)
        y = upsample2d(tensor(x), tensor(f), up=list(up), padding=pad, flip_filter=flip, gain=gain)
        assert list(y.shape[2:]) == [5 * up[1] + 2 * pad, 4 * up[0] + 2 * pad]
        assert_equal(y, oracles.upfirdn2d(x, f, up, (1, 1), whole, flip, gain * up[0] * up[1]))

    @few
    @given(seeds, filters, st.tuples(factors, factors), st.integers(0, 2), st.booleans(), gains)
    def test_downsample2d(self, seed, shape, down, pad, flip, gain):
        x, f = numbers(seed, 1, 2, 6, 12), taps(seed, shape)
        width, height = (1, 1) if shape is None else (shape[-1], shape[0])
        whole = (
            pad + (width - down[0] + 1) // 2,
            pad + (width - down[0]) // 2,
            pad + (height - down[1] + 1) // 2,
            pad + (height - down[1]) // 2,
        )
        assume(min(output_sizes(x, shape, (1, 1), down, whole)) >= 1)
        y = downsample2d(tensor(x), tensor(f), down=list(down), padding=pad, flip_filter=flip, gain=gain)
        assert_equal(y, oracles.upfirdn2d(x, f, (1, 1), down, whole, flip, gain))

    @few
    @given(
        st.one_of(
            st.lists(st.integers(1, 9), min_size=1, max_size=10),
            st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=3), min_size=1, max_size=4),
        ),
        st.booleans(), st.booleans(), gains, st.sampled_from([None, True, False]),
    )  # fmt: skip
    def test_setup_filter(self, f, normalize, flip, gain, separable):
        assume(not (separable and isinstance(f[0], list)))
        actual = setup_filter(f, normalize=normalize, flip_filter=flip, gain=gain, separable=separable)
        expected = oracles.setup_filter(f, normalize, flip, gain, separable)
        assert actual.dtype == torch.float32
        assert list(actual.shape) == list(expected.shape)
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-6)


class TestConv2dResample:
    @few
    @given(
        seeds, filters.filter(lambda shape: shape is not None), factors, factors, sides, st.sampled_from([1, 2, 3]),
        st.sampled_from([1, 2]), st.booleans(), st.booleans(),
    )  # fmt: skip
    def test_any_options(self, seed, shape, up, down, pad, kernel, groups, flip_weight, flip_filter):
        x, w, f = numbers(seed, 2, 4, 6, 5), numbers(seed + 4, 6, 4 // groups, kernel, kernel), taps(seed, shape)
        options = {"groups": groups, "flip_weight": flip_weight, "flip_filter": flip_filter}
        expected = possible(lambda: oracles.conv2d_resample(x, w, f, up, down, pad, **options))
        variables = tensor(x, True), tensor(w, True)
        y = conv2d_resample(*variables, tensor(f), up=up, down=down, padding=list(pad), **options)
        assert_equal(y, expected)
        gy, v, u = numbers(seed + 2, *y.shape), numbers(seed + 3, *x.shape), numbers(seed + 5, *w.shape)
        loss = (y * torch.tensor(gy)).sum()
        slope_x = float((oracles.conv2d_resample(v, w, f, up, down, pad, **options) * gy).sum())
        slope_w = float((oracles.conv2d_resample(x, u, f, up, down, pad, **options) * gy).sum())
        assert_slope(loss, variables[0], v, slope_x, 1e-9)
        assert_slope(loss, variables[1], u, slope_w, 1e-9)

    @few
    @given(seeds, st.sampled_from([1, 3]), st.sampled_from([1, 2]), sides)
    def test_no_filter(self, seed, kernel, groups, pad):
        x, w = numbers(seed, 2, 4, 6, 5), numbers(seed + 4, 2, 4 // groups, kernel, kernel)
        expected = possible(lambda: oracles.conv2d_resample(x, w, None, sides=pad, groups=groups))
        assert_equal(conv2d_resample(tensor(x), tensor(w), None, padding=list(pad), groups=groups), expected)


def central_slope(function: Any, x: np.ndarray, direction: np.ndarray, gy: np.ndarray) -> float:
    """The derivative of <function(x), gy> along a direction, from the NumPy definition alone."""
    step = 1e-5
    return float(((function(x + step * direction) - function(x - step * direction)) * gy).sum() / (2 * step))


class TestModulatedConv2d:
    @few
    @given(
        seeds, st.sampled_from([(1, 1), (2, 1), (1, 2)]), st.sampled_from([1, 3]), st.booleans(), st.booleans(),
        st.booleans(), st.sampled_from(["none", "one", "each"]),
    )  # fmt: skip
    def test_any_options(self, seed, factor, kernel, demodulate, flip_weight, fused, noise_form):
        (up, down), f, pad = factor, np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64, kernel // 2
        x, weight, styles = numbers(seed, 3, 4, 6, 8), numbers(seed + 1, 5, 4, kernel, kernel), numbers(seed + 2, 3, 4)
        size = (6 * up // down, 8 * up // down)
        noise = {"none": None, "one": numbers(seed + 3, *size), "each": numbers(seed + 3, 3, 1, *size)}[noise_form]

        def convolve(image: np.ndarray, w: np.ndarray) -> np.ndarray:
            return oracles.conv2d_resample(image, w, f, up, down, (pad,) * 4, flip_weight=flip_weight)

        def expected(x: np.ndarray, weight: np.ndarray, styles: np.ndarray) -> np.ndarray:
            return oracles.modulated_conv2d(x, weight, styles, noise, demodulate, convolve)

        variables = [tensor(array, True) for array in (x, weight, styles)]
        y = modulated_conv2d(
            *variables, tensor(noise), up=up, down=down, padding=pad, resample_filter=tensor(f), demodulate=demodulate,
            flip_weight=flip_weight, fused_modconv=fused,
        )  # fmt: skip
        assert_equal(y, expected(x, weight, styles))
        gy, direction = numbers(seed + 4, *y.shape), numbers(seed + 5, *styles.shape)
        slope = central_slope(lambda s: expected(x, weight, s), styles, direction, gy)
        assert_slope((y * torch.tensor(gy)).sum(), variables[2], direction, slope, 1e-5)

    @few
    @given(seeds, st.sampled_from([1, 3]), st.integers(0, 2), st.booleans(), st.sampled_from([None, (), (4,), (3, 4)]))
    def test_stylegan3(self, seed, kernel, padding, demodulate, gain_shape):
        x, w, s = numbers(seed, 3, 4, 5, 6), numbers(seed + 1, 2, 4, kernel, kernel), numbers(seed + 2, 3, 4)
        gain = None if gain_shape is None else np.abs(np.asarray(numbers(seed + 3, *gain_shape)))
        variables = [tensor(array, True) for array in (x, w, s)]
        y = modulated_conv2d_sg3(*variables, demodulate=demodulate, padding=padding, input_gain=tensor(gain))
        assert_equal(y, oracles.modulated_conv2d_sg3(x, w, s, demodulate, padding, gain))
        gy, direction = numbers(seed + 4, *y.shape), numbers(seed + 5, *w.shape)

        def expected(w: np.ndarray) -> np.ndarray:
            return oracles.modulated_conv2d_sg3(x, w, s, demodulate, padding, gain)

        slope = central_slope(expected, w, direction, gy)
        assert_slope((y * torch.tensor(gy)).sum(), variables[1], direction, slope, 1e-5)


class TestBiasAct:
    @few
    @given(
        seeds, st.sampled_from(sorted(oracles.ACTIVATIONS)), st.lists(st.integers(1, 4), min_size=1, max_size=4),
        st.data(), st.sampled_from([None, 0.3, 0.0]), st.sampled_from([None, 1.7]), st.sampled_from([None, 0.6]),
    )  # fmt: skip
    def test_any_options(self, seed, act, shape, data, alpha, gain, clamp):
        dim = data.draw(st.integers(0, len(shape) - 1))
        x, b = numbers(seed, *shape), data.draw(st.sampled_from([None, numbers(seed + 1, shape[dim])]))
        variable, options = tensor(x, True), {"dim": dim, "act": act, "alpha": alpha, "gain": gain, "clamp": clamp}
        y = bias_act(variable, tensor(b), **options)
        assert_equal(y, oracles.bias_act(x, b, **options))
        gy, v = numbers(seed + 2, *y.shape), numbers(seed + 3, *x.shape)
        assume(away_from_kinks(lambda x: oracles.bias_act(x, b, **options), x, v))
        slope = central_slope(lambda x: oracles.bias_act(x, b, **options), x, v, gy)
        assert_slope((y * torch.tensor(gy)).sum(), variable, v, slope, 1e-5)


def away_from_kinks(function: Any, x: np.ndarray, direction: np.ndarray) -> bool:
    """Whether left and right slope agree, so that a central difference means something."""
    step = 1e-5
    left, right = function(x) - function(x - step * direction), function(x + step * direction) - function(x)
    return bool(np.abs(left - right).max() < 1e-8)


class TestFilteredLrelu:
    @few
    @given(
        seeds, filters, filters, factors, factors, sides, st.sampled_from([1.0, 2**0.5]),
        st.sampled_from([0.0, 0.2, 1.0]), st.sampled_from([None, 0.5]), st.booleans(), st.booleans(),
    )  # fmt: skip
    def test_any_options(self, seed, up_shape, down_shape, up, down, pad, gain, slope, clamp, flip, has_bias):
        x, b = numbers(seed, 2, 3, 6, 5), numbers(seed + 4, 3) if has_bias else None
        fu, fd = taps(seed, up_shape), taps(seed + 9, down_shape)
        high_rate = output_sizes(x, up_shape, (up, up), (1, 1), pad)
        width, height = (1, 1) if down_shape is None else (down_shape[-1], down_shape[0])
        assume(high_rate[0] >= width and high_rate[1] >= height)
        variable = tensor(x, True)
        y = filtered_lrelu(
            variable, tensor(fu), tensor(fd), tensor(b), up, down, list(pad), gain, slope, clamp, flip
        )  # fmt: skip

        def expected(x: np.ndarray) -> np.ndarray:
            return oracles.filtered_lrelu(x, fu, fd, b, up, down, pad, gain, slope, clamp, flip)

        assert_equal(y, expected(x))
        gy, v = numbers(seed + 2, *y.shape), numbers(seed + 3, *x.shape)
        assume(away_from_kinks(expected, x, v))
        slope_along = central_slope(expected, x, v, gy)
        assert_slope((y * torch.tensor(gy)).sum(), variable, v, slope_along, 1e-4)

    def test_worked_example(self):
        """The small check that StyleGAN3's fact sheet gives."""
        x = torch.arange(16.0).reshape(1, 1, 4, 4) - 8
        y = filtered_lrelu(
            x, torch.tensor([1, 3, 3, 1]) / 8, torch.tensor([1, 2, 1]) / 4, torch.tensor([0.5]), up=2, down=2,
            padding=[2, 1, 2, 1], clamp=4,
        )  # fmt: skip
        expected = [[-1.4501, -1.3037, -1.0386], [-0.5568, -0.1414, 0.4596], [2.2040, 3.1352, 3.6187]]
        np.testing.assert_allclose(y[0, 0].numpy(), expected, atol=1e-4)
