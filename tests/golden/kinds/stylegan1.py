"""Golden StyleGAN1 (style-based-gan-pytorch): networks at several levels, their layers, names of full networks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from golden.check import Check, compare, failure
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.networks import load_state
from golden.tolerances import network_tolerance

EXTRA_GENERATOR = {"mapping.w_avg", "synthesis.growth.lod"}
EXTRA_DISCRIMINATOR = {"growth.lod"}
OUTPUT = re.compile(r"out/(img|logits)_step(\d+)_alpha(-?[\d.]+)")
TRUNCATED = re.compile(r"out/img_(?:top|step(\d+))_truncated_sw([\d.]+)")
MIXED = re.compile(r"out/img_(?:top|step(\d+))_mixing_range_(\d+)_(\d+)")


def looks_like_networks(document: Document) -> bool:
    """Two networks and their pictures and logits."""
    return document.has("state_generator/generator.progression.0.conv1.input")


def fused_from(fused: list[bool]) -> int:
    """The resolution from which blocks are fused, from whether each level's is; beyond all where none is."""
    num = len(fused) - sum(fused)
    if fused != [False] * num + [True] * sum(fused):
        raise NotUnderstood(f"fused levels are {fused}")
    return 4 << num


def with_own(state: dict[str, Tensor], network: nn.Module, extra: set[str]) -> dict[str, Tensor]:
    """The recorded tensors, and those that only our network has. Raises `NotUnderstood` when they do not fit."""
    own = network.state_dict()
    full = {**state, **{name: own[name] for name in extra}}
    ours, theirs = ({n: tuple(t.shape) for n, t in tensors.items()} for tensors in (own, full))
    if ours != theirs:
        differing = sorted(n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n))
        raise NotUnderstood(
            f"weights: {differing[0]} is {ours.get(differing[0])} here, {theirs.get(differing[0])} there"
        )
    return full


def make_generator(document: Document, fields: dict[str, Any]) -> Any:
    """The recorded generator; sizes that the options do not say are those of its tensors."""
    from openstylegan.networks import GENERATORS

    state = document.group("state_generator/")
    first = "style.1.linear.weight_orig"
    num = len(fields["channels"])
    network = GENERATORS["stylegan1"](
        z_dim=state[first].shape[1],
        w_dim=state[first].shape[0],
        img_resolution=4 << (num - 1),
        img_channels=state["generator.to_rgb.0.conv.bias"].shape[0],
        num_layers=fields["n_mlp"],
        channels=fields["channels"],
        fused_resolution=fused_from([f"generator.progression.{k}.conv1.0.weight" in state for k in range(num)]),
    ).to(document.device)
    network.load_state_dict(with_own(state, network, EXTRA_GENERATOR))
    return network.eval().requires_grad_(False)


def counted_to_base(name: str, num_levels: int) -> str:
    """The name of a discriminator's tensor such that the number of the last of `num_levels` blocks is 8."""
    part, number, rest = (*name.split(".", 2), "")[:3]
    return f"{part}.{int(number) + 9 - num_levels}.{rest}" if part in ("progression", "from_rgb") else name


def make_discriminator(document: Document, channels: list[int]) -> Any:
    """The recorded discriminator; its blocks count from the top, ours as in the full network."""
    from openstylegan.networks import DISCRIMINATORS

    recorded, num = document.group("state_discriminator/"), len(channels)
    state = {counted_to_base(name, num): tensor for name, tensor in recorded.items()}
    activate = "from_rgb.8.0.conv.bias" in state
    network = DISCRIMINATORS["stylegan1"](
        img_resolution=4 << (num - 1),
        img_channels=state[f"from_rgb.8.{'0.' if activate else ''}conv.weight_orig"].shape[1],
        channels=channels,
        fused_resolution=fused_from([f"progression.{8 - k}.conv2.1.weight" in state for k in range(num)]),
        from_rgb_activate=activate,
    ).to(document.device)
    network.load_state_dict(with_own(state, network, EXTRA_DISCRIMINATOR))
    return network.eval().requires_grad_(False)


def set_level(network: Any, step: int, alpha: float) -> None:
    """The lod of a recorded step and alpha (-1: no fade). Below the first step is nothing that could fade out."""
    from openstylegan.networks.growing import lod_of

    network.set_lod(lod_of(network.max_lod - step, 1.0 if alpha < 0 or step == 0 else alpha))


