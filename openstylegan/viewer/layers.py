"""Looking into a network while it draws: a forward hook on every part that draws.

Recorded is every tensor [N, C, H, W] that a part gives ([N, C, D, H, W]: its mean over D), under the part's dotted
name; the synthesis itself is "output". A part that gives several tensors has `:0`, `:1`, ... behind its name, a name
that comes again `_2`, `_3`, .... The order is that of execution. The names are those of StyleGAN3's visualizer (arXiv
2106.12423).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.registry import nearest
from openstylegan.viewer.messages import LayerEntry

OUTPUT = "output"
Seen = Callable[[str, Tensor], None]


class Reached(Exception):
    """The layer that is wanted has been computed; the rest of the network need not be."""

    def __init__(self, value: Tensor):
        super().__init__()
        self.value = value


def planes(value: Any) -> list[Tensor]:
    """The tensors of a part's result that are pictures: of 4 dimensions, or of 5 with the third averaged."""
    values = value if isinstance(value, list | tuple) else (value,)
    tensors = [v for v in values if isinstance(v, Tensor)]
    return [t.mean(2) if t.dim() == 5 else t for t in tensors if t.dim() in (4, 5)]


def parts_of(G: Generator) -> dict[str, nn.Module]:
    """Whatever may compute something when `G` draws, by name: the synthesis ("output"), what is in it, and parts of the
    generator that its synthesis uses without owning them (StyleGAN1's)."""
    own = {name or OUTPUT: part for name, part in G.synthesis.named_modules()}
    inner = {*own.values(), *G.mapping.modules()}
    return own | {name: part for name, part in G.named_modules() if name and part not in inner}


@contextmanager
def watched(parts: Mapping[str, nn.Module], see: Seen) -> Iterator[None]:
    """Inside, `see(name, tensor)` is told of every layer that `parts` compute."""
    times: dict[str, int] = {}

    def note(name: str, value: Any) -> None:
        found = planes(value)
        for n, tensor in enumerate(found):
            full = f"{name}:{n}" if len(found) > 1 else name
            times[full] = times.get(full, 0) + 1
            see(full if times[full] == 1 else f"{full}_{times[full]}", tensor)

    hooks = [
        part.register_forward_hook(lambda _, __, value, name=name: note(name, value)) for name, part in parts.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def layers_of(parts: Mapping[str, nn.Module], draw: Callable[[], Any]) -> tuple[LayerEntry, ...]:
    """The layers that `draw()` runs through, in the order of execution."""
    found: list[LayerEntry] = []

    def see(name: str, value: Tensor) -> None:
        channels, height, width = value.shape[1:]
        found.append(LayerEntry(name, (channels, height, width), str(value.dtype).removeprefix("torch.")))

    with watched(parts, see):
        draw()
    return tuple(found)


def value_of(parts: Mapping[str, nn.Module], name: str, draw: Callable[[], Any]) -> Tensor:
    """What the layer `name` gives when `draw()` runs, [N, C, H, W]; the rest is not computed. Raises `InputError`."""
    names: list[str] = []

    def see(found: str, value: Tensor) -> None:
        names.append(found)
        if found == name:
            raise Reached(value)

    try:
        with watched(parts, see):
            draw()
    except Reached as reached:
        return reached.value
    raise InputError(f"this network has no layer '{name}'{nearest(name, names)}")


@contextmanager
def interruptible(parts: Iterable[nn.Module], check: Callable[[], None]) -> Iterator[None]:
    """Inside, `check()` is called before each of `parts` is computed, and may raise."""
    hooks = [part.register_forward_pre_hook(lambda *_: check()) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
