"""Transfer learning: a new run that begins with another run's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from openstylegan.errors import InputError
from openstylegan.snapshot import load


@torch.no_grad()
def transfer(path: str, networks: Mapping[str, nn.Module]) -> None:
    """Copies the parameters and buffers that a snapshot has under the same names into `networks` (G, D, G_ema).

    Names the snapshot lacks keep their initial values, as users of StyleGAN2-ADA know it. Raises `InputError` when a
    shape differs or nothing fits.
    """
    source = load(path)
    for name, module in networks.items():
        given = getattr(source, name)
        if given is None:
            raise InputError(f"{path} holds no {name}; transfer learning needs G, D and G_ema")
        theirs, own = given.state_dict(), module.state_dict()
        common = own.keys() & theirs.keys()
        wrong = sorted(n for n in common if own[n].shape != theirs[n].shape)
        if wrong:
            raise InputError(
                f"{path} does not fit: {name}'s {wrong[0]} is {list(theirs[wrong[0]].shape)} there and "
                f"{list(own[wrong[0]].shape)} here; use the same resolution, widths and classes"
            )
        if not common:
            raise InputError(f"{path} does not fit: {name} shares no tensor name with this network")
        for n in common:
            own[n].copy_(theirs[n])
