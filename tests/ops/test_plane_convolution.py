"""Convolutions of planes: values and gradients to second order, by Winograd's products and by PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.ops import plane_convolution, winograd_planes
from openstylegan.ops.gradients import no_weight_gradients
from openstylegan.ops.native import native

compiled = pytest.mark.skipif(native("winograd").loaded is None, reason="no C++ compiler")


def derivatives(convolve, inputs: list[Tensor], *options: int) -> list[Tensor]:
    """The result, its gradients, and the gradients of a sum of these, with respect to x [N, I, H, W], w and gy."""
    x, w, gy, change_x, change_w = [t.clone().requires_grad_() for t in inputs]
    y = convolve(x, w, *options)
    gx, gw = torch.autograd.grad(y, (x, w), gy, create_graph=True)
    second = torch.autograd.grad((gx * change_x).sum() + (gw * change_w).sum(), (x, w, gy))
    return [y, gx, gw, *second]


def inputs_of(n: int, i: int, o: int, side: tuple[int, int], padding: int) -> list[Tensor]:
    x, w = torch.randn(n, i, *side), torch.randn(o, i, 3, 3)
    gy = torch.randn(n, o, side[0] + 2 * padding - 2, side[1] + 2 * padding - 2)
    return [x, w, gy, torch.randn_like(x), torch.randn_like(w)]


@compiled
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("n", "i", "o", "side", "padding"),
    [(2, 64, 70, (30, 26), 2), (1, 66, 64, (64, 34), 0), (1, 64, 64, (33, 51), 1)],
)
def test_winograd_of_planes_is_the_convolution_to_second_order(
    n: int, i: int, o: int, side: tuple[int, int], padding: int, threads: int
) -> None:
    torch.manual_seed(n)
    inputs = inputs_of(n, i, o, side, padding)
    assert winograd_planes.pays(inputs[0], tuple(inputs[1].shape), padding)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = derivatives(plane_convolution.correlate, inputs, padding)
    finally:
        torch.set_num_threads(before)
    wanted = derivatives(F.conv2d, [t.double() for t in inputs], None, 1, padding)
    for got, want in zip(found, wanted, strict=True):
        assert (got - want).abs().max() < 1e-5 * want.abs().max()


@pytest.mark.parametrize(("kernel", "padding"), [(3, 2), (3, 1), (1, 0), (2, 1)])
def test_gradients_are_closed(kernel: int, padding: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 2, kernel, kernel, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(plane_convolution.correlate(x, w, padding), F.conv2d(x, w, padding=padding))
    assert torch.autograd.gradcheck(plane_convolution.correlate, (x, w, padding))
    assert torch.autograd.gradgradcheck(plane_convolution.correlate, (x, w, padding))


@compiled
def test_few_pixels_few_channels_and_other_types_are_left_to_pytorch() -> None:
    x = torch.randn(1, 64, 63, 64)
    assert winograd_planes.pays(x, (64, 64, 3, 3), 1)
    assert not winograd_planes.pays(x[:, :, :10], (64, 64, 3, 3), 1)
    assert not winograd_planes.pays(x.double(), (64, 64, 3, 3), 1)
    assert not winograd_planes.pays(x, (64, 64, 1, 1), 1)
    assert not winograd_planes.pays(x[:, :4], (64, 4, 3, 3), 1)


@pytest.mark.parametrize("kept_gradient", [False, True])
@pytest.mark.parametrize(("channels", "side"), [(3, 6), (64, 33)])
def test_scales_around_a_convolution(channels: int, side: int, kept_gradient: bool) -> None:
    """By Winograd where there is a compiler and many channels, else by multiplications; gradients to second order."""
    torch.manual_seed(side)
    x, w = torch.randn(2, channels, side, side), torch.randn(channels, channels, 3, 3)
    before, after = torch.rand(2, channels) + 0.5, torch.rand(2, channels) + 0.5

    def results(convolve, dtype: torch.dtype) -> list[Tensor]:
        inputs = [t.to(dtype).requires_grad_() for t in (x, w, before, after)]
        y = convolve(*inputs)
        first = torch.autograd.grad(y.square().sum(), inputs, create_graph=kept_gradient)
        second = torch.autograd.grad(first[0].square().sum(), inputs) if kept_gradient else []
        with torch.no_grad():
            return [y, convolve(*inputs), *first, *second]

    def plain(x: Tensor, w: Tensor, before: Tensor, after: Tensor) -> Tensor:
        return F.conv2d(x * before[:, :, None, None], w, padding=2) * after[:, :, None, None]

    found = results(lambda *inputs: plane_convolution.scaled_correlate(*inputs, 2), torch.float32)
    for got, want in zip(found, results(plain, torch.float64), strict=True):
        assert (got - want).abs().max() < 1e-5 * want.abs().max()


def test_weight_gradients_can_be_left_out() -> None:
    x, w = torch.randn(1, 2, 4, 4, requires_grad=True), torch.randn(2, 2, 3, 3, requires_grad=True)
    y = plane_convolution.correlate(x, w, 2).sum()
    with no_weight_gradients():
        gx, gw = torch.autograd.grad(y, (x, w), allow_unused=True)
    assert gx is not None
    assert gw is None
