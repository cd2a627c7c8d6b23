"""Every fast path against the plain reference: values, gradients, and gradients of gradients as R1 and path length
take them; tightly in float64, and in float32 against the reference in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers import relative_error
from torch import Tensor

from openstylegan.ops import convolution
from openstylegan.ops.bias_act import bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.convolution import Geometry
from openstylegan.ops.filtered_lrelu import filtered_lrelu
from openstylegan.ops.gradients import no_weight_gradients
from openstylegan.ops.modulated_conv2d import modulated_conv2d, modulated_conv2d_bias_act, modulated_conv2d_sg3
from openstylegan.ops.paths import describe_paths, fast, reference_paths
from openstylegan.ops.upfirdn2d import setup_filter, upfirdn2d
from openstylegan.ops.winograd import winograd_conv, winograd_input_gradient, winograd_weight_gradient

F4 = setup_filter([1, 3, 3, 1])
F12 = setup_filter([1, 2, -1, 4, 5, 9, 7, 3, 2, 2, -1, 1])
TOLERANCES = {torch.float64: (1e-13, 1e-12), torch.float32: (1e-5, 1e-4)}
"""Relative, for first order and for second."""


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orders(op: Callable[..., Tensor], inputs: list[Tensor], steep: int) -> tuple[list[Tensor], list[Tensor]]:
    """The output y and the gradients of sum(y^2 c); then those of its squared gradient by `inputs[steep]`."""
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    y = op(*inputs)
    total = (y.square() * random(*y.shape, seed=99).to(y.dtype)).sum()
    first = torch.autograd.grad(total, inputs, retain_graph=True)
    with no_weight_gradients():
        (slope,) = torch.autograd.grad(total, inputs[steep], create_graph=True)
    return [y, *first], list(torch.autograd.grad(slope.square().sum(), inputs))


def compare(op: Callable[..., Tensor], inputs: list[Tensor], steep: int = 0) -> None:
    """`op` to second order in float64 and float32, against its reference in float64."""
    with reference_paths():
        expected = orders(op, inputs, steep)
    for dtype, tolerances in TOLERANCES.items():
        actual = orders(op, [t.to(dtype) for t in inputs], steep)
        for order, tolerance in enumerate(tolerances):
            for k, (a, e) in enumerate(zip(actual[order], expected[order], strict=True)):
                assert a.shape == e.shape
                assert relative_error(a, e.numpy(force=True)) <= tolerance, (dtype, order, k)


def test_paths_are_chosen_at_run_time() -> None:
    x = torch.zeros(1)
    assert fast(x)
    with reference_paths():
        assert not fast(x)
        assert all("reference_paths" in why for _, why in describe_paths())
    assert fast(x)
    assert not fast(torch.zeros(1, device="meta"))
    assert all("plain PyTorch" in why for _, why in describe_paths("cuda"))
    assert len({op for op, _ in describe_paths()}) == len(describe_paths()) >= 7


@pytest.mark.parametrize("taps", [F4, F12, F4[:3]], ids=["4x4", "12", "3x4"])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": [2, 2, 2, 2]},
        {"padding": [-1, 12, 13, 0], "gain": 2},
        {"up": 2, "padding": [7, 6, 6, 7], "gain": 4},
        {"down": 2, "padding": 6},
        {"up": [3, 2], "down": [2, 1], "padding": [9, 12, -2, 14], "flip_filter": True},
    ],
    ids=str,
)
def test_upfirdn2d(taps: Tensor, options: dict) -> None:
    compare(lambda x: upfirdn2d(x, taps, **options), [random(2, 3, 9, 8)])


@pytest.mark.parametrize("options", [{"up": 2, "padding": [2, 1, 2, 1]}, {"up": [2, 3], "padding": [-1, 4, 3, -2]}])
def test_upfirdn2d_in_bfloat16_interleaves_phases(options: dict) -> None:
    x = random(2, 5, 6, 7)
    expected = upfirdn2d(x, F4, **options)
    actual = upfirdn2d(x.bfloat16(), F4, **options)
    assert actual.dtype == torch.bfloat16
    assert relative_error(actual.double(), expected) <= 2e-2


@pytest.mark.parametrize("act", ["linear", "relu", "lrelu", "swish"])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_bias_act(act: str, clamp: float | None) -> None:
    compare(lambda x, b: bias_act(x, b, act=act, gain=1.7, clamp=clamp), [random(2, 3, 5, 4), random(3, seed=1)])


def test_bias_act_leaves_its_input_alone() -> None:
    x = random(2, 3, 4, 4)
    before = x.clone()
    bias_act(x, act="lrelu")
    bias_act(x, random(3), act="linear", clamp=0.1)
    assert torch.equal(x, before)


CONVOLUTIONS = [
    pytest.param(4, 3, 3, {"padding": 1}, id="same"),
    pytest.param(4, 3, 3, {"padding": [1, 0, 2, -1]}, id="uneven"),
    pytest.param(4, 3, 3, {"padding": 1, "up": 2, "flip_weight": False}, id="up"),
    pytest.param(4, 3, 3, {"padding": 1, "up": 2}, id="up-mirrored"),
    pytest.param(4, 3, 3, {"padding": 1, "down": 2}, id="down"),
    pytest.param(4, 3, 5, {"padding": 2, "down": 3}, id="down-3"),
    pytest.param(4, 3, 1, {}, id="1x1"),
    pytest.param(4, 3, 1, {"up": 2}, id="1x1-up"),
    pytest.param(4, 3, 1, {"down": 2}, id="1x1-down"),
    pytest.param(4, 2, 3, {"padding": 1, "up": 2, "down": 2, "groups": 2}, id="groups"),
    pytest.param(256, 256, 3, {"padding": 1}, id="winograd"),
]


@pytest.mark.parametrize(("i", "o", "k", "options"), CONVOLUTIONS)
def test_conv2d_resample(i: int, o: int, k: int, options: dict) -> None:
    x, w = random(6, i, 8, 8), random(o, i // options.get("groups", 1), k, k, seed=1)
    compare(lambda x, w: conv2d_resample(x, w, F4, **options), [x, w])


def test_winograd_is_taken_where_it_pays() -> None:
    shape, same = (256, 256, 3, 3), Geometry(1, (1, 1))
    x = torch.empty(6, 256, 8, 8)
    assert convolution._winograd_pays(x, shape, same)
    assert not convolution._winograd_pays(x.bfloat16(), shape, same)
    assert not convolution._winograd_pays(x[:, :, :7], shape, same)
    assert not convolution._winograd_pays(x[:1], shape, same)
    assert not convolution._winograd_pays(x, (128, 256, 3, 3), same)
    assert not convolution._winograd_pays(x, shape, Geometry(2, (1, 1)))


@pytest.mark.parametrize("shape", [(3, 4, 6, 10), (5, 3, 64, 64)], ids=["small", "chunks"])
def test_winograd_equals_direct_convolution(shape: tuple[int, int, int, int]) -> None:
    x, w = random(*shape).requires_grad_(), random(7, shape[1], 3, 3, seed=1).requires_grad_()
    y = torch.nn.functional.conv2d(x, w, padding=1)
    gy = random(*y.shape, seed=2)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    x, w = x.detach(), w.detach()
    assert relative_error(winograd_conv(x, w), y.detach()) <= 1e-13
    assert relative_error(winograd_input_gradient(gy, w), gx) <= 1e-13
    assert relative_error(winograd_weight_gradient(x, gy), gw) <= 1e-13


@pytest.mark.parametrize(
    "geometry", [Geometry(1, (1, 1)), Geometry(1, (0, 2)), Geometry(2, (0, 0)), Geometry(3, (1, 0))]
)
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5)])
def test_shifted_products_are_the_weight_gradient(geometry: Geometry, kernel: tuple[int, int]) -> None:
    x, w = random(2, 3, 9, 11), random(4, 3, *kernel, seed=1).requires_grad_()
    y = torch.nn.functional.conv2d(x, w, stride=geometry.stride, padding=geometry.padding)
    gy = random(*y.shape, seed=2)
    (gw,) = torch.autograd.grad(y, w, gy)
    assert relative_error(convolution.shifted_products(x, gy, geometry, kernel), gw) <= 1e-13


@pytest.mark.parametrize("channels", [3, 256], ids=["direct", "winograd"])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("up", [1, 2])
def test_modulated_layer(up: int, batch: int, channels: int) -> None:
    """`steep` is the styles' place: what path length regularization differentiates twice."""

    def layer(x: Tensor, w: Tensor, s: Tensor, noise: Tensor, b: Tensor) -> Tensor:
        return modulated_conv2d_bias_act(
            x, w, s, noise, b, up=up, padding=1, resample_filter=F4, flip_weight=up == 1, act="lrelu", clamp=2.5
        )

    x, w, s = random(batch, channels, 8, 8), random(channels, channels, 3, 3, seed=1), random(batch, channels, seed=2)
    compare(layer, [x, w, s + 1, random(batch, 1, 8 * up, 8 * up, seed=3), random(channels, seed=4)], steep=2)


