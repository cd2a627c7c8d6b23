"""What a foreign file holds, read but not rebuilt: the ground on which all readers, writers and `inspect` meet.

A reader turns a file into `Contents`: networks as a component of our tables with tensors under our names, and
everything else it found. `rebuild_all` makes networks of it. A network for which there is no entry in the tables stays
a description: it can be inspected, and is named when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.config import Component, to_dict
from openstylegan.errors import InputError
from openstylegan.interop.records import Instance, Reference
from openstylegan.ops.upfirdn2d import setup_filter
from openstylegan.snapshot import COMPONENT_OF, TABLES, Networks, outline, rebuild

MAX_INTEGER = 1 << 20
MAX_STEPS = 256
COUNTED = ("num_layers", "filter_size", "lrelu_upsampling", "num_critical", "img_channels")
"""Options that a constructor loops over, or that set the size of something it computes."""
MAX_LISTED, MAX_TEXT = 16, 4096


@dataclass
class StoredNetwork:
    """A network as a file describes it. `says` is what it is, in words; `tensors` are under our names.

    `buffers` are the names of the tensors that were not trained, where the file says so.
    """

    says: str
    component: Component
    tensors: dict[str, Tensor]
    buffers: frozenset[str] = frozenset()

    def can_be_rebuilt(self, name: str) -> bool:
        """Whether our tables hold such a network, for `name` "G", "G_ema" or "D"."""
        return self.component.name in TABLES[COMPONENT_OF[name]][0]


@dataclass
class Contents:
    """What a file holds. `unread` are entries that are not carried over, by name, with what they are."""

    source: str
    says: str
    path: Path
    networks: dict[str, StoredNetwork]
    about: dict[str, Any] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def rebuild_all(contents: Contents) -> Networks:
    """The networks of a file, on the CPU, in eval mode, without gradients. Raises `InputError`.

    G_ema must be there and be one that our tables hold. G or D of a kind we do not have are left out and listed under
    `about["unread"]`, with everything else that was not carried over.
    """
    check_sizes(contents)
    unread, made = dict(contents.unread), dict[str, Any].fromkeys(COMPONENT_OF)
    for name, stored in contents.networks.items():
        what = f"{contents.path.name}'s {name}"
        if stored.can_be_rebuilt(name):
            made[name] = checked_rebuild(name, stored, what)
        elif name == "G_ema":
            raise InputError(
                f"{contents.path} holds {stored.says}, which this version reads but cannot rebuild; "
                "`openstylegan inspect` shows what is inside"
            )
        else:
            unread[name] = f"{stored.says}, which this version cannot rebuild"
    if made["G_ema"] is None:
        raise InputError(f"{contents.path} holds {contents.says} without G_ema; it cannot be used to generate")
    about = {"source": contents.source, **contents.about, "networks": described(contents, made), "unread": unread}
    return Networks(made["G_ema"], made["G"], made["D"], about, contents.path)


def checked_rebuild(name: str, stored: StoredNetwork, what: str) -> Any:
    """`snapshot.rebuild` for options that come from outside: whatever they break becomes an `InputError`."""
    check_options(stored.component.options, what)
    try:
        return rebuild(COMPONENT_OF[name], stored.component, stored.tensors, what)
    except InputError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{what} has options of which no network can be made ({reason}); is it damaged?") from error


def described(contents: Contents, made: Mapping[str, Any]) -> dict[str, Any]:
    """The components of the rebuilt networks as JSON: "G" (of G_ema where the file has no G) and "D"."""
    found: dict[str, Any] = {}
    for name, part in COMPONENT_OF.items():
        if made[name] is not None:
            component = to_dict(contents.networks[name].component)
            if found.setdefault(part, component) != component:
                raise InputError(f"{contents.path.name}'s G and G_ema were made with different options")
    return found


def check_sizes(contents: Contents) -> None:
    """Refuses networks whose tensors are larger than the file: views that repeat one piece of memory."""
    limit = contents.path.stat().st_size + (1 << 20)
    for name, stored in contents.networks.items():
        if sum(t.numel() * t.element_size() for t in stored.tensors.values()) > limit:
            raise InputError(f"{contents.path.name}'s {name} has tensors larger than the file; it is damaged")


def check_options(options: Any, what: str, name: str = "") -> None:
    """Refuses numbers that no network has: they would keep a constructor busy for hours."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            check_options(value, what, key)
    elif isinstance(options, list | tuple):
        for value in options[: MAX_STEPS + 1]:
            check_options(value, what, name)
        if len(options) > MAX_STEPS:
            raise InputError(f"{what} has {len(options)} values for its option '{name}'; is it damaged?")
    elif isinstance(options, int | float) and abs(options) > (MAX_STEPS if name in COUNTED else MAX_INTEGER):
        raise InputError(f"{what} has the option '{name}' = {options}, which no network has; is it damaged?")


def with_filters(name: str, component: Component, tensors: dict[str, Tensor], taps: Any) -> dict[str, Tensor]:
    """`tensors` with the constant `resample_filter` buffers that layouts of other programs do not store.

    The last block of a discriminator does not resample and keeps the usual taps.
    """
    check_options(component.options, f"the network {name}")
    filters = {"b4": setup_filter([1, 3, 3, 1]), "": setup_filter(taps)}
    names = [n for n in outline(COMPONENT_OF[name], component).state_dict() if n.endswith("resample_filter")]
    return {**tensors, **{n: filters.get(n.split(".")[0], filters[""]).clone() for n in names if n not in tensors}}


def plain(value: Any) -> Any:
    """`value` as JSON: numbers of NumPy as numbers, short arrays as lists, everything else by a word for it."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray | Tensor):
        size = value.size if isinstance(value, np.ndarray) else value.numel()
        return value.tolist() if size <= MAX_LISTED else describe(value)
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"a text of {len(value)} characters"
    return value if value is None or isinstance(value, bool | int | float) else describe(value)


def describe(value: Any) -> str:
    """A few words for anything that a file may hold."""
    if isinstance(value, Instance):
        return f"an object of {value.module}.{value.name}"
    if isinstance(value, Reference):
        return f"{value.module}.{value.name}"
    if isinstance(value, Tensor):
        return f"a tensor {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping | list | tuple | set):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}" if not isinstance(value, bool | int | float | str) else repr(value)[:60]


def own_tensor(value: Any, what: str) -> Tensor:
    """A tensor that covers its memory at most once, from a tensor, an array or a number. Raises `InputError`."""
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biuf":
            raise InputError(f"expected numbers for {what}, got {value.dtype}; is the file damaged?")
        value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    if not isinstance(value, Tensor):
        raise InputError(f"expected a tensor for {what}, got {describe(value)}; is the file damaged?")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"{what} repeats its memory; the file is damaged")
    return value.detach()
