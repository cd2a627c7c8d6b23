"""The names and layouts of TensorFlow's variables as ours.

A rule is a pattern of a variable's name, what it is called here, and how its numbers are arranged there: dense weights
are [in, out] (ours [out, in]), kernels [height, width, in, out] (ours [out, in, height, width]), those of
up-convolutions mirrored, biases of the style's affine layer less 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError, printable
from openstylegan.interop.contents import own_tensor

Arrange = Callable[[np.ndarray], np.ndarray]
Rule = tuple[str, str, Arrange]


def axes(*order: int) -> Arrange:
    """A transposition; raises `InputError` for an array of another number of dimensions."""

    def arrange(x: np.ndarray) -> np.ndarray:
        if x.ndim != len(order):
            raise InputError(f"expected an array of {len(order)} dimensions, got {list(x.shape)}")
        return x.transpose(order)

    return arrange


def first(x: np.ndarray) -> np.ndarray:
    """[1, ...] without its first dimension."""
    if x.ndim < 1 or len(x) != 1:
        raise InputError(f"expected an array [1, ...], got {list(x.shape)}")
    return x[0]


def as_is(x: np.ndarray) -> np.ndarray:
    """The same."""
    return x


DENSE = axes(1, 0)
KERNEL = axes(3, 2, 0, 1)


def mirrored(x: np.ndarray) -> np.ndarray:
    """A kernel that is applied mirrored."""
    return KERNEL(x)[:, :, ::-1, ::-1]


def plus_one(x: np.ndarray) -> np.ndarray:
    """The 1 of a style lies in the bias here."""
    return x + np.ones_like(x)


def noise(x: np.ndarray) -> np.ndarray:
    """[1, 1, H, W] as [H, W]."""
    return first(first(x))


def without_gain(x: np.ndarray) -> np.ndarray:
    """A matrix of labels that is used as it is: ours is multiplied by 1 / sqrt(classes) at run time."""
    return DENSE(x) * np.float32(math.sqrt(len(x)))


def layer(theirs: str, ours: str, kernel: Arrange) -> list[Rule]:
    """The rules of a modulated layer."""
    return [
        (rf"{theirs}/weight", rf"{ours}.weight", kernel),
        (rf"{theirs}/bias", rf"{ours}.bias", as_is),
        (rf"{theirs}/noise_strength", rf"{ours}.noise_strength", as_is),
        (rf"{theirs}/mod_weight", rf"{ours}.affine.weight", DENSE),
        (rf"{theirs}/mod_bias", rf"{ours}.affine.bias", plus_one),
    ]


def pair(theirs: str, ours: str, weight: Arrange) -> list[Rule]:
    """The rules of a layer with a weight and a bias."""
    return [(rf"{theirs}/weight", rf"{ours}.weight", weight), (rf"{theirs}/bias", rf"{ours}.bias", as_is)]


SIDE = r"(\d+)x\d+"
GENERATOR_RULES: tuple[Rule, ...] = (
    (r"dlatent_avg", r"mapping.w_avg", as_is),
    (r"mapping/LabelConcat/weight", r"mapping.embed.weight", without_gain),
    *pair(r"mapping/LabelEmbed", r"mapping.embed", DENSE),
    *pair(r"mapping/Dense(\d+)", r"mapping.fc\1", DENSE),
    (r"synthesis/4x4/Const/const", r"synthesis.b4.const", first),
    *layer(r"synthesis/4x4/Conv", r"synthesis.b4.conv1", KERNEL),
    *layer(rf"synthesis/{SIDE}/Conv0_up", r"synthesis.b\1.conv0", mirrored),
    *layer(rf"synthesis/{SIDE}/Conv1", r"synthesis.b\1.conv1", KERNEL),
    *layer(rf"synthesis/{SIDE}/ToRGB", r"synthesis.b\1.torgb", KERNEL),
    (rf"synthesis/{SIDE}/Skip/weight", r"synthesis.b\1.skip.weight", mirrored),
    (r"synthesis/noise(\d+)", r"noise \1", noise),
)
DISCRIMINATOR_RULES: tuple[Rule, ...] = (
    *pair(rf"{SIDE}/FromRGB", r"b\1.fromrgb", KERNEL),
    *pair(rf"{SIDE}/Conv0", r"b\1.conv0", KERNEL),
    *pair(rf"{SIDE}/Conv1_down", r"b\1.conv1", KERNEL),
    (rf"{SIDE}/Skip/weight", r"b\1.skip.weight", KERNEL),
    *pair(r"4x4/Conv", r"b4.conv", KERNEL),
    *pair(r"4x4/Dense0", r"b4.fc", DENSE),
    *pair(r"Output", r"b4.out", DENSE),
    *pair(r"LabelEmbed", r"mapping.embed", DENSE),
    *pair(r"Mapping(\d+)", r"mapping.fc\1", DENSE),
)


def msg_layer(theirs: str, ours: str) -> list[Rule]:
    """The rules of what ends a layer of MSG-StyleGAN's generator."""
    return [
        (rf"{theirs}/Noise/weight", rf"{ours}.noise_weight", as_is),
        (rf"{theirs}/bias", rf"{ours}.bias", as_is),
        *pair(rf"{theirs}/StyleMod", rf"{ours}.style", DENSE),
    ]


