"""Batch normalisation with what follows it: the compiled passes are PyTorch's operations, to second order."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.networks import fastgan_layers
from openstylegan.networks.fastgan_layers import GLU, BatchNorm, NormedSequence
from openstylegan.ops import norm_act as module
from openstylegan.ops.native import native
from openstylegan.ops.norm_act import Act, norm_act, usable

compiled = pytest.mark.skipif(native(module.LIBRARY).loaded is None, reason="no C++ compiler")
ACTS = [Act(True), Act(False, 0.2)]


def arguments(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x of means and deviations of its own in each channel, more pixels than a chunk and no multiple of it; weights."""
    random = torch.Generator().manual_seed(0)
    c = torch.arange(18.0)[:, None, None]
    x = torch.randn(3, 18, 11, 13, generator=random) * (1 + c) + 5 * c
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    return x, torch.rand(18, generator=random), torch.randn(18, generator=random)


def plain(given: tuple[Tensor, ...], act: Act) -> Tensor:
    x, weight, bias = given
    return act(F.batch_norm(x, None, None, weight, bias, True, 0.0, 1e-5))


@compiled
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 2e-5), (torch.bfloat16, 0.01)])
def test_values_statistics_and_gradients(act: Act, dtype: torch.dtype, limit: float) -> None:
    x, weight, bias = given = tuple(t.requires_grad_() for t in arguments(dtype))
    assert usable(x, weight)
    y, mean, var = norm_act(x, weight, bias, 1e-5, act)
    assert y.dtype == dtype and not mean.requires_grad
    g = torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)
    found = [y, mean, var, *torch.autograd.grad(y, given, g)]
    exact = tuple(t.detach().double().requires_grad_() for t in given)
    y = plain(exact, act)
    var, mean = torch.var_mean(exact[0], (0, 2, 3), correction=0)
    wanted = [y, mean, var, *torch.autograd.grad(y, exact, g.double())]
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.double() - theirs).abs().max() <= limit * theirs.abs().max()


@compiled
@pytest.mark.parametrize("act", ACTS)
def test_second_order(act: Act) -> None:
    x, weight, bias = given = tuple(t.requires_grad_() for t in arguments(torch.float32))
    found = []
    for y in (norm_act(x, weight, bias, 1e-5, act)[0], plain(given, act)):
        first = torch.autograd.grad(
            (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum(), given, create_graph=True
        )
        found.append(torch.autograd.grad(sum((t.square().sum() for t in first), y.new_zeros([])), given))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@compiled
def test_the_same_by_several_threads() -> None:
    x, weight, bias = arguments(torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            own = x.clone().requires_grad_()
            y, mean, var = norm_act(own, weight, bias, 1e-5, ACTS[0])
            found.append([y, mean, var, *torch.autograd.grad(y.square().sum(), own)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("last", [torch.nn.LeakyReLU(0.2), GLU()])
def test_layers_are_the_same_with_and_without(last: torch.nn.Module, training: bool) -> None:
    x = arguments(torch.float32)[0]
    found = []
    for fused in (True, False):
        torch.manual_seed(0)
        layers = NormedSequence(torch.nn.Conv2d(18, 18, 1), BatchNorm(18), last).train(training)
        with mock.patch.object(fastgan_layers, "usable", usable if fused else lambda *_: False):
            y = layers(layers(x)[:, :9].repeat(1, 2, 1, 1))
        found.append([y, *layers.state_dict().values()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
