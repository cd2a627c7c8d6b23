"""PyTorch network pickles of the StyleGAN2-ADA and StyleGAN3 repositories and of Projected GAN.

Papers: StyleGAN2-ADA (arXiv 2006.06676), StyleGAN3 (arXiv 2106.12423), Projected GAN (arXiv 2111.01007).

A pickle is a table of `G`, `D`, `G_ema`, `augment_pipe`, `training_set_kwargs` (and `progress`). The text of the
program that each network carries is neither run nor read: what a network is, is seen from the modules inside it, and
its options from the stored call of its constructor. What that call left out is taken from the built object, which
holds it resolved, because the defaults differ: StyleGAN2-ADA has conv_clamp None, num_fp16_res 0 and w_avg_beta 0.995
where the StyleGAN3 repository has 256, 4 and 0.998. Tensors have the originals' names in our networks, so they are
taken as they are.

Differs from the originals' loader: `fused_modconv_default` and the repository's own rules for half precision say how
to compute, not what; they are shown by `inspect` and have no effect here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from openstylegan.config import Component
from openstylegan.errors import InputError, printable
from openstylegan.interop import originals
from openstylegan.interop.contents import Contents, StoredNetwork, describe, plain
from openstylegan.interop.modules import ModuleRecord, tensors_of
from openstylegan.interop.projected_records import NotBuiltHere, fastgan_options, projected_options, projected_tensors
from openstylegan.networks.mapping import MappingOptions
from openstylegan.networks.stylegan2 import SynthesisOptions
from openstylegan.snapshot import outline

SOURCE = "nvidia-pytorch"
NETWORKS = ("G_ema", "G", "D")
KNOWN_ENTRIES = (*NETWORKS, "augment_pipe", "training_set_kwargs", "progress")
SIZES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
FASTGAN_SIZES = ("z_dim", "c_dim", "img_resolution", "img_channels")
MAPPING = tuple(field.name for field in dataclasses.fields(MappingOptions))
SYNTHESIS = tuple(field.name for field in dataclasses.fields(SynthesisOptions))
HOW_TO_COMPUTE = ("fused_modconv_default",)
GENERATOR_ARGUMENTS = (*SIZES, "mapping_kwargs", "synthesis_kwargs")
DISCRIMINATOR_ARGUMENTS = (
    *("c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max", "num_fp16_res"),
    *("conv_clamp", "cmap_dim", "block_kwargs", "mapping_kwargs", "epilogue_kwargs"),
)


def constructor_call(record: ModuleRecord, arguments: tuple[str, ...]) -> dict[str, Any]:
    """The options that a network was made with, by name; positional ones are named by `arguments`."""
    positional = plain(record.state.get("_init_args", ()))
    named = plain(record.state.get("_init_kwargs", {}))
    if not isinstance(positional, list) or not isinstance(named, dict) or len(positional) > len(arguments):
        raise InputError(f"expected the constructor call of {record.says} as values and names; is the file damaged?")
    return {**dict(zip(arguments, positional, strict=False)), **named}


def sizes(record: ModuleRecord, given: Mapping[str, Any], names: tuple[str, ...] = SIZES) -> dict[str, Any]:
    """The sizes of a network: as given to the constructor, else as the object says."""
    found = {name: given[name] if name in given else plain(record.state.get(name)) for name in names}
    missing = [name for name, value in found.items() if not isinstance(value, int) or isinstance(value, bool)]
    if missing:
        raise InputError(f"expected {missing[0]} of {record.says} as an integer, got {describe(found[missing[0]])}")
    return found


def table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A nested table of options; missing and None are empty."""
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise InputError(f"expected {name} as a table of options, got {describe(value)}; is the file damaged?")
    return dict(value)


def refuse_unknown(given: Mapping[str, Any], known: tuple[str, ...], record: ModuleRecord) -> None:
    """Raises `InputError` for an option whose effect is not known: the network would compute something else."""
    unknown = sorted(given.keys() - set(known))
    if unknown:
        names = ", ".join(f"'{printable(name)}'" for name in unknown[:5])
        raise InputError(f"its {record.says} was made with the option {names}, which OpenStyleGAN does not know")


