"""A network as a TensorFlow pickle holds it: its name, its options, its variables, its parts; and tables of options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openstylegan.errors import InputError, printable
from openstylegan.interop.contents import describe, plain
from openstylegan.interop.records import Instance

WITHOUT_EFFECT = ("truncation_psi", "truncation_cutoff", "style_mixing_prob", "structure", "fused_modconv")
"""Options that say how a network is called or computed; truncation is a choice of the caller here."""


@dataclass(frozen=True)
class TensorFlowNetwork:
    """A stored network: `options` are its static_kwargs, `variables` those of all its parts as `component/name`."""

    name: str
    version: int
    build: str
    """The names of the functions that built it and its parts, such as "G_main"."""
    options: dict[str, Any]
    variables: dict[str, Any]
    parts: dict[str, TensorFlowNetwork]
    counts_inputs: bool

    @classmethod
    def of(cls, value: Any) -> TensorFlowNetwork:
        """The network that an object of the file is. Raises `InputError`."""
        state = value.state if isinstance(value, Instance) else None
        if not isinstance(state, dict) or not isinstance(state.get("variables"), list):
            raise InputError(f"expected a TensorFlow network with its variables, got {describe(value)}; is it damaged?")
        parts = {str(k): cls.of(v) for k, v in (state.get("components") or {}).items()}
        variables = {}
        for entry in state["variables"]:
            if not isinstance(entry, tuple | list) or len(entry) != 2 or not isinstance(entry[0], str):
                raise InputError(f"expected variables as (name, value), got {describe(entry)}; is it damaged?")
            variables[entry[0]] = entry[1]
        for part, network in parts.items():
            variables.update({f"{part}/{name}": array for name, array in network.variables.items()})
        options, version = plain(state.get("static_kwargs") or {}), state.get("version")
        if not isinstance(options, dict) or not isinstance(version, int):
            raise InputError("expected a TensorFlow network with static_kwargs and a version; is it damaged?")
        build, name = printable(str(state.get("build_func_name"))), printable(str(state.get("name")))
        return cls(name, version, build, options, variables, parts, "num_inputs" in state)

    def built_by(self, part: str) -> str:
        """The name of the function that built a part, empty when there is no such part."""
        return self.parts[part].build if part in self.parts else ""


def taken(options: Mapping[str, Any], table: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """The options of `table` (their name -> our name, default), under our names."""
    return {ours: options.get(theirs, default) for theirs, (ours, default) in table.items()}


def refuse_unknown(network: TensorFlowNetwork, *tables: Mapping[str, Any]) -> None:
    """Raises `InputError` for an option whose effect is not known."""
    known = {name for table in tables for name in table} | set(WITHOUT_EFFECT)
    if network.options.get("label_size", 0) == 0:
        known.add("conditioning")
    unknown = sorted(network.options.keys() - known)
    if unknown:
        names = ", ".join(f"'{printable(name)}'" for name in unknown[:5])
        raise InputError(f"its TensorFlow network {network.name} has the option {names}, which is not known here")