@pytest.mark.parametrize("act", ["linear", "tanh"])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_conv2d(kernel: int, demodulate: bool, act: str) -> None:
    def layer(x: Tensor, w: Tensor, s: Tensor) -> Tensor:
        y = modulated_conv2d(x, w, s, padding=kernel // 2, demodulate=demodulate)
        return bias_act(y, act=act)

    compare(layer, [random(2, 4, 5, 5), random(3, 4, kernel, kernel, seed=1), random(2, 4, seed=2)], steep=2)


@pytest.mark.parametrize("gain", [(), (4,), (2, 4)], ids=str)
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 2), (3, 0)])
def test_modulated_conv2d_sg3(kernel: int, padding: int, demodulate: bool, gain: tuple[int, ...]) -> None:
    input_gain = random(*gain, seed=4).abs() + 0.5

    def layer(x: Tensor, w: Tensor, s: Tensor) -> Tensor:
        return modulated_conv2d_sg3(x, w, s, demodulate, padding, input_gain.to(x.dtype))

    x, w, s = random(2, 4, 7, 5), random(3, 4, kernel, kernel, seed=1), random(2, 4, seed=2)
    compare(layer, [x, w, s], steep=2)
    input_gain = input_gain[:1] if len(gain) == 2 else input_gain
    with reference_paths():
        expected = layer(x[:1], w, s[:1])
    assert relative_error(layer(x[:1].contiguous(memory_format=torch.channels_last), w, s[:1]), expected) <= 1e-13


