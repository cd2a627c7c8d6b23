"""Transfer learning: a new run that begins with the weights of a network, its own or someone else's.

Two ways. `transfer_from` (--resume=FILE) copies what has the same name, as the StyleGAN programs do: names that the
file lacks keep their initial values, a shape that differs is an error. `init_from` (--init-from) takes what fits: what
has the same name and shape, and labels of another number of classes made to fit; the rest begins anew. Blocks are named
by resolution, so other resolutions share the blocks they have in common.

Differs from the originals: a table says what was copied, resized and new; filters that follow from the architecture are
not taken from a network of another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from openstylegan.distributed import broadcast, is_main
from openstylegan.errors import InputError
from openstylegan.interop import load
from openstylegan.snapshot import Networks
from openstylegan.training.build import Run

Fate = Literal["copied", "resized", "new", "left out"]
FATES: tuple[Fate, ...] = ("copied", "resized", "new", "left out")
CONSTANT = "_filter"
"""How the names of tensors end that follow from a network's architecture."""
MAX_DETAILS = 6


@dataclass(frozen=True)
class Entry:
    """What became of one tensor: its shape in the file and here, None where there is none."""

    network: str
    name: str
    fate: Fate
    theirs: tuple[int, ...] | None
    own: tuple[int, ...] | None

    @property
    def group(self) -> str:
        """The part of the network that it belongs to: `mapping`, `synthesis.b8`, `b256`."""
        parts = self.name.split(".")
        return ".".join(parts[:2]) if parts[0] == "synthesis" else parts[0]


def dense_gain(old_inputs: int, new_inputs: int) -> float:
    """What keeps a dense layer's products when its number of inputs changes: it divides by their root at run time."""
    return math.sqrt(new_inputs / old_inputs)


def resize_classes(theirs: Tensor, num: int) -> Tensor:
    """The embedding [E, c] of c classes for `num` ones: the first ones stay, more of them begin as the mean class."""
    shared = min(theirs.shape[1], num)
    extra = theirs.mean(dim=1, keepdim=True).expand(-1, num - shared)
    return torch.cat([theirs[:, :shared], extra], dim=1) * dense_gain(theirs.shape[1], num)


def resize_inputs(theirs: Tensor, num: int) -> Tensor:
    """The first layer's weight [O, I] for `num` inputs: labels come after z, begin without influence, or go."""
    shared = min(theirs.shape[1], num)
    extra = theirs.new_zeros(len(theirs), num - shared)
    return torch.cat([theirs[:, :shared], extra], dim=1) * dense_gain(theirs.shape[1], num)


