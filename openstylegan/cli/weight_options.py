"""Which weights of frozen networks may be used, as the options of a command say it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.features.weights import WeightPolicy


def weight_policy(
    entries: Sequence[str], keys: Collection[str], allow_download: bool, allow_unverified: bool
) -> WeightPolicy:
    """The policy of `--weights NAME=FILE` (NAME one of `keys`) and its two flags. Raises `InputError`."""
    from openstylegan.features.weights import WeightPolicy
    from openstylegan.registry import lookup

    files = {}
    for entry in entries:
        key, equals, place = entry.partition("=")
        if not equals or not place:
            raise InputError(f"--weights: expected NAME=FILE, such as vgg16=vgg16.pt, got '{entry}'")
        files[lookup({name: name for name in keys}, key, "file of weights")] = place
    return WeightPolicy(files, allow_download, allow_unverified)


def detector_weights(entries: Sequence[str], allow_download: bool, allow_unverified: bool) -> WeightPolicy:
    """The same for what metrics look at pictures with. Raises `InputError`."""
    from openstylegan.features import EXTRACTORS

    keys = {kind.weights.key for kind in EXTRACTORS.values()}
    return weight_policy(entries, keys, allow_download, allow_unverified)
