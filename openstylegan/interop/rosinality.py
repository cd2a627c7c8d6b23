"""Checkpoints (`.pt`) of rosinality's StyleGAN2 in PyTorch, read and written: `g_ema`, `g`, `d`, `latent_avg`.

Paper: StyleGAN2 (arXiv 1912.04958). The layout holds unconditional RGB networks of the 'skip' and 'resnet'
architectures with the filter [1, 3, 3, 1]. Widths are seen from the tensors. What it has no place for (a clamp, w_avg
of G, the run's configuration) is written under the entry `openstylegan`, which other programs pass over.

Differs from that program: it multiplies a modulated weight by 1 / sqrt(fan_in) before the demodulation, which changes
the relative weight of its epsilon 1e-8 only. Its training checkpoints hold no mean of w: w_avg is then the mean of
4096 mapped latents, and `about["w_avg"]` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.config import Component, from_dict
from openstylegan.errors import InputError, printable
from openstylegan.files import atomic_path
from openstylegan.interop.contents import Contents, StoredNetwork, describe, own_tensor, plain, with_filters
from openstylegan.interop.records import Instance
from openstylegan.interop.rosinality_names import (
    discriminator_kernels,
    discriminator_pairs,
    generator_kernels,
    generator_pairs,
    give,
    take,
)
from openstylegan.networks.mapping import MappingOptions
from openstylegan.networks.stylegan2 import SynthesisOptions
from openstylegan.snapshot import Networks, rebuild

SOURCE = "rosinality"
ENTRIES = {"G_ema": "g_ema", "G": "g", "D": "d"}
OURS = "openstylegan"
KNOWN = (*ENTRIES.values(), "latent_avg", "args", "ada_aug_p", OURS)
W_AVG = "mapping.w_avg"
W_AVG_SAMPLES = 4096
MOST_DOUBLINGS, MOST_LAYERS = 12, 64


def looks_like(value: Any) -> bool:
    """Whether the content of a file is a table with the tensors of such a generator."""
    ema = value.get("g_ema") if isinstance(value, dict) else None
    return isinstance(ema, dict) and "input.input" in ema and "style.1.weight" in ema


def read(value: Mapping[str, Any], path: Path) -> Contents:
    """The networks and everything else of such a table. Raises `InputError`."""
    about: dict[str, Any] = {"augment_p": plain(value.get("ada_aug_p")), "training_options": arguments(value)}
    found = Contents(SOURCE, "networks of rosinality's StyleGAN2", path, {}, about)
    described, extra = own_description(value.get(OURS))
    for name, entry in ENTRIES.items():
        if value.get(entry) is not None:
            tensors = network_tensors(value[entry], f"{path.name}'s {entry}")
            make = discriminator if name == "D" else generator
            found.networks[name] = make(tensors, described.get("D" if name == "D" else "G"), f"{path.name}'s {entry}")
    w_avgs = {"G_ema": value.get("latent_avg"), "G": extra.get("g_latent_avg")}
    for name in found.networks.keys() & w_avgs.keys():
        if not give_w_avg(found.networks[name], w_avgs[name]):
            about["w_avg"] = f"the mean of {W_AVG_SAMPLES} mapped latents (the file has none)"
    about.update(extra.get("about", {}))
    found.unread.update({str(key): describe(entry) for key, entry in value.items() if key not in KNOWN})
    return found


def network_tensors(entry: Any, what: str) -> dict[str, Tensor]:
    """The tensors of one network under their own names."""
    if not isinstance(entry, Mapping):
        raise InputError(f"expected {what} as a table of tensors, got {describe(entry)}; is it damaged?")
    return {str(name): own_tensor(tensor, f"{what}.{printable(str(name))}") for name, tensor in entry.items()}


def arguments(value: Mapping[str, Any]) -> Any:
    """The options of the training command, where the file has them."""
    args = value.get("args")
    return plain(args.state) if isinstance(args, Instance) else plain(args)


def own_description(entry: Any) -> tuple[dict[str, Component], dict[str, Any]]:
    """What we wrote beside the networks: their components by name, and the rest."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("description"), str):
        return {}, {}
    try:
        description = json.loads(entry["description"])
        described = {name: from_dict(Component, value) for name, value in description["networks"].items()}
        about = dict(description["about"])
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise InputError(f"expected OpenStyleGAN's description as JSON, got {error}; is the file damaged?") from error
    return described, {"about": about, "g_latent_avg": entry.get("g_latent_avg")}


