"""Plain pickles of our networks, for programs that read `pickle.load(file)["G_ema"]`.

    with open("network.pkl", "rb") as file:
        G = pickle.load(file)["G_ema"]      # needs this package installed; a pickle can hold any code: trust the file

Each network is one call of `rebuild_network` with its table name, options and tensors, so a file survives changes
inside the networks' classes. `openstylegan.load` reads such files too, without running anything in them.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from openstylegan.config import Component, from_dict
from openstylegan.errors import InputError
from openstylegan.files import atomic_path
from openstylegan.interop.contents import Contents, StoredNetwork, describe, own_tensor, plain
from openstylegan.interop.limits import Limits
from openstylegan.interop.records import Instance, is_record
from openstylegan.networks.base import Discriminator, Generator
from openstylegan.snapshot import COMPONENT_OF, Networks, rebuild

SOURCE = "openstylegan-pickle"
OURS = "openstylegan"
CALL = ("openstylegan.interop.plain", "rebuild_network")
PICKLE_LIMITS = Limits(records=lambda module, name: is_record(module, name) or (module, name) == CALL)
"""What may be noted when a pickle is read: what networks hold, and the call that our own pickles make."""


def rebuild_network(part: str, component: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    """The network that a plain pickle holds; `part` is "G" or "D". Called by `pickle.load`."""
    return rebuild(part, from_dict(Component, dict(component)), tensors, f"the pickle's {part}")


class NetworkPickler(pickle.Pickler):
    """Writes each network as a call of `rebuild_network`."""

    def __init__(self, file: Any, described: Mapping[str, Any]):
        super().__init__(file, protocol=4)
        self.described = described

    def reducer_override(self, value: Any) -> Any:
        """How a value is written: networks in our way, everything else as always."""
        if not isinstance(value, Generator | Discriminator):
            return NotImplemented
        part = "G" if isinstance(value, Generator) else "D"
        tensors = {name: tensor.detach().clone() for name, tensor in value.state_dict().items()}
        return rebuild_network, (part, self.described[part], tensors)


def write(networks: Networks, path: Path) -> list[str]:
    """Writes `{"G", "D", "G_ema", "training_set_kwargs", "augment_pipe", "openstylegan"}`; returns remarks."""
    about = {key: value for key, value in networks.about.items() if key not in ("networks", "unread")}
    content = {
        "G": networks.G,
        "D": networks.D,
        "G_ema": networks.G_ema,
        "training_set_kwargs": about.get("training_set_kwargs"),
        "augment_pipe": None,
        OURS: json.dumps(about),
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        NetworkPickler(file, networks.about["networks"]).dump(content)
    return ["whoever loads it with pickle needs openstylegan installed"]


def is_network(value: Any) -> bool:
    """Whether a value of a pickle is a network that we wrote."""
    return isinstance(value, Instance) and value.called and (value.module, value.name) == CALL


def looks_like(value: Any) -> bool:
    """Whether the content of a pickle is a table of our networks."""
    return isinstance(value, dict) and is_network(value.get("G_ema"))


def read(value: Mapping[str, Any], path: Path) -> Contents:
    """The networks of such a table. Raises `InputError`."""
    found = Contents(SOURCE, "networks of OpenStyleGAN as a plain pickle", path, {})
    for name in COMPONENT_OF:
        if value.get(name) is not None:
            found.networks[name] = stored_network(value[name], f"{path.name}'s {name}")
    try:
        found.about.update(json.loads(value.get(OURS, "{}")))
    except (ValueError, TypeError) as error:
        raise InputError(f"expected OpenStyleGAN's description as JSON in {path}, got {error}") from error
    known = {*COMPONENT_OF, "training_set_kwargs", "augment_pipe", OURS}
    found.unread.update({str(key): describe(entry) for key, entry in value.items() if key not in known})
    return found


def stored_network(value: Any, what: str) -> StoredNetwork:
    """One network of such a table."""
    arguments: tuple[Any, ...] = value.args if is_network(value) else ()
    if len(arguments) != 3 or not all(isinstance(entry, Mapping) for entry in arguments[1:]):
        raise InputError(f"expected {what} as a network of OpenStyleGAN, got {describe(value)}; is it damaged?")
    component = from_dict(Component, plain(arguments[1]))
    tensors = {str(name): own_tensor(tensor, f"{what}.{name}") for name, tensor in arguments[2].items()}
    says = "discriminator" if arguments[0] == "D" else "generator"
    return StoredNetwork(f"the {says} '{component.name}'", component, tensors)
