"""Convolutions on matrix units: against float32, with gradients to second order, and where they are not taken."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from openstylegan.ops import amx, amx_found
from openstylegan.ops.amx import Ends
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.frozen import FrozenWeights, RestingWeights
from openstylegan.ops.modulated_conv2d import modulated_conv2d_bias_act
from openstylegan.ops.paths import reference_paths
from openstylegan.ops.upfirdn2d import setup_filter

on_matrix_units = pytest.mark.skipif(bool(amx.available()), reason=f"no matrix units: {amx.available()}")
ROUNDING = 2**-8
"""Of a bfloat16, relative."""
SHAPES = {
    "rows of whole tiles": (2, 64, 32, 16, 16, 3, 1, (1, 1)),
    "few pixels": (3, 64, 96, 4, 4, 3, 1, (1, 1)),
    "odd sides": (2, 64, 32, 7, 9, 3, 1, (1, 1)),
    "stride": (2, 64, 64, 17, 17, 3, 2, (0, 0)),
    "stride and padding": (2, 64, 64, 16, 18, 3, 2, (1, 1)),
    "no padding": (1, 32, 32, 40, 48, 3, 1, (0, 0)),
    "large kernel": (2, 32, 64, 9, 33, 5, 1, (2, 2)),
    "several strips": (1, 512, 64, 40, 32, 3, 1, (1, 1)),
    "even kernel": (5, 32, 32, 12, 20, 2, 1, (1, 1)),
    "paddings that differ": (2, 32, 32, 12, 20, 3, 1, (2, 0)),
    "one row": (2, 32, 64, 1, 16, 3, 1, (1, 1)),
    "stacks of three rows and of two": (1, 64, 32, 5, 32, 3, 1, (1, 1)),
    "tall kernel, strided": (3, 32, 64, 23, 12, 5, 2, (2, 2)),
    "samples abreast": (7, 32, 32, 5, 12, 3, 1, (1, 1)),
    "more rows than a strip has": (1, 32, 512, 70, 33, 3, 1, (1, 1)),
}


def numbers(*shape: int) -> Tensor:
    """Values of bfloat16, some of which are negative zeros and powers of two."""
    return torch.randn(shape).bfloat16()


def pictures(*shape: int) -> Tensor:
    return numbers(*shape).contiguous(memory_format=torch.channels_last)


def same(got: Tensor, want: Tensor, times: float = 1.0) -> bool:
    """Whether `got` is `want` but for the rounding of a result."""
    assert got.dtype == torch.bfloat16 and got.shape == want.shape
    return bool((got.double() - want).abs().max() <= times * ROUNDING * want.abs().max())


@on_matrix_units
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("threads", [1, 3])
def test_the_products_of_a_layer(shape: tuple[int, ...], threads: int) -> None:
    n, i, o, h, width, k, stride, padding = shape
    torch.manual_seed(0)
    x, w = pictures(n, i, h, width), numbers(o, i, k, k)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert amx.usable(x, w)
        y = amx.correlate(x, w, stride, padding)
        want = F.conv2d(x.double(), w.double(), stride=stride, padding=padding)
        assert same(y, want)
        gy = pictures(*want.shape)
        gx = amx.scatter(gy, w, stride, padding, (h, width))
        gw = amx.weight_gradient(x, gy, stride, padding, (k, k))
    finally:
        torch.set_num_threads(before)
    assert same(gw, torch.nn.grad.conv2d_weight(x.double(), w.shape, gy.double(), stride, padding))
    assert same(gx, torch.nn.grad.conv2d_input(x.shape, w.double(), gy.double(), stride, padding))


@on_matrix_units
@pytest.mark.parametrize("noises", [0, 1, 3])
@pytest.mark.parametrize("clamp", [None, 1.5])
def test_the_ends_of_a_layer(noises: int, clamp: float | None) -> None:
    torch.manual_seed(1)
    x, w = pictures(3, 64, 9, 16), numbers(32, 64, 3, 3)
    before, after, shift = torch.rand(3, 64) + 0.5, torch.rand(3, 32) + 0.5, torch.randn(32)
    noise = torch.randn(noises, 9, 16) if noises else None
    z = amx.correlate(x, w, 1, (1, 1), Ends(before, after, shift, noise, 0.2, clamp))
    scaled = (x.float() * before[:, :, None, None]).bfloat16()
    want = F.conv2d(scaled.double(), w.double(), padding=1) * after[:, :, None, None] + shift[:, None, None]
    want = F.leaky_relu(want if noise is None else want + noise[:, None], 0.2)
    assert same(z, want if clamp is None else want.clamp(-clamp, clamp))


@on_matrix_units
def test_what_is_not_a_number_stays_so_and_reaches_its_neighbours_only() -> None:
    x, w = pictures(1, 32, 20, 20), numbers(32, 32, 3, 3)
    x[0, 5, 7, 19] = torch.nan
    y = amx.correlate(x, w, 1, (1, 1), Ends(slope=0.2, clamp=1.0))
    bad = y.isnan().all(1)[0]
    assert bad[6:9, 18:].all() and bad.sum() == 6


def layer_of(up: int, act: str, clamp: float | None) -> Callable[[list[Tensor]], Tensor]:
    def run(inputs: list[Tensor]) -> Tensor:
        x, w, styles, b, noise = inputs
        f = setup_filter([1, 3, 3, 1])
        options = {"up": up, "padding": 1, "resample_filter": f, "flip_weight": up == 1, "act": act, "clamp": clamp}
        return modulated_conv2d_bias_act(x, w, styles, noise, b, gain=1.3, **options)

    return run


def down(inputs: list[Tensor]) -> Tensor:
    return conv2d_resample(inputs[0], inputs[1].to(inputs[0].dtype), f=setup_filter([1, 3, 3, 1]), down=2, padding=1)


def inputs_of(up: int) -> list[Tensor]:
    torch.manual_seed(2)
    x, w = pictures(2, 32, 8, 8), torch.randn(32, 32, 3, 3)
    return [x, w, torch.rand(2, 32) + 0.5, torch.randn(32), torch.randn(8 * up, 8 * up)]


def down_by_float32(inputs: list[Tensor]) -> Tensor:
    return conv2d_resample(inputs[0], inputs[1], f=setup_filter([1, 3, 3, 1]), down=2, padding=1)


# Without bends: rounding puts some values on the other side of one.
LINEAR = {
    "same size": (layer_of(1, "linear", None), 1),
    "twice the size": (layer_of(2, "linear", None), 2),
    "half the size": (down, 1),
    "half the size, weights in float32": (down_by_float32, 1),
}


def derivatives(make: Callable[[list[Tensor]], Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """The result, its gradients to x and w, and those of the sum of the squares of the first to both."""
    given = [t.clone().requires_grad_() for t in inputs]
    z = make(given).float()
    weights = torch.linspace(-1, 1, z.numel()).view(z.shape)
    first = torch.autograd.grad((z.square() * weights).sum(), given[:2], create_graph=True)
    second = torch.autograd.grad(first[0].float().square().sum(), given[:2])
    return [z.detach(), *(g.detach().float() for g in (*first, *second))]


@on_matrix_units
@pytest.mark.parametrize(("make", "up"), LINEAR.values(), ids=LINEAR.keys())
def test_gradients_to_second_order(make: Callable[[list[Tensor]], Tensor], up: int) -> None:
    inputs = inputs_of(up)
    with reference_paths():
        wanted = derivatives(make, [t.float() for t in inputs])
    with mock.patch.object(amx, "_convolve", side_effect=amx._convolve) as used:
        found = derivatives(make, inputs)
    assert used.call_count >= 4
    for got, want in zip(found, wanted, strict=True):
        assert (got - want).norm() <= 0.02 * want.norm()


@pytest.mark.parametrize(("make", "up"), LINEAR.values(), ids=LINEAR.keys())
def test_gradients_to_second_order_without_matrix_units(make: Callable[[list[Tensor]], Tensor], up: int) -> None:
    inputs = inputs_of(up)
    with reference_paths():
        wanted = derivatives(make, [t.float() for t in inputs])
    with mock.patch.object(amx, "available", return_value="none"):
        found = derivatives(make, inputs)
    for got, want in zip(found, wanted, strict=True):
        assert (got - want).norm() <= 0.03 * want.norm()


@on_matrix_units
def test_weights_in_float32_are_rounded_once_and_their_gradient_is_not() -> None:
    torch.manual_seed(3)
    x, w, gy = pictures(2, 64, 8, 16), torch.randn(32, 64, 3, 3), pictures(2, 32, 8, 16)
    assert amx.correlate(x, w, 1, (1, 1)).equal(amx.correlate(x, w.bfloat16(), 1, (1, 1)))
    size = (17, 33)
    assert amx.scatter(gy, w, 2, (0, 0), size).equal(amx.scatter(gy, w.bfloat16(), 2, (0, 0), size))
    gw = amx.weight_gradient(x, gy, 1, (1, 1), (3, 3), torch.float32)
    assert gw.bfloat16().equal(amx.weight_gradient(x, gy, 1, (1, 1), (3, 3)))
    want = torch.nn.grad.conv2d_weight(x.double(), w.shape, gy.double(), 1, (1, 1))
    assert (gw - want).abs().max() <= 1e-6 * want.abs().max()


@on_matrix_units
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_layer_without_gradients(up: int, samples: int) -> None:
    make = layer_of(up, "lrelu", 2.0)
    x, w, styles, b, noise = inputs_of(up)
    inputs = [x[:samples], w, styles[:samples], b, noise]
    with reference_paths():
        want = make([t.double() for t in inputs])
    with mock.patch.object(amx, "_convolve", side_effect=amx._convolve) as used:
        got = make(inputs)
    assert used.call_count == 1
    assert same(got, want, times=2 if up == 1 else 4)


@on_matrix_units
def test_a_sample_does_not_depend_on_its_batch() -> None:
    make, (x, w, styles, b, noise) = layer_of(1, "lrelu", 2.0), inputs_of(1)
    both = make([x, w, styles, b, noise])
    assert both[1:].equal(make([x[1:], w, styles[1:], b, noise]))


@on_matrix_units
def test_kept_weights_are_packed_once() -> None:
    x, w = pictures(1, 32, 8, 8), nn.Parameter(numbers(32, 32, 3, 3), requires_grad=False)
    with mock.patch.object(amx, "_packed", side_effect=amx._packed) as packed, FrozenWeights():
        first = amx.correlate(x, w, 1, (1, 1))
        assert first.equal(amx.correlate(x, w, 1, (1, 1)))
        amx.scatter(x, w, 2, (0, 0), (17, 17))
        amx.scatter(x, w, 1, (1, 1), (8, 8))
    assert packed.call_count == 3


@on_matrix_units
def test_trained_weights_are_packed_once_a_phase() -> None:
    x, w = pictures(2, 32, 8, 8), nn.Parameter(torch.randn(32, 32, 3, 3))

    def gradients() -> list[Tensor]:
        given = x.clone().requires_grad_()
        y = conv2d_resample(conv2d_resample(given, w, padding=1), w, padding=1)
        return list(torch.autograd.grad(y.float().square().sum(), (given, w)))

    wanted = gradients()
    with mock.patch.object(amx, "_packed", side_effect=amx._packed) as packed, RestingWeights():
        found = gradients()
        assert packed.call_count == 2
        with torch.no_grad():
            w.mul_(2)
        gradients()
        assert packed.call_count == 4
    assert all(a.equal(b) for a, b in zip(found, wanted, strict=True))


def test_other_convolutions_are_left_to_others() -> None:
    x, w = pictures(1, 32, 8, 8), numbers(32, 32, 3, 3)
    assert amx.usable(x, w) == (not amx.available())
    assert not amx.usable(x.float(), w.float())
    assert not amx.usable(x[:, :30], w[:, :30])
    assert not amx.usable(x, numbers(48, 32, 3, 3))
    assert not amx.usable(x, numbers(32, 32, 1, 1))
    assert amx.gradient_usable(x, x, (3, 3)) == (not amx.available())
    assert not amx.gradient_usable(x, x, (1, 1))
    assert not amx.gradient_usable(x, x[:, :30], (3, 3))
    assert not amx.gradient_usable(x, x[:0], (3, 3))
    with FakeTensorMode() as mode:
        assert not amx.usable(mode.from_tensor(x), mode.from_tensor(w))
        assert not amx.gradient_usable(mode.from_tensor(x), mode.from_tensor(x), (3, 3))


def test_processors_without_matrix_units_are_told_from_others() -> None:
    amx.available.cache_clear()
    try:
        with mock.patch.object(amx_found.platform, "machine", return_value="riscv64"):
            assert amx.available() == "not Linux on x86-64"
            assert not amx.usable(pictures(1, 32, 8, 8), numbers(32, 32, 3, 3))
    finally:
        amx.available.cache_clear()


@on_matrix_units
@pytest.mark.parametrize("kernel", [1, 3])
def test_pictures_with_fewer_channels_than_blocks_and_room_between_pixels(kernel: int) -> None:
    torch.manual_seed(4)
    around, w = pictures(2, 96, 9, 11), numbers(32, 64, kernel, kernel)
    around[:, 65:] = torch.nan
    x = around[:, 20:65]
    y = amx.correlate(x, w, 1, (kernel - 1, kernel - 1), Ends(torch.ones(2, 64)))
    assert same(y, F.conv2d(x.double(), w[:, :45].double(), padding=kernel - 1))
