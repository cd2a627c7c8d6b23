"""The generator that a command was given, ready on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.networks.base import Generator


def open_generator(
    network: str, class_idx: int | None, device: str, size: int | None = None, precision: str = "float32"
) -> Generator:
    """The averaged generator of a network file, a run folder or a URL, on `device`; one that grows may be set to a
    `size` in pixels, one with layers that may run in a lower `precision` to that. Raises `InputError`.

    Says so when a class was given that the network has no use for.
    """
    from openstylegan.interop.loading import load
    from openstylegan.networks.base import set_precision
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
    try:
        set_precision(G, precision)
    except InputError:
        raise InputError(
            f"--precision {precision}: none of this network's layers may run in it (num_fp16_res 0); leave it out"
        ) from None
    return G.to(place)