def count(tensors: Mapping[str, Tensor], name: str, start: int, most: int, what: str) -> int:
    """How many of `name` % start, start + 1, ... there are. Raises `InputError` above `most`."""
    found = 0
    while name % (start + found) in tensors:
        found += 1
    if found > most:
        raise InputError(f"expected at most {most} of {name % start}, ... in {what}; is it damaged?")
    return found


def channels(widths: Mapping[int, int], what: str) -> dict[str, int]:
    """channel_base and channel_max with min(base // r, max) = widths[r]. Raises `InputError` when there are none."""
    most = max(widths.values(), default=0)
    low = max(r * width for r, width in widths.items())
    high = min((r * (width + 1) - 1 for r, width in widths.items() if width < most), default=low)
    if low > high:
        raise InputError(f"{what} has layers of widths {list(widths.values())}, which no StyleGAN2 has; is it damaged?")
    return {"channel_base": low, "channel_max": most}


def width(tensors: Mapping[str, Tensor], name: str, dim: int, what: str) -> int:
    """A dimension of a tensor that must be there."""
    if name not in tensors or tensors[name].ndim <= dim:
        raise InputError(f"expected {name} in {what}, with at least {dim + 1} dimensions; is it damaged?")
    return tensors[name].shape[dim]


def generator(tensors: dict[str, Tensor], known: Component | None, what: str) -> StoredNetwork:
    """A generator as ours; w_avg is still missing. `known`: the component it was written from, if ours wrote it."""
    num_layers = count(tensors, "style.%d.weight", 1, MOST_LAYERS, what)
    num_doublings = count(tensors, "to_rgbs.%d.conv.weight", 0, MOST_DOUBLINGS, what)
    widths = {4: width(tensors, "input.input", 1, what)}
    widths |= {8 << q: width(tensors, f"convs.{2 * q}.conv.weight", 1, what) for q in range(num_doublings)}
    z_dim, layer_features = (width(tensors, "style.1.weight", dim, what) for dim in (1, 0))
    options = {
        "z_dim": z_dim,
        "c_dim": 0,
        "w_dim": width(tensors, f"style.{num_layers}.weight", 0, what),
        "img_resolution": 4 << num_doublings,
        "img_channels": width(tensors, "to_rgb1.conv.weight", 1, what),
        "mapping_kwargs": {"num_layers": num_layers, "layer_features": layer_features, "lr_multiplier": 0.01},
        "synthesis_kwargs": channels(widths, what),
    }
    component = known or Component("stylegan2", options)
    ours = take(tensors, list(generator_pairs(num_doublings, num_layers)), generator_kernels(num_doublings), what)
    return StoredNetwork("a StyleGAN2 generator", component, with_filters("G", component, ours, [1, 3, 3, 1]))


def discriminator(tensors: dict[str, Tensor], known: Component | None, what: str) -> StoredNetwork:
    """A discriminator as ours."""
    num_doublings = count(tensors, "convs.%d.conv1.0.weight", 1, MOST_DOUBLINGS, what)
    side = 4 << num_doublings
    widths = {
        side >> (m - 1): width(tensors, f"convs.{m}.conv1.0.weight", 0, what) for m in range(1, num_doublings + 1)
    }
    widths[4] = width(tensors, "final_conv.0.weight", 0, what)
    options = {
        "c_dim": 0,
        "img_resolution": side,
        "img_channels": width(tensors, "convs.0.0.weight", 1, what),
        "architecture": "resnet",
        **channels(widths, what),
        "epilogue_kwargs": {"mbstd_group_size": 4, "mbstd_num_channels": 1},
    }
    component = known or Component("stylegan2", options)
    ours = take(tensors, list(discriminator_pairs(num_doublings)), discriminator_kernels(num_doublings), what)
    return StoredNetwork("a StyleGAN2 discriminator", component, with_filters("D", component, ours, [1, 3, 3, 1]))


def give_w_avg(stored: StoredNetwork, given: Any) -> bool:
    """Sets the running mean of w: the file's, or the mean of mapped latents; returns whether the file had one."""
    w_dim = len(stored.tensors["synthesis.b4.conv1.affine.weight"].t())
    if given is not None:
        stored.tensors[W_AVG] = own_tensor(given, "latent_avg").reshape(-1)
        return True
    stored.tensors[W_AVG] = torch.zeros(w_dim)
    G = rebuild("G", stored.component, stored.tensors, "the generator")
    z = torch.from_numpy(np.random.RandomState(0).randn(W_AVG_SAMPLES, G.z_dim)).float()
    stored.tensors[W_AVG] = G.mapping.map(z, None).mean(dim=0)
    return False


