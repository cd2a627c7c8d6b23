"""Which compiled code a run will ask for, so that it is made while the run is still opening its data."""

from __future__ import annotations

from openstylegan.config import TrainConfig
from openstylegan.ops.amx_found import without_units

BY_NETWORK = {
    "fastgan": ("fastgan",),
    "projected": ("fastgan",),
    "stylegan3": ("filtered_lrelu", "winograd", "filtered_lrelu_pixels"),
}
"""Of `ops.native.PARTS`, by the networks that need more than the others do."""


def compiled_parts(config: TrainConfig) -> list[str]:
    """Names in `ops.native.PARTS`, without repetition; those that are made first, first."""
    if config.precision == "float64":
        return []
    parts = ["channels_last"]
    if config.precision == "bfloat16" and not without_units():
        parts.append("amx")
    for player in (config.generator, config.discriminator):
        parts += BY_NETWORK.get(player.network.name, ())
    return list(dict.fromkeys(parts))