def test_one_large_picture_folds_the_styles_into_the_weights() -> None:
    x, w, s, b = random(1, 3, 16, 16), random(3, 3, 3, 3, seed=1), random(1, 3, seed=2), random(3, seed=3)
    noise = random(16, 16, seed=4)
    options: dict = {"padding": 1, "act": "lrelu"}
    with reference_paths():
        expected = modulated_conv2d_bias_act(x, w, s, noise, b, **options)
    assert relative_error(modulated_conv2d_bias_act(x, w, s, noise, b, **options), expected) <= 1e-13


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{}, {"up": 2, "flip_weight": False}], ids=["same", "up"])
def test_modulated_layer_in_low_precision(options: dict, dtype: torch.dtype) -> None:
    def layer(x: Tensor, w: Tensor, s: Tensor, b: Tensor) -> Tensor:
        return modulated_conv2d_bias_act(x, w, s, None, b, padding=1, resample_filter=F4, act="lrelu", **options)

    x, w, s, b = random(4, 16, 8, 8), random(8, 16, 3, 3, seed=1), random(4, 16, seed=2) + 2, random(8, seed=3)
    expected, inputs = layer(x, w, s, b), [t.float().requires_grad_() for t in (w, s, b)]
    actual = layer(x.to(dtype), *inputs)
    assert actual.dtype == dtype
    assert relative_error(actual.double(), expected) <= 2e-2
    assert all(g.dtype == torch.float32 for g in torch.autograd.grad(actual.float().square().sum(), inputs))


def test_filtered_lrelu() -> None:
    def layer(x: Tensor, b: Tensor) -> Tensor:
        return filtered_lrelu(x, F12, F12, b, up=2, down=2, padding=[11, 10, 11, 10], clamp=0.9)

    compare(layer, [random(2, 3, 9, 8), random(3, seed=1)])


def test_no_weight_gradients_leaves_them_out_and_only_inside() -> None:
    x, w = random(2, 3, 6, 6).requires_grad_(), random(3, 3, 3, 3, seed=1).requires_grad_()
    y = conv2d_resample(x, w, padding=1).sum()
    with no_weight_gradients():
        gx, gw = torch.autograd.grad(y, [x, w], retain_graph=True, allow_unused=True)
    assert gw is None
    assert gx is not None
    assert torch.autograd.grad(y, w)[0].abs().sum() > 0
