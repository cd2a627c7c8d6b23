"""Checkpoints of style-based-gan-pytorch, rosinality's StyleGAN1: `g_running`, `generator`, `discriminator`, or the
first alone.

Paper: StyleGAN (arXiv 1812.04948). Our networks keep its names, so tensors go over as they are; a discriminator's
blocks count from the top there and from the base here, the same at 1024 px. A file does not say how far it had grown:
the number in `train_step-N.model`, which ends step N - 1, is taken where there is one, else full size. It holds no mean
of w: w_avg is that of 10,240 latents, as its generating script estimates it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.config import Component, from_dict
from openstylegan.errors import InputError
from openstylegan.files import atomic_path
from openstylegan.interop.contents import Contents, StoredNetwork, describe
from openstylegan.interop.rosinality import count, network_tensors, own_description, width
from openstylegan.networks.stylegan1 import CHANNEL_BASE, CHANNEL_MAX, MAX_LEVEL
from openstylegan.registry import build
from openstylegan.snapshot import TABLES, Networks, rebuild

SOURCE = "rosinality-stylegan1"
ENTRIES = {"G_ema": "g_running", "G": "generator", "D": "discriminator"}
OURS = "openstylegan"
FIRST = "generator.progression.0.conv1.input"
W_AVG, LOD = "mapping.w_avg", {"G": "synthesis.growth.lod", "D": "growth.lod"}
W_AVG_SAMPLES = 10_240
MOST_LAYERS = 64
NAMED = re.compile(r"train_step-(\d+)")


def looks_like(value: Any) -> bool:
    """Whether the content of a file is a table with such a generator, or the tensors of one."""
    return isinstance(value, dict) and any(isinstance(t, dict) and FIRST in t for t in (value, *value.values()))


def read(value: Mapping[str, Any], path: Path) -> Contents:
    """The networks and everything else of such a file. Raises `InputError`."""
    entries = {"g_running": value} if FIRST in value else value
    found = Contents(SOURCE, "networks of rosinality's StyleGAN1", path, {})
    described, extra = own_description(entries.get(OURS))
    own = entries.get(OURS)
    kept: Any = own.get("buffers") if isinstance(own, Mapping) else None
    for name, entry in ENTRIES.items():
        if entries.get(entry) is not None:
            what, part = f"{path.name}'s {entry}", "D" if name == "D" else "G"
            tensors = network_tensors(entries[entry], what)
            found.networks[name] = (discriminator if part == "D" else generator)(tensors, described.get(part), what)
            if isinstance(kept, Mapping):
                found.networks[name].tensors |= network_tensors(kept.get(name, {}), what)
    if not isinstance(kept, Mapping):
        estimate(found)
    found.about.update(extra.get("about", {}))
    known = (*ENTRIES.values(), OURS)
    found.unread.update({str(key): describe(entry) for key, entry in entries.items() if key not in known})
    return found


def estimate(found: Contents) -> None:
    """Gives networks what their file does not say: the mean of w, and how far they have grown."""
    named = NAMED.match(found.path.name)
    for name, stored in found.networks.items():
        if name != "D":
            G = rebuild("G", stored.component, stored.tensors, "the generator")
            z = torch.from_numpy(np.random.RandomState(0).randn(W_AVG_SAMPLES, G.z_dim)).float()
            stored.tensors[W_AVG] = G.mapping.mean_style(z)[0]
        if named:
            top = len(stored.component.options["channels"]) - 1
            stored.tensors[LOD["D" if name == "D" else "G"]].fill_(float(max(top - int(named[1]) + 1, 0)))
    found.about["w_avg"] = f"the mean of {W_AVG_SAMPLES} mapped latents (the file has none)"
    found.about["lod"] = "from the file's name" if named else "full size (the file does not say)"


def generator(tensors: dict[str, Tensor], known: Component | None, what: str) -> StoredNetwork:
    """A generator as ours; its w_avg and lod are 0."""
    num = count(tensors, "generator.to_rgb.%d.conv.weight_orig", 0, MAX_LEVEL + 1, what)
    layers = [n for n in range(MOST_LAYERS) if f"style.{2 * n + 1}.linear.weight_orig" in tensors]
    fused = [k for k in range(num) if f"generator.progression.{k}.conv1.0.weight" in tensors]
    first = "style.1.linear.weight_orig"
    options: dict[str, Any] = {
        "z_dim": width(tensors, first, 1, what),
        "c_dim": 0,
        "w_dim": width(tensors, first, 0, what),
        "img_resolution": 2 << num,
        "img_channels": width(tensors, "generator.to_rgb.0.conv.weight_orig", 0, what),
        "num_layers": len(layers),
        "channels": [width(tensors, f"generator.to_rgb.{k}.conv.weight_orig", 1, what) for k in range(num)],
        "fused_resolution": 4 << min(fused, default=MAX_LEVEL + 1),
    }
    component = level_list(known or Component("stylegan1", options), options["channels"])
    extra = {W_AVG: torch.zeros(options["w_dim"]), LOD["G"]: torch.zeros([], dtype=torch.float64)}
    full = tensors if known is None else only_levels(tensors, "G", len(component.options["channels"]))
    return StoredNetwork("a StyleGAN1 generator", component, {**full, **extra})


def level_list(component: Component, channels: list[int]) -> Component:
    """`component` with its widths as a list, whatever form they had."""
    options = {name: v for name, v in component.options.items() if name not in ("channel_base", "channel_max")}
    own = options.get("channels") or channels[: (int(options["img_resolution"]) // 2).bit_length() - 1]
    return Component(component.name, {**options, "channels": list(own)})


def only_levels(tensors: dict[str, Tensor], part: str, num: int) -> dict[str, Tensor]:
    """The tensors of the `num` lowest levels and of what has none."""
    return {name: tensor for name, tensor in tensors.items() if (level_of(name, part) or 0) < num}


def level_of(name: str, part: str) -> int | None:
    """The level that a tensor of a full network belongs to."""
    match = re.match(r"(?:generator\.)?(?:progression|to_rgb|from_rgb)\.(\d+)\.", name)
    if match is None:
        return None
    return int(match[1]) if part == "G" else MAX_LEVEL - int(match[1])


def discriminator(tensors: dict[str, Tensor], known: Component | None, what: str) -> StoredNetwork:
    """A discriminator as ours; its lod is 0. The last block is that of the base, whatever its number."""
    numbers = sorted({int(m[1]) for name in tensors if (m := re.match(r"from_rgb\.(\d{1,2})\.", name))})
    if not numbers or len(numbers) > MAX_LEVEL + 1 or numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise InputError(f"expected from_rgb.0, from_rgb.1, ... in {what}, got {numbers}; is it damaged?")
    shift, num = MAX_LEVEL - numbers[-1], len(numbers)
    renamed = {
        re.sub(r"^(progression|from_rgb)\.(\d+)", lambda m: f"{m[1]}.{int(m[2]) + shift}", name): tensor
        for name, tensor in tensors.items()
    }
    activated = f"from_rgb.{MAX_LEVEL}.0.conv.weight_orig" in renamed
    layer = "from_rgb.{}.0.conv.weight_orig" if activated else "from_rgb.{}.conv.weight_orig"
    widths = [width(renamed, layer.format(MAX_LEVEL - k), 0, what) for k in range(num)]
    fused = [k for k in range(num) if f"progression.{MAX_LEVEL - k}.conv2.1.weight" in renamed]
    options: dict[str, Any] = {
        "c_dim": 0,
        "img_resolution": 2 << num,
        "img_channels": width(renamed, layer.format(MAX_LEVEL), 1, what),
        "channels": widths,
        "fused_resolution": 4 << min(fused, default=MAX_LEVEL + 1),
        "from_rgb_activate": activated,
    }
    component = level_list(known or Component("stylegan1", options), widths)
    full = renamed if known is None else only_levels(renamed, "D", len(component.options["channels"]))
    return StoredNetwork(
        "a StyleGAN1 discriminator", component, {**full, LOD["D"]: torch.zeros([], dtype=torch.float64)}
    )


def write(networks: Networks, path: Path) -> list[str]:
    """Writes `networks` in this layout; returns remarks. Raises `InputError` for what the layout cannot hold.

    The layout's program knows networks of 1024 px only: of smaller ones, the levels above are written as they would
    begin, where the widths are those of that program.
    """
    described = networks.about["networks"]
    content: dict[str, Any] = {}
    buffers: dict[str, dict[str, Tensor]] = {}
    filled = True
    for name, entry in ENTRIES.items():
        module = getattr(networks, name)
        if module is None:
            continue
        part = "D" if name == "D" else "G"
        component = from_dict(Component, described[part])
        check_expressible(component, name)
        state = {key: tensor.detach().clone() for key, tensor in module.state_dict().items()}
        extra = {LOD[part], *([W_AVG] if part == "G" else [])}
        buffers[name] = {key: state.pop(key) for key in extra}
        levels = upper_levels(part, component)
        filled = filled and levels is not None
        content[entry] = {**{k: t for k, t in (levels or {}).items() if k not in extra}, **state}
    about = {key: value for key, value in networks.about.items() if key not in ("networks", "unread")}
    content[OURS] = {"description": json.dumps({"networks": described, "about": about}), "buffers": buffers}
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return remarks(filled, networks)


def upper_levels(part: str, component: Component) -> dict[str, Tensor] | None:
    """The tensors of a new network of 1024 px, or None where the widths are not those of the layout's program."""
    network = build(TABLES[part][0], component.name, component.options, "network")
    plan = network.plan if part == "D" else network.synthesis.plan
    widths = [min(CHANNEL_BASE // r, CHANNEL_MAX) for r in plan.nominals]
    of_rgb = [t for n, t in network.state_dict().items() if re.search(r"(to|from)_rgb.*weight_orig", n)]
    if sorted(t.shape[part == "G"] for t in of_rgb) != sorted(widths):
        return None
    own = ("channels", "channel_base", "channel_max", "img_resolution")
    options = {name: value for name, value in component.options.items() if name not in own}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(TABLES[part][0], component.name, {**options, "img_resolution": 1024}, "network").state_dict()


def check_expressible(component: Component, name: str) -> None:
    """Raises `InputError` naming the first option that the layout has no place for."""
    options = component.options
    side = options.get("img_resolution", 1024)
    needed = {
        "the network": (component.name, "stylegan1"),
        "c_dim": (options.get("c_dim", 0), 0),
        "img_channels": (options.get("img_channels", 3), 3),
        "img_resolution": (isinstance(side, int) and side >= 8 and side & (side - 1) == 0, True),
    }
    for option, (value, wanted) in needed.items():
        if value != wanted:
            raise InputError(
                f"expected {option} = {wanted!r} for rosinality's StyleGAN1, but {name} has {value!r}; "
                "it holds unconditional square RGB networks only"
            )


def remarks(filled: bool, networks: Networks) -> list[str]:
    """What the layout's own program would do differently with these networks."""
    found = ["it holds no optimizers, so that program can generate with it but not go on training"]
    if not filled:
        found.append("that program opens widths of its own only; these are others")
    group = networks.about["networks"].get("D", {}).get("options", {}).get("mbstd_group_size")
    if group is not None:
        found.append(f"D groups {group} samples for minibatch-stddev; that program all of a batch")
    return found