def run_networks(document: Document) -> Iterator[Check]:
    """The style, pictures and logits by level and alpha, truncated and mixed pictures, the mean style."""
    options = document.options()
    fields = {name: options.take(name) for name in ("channels", "n_mlp")}
    for name in ("style_dim", "generator_fused_levels", "discriminator_fused_levels", "from_rgb_activate"):
        options.take(name, None)
    options.finish()
    G, D = make_generator(document, fields), make_discriminator(document, fields["channels"])
    options.expect("style_dim", G.w_dim)
    tolerance = network_tolerance(document.device)
    mixed = any(MIXED.fullmatch(name) for name in document.names("out/"))
    ws = {name: G.mapping(document.tensor(f"in/{name}")) for name in ("z", *["z2"] * mixed)}
    noises = [document.tensor(f"in/noise{k}") for k in range(G.max_lod + 1)]
    for name in document.names("out/"):
        yield compare(document, "", name, output(document, name, (G, D), ws, noises), tolerance)
    document.used |= set(document.names("in/dimg_step"))  # there may be pictures for levels of which no logits are kept


def output(document: Document, name: str, networks: tuple[Any, Any], ws: dict[str, Tensor], noises: Any) -> Tensor:
    """What ours gives for the output `name`."""
    G, D = networks
    if name == "out/style":
        return ws["z"][:, 0]
    if name == "out/mean_style_of_z":
        return G.mapping.mean_style(document.tensor("in/z"))
    if match := OUTPUT.fullmatch(name):
        what, step, alpha = match[1], int(match[2]), float(match[3])
        for network in networks:
            set_level(network, step, alpha)
        return G.synthesis.run(ws["z"], noises) if what == "img" else D(document.tensor(f"in/dimg_step{step}"))
    match = TRUNCATED.fullmatch(name) or MIXED.fullmatch(name)
    if match is None:
        raise NotUnderstood(f"no rule for array {name!r}")
    set_level(G, G.max_lod if match[1] is None else int(match[1]), -1)
    if MIXED.fullmatch(name):
        mixed = ws["z"].clone()
        mixed[:, int(match[2]) : int(match[3]) + 1] = ws["z2"][:, int(match[2]) : int(match[3]) + 1]
        return G.synthesis.run(mixed, noises)
    G.mapping.w_avg.copy_(document.tensor("in/mean_style")[0])
    return G.synthesis.run(G.mapping(document.tensor("in/z"), truncation_psi=float(match[2])), noises)


def looks_like_units(document: Document) -> bool:
    """Layers, one by one."""
    return document.has("pixelnorm/in0") or any(n.endswith("/state/adain1.style.linear.bias") for n in document.arrays)


def unit(fields: Fields, state: dict[str, Tensor]) -> nn.Module:
    """A layer by its class in the original."""
    from openstylegan.networks import stylegan1_layers as ours
    from openstylegan.networks.layers import MinibatchStddev

    kind, args, padding = fields.take("cls"), fields.take("args", []), fields.take("padding", 0)
    made: dict[str, Callable[[], nn.Module]] = {
        "PixelNorm": ours.PixelNorm,
        "EqualLinear": lambda: ours.EqualLinear(*args),
        "EqualConv2d": lambda: ours.EqualConv2d(*args, padding=padding),
        "Blur": lambda: ours.Blur(*args),
        "FusedUpsample": lambda: ours.FusedUpsample(*resampled(args, padding)),
        "FusedDownsample": lambda: ours.FusedDownsample(*resampled(args, padding)),
        "NoiseInjection": lambda: ours.NoiseInjection(*args),
        "AdaptiveInstanceNorm": lambda: ours.AdaptiveInstanceNorm(*args),
        "StyledConvBlock": lambda: styled(fields, args, state),
        "ConvBlock": lambda: down(fields, args),
        "Identity": lambda: MinibatchStddev(None),
    }
    if kind not in made:
        raise NotUnderstood(f"cls is {kind!r}; known are {', '.join(made)}")
    return made[kind]()


def resampled(args: list[int], padding: int) -> list[int]:
    """Channels of a layer that resamples with a 3x3 kernel."""
    if args[2:] != [3] or padding != 1:
        raise NotUnderstood(f"a fused layer with kernel {args[2:]} and padding {padding}")
    return args[:2]


