"""The tensors of rosinality's StyleGAN2 and ours: the same numbers under other names and in other shapes.

A pair is (their name, our name, shape there). No kernel is mirrored and no weight scaled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from openstylegan.errors import InputError, printable

Shape = str
SAME, LEADING, SCALAR, FLAT, NOISE = "same", "[1, ...]", "[1]", "[1, C, 1, 1]", "[1, 1, H, W]"
Pair = tuple[str, str, Shape]


@dataclass(frozen=True)
class Kernel:
    """A constant of a resampling layer there: [1, 3, 3, 1] in both directions, summing to `total`."""

    name: str
    total: int

    def tensor(self) -> Tensor:
        """The kernel [4, 4]."""
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 64 * self.total


def shape_there(ours: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """The shape that a tensor of shape `ours` has in the other layout."""
    if shape == SCALAR:
        return (1,)
    return {SAME: ours, LEADING: (1, *ours), FLAT: (1, *ours, 1, 1), NOISE: (1, 1, *ours)}[shape]


def layer(theirs: str, ours: str) -> Iterator[Pair]:
    """A modulated convolution with noise."""
    yield f"{theirs}.conv.weight", f"{ours}.weight", LEADING
    yield f"{theirs}.conv.modulation.weight", f"{ours}.affine.weight", SAME
    yield f"{theirs}.conv.modulation.bias", f"{ours}.affine.bias", SAME
    yield f"{theirs}.noise.weight", f"{ours}.noise_strength", SCALAR
    yield f"{theirs}.activate.bias", f"{ours}.bias", SAME


def to_rgb(theirs: str, ours: str) -> Iterator[Pair]:
    """A layer that makes a picture."""
    yield f"{theirs}.conv.weight", f"{ours}.weight", LEADING
    yield f"{theirs}.conv.modulation.weight", f"{ours}.affine.weight", SAME
    yield f"{theirs}.conv.modulation.bias", f"{ours}.affine.bias", SAME
    yield f"{theirs}.bias", f"{ours}.bias", FLAT


def weight_and_bias(theirs_weight: str, theirs_bias: str, ours: str) -> Iterator[Pair]:
    """A plain layer."""
    yield theirs_weight, f"{ours}.weight", SAME
    yield theirs_bias, f"{ours}.bias", SAME


def generator_pairs(num_doublings: int, num_layers: int) -> Iterator[Pair]:
    """All tensors of a generator of side 4 * 2^num_doublings but w_avg, which the file keeps beside it."""
    for i in range(num_layers):
        yield from weight_and_bias(f"style.{i + 1}.weight", f"style.{i + 1}.bias", f"mapping.fc{i}")
    yield "input.input", "synthesis.b4.const", LEADING
    yield from layer("conv1", "synthesis.b4.conv1")
    yield from to_rgb("to_rgb1", "synthesis.b4.torgb")
    yield "noises.noise_0", "synthesis.b4.conv1.noise_const", NOISE
    for q in range(num_doublings):
        block = f"synthesis.b{8 << q}"
        yield from layer(f"convs.{2 * q}", f"{block}.conv0")
        yield from layer(f"convs.{2 * q + 1}", f"{block}.conv1")
        yield from to_rgb(f"to_rgbs.{q}", f"{block}.torgb")
        yield f"noises.noise_{2 * q + 1}", f"{block}.conv0.noise_const", NOISE
        yield f"noises.noise_{2 * q + 2}", f"{block}.conv1.noise_const", NOISE


def generator_kernels(num_doublings: int) -> list[Kernel]:
    """The constants of a generator; up-sampling makes them sum to 4."""
    names = [name for q in range(num_doublings) for name in (f"convs.{2 * q}.conv.blur", f"to_rgbs.{q}.upsample")]
    return [Kernel(f"{name}.kernel", 4) for name in names]


def discriminator_pairs(num_doublings: int) -> Iterator[Pair]:
    """All tensors of a discriminator of pictures of side 4 * 2^num_doublings."""
    side = 4 << num_doublings
    yield from weight_and_bias("convs.0.0.weight", "convs.0.1.bias", f"b{side}.fromrgb")
    for m in range(1, num_doublings + 1):
        block = f"b{side >> (m - 1)}"
        yield from weight_and_bias(f"convs.{m}.conv1.0.weight", f"convs.{m}.conv1.1.bias", f"{block}.conv0")
        yield from weight_and_bias(f"convs.{m}.conv2.1.weight", f"convs.{m}.conv2.2.bias", f"{block}.conv1")
        yield f"convs.{m}.skip.1.weight", f"{block}.skip.weight", SAME
    yield from weight_and_bias("final_conv.0.weight", "final_conv.1.bias", "b4.conv")
    yield from weight_and_bias("final_linear.0.weight", "final_linear.0.bias", "b4.fc")
    yield from weight_and_bias("final_linear.1.weight", "final_linear.1.bias", "b4.out")


def discriminator_kernels(num_doublings: int) -> list[Kernel]:
    """The constants of a discriminator, which sum to 1."""
    names = [name for m in range(1, num_doublings + 1) for name in (f"convs.{m}.conv2.0", f"convs.{m}.skip.0")]
    return [Kernel(f"{name}.kernel", 1) for name in names]


def take(theirs: Mapping[str, Tensor], pairs: list[Pair], kernels: list[Kernel], what: str) -> dict[str, Tensor]:
    """The tensors under our names and in our shapes.

    Raises `InputError` naming tensors that are missing, of another shape, or not known, and for other kernels.
    """
    missing = [name for name, _, _ in pairs if name not in theirs]
    unknown = sorted(theirs.keys() - {name for name, _, _ in pairs} - {kernel.name for kernel in kernels})
    if missing or unknown:
        unknown = [printable(name) for name in unknown]
        raise InputError(
            f"{what} has {len(missing)} tensors missing {missing[:2]} and {len(unknown)} more {unknown[:2]}"
        )
    for kernel in kernels:
        given = theirs.get(kernel.name)
        if given is not None and (given.shape != (4, 4) or not torch.allclose(given.float(), kernel.tensor())):
            raise InputError(
                f"{what} resamples with another filter than [1, 3, 3, 1] ({kernel.name}); that is not read"
            )
    return {ours: shaped(theirs[name], shape, f"{what}'s {name}") for name, ours, shape in pairs}


def shaped(tensor: Tensor, shape: Shape, what: str) -> Tensor:
    """`tensor` in our shape, when it has the shape that it must have there."""
    size = tuple(tensor.shape)
    inner = {SAME: size, LEADING: size[1:], SCALAR: (), FLAT: size[1:2], NOISE: size[2:]}[shape]
    if size != shape_there(inner, shape):
        raise InputError(f"expected {what} of shape {shape}, got {list(size)}; is it damaged?")
    return tensor.reshape(inner)


def give(ours: Mapping[str, Tensor], pairs: list[Pair], kernels: list[Kernel]) -> dict[str, Tensor]:
    """The tensors under their names and in their shapes, with the constants."""
    found = {name: ours[own].reshape(shape_there(tuple(ours[own].shape), shape)) for name, own, shape in pairs}
    return {**found, **{kernel.name: kernel.tensor() for kernel in kernels}}
