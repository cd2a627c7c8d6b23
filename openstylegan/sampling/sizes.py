"""At which size a generator that grows draws: any that it has grown to."""

from __future__ import annotations

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator


def sizes_of(G: Generator) -> dict[int, int]:
    """The level of detail of every width in pixels that `G` has grown to, the largest first.

    A level that fades in counts. `G` has a style a level, as all have that grow.
    """
    grown = G.num_ws - G.num_ws_in_use
    return {G.image_shape[2] >> lod: lod for lod in range(grown, G.max_lod + 1)}


def set_size(G: Generator, size: int) -> None:
    """Makes `G` draw pictures `size` pixels wide. Raises `InputError` for a size that it has not, or not yet."""
    if G.max_lod == 0:
        raise InputError(
            f"--size: expected a network that grows, got one that draws {G.image_shape[2]} px; leave it out"
        )
    sizes = sizes_of(G)
    if size not in sizes:
        known = ", ".join(map(str, reversed(sizes)))
        raise InputError(f"--size: expected one of {known}, which this network has grown to, got {size}")
    G.set_lod(sizes[size])
