"""TensorFlow network pickles: StyleGAN2 (configurations E and F), StyleGAN2-ADA, and MSG-StyleGAN (`tensorflow_msg`).

Papers: StyleGAN2 (arXiv 1912.04958), StyleGAN2-ADA (arXiv 2006.06676), MSG-GAN (arXiv 1903.06048).

A pickle is (G, D, Gs), Gs being the averaged generator. Each is an object of `dnnlib.tflib.network.Network` with its
options (`static_kwargs`), its parts (`components`) and its variables. The text of the program that each carries is not
looked at. Options that are not stored take TensorFlow's defaults.

Differs from NVIDIA's conversion to PyTorch: groups of minibatch-stddev are of 4 when no size is stored, as in
TensorFlow (there: the whole batch); conditional networks of 2019 and `dlatent_avg_beta` are read too. Older networks
are named and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.interop import tensorflow_msg
from openstylegan.interop.contents import Contents, StoredNetwork, with_filters
from openstylegan.interop.records import Instance
from openstylegan.interop.tensorflow_names import DISCRIMINATOR_RULES, GENERATOR_RULES, translate
from openstylegan.interop.tensorflow_network import TensorFlowNetwork, refuse_unknown, taken

SOURCE = "tensorflow"
NETWORK = ("dnnlib.tflib.network", "Network")
ORDER = ("G", "D", "G_ema")

G_SIZES = {
    "latent_size": ("z_dim", 512),
    "label_size": ("c_dim", 0),
    "dlatent_size": ("w_dim", 512),
    "resolution": ("img_resolution", 1024),
    "num_channels": ("img_channels", 3),
}
G_MAPPING = {
    "mapping_layers": ("num_layers", 8),
    "label_fmaps": ("embed_features", None),
    "mapping_fmaps": ("layer_features", None),
    "mapping_nonlinearity": ("activation", "lrelu"),
    "mapping_lrmul": ("lr_multiplier", 0.01),
}
W_AVG_BETA = {"w_avg_beta": 0.995, "dlatent_avg_beta": 0.995}
FMAPS = {"fmap_base": 16384, "fmap_max": 512}
G_SYNTHESIS = {
    "num_fp16_res": ("num_fp16_res", 0),
    "conv_clamp": ("conv_clamp", None),
    "architecture": ("architecture", "skip"),
    "resample_kernel": ("resample_filter", [1, 3, 3, 1]),
    "use_noise": ("use_noise", True),
    "nonlinearity": ("activation", "lrelu"),
}
D_SIZES = {name: G_SIZES[name] for name in ("label_size", "resolution", "num_channels")}
D_NETWORK = {
    "architecture": ("architecture", "resnet"),
    "num_fp16_res": ("num_fp16_res", 0),
    "conv_clamp": ("conv_clamp", None),
}
D_BLOCK = {
    "nonlinearity": ("activation", "lrelu"),
    "resample_kernel": ("resample_filter", [1, 3, 3, 1]),
    "freeze_layers": ("freeze_layers", 0),
}
D_MAPPING = {
    "mapping_fmaps": ("layer_features", None),
    "mapping_layers": ("num_layers", 0),
    "mapping_lrmul": ("lr_multiplier", 0.1),
    "nonlinearity": ("activation", "lrelu"),
}
D_EPILOGUE = {
    "mbstd_group_size": ("mbstd_group_size", 4),
    "mbstd_num_features": ("mbstd_num_channels", 1),
    "nonlinearity": ("activation", "lrelu"),
}


def feature_maps(options: Mapping[str, Any]) -> dict[str, Any]:
    """fmap_base and fmap_max as ours: channels(r) = min(2 fmap_base / r, fmap_max)."""
    base, most = (options.get(name, default) for name, default in FMAPS.items())
    if not isinstance(base, int | float) or not isinstance(most, int):
        raise InputError(f"expected fmap_base and fmap_max as numbers, got {base!r} and {most!r}; is it damaged?")
    return {"channel_base": int(base * 2), "channel_max": most}


def generator(network: TensorFlowNetwork) -> StoredNetwork:
    """G or Gs as ours."""
    options = network.options
    refuse_unknown(network, G_SIZES, G_MAPPING, G_SYNTHESIS, W_AVG_BETA, FMAPS)
    sizes, mapping = taken(options, G_SIZES), taken(options, G_MAPPING)
    beta = options.get("w_avg_beta", options.get("dlatent_avg_beta", W_AVG_BETA["w_avg_beta"]))
    mapping["w_avg_beta"] = 1.0 if beta is None else beta
    variables = dict(network.variables)
    if np.any(variables.pop("lod", 0)):
        raise InputError(f"its TensorFlow network {network.name} was still growing (lod is not 0); that is not read")
    if "mapping/LabelConcat/weight" in variables:
        mapping.update(embed_features=sizes["z_dim"], joint_normalization=True)
    synthesis = {**feature_maps(options), **taken(options, G_SYNTHESIS)}
    component = Component("stylegan2", {**sizes, "mapping_kwargs": mapping, "synthesis_kwargs": synthesis})
    tensors = translate(variables, GENERATOR_RULES, f"the TensorFlow network {network.name}")
    return StoredNetwork(
        "a StyleGAN2 generator", component, with_filters("G", component, tensors, synthesis["resample_filter"])
    )


def discriminator(network: TensorFlowNetwork) -> StoredNetwork:
    """D as ours. One without `LabelEmbed` has a score for every class instead of a projection on embedded labels."""
    options = network.options
    refuse_unknown(network, D_SIZES, D_NETWORK, D_BLOCK, D_MAPPING, D_EPILOGUE, FMAPS)
    sizes, block, mapping = taken(options, D_SIZES), taken(options, D_BLOCK), taken(options, D_MAPPING)
    conditional = {}
    if sizes["c_dim"] and "LabelEmbed/weight" in network.variables:
        mapping["embed_features"] = mapping["layer_features"]
        conditional = {"cmap_dim": mapping["layer_features"], "mapping_kwargs": mapping}
    elif sizes["c_dim"]:
        conditional = {"class_scores": True}
    component = Component(
        "stylegan2",
        {
            **sizes,
            **feature_maps(options),
            **taken(options, D_NETWORK),
            **conditional,
            "block_kwargs": block,
            "epilogue_kwargs": taken(options, D_EPILOGUE),
        },
    )
    tensors = translate(network.variables, DISCRIMINATOR_RULES, f"the TensorFlow network {network.name}")
    filters = with_filters("D", component, tensors, block["resample_filter"])
    return StoredNetwork("a StyleGAN2 discriminator", component, filters)


def named_only(says: str, name: str) -> Callable[[TensorFlowNetwork], StoredNetwork]:
    """A network that is described by its own names and options, and cannot be rebuilt."""
    return lambda network: StoredNetwork(says, Component(name, network.options), arrays(network))


def arrays(network: TensorFlowNetwork) -> dict[str, Any]:
    """All variables as tensors under their own names."""
    return translate(network.variables, (), network.name, keep=True)


@dataclass(frozen=True)
class Layout:
    """A kind of TensorFlow network: how it is recognised and read."""

    looks: Callable[[TensorFlowNetwork], bool]
    read: Callable[[TensorFlowNetwork], StoredNetwork]


def is_stylegan2_generator(network: TensorFlowNetwork) -> bool:
    """Configurations E and F, and StyleGAN2-ADA: modulated convolutions."""
    synthesis = network.built_by("synthesis")
    return network.build == "G_main" and synthesis in ("G_synthesis", "G_synthesis_stylegan2")


GENERATOR_LAYOUTS = (
    Layout(is_stylegan2_generator, generator),
    Layout(lambda n: n.build == "G_style" and n.counts_inputs, tensorflow_msg.generator),
    Layout(lambda n: n.build == "G_style", named_only("a StyleGAN generator (TensorFlow)", "stylegan1_tensorflow")),
    Layout(
        lambda n: n.build == "G_main",
        named_only("a StyleGAN2 generator of configuration A to D (TensorFlow)", "stylegan2_a_to_d"),
    ),
    Layout(lambda n: True, named_only("a generator of an unknown TensorFlow program", "unknown")),
)
DISCRIMINATOR_LAYOUTS = (
    Layout(lambda n: n.build in ("D_main", "D_stylegan2"), discriminator),
    Layout(lambda n: n.build == "D_basic" and n.counts_inputs, tensorflow_msg.discriminator),
    Layout(lambda n: True, named_only("a discriminator of an older TensorFlow program", "unknown")),
)


def looks_like(value: Any) -> bool:
    """Whether the content of a pickle is a tuple of three TensorFlow networks."""
    if not isinstance(value, tuple | list) or len(value) != len(ORDER):
        return False
    return all(isinstance(v, Instance) and (v.module, v.name) == NETWORK for v in value)


def read(value: Any, path: Path) -> Contents:
    """The networks of such a tuple. Raises `InputError`."""
    found = Contents(SOURCE, "networks of a TensorFlow program", path, {}, {"augment_p": None})
    networks = {name: TensorFlowNetwork.of(entry) for name, entry in zip(ORDER, value, strict=True)}
    for name, network in networks.items():
        layouts = DISCRIMINATOR_LAYOUTS if name == "D" else GENERATOR_LAYOUTS
        layout = next(layout for layout in layouts if layout.looks(network))
        found.networks[name] = layout.read(network)
    found.about["constructor_calls"] = {name: network.options for name, network in networks.items()}
    found.about["build_functions"] = {
        name: [network.build, *(part.build for part in network.parts.values())] for name, network in networks.items()
    }
    return found