def write(networks: Networks, path: Path) -> list[str]:
    """Writes `networks` in this layout; returns remarks on what its program makes differently.

    Raises `InputError` for networks that the layout cannot hold.
    """
    described = networks.about["networks"]
    content: dict[str, Any] = {}
    for name, entry in ENTRIES.items():
        module = getattr(networks, name)
        if module is not None:
            component = from_dict(Component, described["D" if name == "D" else "G"])
            check_expressible(component, name)
            state = {key: t.detach() for key, t in module.state_dict().items()}
            content[entry] = their_tensors(name, component, module, state)
    content["latent_avg"] = networks.G_ema.state_dict()[W_AVG].clone()
    about = {key: value for key, value in networks.about.items() if key not in ("networks", "unread")}
    content[OURS] = {"description": json.dumps({"networks": described, "about": about})}
    if networks.G is not None:
        content[OURS]["g_latent_avg"] = networks.G.state_dict()[W_AVG].clone()
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return remarks(networks)


def their_tensors(name: str, component: Component, module: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one network under their names."""
    num_doublings = (module.image_shape[1] // 4).bit_length() - 1
    if name == "D":
        return give(state, list(discriminator_pairs(num_doublings)), discriminator_kernels(num_doublings))
    pairs = list(generator_pairs(num_doublings, module.mapping.num_layers))
    return give(state, pairs, generator_kernels(num_doublings))


def check_expressible(component: Component, name: str) -> None:
    """Raises `InputError` naming the first option that the layout has no place for."""
    options = component.options
    synthesis = {**vars(SynthesisOptions()), **(options.get("synthesis_kwargs") or {})}
    mapping = {**vars(MappingOptions()), **(options.get("mapping_kwargs") or {})}
    blocks, epilogue = options.get("block_kwargs") or {}, options.get("epilogue_kwargs") or {}
    side = options.get("img_resolution", 256)
    common = {
        "the network": (component.name, "stylegan2"),
        "c_dim": (options.get("c_dim", 0), 0),
        "img_channels": (options.get("img_channels", 3), 3),
        "img_resolution": (isinstance(side, int) and side >= 8 and side & (side - 1) == 0, True),
    }
    of_generator = {
        "architecture": (synthesis["architecture"], "skip"),
        "use_noise": (synthesis["use_noise"], True),
        "kernel_size": (synthesis["kernel_size"], 3),
        "activation": ((synthesis["activation"], mapping["activation"]), ("lrelu", "lrelu")),
        "resample_filter": (list(synthesis["resample_filter"]), [1, 3, 3, 1]),
        "lr_multiplier": (mapping["lr_multiplier"], 0.01),
        "w_avg_beta": (mapping["w_avg_beta"] is not None, True),
    }
    of_discriminator = {
        "architecture": (options.get("architecture", "resnet"), "resnet"),
        "activation": ((blocks.get("activation", "lrelu"), epilogue.get("activation", "lrelu")), ("lrelu", "lrelu")),
        "resample_filter": (list(blocks.get("resample_filter", (1, 3, 3, 1))), [1, 3, 3, 1]),
        "mbstd_num_channels": (epilogue.get("mbstd_num_channels", 1), 1),
    }
    for option, (value, needed) in {**common, **(of_discriminator if name == "D" else of_generator)}.items():
        if value != needed:
            raise InputError(
                f"expected {option} = {needed!r} for rosinality's layout, but {name} has {value!r}; "
                "it holds unconditional square RGB networks of StyleGAN2 only"
            )


def remarks(networks: Networks) -> list[str]:
    """What the layout's own program would do differently with these networks."""
    found = []
    for name in ("G", "D"):
        options = networks.about["networks"].get(name, {}).get("options", {})
        own = options if name == "D" else options.get("synthesis_kwargs") or {}
        if own.get("conv_clamp") is not None:
            found.append(f"{name} clamps activations at {own['conv_clamp']}; rosinality's program does not")
        epilogue = options.get("epilogue_kwargs") or {}
        if name == "D" and options and epilogue.get("mbstd_group_size", 4) != 4:
            found.append(
                f"D groups {epilogue['mbstd_group_size']} samples for minibatch-stddev; rosinality's program 4"
            )
    return found