def stylegan2_options(record: ModuleRecord) -> dict[str, Any]:
    """Options of a StyleGAN2 generator, whose synthesis options are nested (StyleGAN2-ADA) or flat (StyleGAN3)."""
    given = constructor_call(record, GENERATOR_ARGUMENTS)
    refuse_unknown(given, (*GENERATOR_ARGUMENTS, *SYNTHESIS, *HOW_TO_COMPUTE), record)
    flat = {name: given[name] for name in SYNTHESIS if name in given}
    nested = table(given, "synthesis_kwargs")
    refuse_unknown(nested, (*SYNTHESIS, *HOW_TO_COMPUTE), record)
    resolved = {
        "num_fp16_res": plain(record.attribute("synthesis", "num_fp16_res", 0)),
        "conv_clamp": plain(record.attribute("synthesis.b4.conv1", "conv_clamp", None)),
    }
    beta = {"w_avg_beta": plain(record.attribute("mapping", "w_avg_beta", 0.995))}
    mapping = {**originals.STYLEGAN2_MAPPING, **beta, **table(given, "mapping_kwargs")}
    refuse_unknown(mapping, MAPPING, record)
    options = {**originals.STYLEGAN2_SYNTHESIS, **resolved, **nested, **flat}
    synthesis = {name: value for name, value in options.items() if name not in HOW_TO_COMPUTE}
    return {**sizes(record, given), "mapping_kwargs": mapping, "synthesis_kwargs": synthesis}


def stylegan3_options(record: ModuleRecord) -> dict[str, Any]:
    """Options of a StyleGAN3 generator, which ours take under the same names."""
    given = constructor_call(record, GENERATOR_ARGUMENTS)
    refuse_unknown(given, (*GENERATOR_ARGUMENTS, *originals.STYLEGAN3_SYNTHESIS), record)
    mapping = {**originals.STYLEGAN3_MAPPING, **table(given, "mapping_kwargs")}
    flat = {name: value for name, value in given.items() if name not in GENERATOR_ARGUMENTS}
    synthesis = {**originals.STYLEGAN3_SYNTHESIS, **table(given, "synthesis_kwargs"), **flat}
    return {**sizes(record, given), "mapping_kwargs": mapping, **synthesis}


def sized_fastgan_options(record: ModuleRecord) -> dict[str, Any]:
    """Options of a FastGAN generator."""
    return {**sizes(record, {}, FASTGAN_SIZES), **fastgan_options(record)}


def stylegan2_discriminator_options(record: ModuleRecord) -> dict[str, Any]:
    """Options of a StyleGAN2 discriminator."""
    given = constructor_call(record, DISCRIMINATOR_ARGUMENTS)
    refuse_unknown(given, DISCRIMINATOR_ARGUMENTS, record)
    blocks = [child for name, child in record.children() if name not in ("b4", "mapping")]
    resolved = {
        "num_fp16_res": sum(bool(block.state.get("use_fp16", False)) for block in blocks),
        "conv_clamp": plain(record.attribute("b4.conv", "conv_clamp", None)),
    }
    defaults = {"block_kwargs": originals.STYLEGAN2_BLOCK, "epilogue_kwargs": originals.STYLEGAN2_EPILOGUE}
    defaults["mapping_kwargs"] = originals.STYLEGAN2_LABELS
    nested = {name: {**default, **table(given, name)} for name, default in defaults.items()}
    own_sizes = sizes(record, given, ("c_dim", "img_resolution", "img_channels"))
    return {**originals.STYLEGAN2_DISCRIMINATOR, **resolved, **given, **own_sizes, **nested}


def has_synthesis(*names: str) -> Callable[[ModuleRecord], bool]:
    """Recognises a generator by attributes or modules of its synthesis network."""

    def looks(record: ModuleRecord) -> bool:
        synthesis = record.child("synthesis")
        return synthesis is not None and all(name in synthesis.state or synthesis.has(name) for name in names)

    return looks


def is_class(module: str, name: str) -> Callable[[ModuleRecord], bool]:
    """Recognises a network by the path of its class."""
    return lambda record: (record.package, record.class_name) == (module, name)


@dataclasses.dataclass(frozen=True)
class Layout:
    """A kind of network: its name in our tables, and how it is recognised and its options and tensors are found.

    `borrows` are options that only the generator of the same file tells.
    """

    says: str
    name: str
    looks: Callable[[ModuleRecord], bool]
    options: Callable[[ModuleRecord], dict[str, Any]]
    tensors: Callable[[ModuleRecord], tuple[dict[str, Tensor], frozenset[str]]] = tensors_of
    borrows: tuple[str, ...] = ()

    def stored(self, record: ModuleRecord, generators: Mapping[str, StoredNetwork]) -> StoredNetwork:
        """The network of a record; `generators` are those read so far. Raises `NotBuiltHere` or `InputError`."""
        lender = generators.get("G") or generators.get("G_ema")
        if self.borrows and lender is None:
            raise NotBuiltHere("without a generator beside it, nothing says which pictures it judges")
        borrowed = {} if lender is None else {name: lender.component.options[name] for name in self.borrows}
        component = Component(self.name, {**borrowed, **self.options(record)})
        network = StoredNetwork(self.says, component, *self.tensors(record))
        if self.borrows:
            check_shapes(network)
        return network


