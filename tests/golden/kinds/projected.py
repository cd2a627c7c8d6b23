"""Golden Projected GAN: FastGAN generators, and the pieces of the projected discriminator and of DiffAugment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from golden.check import Check, compare, failure
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.networks import labels, load_state, taken
from golden.tolerances import TRAINING_MODE, network_tolerance

CONFIGS = {"fastgan": False, "fastgan_lite": True}


def generator_options(init_kwargs: Any) -> dict[str, Any]:
    """The recorded constructor arguments as those of this package's generator; w_dim has no meaning there either."""
    fields = Fields(init_kwargs, "init_kwargs")
    sizes = fields.take_given("z_dim", "c_dim", "img_resolution", "img_channels", "ngf")
    cond = bool(fields.take("cond", 0))
    fields.take("w_dim", 0)
    synthesis = taken(fields.take("synthesis_kwargs", {}), ("lite", "num_classes"), "synthesis_kwargs")
    fields.finish()
    if not cond:
        sizes["c_dim"] = 0
    return {"z_dim": 256, "ngf": 128, **sizes, **synthesis}


def run_generator(document: Document) -> Iterator[Check]:
    """Images with the recorded noise, in evaluation and in training mode, and the buffers after the latter."""
    from openstylegan.networks import GENERATORS

    options = document.options()
    own = generator_options(options.take("init_kwargs"))
    config = options.take("cfg", None)
    if config is not None and CONFIGS.get(config) is not own.get("lite", False):
        raise NotUnderstood(f"cfg is {config!r}, lite {own.get('lite')}")
    options.finish()
    rows = [value.shape[0] for name, value in document.group("state/").items() if name == "synthesis.embed.weight"]
    if rows and own.setdefault("num_classes", rows[0]) != rows[0]:
        raise NotUnderstood(f"num_classes is {own['num_classes']}, but the embedding has {rows[0]} rows")
    network = GENERATORS["fastgan"](**own).to(document.device)
    load_state(network, document, "state/")
    shapes = document.description.take("state_keys", None)
    if shapes is not None and shapes != {name: list(value.shape) for name, value in network.state_dict().items()}:
        yield failure("state", "", "other names or shapes of tensors than recorded")
    network.eval().requires_grad_(False)
    z = document.tensor("in/z")
    ws = network.mapping(z, labels(document, len(z), own["c_dim"]))
    noises = [document.tensor(name) for name in sorted(document.names("in/noise"))]
    yield compare(document, "", "out/img", network.synthesis.run(ws, list(noises)), network_tolerance(document.device))
    if document.has("out/img_train_mode"):
        image = network.train().synthesis.run(ws, list(noises))
        yield compare(document, "", "out/img_train_mode", image, TRAINING_MODE)
    state = network.state_dict()
    for name in document.names("out/buffers_after_train_forward/"):
        yield compare(document, "", name, state[name.rsplit("/", 1)[1]], TRAINING_MODE)


def num_blocks(state: dict[str, Tensor], has_head: bool) -> int:
    """How many blocks a small discriminator's state has."""
    return len({name.split(".")[1] for name in state if name.startswith("main.")}) - has_head


def small_discriminator(fields: Fields, state: dict[str, Tensor]) -> nn.Module:
    """A small discriminator; what the case does not say of its size, its state shows."""
    from openstylegan.networks.projected_layers import ConditionalDiscriminator, SingleDiscriminator

    conditional = "embed.weight" in state
    options = fields.take_given("separable", "patch")
    end = fields.take("end_sz", 8)
    start = end << num_blocks(state, not conditional)
    if fields.take("start_sz", start) != start:
        raise NotUnderstood(f"start_sz does not fit a state of {num_blocks(state, not conditional)} blocks")
    options |= {"in_channels": fields.take("nc"), "width": fields.take("ndf", None), "start": start, "end": end}
    if not conditional:
        return SingleDiscriminator(**options)
    options |= {"c_dim": fields.take("c_dim"), "num_classes": state["embed.weight"].shape[0]}
    options |= {"cmap_dim": fields.take("cmap_dim", 64), "embedding_dim": fields.take("embedding_dim", 128)}
    return ConditionalDiscriminator(**options)


