"""Files in the layouts of other programs, made of networks of ours: as their pickles are, with no program in them."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn


@contextlib.contextmanager
def pretended(names: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Modules that exist while the block runs, so that `pickle` writes the names in them."""
    for module, content in names.items():
        sys.modules[module] = types.ModuleType(module)
        for name, value in content.items():
            value.__module__, value.__qualname__ = module, name
            setattr(sys.modules[module], name, value)
    try:
        yield
    finally:
        for module in names:
            del sys.modules[module]


def reconstruct(meta: dict[str, Any]) -> None:
    """Stands for the function that NVIDIA's pickles name."""


class Persistent:
    """An object of a class whose source NVIDIA's pickles carry."""

    def __init__(self, class_name: str, state: dict[str, Any]):
        self.meta = {"type": "class", "version": 6, "module_src": "", "class_name": class_name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return reconstruct, (self.meta,)


def module_state(module: nn.Module, attributes: dict[str, dict[str, Any]], path: str = "") -> dict[str, Any]:
    """The attributes of a module as a pickle of the time holds them; `attributes` by path are added."""
    children = OrderedDict(
        (name, Persistent(type(child).__name__, module_state(child, attributes, f"{path}.{name}".strip("."))))
        for name, child in module.named_children()
    )
    return {
        "training": False,
        "_parameters": OrderedDict(module._parameters),
        "_buffers": OrderedDict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_modules": children,
        **attributes.get(path, {}),
    }


def nvidia_network(
    module: nn.Module, class_name: str, init_kwargs: dict[str, Any], attributes: dict[str, dict[str, Any]]
) -> Persistent:
    """A network as NVIDIA's programs pickle it."""
    state = module_state(module, attributes)
    return Persistent(class_name, {**state, "_init_args": (), "_init_kwargs": init_kwargs})


def nvidia_generator(G: nn.Module, init_kwargs: dict[str, Any], **attributes: dict[str, Any]) -> Persistent:
    """A StyleGAN2 generator; `attributes` of sub-modules by path, dots written as double underscores."""
    own = {path.replace("__", "."): value for path, value in attributes.items()}
    own["synthesis"] = {"block_resolutions": [4], **own.get("synthesis", {})}
    return nvidia_network(G, "Generator", init_kwargs, own)


def nvidia_pickle(content: dict[str, Any], protocol: int = 4) -> bytes:
    """The bytes of a table of networks."""
    names = {"torch_utils": {}, "torch_utils.persistence": {"_reconstruct_persistent_obj": reconstruct}}
    with pretended(names):
        return pickle.dumps(content, protocol)


class Network:
    """Stands for the class of TensorFlow's networks."""

    def __init__(self, **state: Any):
        self.__dict__.update(state)


def tf_pickle(networks: tuple[Network, ...], protocol: int = 4) -> bytes:
    """The bytes of (G, D, Gs)."""
    with pretended({"dnnlib": {}, "dnnlib.tflib": {}, "dnnlib.tflib.network": {"Network": Network}}):
        out = io.BytesIO()
        pickle.Pickler(out, protocol).dump(networks)
        return out.getvalue()


def tf_network(
    name: str,
    build: str,
    kwargs: dict[str, Any],
    variables: dict[str, Any],
    components: dict[str, Network] | None = None,
) -> Network:
    """A TensorFlow network."""
    return Network(
        version=4,
        name=name,
        static_kwargs=kwargs,
        components=components or {},
        build_module_src="",
        build_func_name=build,
        variables=list(variables.items()),
    )


def tf_generator(G: nn.Module, kwargs: dict[str, Any], name: str = "Gs") -> Network:
    """Our StyleGAN2 generator as a TensorFlow network of the same function."""
    state = {key: value.detach() for key, value in G.state_dict().items()}
    own = {"lod": np.float32(0), "dlatent_avg": state["mapping.w_avg"].numpy()}
    mapping, synthesis = {}, {}
    for key, tensor in state.items():
        if key.startswith("mapping.") and key != "mapping.w_avg":
            mapping[tf_mapping_name(key)] = dense(tensor)
        elif key.startswith("synthesis.") and not key.endswith("resample_filter"):
            block, *rest = key.removeprefix("synthesis.").split(".")
            name_there, array = tf_layer(int(block[1:]), rest, tensor)
            synthesis[name_there] = array
    parts = {
        "synthesis": tf_network("G_synthesis", "G_synthesis_stylegan2", kwargs, synthesis),
        "mapping": tf_network("G_mapping", "G_mapping", kwargs, mapping),
    }
    return tf_network(name, "G_main", kwargs, own, parts)


def dense(tensor: Tensor) -> np.ndarray:
    """[out, in] as [in, out]; a bias as it is."""
    return np.ascontiguousarray(tensor.numpy().T)


def tf_mapping_name(key: str) -> str:
    """mapping.fc3.weight as Dense3/weight."""
    _, layer, leaf = key.split(".")
    return f"{'LabelEmbed' if layer == 'embed' else layer.replace('fc', 'Dense')}/{leaf}"


def tf_layer(side: int, rest: list[str], tensor: Tensor) -> tuple[str, np.ndarray]:
    """Name and numbers of one tensor of the synthesis network."""
    array = tensor.numpy()
    if rest == ["const"]:
        return "4x4/Const/const", array[None]
    layer, leaf = rest[0], ".".join(rest[1:])
    if leaf == "noise_const":
        exponent = int(np.log2(side))
        number = 0 if side == 4 else 2 * exponent - (5 if layer == "conv0" else 4)
        return f"noise{number}", array[None, None]
    theirs = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB", "skip": "Skip"}[layer]
    if leaf == "weight":
        flipped = array[:, :, ::-1, ::-1] if layer in ("conv0", "skip") else array
        return f"{side}x{side}/{theirs}/weight", np.ascontiguousarray(flipped.transpose(2, 3, 1, 0))
    if leaf == "affine.weight":
        return f"{side}x{side}/{theirs}/mod_weight", dense(tensor)
    if leaf == "affine.bias":
        return f"{side}x{side}/{theirs}/mod_bias", array - 1
    return f"{side}x{side}/{theirs}/{leaf}", array


def tf_discriminator(D: nn.Module, kwargs: dict[str, Any]) -> Network:
    """Our StyleGAN2 discriminator as a TensorFlow network of the same function."""
    names = {
        "conv0": "Conv0",
        "conv1": "Conv1_down",
        "skip": "Skip",
        "fromrgb": "FromRGB",
        "conv": "Conv",
        "fc": "Dense0",
    }
    variables = {}
    for key, tensor in D.state_dict().items():
        if key.endswith("resample_filter"):
            continue
        block, layer, leaf = key.split(".")
        kernel = tensor.dim() == 4
        array = np.ascontiguousarray(tensor.numpy().transpose(2, 3, 1, 0)) if kernel else dense(tensor.detach())
        if block == "mapping":
            place = "LabelEmbed" if layer == "embed" else layer.replace("fc", "Mapping")
        else:
            place = "Output" if layer == "out" else f"{block[1:]}x{block[1:]}/{names[layer]}"
        variables[f"{place}/{leaf}"] = array
    return tf_network("D", "D_stylegan2", kwargs, variables)