def styled(fields: Fields, args: list[int], state: dict[str, Tensor]) -> nn.Module:
    """A block of the generator."""
    from openstylegan.networks.stylegan1_layers import StyledBlock

    initial, upsample = fields.take("initial", False), fields.take("upsample", False)
    if args[2:] not in ([], [3], [3, 1]) or not (initial or upsample):
        raise NotUnderstood(
            f"a styled block with kernel and padding {args[2:]}, initial {initial}, upsample {upsample}"
        )
    start = tuple(state["conv1.input"].shape[2:]) if initial else None
    return StyledBlock(args[0], args[1], fields.take("style_dim", 512), fields.take("fused", False), start)


def down(fields: Fields, args: list[int]) -> nn.Module:
    """A block of the discriminator; without `downsample` it is the last."""
    from openstylegan.networks.stylegan1_layers import DownBlock, LastBlock

    fused = fields.take("fused", False)
    if fields.take("downsample", False) and args[2:] == [3, 1]:
        return DownBlock(args[0], args[1], fused)
    if args[2:4] != [3, 1] or args[5:] != [0]:
        raise NotUnderstood(f"a block with kernels and paddings {args[2:]}")
    return LastBlock(args[0], args[1], (args[4], args[4]))


def called(piece: nn.Module, inputs: list[Tensor]) -> Tensor:
    """What a layer gives; the first block's first input is the noise, which comes last here."""
    from openstylegan.networks.stylegan1_layers import StyledBlock

    if isinstance(piece, StyledBlock):
        x, w, noise = inputs
        return piece(None, w, x) if piece.is_first else piece(x, w, noise)
    return piece(*inputs)


def run_units(document: Document) -> Iterator[Check]:
    """Every layer, and the gradient with respect to its first input."""
    document.options().finish()
    tolerance = network_tolerance(document.device)
    for key, fields in document.cases():
        piece = unit(fields, document.group(f"{key}/state/")).to(document.device)
        load_state(piece, document, f"{key}/state/")
        inputs = [document.tensor(f"{key}/in{n}") for n in range(max(1, len(document.names(f"{key}/in"))))]
        inputs[0].requires_grad_()
        y = called(piece, inputs)
        yield compare(document, key, f"{key}/y", y, tolerance)
        (gradient,) = torch.autograd.grad((y * document.tensor(f"{key}/gy")).sum(), inputs[0])
        yield compare(document, key, f"{key}/gx", gradient, tolerance)


def looks_like_names(document: Document) -> bool:
    """Names and shapes of whole networks."""
    generator = document.meta.get("generator")
    return isinstance(generator, dict) and "generator.progression.0.conv1.input" in generator


def run_names(document: Document) -> Iterator[Check]:
    """Our full networks have exactly these tensors, and those that the notes say are used at a level."""
    from openstylegan.networks.outline import WithoutInitialWeights
    from openstylegan.networks.stylegan1 import StyleGAN1Generator
    from openstylegan.networks.stylegan1_discriminator import StyleGAN1Discriminator

    take = document.description.take
    layout = json.dumps(take("checkpoint_layout", None))
    if "g_running" not in layout:
        raise NotUnderstood(f"checkpoint_layout: {layout[:60]}")
    with WithoutInitialWeights():
        G, plain = StyleGAN1Generator(), StyleGAN1Discriminator(from_rgb_activate=False)
        activated = StyleGAN1Discriminator()
    yield same_names("generator", G, take("generator"), EXTRA_GENERATOR)
    yield same_names("discriminator", plain, take("discriminator"), EXTRA_DISCRIMINATOR)
    yield same_names("activated", activated, take("discriminator_from_rgb_activate"), EXTRA_DISCRIMINATOR)
    for name in [n for n in document.meta if n.startswith("generator_keys_used_at_step")]:
        used = used_at(G, int(name.rsplit("step", 1)[1]))
        yield Check(name, "") if used == set(take(name)) else failure(name, "", "other tensors than recorded")


def same_names(case: str, network: nn.Module, recorded: dict[str, list[int]], extra: set[str]) -> Check:
    """Whether `network` has the recorded names and shapes and, beside them, `extra`."""
    ours = {name: list(tensor.shape) for name, tensor in network.state_dict().items() if name not in extra}
    wrong = sorted(n for n in ours.keys() | recorded.keys() if ours.get(n) != recorded.get(n))
    return failure(case, "", f"{len(wrong)} differ, such as {wrong[0]}") if wrong else Check(case, "")


def used_at(G: Any, step: int) -> set[str]:
    """Names of the tensors that a picture of a level that fades in depends on."""
    levels = [f"generator.progression.{k}." for k in range(step + 1)]
    levels += [f"generator.to_rgb.{k}." for k in (step - 1, step)]
    return {name for name in G.state_dict() if name.startswith(("style.", *levels))}
