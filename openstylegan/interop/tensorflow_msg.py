"""MSG-StyleGAN's TensorFlow networks as ours.

Paper: MSG-GAN (arXiv 1903.06048). They differ from StyleGAN1's in counting their inputs (`num_inputs`). Options that
are not stored take the program's defaults. Truncation, which that generator does by itself, is a choice of the caller
here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.interop.contents import StoredNetwork
from openstylegan.interop.tensorflow_names import MSG_DISCRIMINATOR_RULES, MSG_GENERATOR_RULES, translate
from openstylegan.interop.tensorflow_network import TensorFlowNetwork, refuse_unknown, taken

G_OPTIONS: dict[str, tuple[str, Any]] = {
    "latent_size": ("z_dim", 512),
    "label_size": ("c_dim", 0),
    "dlatent_size": ("w_dim", 512),
    "resolution": ("img_resolution", 1024),
    "num_channels": ("img_channels", 3),
    "mapping_layers": ("num_layers", 8),
    "mapping_fmaps": ("layer_features", 512),
    "mapping_lrmul": ("lr_multiplier", 0.01),
}
D_OPTIONS: dict[str, tuple[str, Any]] = {
    **{name: G_OPTIONS[name] for name in ("label_size", "resolution", "num_channels")},
    "mbstd_group_size": ("mbstd_group_size", 4),
    "mbstd_num_features": ("mbstd_num_channels", 1),
}
FMAPS = {"fmap_base": 8192, "fmap_max": 512}
FUSED_SCALE = {"fused_scale": "auto"}
W_AVG_BETA = {"dlatent_avg_beta": 0.995}
CALLED = {"randomize_noise": True}
"""How the network is called; the caller chooses here."""
FUSED_FROM = 128
UP_KERNEL = re.compile(r"synthesis\.b(\d+)\.conv0\.conv\.weight")


def feature_maps(options: Mapping[str, Any]) -> dict[str, Any]:
    """fmap_base and fmap_max as ours: min(2 fmap_base / r, fmap_max) at the resolution r. Raises `InputError`."""
    base, most = (options.get(name, default) for name, default in FMAPS.items())
    if not isinstance(base, int) or not isinstance(most, int):
        raise InputError(f"expected fmap_base and fmap_max as whole numbers, got {base!r} and {most!r}; is it damaged?")
    return {"channel_base": base * 2, "channel_max": most}


def levels(options: Mapping[str, Any]) -> int:
    """log2 of the resolution. Raises `InputError`."""
    resolution = options.get("resolution", G_OPTIONS["resolution"][1])
    if not isinstance(resolution, int) or resolution < 4 or resolution & (resolution - 1):
        raise InputError(f"expected a resolution that is a power of two, got {resolution!r}; is it damaged?")
    return int(math.log2(resolution))


def by_resolution(variables: Mapping[str, Any], top: int) -> dict[str, Any]:
    """`variables` with those that are numbered named after their resolution: ToRGB_lod0 is that of 2^top px, noise 2n
    and 2n + 1 are those of the two layers of 4 * 2^n px."""

    def named(name: str) -> str:
        if match := re.fullmatch(r"synthesis/ToRGB_lod(\d{1,2})/(\w+)", name):
            return f"synthesis/{2 ** max(top - int(match[1]), 0)}x/ToRGB/{match[2]}"
        if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
            return f"synthesis/{4 << int(match[1]) // 2}x/noise{int(match[1]) % 2}"
        return name

    return {named(name): value for name, value in variables.items()}


def fused_from(options: Mapping[str, Any]) -> int | None:
    """The resolution from which up-sampling layers were fused, which mirrors their kernels; None: none of them."""
    known = {"auto": FUSED_FROM, True: 0, False: None}
    stored = options.get("fused_scale", FUSED_SCALE["fused_scale"])
    if not isinstance(stored, str | bool) or stored not in known:
        raise InputError(f"expected fused_scale true, false or 'auto', got {stored!r}; is it damaged?")
    return known[stored]


def generator_tensors(variables: Mapping[str, Any], options: Mapping[str, Any], what: str) -> dict[str, Tensor]:
    """The variables `dlatent_avg`, `synthesis/...`, `mapping/...` (or gradients of them) as ours.

    Raises `InputError`.
    """
    found = translate(by_resolution(variables, levels(options)), MSG_GENERATOR_RULES, what)
    first = fused_from(options)
    for name, kernel in found.items():
        match = UP_KERNEL.fullmatch(name)
        if match and first is not None and int(match[1]) >= first:
            found[name] = kernel.flip([2, 3])
    return found


def discriminator_tensors(variables: Mapping[str, Any], what: str) -> dict[str, Tensor]:
    """The variables of D (or gradients of them) as ours. Raises `InputError`."""
    return translate(variables, MSG_DISCRIMINATOR_RULES, what)


def generator_component(options: Mapping[str, Any]) -> Component:
    """Our generator with the options of the program's. Raises `InputError`."""
    beta = options.get("dlatent_avg_beta", W_AVG_BETA["dlatent_avg_beta"])
    own = {**taken(options, G_OPTIONS), **feature_maps(options), "w_avg_beta": 1.0 if beta is None else beta}
    return Component("msg_stylegan", own)


def discriminator_component(options: Mapping[str, Any]) -> Component:
    """Our discriminator with the options of the program's. Raises `InputError`."""
    return Component("msg_stylegan", {**taken(options, D_OPTIONS), **feature_maps(options)})


def generator(network: TensorFlowNetwork) -> StoredNetwork:
    """G or Gs as ours. Raises `InputError`."""
    refuse_unknown(network, G_OPTIONS, FMAPS, FUSED_SCALE, W_AVG_BETA, CALLED)
    tensors = generator_tensors(network.variables, network.options, f"the TensorFlow network {network.name}")
    return StoredNetwork("an MSG-StyleGAN generator (TensorFlow)", generator_component(network.options), tensors)


def discriminator(network: TensorFlowNetwork) -> StoredNetwork:
    """D as ours. Raises `InputError`."""
    refuse_unknown(network, D_OPTIONS, FMAPS, FUSED_SCALE)
    tensors = discriminator_tensors(network.variables, f"the TensorFlow network {network.name}")
    return StoredNetwork(
        "an MSG-StyleGAN discriminator (TensorFlow)", discriminator_component(network.options), tensors
    )
