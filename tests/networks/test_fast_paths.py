"""Whole networks on the fast paths of the ops against their plain references, to second order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.ops.paths import reference_paths

WIDE = 256
"""Channels enough for the paths that only pay for many."""


def generator(architecture: str, channels: int, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    options = {"channel_base": 16 * channels, "channel_max": channels, "architecture": architecture, "conv_clamp": 4}
    network = GENERATORS["stylegan2"](16, 0, 16, 16, 3, {"num_layers": 2}, options).to(dtype)
    for layer in network.synthesis.layers:
        layer.noise_strength.data.fill_(0.3)
    return network


def discriminator(architecture: str, channels: int, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    options = {"channel_base": 16 * channels, "channel_max": channels, "architecture": architecture, "conv_clamp": 4}
    return DISCRIMINATORS["stylegan2"](0, 16, 3, **options).to(dtype)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def path_length(network: nn.Module, dtype: torch.dtype) -> Tensor:
    """A scalar whose gradient takes second derivatives of the generator."""
    ws = network.mapping(normal(2, 16).to(dtype), update_w_avg=False)
    images = network.synthesis(ws, noise_mode="const")
    (gradient,) = torch.autograd.grad((images * normal(*images.shape, seed=2).to(dtype)).sum(), ws, create_graph=True)
    return gradient.square().mean() + images.square().mean()


def r1(network: nn.Module, dtype: torch.dtype) -> Tensor:
    """A scalar whose gradient takes second derivatives of the discriminator."""
    images = normal(4, 3, 16, 16).to(dtype).requires_grad_()
    logits = network(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum() + logits.square().mean()


def gradients(network: nn.Module, loss: Callable[[nn.Module, torch.dtype], Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The loss and its gradients by all parameters."""
    value = loss(network, dtype)
    found = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
    return [value.detach(), *[torch.zeros(1) if g is None else g for g in found]]


def largest_difference(network: nn.Module, loss: Callable[..., Tensor], dtype: torch.dtype) -> float:
    fast = gradients(network, loss, dtype)
    with reference_paths():
        plain = gradients(network, loss, dtype)
    return max(float((f - p).abs().max() / p.abs().max().clamp_min(1e-12)) for f, p in zip(fast, plain, strict=True))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_networks_in_float64(architecture):
    assert largest_difference(generator(architecture, 12, torch.float64), path_length, torch.float64) < 1e-9
    assert largest_difference(discriminator(architecture, 12, torch.float64), r1, torch.float64) < 1e-9


def test_wide_networks_in_float32():
    # Pre-activations on the kink of the leaky ReLU fall on either side of it, which a gradient feels.
    assert largest_difference(generator("skip", WIDE, torch.float32), path_length, torch.float32) < 2e-3
    assert largest_difference(discriminator("resnet", WIDE, torch.float32), r1, torch.float32) < 2e-3


@pytest.mark.parametrize("num_samples", [1, 3])
def test_wide_generator_in_evaluation(num_samples):
    network, ws = generator("skip", WIDE, torch.float32).eval().requires_grad_(False), normal(num_samples, 6, 16)
    fast = network.synthesis(ws, noise_mode="const")
    with reference_paths():
        plain = network.synthesis(ws, noise_mode="const")
    assert (fast - plain).abs().max() < 1e-5 * plain.abs().max()