MSG_GENERATOR_RULES: tuple[Rule, ...] = (
    (r"dlatent_avg", r"mapping.w_avg", as_is),
    (r"mapping/LabelConcat/weight", r"mapping.label.weight", DENSE),
    *pair(r"mapping/Dense(\d+)", r"mapping.fc\1", DENSE),
    (r"synthesis/4x4/Const/const", r"synthesis.b4.conv0.const", first),
    *msg_layer(r"synthesis/4x4/Const", r"synthesis.b4.conv0"),
    (r"synthesis/4x4/Conv/weight", r"synthesis.b4.conv1.conv.weight", KERNEL),
    *msg_layer(r"synthesis/4x4/Conv", r"synthesis.b4.conv1"),
    (rf"synthesis/{SIDE}/Conv0_up/weight", r"synthesis.b\1.conv0.conv.weight", KERNEL),
    *msg_layer(rf"synthesis/{SIDE}/Conv0_up", r"synthesis.b\1.conv0"),
    (rf"synthesis/{SIDE}/Conv1/weight", r"synthesis.b\1.conv1.conv.weight", KERNEL),
    *msg_layer(rf"synthesis/{SIDE}/Conv1", r"synthesis.b\1.conv1"),
    *pair(r"synthesis/(\d+)x/ToRGB", r"synthesis.b\1.torgb", KERNEL),
    (r"synthesis/(\d+)x/noise(\d)", r"synthesis.b\1.conv\2.noise_const", noise),
)
MSG_DISCRIMINATOR_RULES: tuple[Rule, ...] = (
    *pair(r"FromRGB_lod0", r"fromrgb", KERNEL),
    (rf"{SIDE}/combine/weight", r"b\1.combine.weight", KERNEL),
    *pair(rf"{SIDE}/Conv0", r"b\1.conv0", KERNEL),
    *pair(rf"{SIDE}/Conv1_down", r"b\1.conv1", KERNEL),
    *pair(r"4x4/Conv", r"b4.conv", KERNEL),
    *pair(r"4x4/Dense0", r"b4.fc", DENSE),
    *pair(r"4x4/Dense1", r"b4.out", DENSE),
)


def noise_name(number: int) -> str:
    """noise0 belongs to 4x4's only layer, noise 2n - 5 and 2n - 4 to the two layers of 2^n x 2^n."""
    if number == 0:
        return "synthesis.b4.conv1.noise_const"
    return f"synthesis.b{2 ** ((number + 5) // 2)}.conv{1 - number % 2}.noise_const"


def renamed(name: str, rules: Sequence[Rule]) -> tuple[str, Arrange] | None:
    """Our name of a variable, and how to arrange it; None when no rule knows it."""
    for pattern, ours, arrange in rules:
        match = re.fullmatch(pattern, name)
        if match:
            new = match.expand(ours)
            return (noise_name(int(new.split()[1])) if new.startswith("noise ") else new), arrange
    return None


def translate(variables: Mapping[str, Any], rules: Sequence[Rule], what: str, keep: bool = False) -> dict[str, Tensor]:
    """`variables` as tensors under our names; `keep` leaves names and arrangement as they are.

    Raises `InputError` naming the variables that no rule knows.
    """
    found: dict[str, Tensor] = {}
    unknown = [printable(name) for name in variables if not keep and renamed(name, rules) is None]
    if unknown:
        raise InputError(f"{what} has {len(unknown)} variables that are not known: {', '.join(unknown[:5])}")
    for name, value in variables.items():
        own = own_tensor(value, f"{what}'s {printable(name)}")
        ours, arrange = (None if keep else renamed(name, rules)) or (name, as_is)
        # The copy makes a transposed or mirrored array one that a tensor can be of.
        found[ours] = torch.from_numpy(np.array(arrange(own.numpy()), order="C"))
    if "mapping.embed.weight" in found and "mapping/LabelConcat/weight" in variables:
        found["mapping.embed.bias"] = torch.zeros(len(found["mapping.embed.weight"]))
    return found
