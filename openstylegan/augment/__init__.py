"""What stands before the discriminator: no augmentation, an adaptive one, one of fixed strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openstylegan.augment.ada import AdaptiveAugment, FixedAugment
from openstylegan.augment.base import Augment, NoAugment
from openstylegan.augment.blur import FadingBlur
from openstylegan.augment.diffaugment import DiffAugment
from openstylegan.augment.options import AUGMENT_PRESETS
from openstylegan.augment.pipe import AugmentPipe

AUGMENTS: Mapping[str, Callable[..., Augment]] = {
    "none": NoAugment,
    "ada": AdaptiveAugment,
    "fixed": FixedAugment,
    "diffaugment": DiffAugment,
}

__all__ = [
    "AUGMENTS",
    "AUGMENT_PRESETS",
    "AdaptiveAugment",
    "Augment",
    "AugmentPipe",
    "DiffAugment",
    "FadingBlur",
    "FixedAugment",
    "NoAugment",
]