def resized(name: str, theirs: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Tensor | None:
    """The file's tensor `name` made to fit the own one, or None where no sensible way is known.

    Known: the embedding of another number of classes, and the first mapping layer of a generator that gains or loses
    its labels.
    """
    given, wanted, embed = theirs[name], own[name], "mapping.embed.weight"
    if given.dim() != 2 or wanted.dim() != 2 or len(given) != len(wanted):
        return None
    if name == embed:
        return resize_classes(given, wanted.shape[1])
    labels = {n: tensors[embed].shape[0] if embed in tensors else 0 for n, tensors in ((0, theirs), (1, own))}
    inputs = {0: given.shape[1] - labels[0], 1: wanted.shape[1] - labels[1]}
    if name == "mapping.fc0.weight" and inputs[0] == inputs[1] > 0 and (labels[0] == 0) != (labels[1] == 0):
        return resize_inputs(given, wanted.shape[1])
    return None


def find_fates(network: str, theirs: Mapping[str, Tensor], own: Mapping[str, Tensor], fit: bool) -> list[Entry]:
    """What becomes of every tensor, in the order of the own network, what is left out of the file at the end."""
    found = []
    for name, tensor in own.items():
        given = theirs.get(name)
        if fit and name.endswith(CONSTANT):
            continue
        fate: Fate = "new"
        if given is not None and given.shape == tensor.shape:
            fate = "copied"
        elif given is not None and fit and resized(name, theirs, own) is not None:
            fate = "resized"
        found.append(Entry(network, name, fate, None if given is None else tuple(given.shape), tuple(tensor.shape)))
    unused = [n for n in theirs if n not in own and not (fit and n.endswith(CONSTANT))]
    return found + [Entry(network, n, "left out", tuple(theirs[n].shape), None) for n in unused]


@torch.no_grad()
def copy_network(
    network: str, theirs: Mapping[str, Tensor], module: nn.Module, path: str, fit: bool = False
) -> list[Entry]:
    """Copies what `theirs` (a state dict) has into `module`, and returns what became of every tensor.

    fit: whether shapes may differ (see the module). Raises `InputError` when one does that may not, or nothing is
    shared.
    """
    own = dict(module.state_dict())
    entries = find_fates(network, theirs, own, fit)
    wrong = [e for e in entries if e.fate == "new" and e.theirs is not None]
    if wrong and not fit:
        raise InputError(
            f"{path} does not fit: {network}'s {wrong[0].name} is {list(wrong[0].theirs or ())} there and "
            f"{list(wrong[0].own or ())} here; use the same resolution, widths and classes, or --init-from, which "
            "takes what fits"
        )
    if not any(e.fate in ("copied", "resized") for e in entries):
        raise InputError(f"{path} does not fit: {network} shares no tensor with this network; is it another kind?")
    for entry in entries:
        if entry.fate == "copied":
            own[entry.name].copy_(theirs[entry.name])
        elif entry.fate == "resized":
            value = resized(entry.name, theirs, own)
            assert value is not None
            own[entry.name].copy_(value)
    return entries


def sources(networks: Networks, path: str, fit: bool) -> dict[str, nn.Module | None]:
    """The network of the file that each of G, D and G_ema begins with; None: no such one. Raises `InputError`."""
    found: dict[str, nn.Module | None] = {"G": networks.G, "D": networks.D, "G_ema": networks.G_ema}
    missing = [name for name, module in found.items() if module is None]
    if missing and not fit:
        raise InputError(
            f"{path} holds no {missing[0]}, but a run that begins with it needs G, D and G_ema; use --init-from to "
            "begin with what there is"
        )
    if found["G"] is None:
        found["G"] = networks.G_ema
    return found


def transfer(networks: Networks, path: str, own: Mapping[str, nn.Module], fit: bool = False) -> list[Entry]:
    """Copies from a file's networks into `own` (G, D, G_ema). Without G its G_ema stands in; without D a D is new.

    Raises `InputError`.
    """
    entries: list[Entry] = []
    for name, source in sources(networks, path, fit).items():
        if source is None:
            entries += find_fates(name, {}, own[name].state_dict(), fit)
        else:
            entries += copy_network(name, source.state_dict(), own[name], path, fit)
    return entries


def count_fates(entries: list[Entry]) -> dict[tuple[str, str], dict[Fate, int]]:
    """How many tensors of each part of each network had which fate."""
    rows: dict[tuple[str, str], dict[Fate, int]] = {}
    for entry in entries:
        counts = rows.setdefault((entry.network, entry.group), dict.fromkeys(FATES, 0))
        counts[entry.fate] += 1
    return rows


def table(entries: list[Entry]) -> Iterator[str]:
    """The tensors' fates by network and part, in lines; and the shapes of those that have another one in the file."""
    rows = count_fates(entries)
    both = all(rows.get(("G_ema", part)) == counts for (network, part), counts in rows.items() if network == "G")
    width = max(len(part) for _, part in rows) + 2
    yield f"{'':10}{'':{width}}" + "".join(f"{fate:>10}" for fate in FATES)
    for (network, part), counts in rows.items():
        if not (both and network == "G_ema"):
            name = "G, G_ema" if both and network == "G" else network
            yield f"{name:10}{part:{width}}" + "".join(f"{counts[fate]:>10}" for fate in FATES)
    changed = [e for e in entries if e.theirs != e.own and e.theirs is not None and e.own is not None]
    for e in changed[:MAX_DETAILS]:
        yield f"{e.fate}: {e.network} {e.name} {list(e.theirs or ())} in the file, {list(e.own or ())} here"
    if len(changed) > MAX_DETAILS:
        yield f"and {len(changed) - MAX_DETAILS} more of another shape"


def begin_with_weights(run: Run) -> list[str]:
    """Gives a new run the weights that its configuration names, on all processes; returns lines that say what came.

    The lines are the main process's: it alone reads the file. Raises `InputError`.
    """
    path = run.config.transfer_from or run.config.init_from
    if path is None:
        return []
    modules: dict[str, nn.Module] = {"G": run.state.G, "D": run.state.D, "G_ema": run.state.ema.module}
    lines: list[str] = []
    if is_main():
        networks = load(path)
        entries = transfer(networks, path, modules, fit=run.config.init_from is not None)
        lines = [f"weights from {path}", *table(entries), *strength_line(networks, run)]
    for module in modules.values():
        broadcast([*module.parameters(), *module.buffers()])
    run.state.set_lod(run.stage().lod)  # a file's level of detail is where its own run was
    return lines


def strength_line(networks: Networks, run: Run) -> Iterator[str]:
    """What the file says of the strength of an adaptive augmentation, which a new run does not take over."""
    strength = networks.about.get("augment_p")
    if strength and "initial_p" not in run.config.augment.options and run.config.augment.name == "ada":
        yield (
            f"the file's augmentation had come to p = {strength:.3f}; this run's begins at 0 "
            f"(--set augment.options.initial_p={strength:.3f} takes it over)"
        )