GENERATOR_LAYOUTS = (
    Layout(
        "a FastGAN generator (Projected GAN)",
        "fastgan",
        is_class("pg_modules.networks_fastgan", "Generator"),
        sized_fastgan_options,
    ),
    Layout("a StyleGAN3 generator", "stylegan3", has_synthesis("layer_names", "input"), stylegan3_options),
    Layout("a StyleGAN2 generator", "stylegan2", has_synthesis("block_resolutions", "b4"), stylegan2_options),
)
DISCRIMINATOR_LAYOUTS = (
    Layout(
        "a projected discriminator (Projected GAN)",
        "projected",
        is_class("pg_modules.discriminator", "ProjectedDiscriminator"),
        projected_options,
        projected_tensors,
        ("c_dim", "img_resolution", "img_channels"),
    ),
    Layout(
        "a StyleGAN2 discriminator",
        "stylegan2",
        lambda record: "block_resolutions" in record.state and record.has("b4"),
        stylegan2_discriminator_options,
    ),
)


def looks_like(value: Any) -> bool:
    """Whether the content of a pickle is a table of networks of these programs."""
    return isinstance(value, dict) and any(ModuleRecord.of(value.get(name)) is not None for name in NETWORKS)


def read(value: dict[str, Any], path: Path) -> Contents:
    """The networks and everything else of such a table. Raises `InputError`."""
    found = Contents(SOURCE, "PyTorch networks of NVIDIA's programs or Projected GAN", path, {}, training_facts(value))
    calls = found.about["constructor_calls"] = {}
    for name in NETWORKS:
        entry = value.get(name)
        record = ModuleRecord.of(entry)
        layouts = DISCRIMINATOR_LAYOUTS if name == "D" else GENERATOR_LAYOUTS
        layout = next((layout for layout in layouts if record is not None and layout.looks(record)), None)
        if record is not None and layout is not None:
            try:
                found.networks[name] = layout.stored(record, found.networks)
            except NotBuiltHere as error:
                found.unread[name] = f"{layout.says}: {error}"
            calls[name] = plain({key: record.state.get(key) for key in ("_init_args", "_init_kwargs")})
        elif entry is not None:
            says = f"a network of a kind that is not known ({record.says if record else describe(entry)})"
            if name == "G_ema":
                raise InputError(f"{path} has as G_ema {says}")
            found.unread[name] = says
    found.unread.update({str(key): describe(entry) for key, entry in value.items() if key not in KNOWN_ENTRIES})
    return found


def check_shapes(network: StoredNetwork) -> None:
    """Raises `NotBuiltHere` when a discriminator's tensors are not those of the one that can be built."""
    ours = {name: tuple(tensor.shape) for name, tensor in outline("D", network.component).state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in network.tensors.items()}
    if ours != theirs:
        wrong = min(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        raise NotBuiltHere(f"{printable(wrong)} is {theirs.get(wrong, 'not there')}, here {ours.get(wrong, 'unknown')}")


def training_facts(value: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says of its training: the data's options, augmentation, progress."""
    facts: dict[str, Any] = {"training_set_kwargs": plain(value.get("training_set_kwargs"))}
    progress = plain(value.get("progress"))
    if isinstance(progress, dict):
        facts["progress"] = {name: number(entry) for name, entry in progress.items()}
        if isinstance(facts["progress"].get("cur_nimg"), int):
            facts["cur_nimg"] = facts["progress"]["cur_nimg"]
    return {**facts, **augment_facts(value.get("augment_pipe"))}


def number(entry: Any) -> Any:
    """[5] as 5: counters are stored as tensors of one element."""
    return entry[0] if isinstance(entry, list) and len(entry) == 1 else entry


def augment_facts(entry: Any) -> dict[str, Any]:
    """The strength p and the options of the augmentation, None without one."""
    record = ModuleRecord.of(entry)
    if record is None:
        return {"augment_p": None, "augment_kwargs": None}
    strength = (record.state.get("_buffers") or {}).get("p")
    return {
        "augment_p": None if strength is None else float(number(plain(strength))),
        "augment_kwargs": plain(record.state.get("_init_kwargs", {})),
    }
