"""The networks of Projected GAN (arXiv 2111.01007) in its pickles: their options, seen from the names and shapes of
their tensors, for their classes store no constructor call.

Differs from Projected GAN: a projected discriminator whose frozen network is not EfficientNet-Lite0, or that has
several, is described and not built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.features.efficientnet_trunk import EfficientNetTrunk
from openstylegan.interop.contents import describe
from openstylegan.interop.modules import ModuleRecord, tensors_of
from openstylegan.networks.outline import WithoutInitialWeights
from openstylegan.networks.projected import BACKBONES, STRIDES
from openstylegan.networks.projected_layers import END, WIDTHS

Shapes = Mapping[str, tuple[int, ...]]
FEATURES, HEADS = "feature_network.pretrained.", "discriminator.mini_discs."
CMAP_DIM, EMBEDDING_DIM = 64, 128
BACKBONE = "efficientnet-lite0"


class NotBuiltHere(InputError):
    """A network that is known and cannot be built; the message says what of it is not there."""


def fastgan_options(record: ModuleRecord) -> dict[str, Any]:
    """Options of a FastGAN generator but for its sizes; without embedded classes it is unconditional."""
    shapes = shapes_of(tensors_of(record)[0])
    first = shapes.get("synthesis.init.init.0.weight_orig", ())
    if len(first) != 4:
        raise InputError(f"expected a first layer in {record.says}, got none; is the file damaged?")
    second_layers = {"synthesis.feat_8.5.weight_orig", "synthesis.feat_8.conv2.weight_orig"}
    found = {"ngf": first[1] // 32, "lite": not second_layers & shapes.keys()}
    classes = shapes.get("synthesis.embed.weight")
    return {**found, "c_dim": 0} if classes is None else {**found, "num_classes": classes[0]}


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def projected_tensors(record: ModuleRecord) -> tuple[dict[str, Tensor], frozenset[str]]:
    """The tensors of a projected discriminator under our names, and which of them are buffers.

    Where the library of its features had no separate activation after the first convolution, its blocks are counted
    from 2 instead of from 3.
    """
    tensors, buffers = tensors_of(record)
    if f"{FEATURES}layer0.2.0.conv_dw.weight" not in tensors:
        return tensors, buffers
    later = re.compile(r"(?<=pretrained\.layer0\.)[23](?=\.)")
    names = {name: later.sub(lambda number: str(int(number[0]) + 1), name) for name in tensors}
    return {names[name]: tensor for name, tensor in tensors.items()}, frozenset(names[name] for name in buffers)


def projected_options(record: ModuleRecord) -> dict[str, Any]:
    """Options of a projected discriminator but for its sizes. Raises `NotBuiltHere`."""
    shapes = shapes_of(projected_tensors(record)[0])
    check_features(shapes)
    heads = sorted({name[len(HEADS) :].split(".")[0] for name in shapes if name.startswith(HEADS)})
    if heads != [str(n) for n in range(len(heads))] or not 1 <= len(heads) <= len(STRIDES):
        raise NotBuiltHere(f"it has {len(heads)} small discriminators, here there are 1 to {len(STRIDES)}")
    options = {"backbone": BACKBONE, "num_discs": len(heads), **mixing(shapes), **head_options(shapes)}
    enlarges = record.state.get("interp224")
    if not isinstance(enlarges, bool):
        raise NotBuiltHere(f"it does not say whether pictures are enlarged (interp224 is {describe(enlarges)})")
    return {**options, "interp224": enlarges}


def check_features(shapes: Shapes) -> None:
    """Raises `NotBuiltHere` unless the frozen network is the one that can be built."""
    found = {name[len(FEATURES) :]: shape for name, shape in shapes.items() if name.startswith(FEATURES)}
    if any(name.startswith("feature_networks.") for name in shapes):
        raise NotBuiltHere("it looks through several feature networks (StyleGAN-XL); here there is one")
    with WithoutInitialWeights():
        expected = shapes_of(EfficientNetTrunk().state_dict())
    if found != expected:
        wrong = min(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise NotBuiltHere(
            f"its feature network is not EfficientNet-Lite0 ({wrong} differs); known are {', '.join(BACKBONES)}"
        )


def mixing(shapes: Shapes) -> dict[str, Any]:
    """proj_type, cout and expand."""
    widths = [shapes.get(f"feature_network.scratch.layer{n}_ccm.weight", (0,))[0] for n in range(len(STRIDES))]
    if not any(widths):
        return {"proj_type": 0}
    expand = widths == [widths[0] << n for n in range(len(widths))]
    if not expand and len(set(widths)) > 1:
        raise NotBuiltHere(f"its feature maps are mixed to {widths} channels, here they double or stay")
    across_scales = "feature_network.scratch.layer0_csm.out_conv.weight" in shapes
    return {"proj_type": 2 if across_scales else 1, "cout": widths[0], "expand": expand}


def head_options(shapes: Shapes) -> dict[str, Any]:
    """What kind the small discriminators are, how wide, and for how many classes."""
    own = {name[len(HEADS) + 2 :]: shape for name, shape in shapes.items() if name.startswith(f"{HEADS}0.")}
    separable = any(".depthwise." in name for name in own)
    patch = "main.0.main.0.main.0.weight_orig" in own or "main.0.main.0.main.0.depthwise.weight_orig" in own
    found: dict[str, Any] = {"separable": separable, "patch": patch, "width": width_of(own)}
    classes = own.get("embed.weight")
    if classes is None:
        return {**found, "c_dim": 0}
    if (classes[1], own.get("cls.weight_orig", (0,))[0]) != (EMBEDDING_DIM, CMAP_DIM):
        raise NotBuiltHere(f"its classes are embedded in {classes[1]} numbers, here in {EMBEDDING_DIM}")
    return {**found, "num_classes": classes[0]}


def width_of(own: Shapes) -> int | None:
    """The width of all blocks of the small discriminators, None for the paper's widths, which depend on the level."""
    last = own.get("cls.weight_orig") or max(
        (shape for name, shape in own.items() if name.endswith("weight_orig") and shape[0] == 1), default=(0, 0)
    )
    return None if last[1] == WIDTHS[END] else last[1]
