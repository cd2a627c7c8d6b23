"""The generator that a command was given, ready on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openstylegan.networks.base import Generator


def open_generator(network: str, class_idx: int | None, device: str, size: int | None = None) -> Generator:
    """The averaged generator of a network file, a run folder or a URL, on `device`; one that grows may be set to a
    `size` in pixels. Raises `InputError`.

    Says so when a class was given that the network has no use for.
    """
    from openstylegan.interop.loading import load
    from openstylegan.ops.allocator import configure_allocator
    from openstylegan.sampling.sizes import set_size
    from openstylegan.training.launch import pick_device

    configure_allocator()
    place = pick_device(device)
    G = load(network).G_ema
    if G.c_dim == 0 and class_idx is not None:
        print("openstylegan: --class is ignored: this network is not conditional")
    if size is not None:
        set_size(G, size)
    return G.to(place)