def unit(kind: str, fields: Fields, state: dict[str, Tensor]) -> nn.Module:
    """A piece by its class in the original."""
    from openstylegan.networks import fastgan_layers, projected_layers

    if kind in ("SingleDisc", "SingleDiscCond"):
        return small_discriminator(fields, state)
    if kind == "FeatureFusionBlock":
        return projected_layers.FeatureFusion(fields.take("features"), fields.take("expand", False))
    fields.take("which_linear", None)
    made: dict[str, Callable[..., nn.Module]] = {
        "SEBlock": fastgan_layers.SkipExcitation,
        "CCBN": fastgan_layers.ConditionalBatchNorm,
        "Sequential": lambda i, o: fastgan_layers.UpBlock(i, o, 1),
        "UpBlockSmallCond": fastgan_layers.ConditionalUpBlock,
        "InitLayer": lambda z_dim, channels, side=4: fastgan_layers.InitLayer(z_dim, channels),
        "GLU": fastgan_layers.GLU,
        "Swish": nn.SiLU,
        "SeparableConv2d": lambda i, o, kernel=3: projected_layers.SeparableConv2d(i, o),
        "DownBlockPatch": projected_layers.DownBlockPatch,
        "DownBlock": projected_layers.DownBlock,
    }
    if kind not in made:
        raise NotUnderstood(f"cls is {kind!r}; known are {', '.join(made)}")
    return made[kind](*fields.take("args", []), **fields.take_given("separable"))


def called(piece: nn.Module, inputs: list[Tensor]) -> Tensor:
    """What a piece gives for its recorded inputs."""
    from openstylegan.networks.fastgan_layers import ConditionalUpBlock, InitLayer, UpBlock

    if isinstance(piece, InitLayer):
        return piece(inputs[0].flatten(1))
    return piece(*(*inputs, None)[:2], []) if isinstance(piece, UpBlock | ConditionalUpBlock) else piece(*inputs)


def run_units(document: Document) -> Iterator[Check]:
    """Every piece in evaluation mode, and in training mode where that was recorded."""
    document.options().finish()
    for key, fields in document.cases():
        state = document.group(f"{key}/state/")
        piece = unit(fields.take("cls"), fields, state).to(document.device)
        fields.finish()
        load_state(piece, document, f"{key}/state/")
        piece.eval().requires_grad_(False)
        inputs = [document.tensor(f"{key}/in{n}") for n in range(max(1, len(document.names(f"{key}/in"))))]
        yield compare(document, key, f"{key}/y", called(piece, inputs), network_tolerance(document.device))
        if document.has(f"{key}/y_train_mode"):
            yield compare(document, key, f"{key}/y_train_mode", called(piece.train(), inputs), TRAINING_MODE)
    if document.has("diffaug/in"):
        yield from check_diffaugment(document)


def check_diffaugment(document: Document) -> Iterator[Check]:
    """Each function of DiffAugment on the recorded draws."""
    from openstylegan.augment import diffaugment

    x = document.tensor("diffaug/in")
    for name in sorted({re.split("/", n)[1] for n in document.names("diffaug/")} - {"in"}):
        function = getattr(diffaugment, name, None)
        if function is None:
            raise NotUnderstood(f"diffaug/{name}: no such function")
        key = f"diffaug/{name}"
        if document.has(f"{key}/rand"):
            y = function(x, document.tensor(f"{key}/rand"))
        else:
            y = function(x, *(torch.as_tensor(document.take(f"{key}/randint{k}")).flatten() for k in range(2)))
        yield compare(document, key, f"{key}/out", y, network_tolerance(document.device))
