"""Recipes: from a few options to the whole configuration of a run. Importing them does not import torch.

`PRESETS` names every configuration. A name that two families share goes to the first of them that has every flag that
was given and was given every flag that it requires; the last of them is taken where none fits, to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Set

from openstylegan.errors import InputError
from openstylegan.presets import (
    demo,
    demo_stylegan2,
    msg_stylegan,
    plain,
    projected_gan,
    stylegan1,
    stylegan2_ada,
    stylegan3,
)
from openstylegan.presets.base import Preset
from openstylegan.registry import lookup

PRESETS: dict[str, tuple[Preset, ...]] = {
    "auto": (stylegan2_ada.PRESET,),
    "stylegan2": (stylegan3.PRESET, stylegan2_ada.PRESET),
    "paper256": (stylegan2_ada.PRESET,),
    "paper512": (stylegan2_ada.PRESET,),
    "paper1024": (stylegan2_ada.PRESET,),
    "cifar": (stylegan2_ada.PRESET,),
    "stylegan3-t": (stylegan3.PRESET,),
    "stylegan3-r": (stylegan3.PRESET,),
    "fastgan": (projected_gan.PRESET,),
    "fastgan_lite": (projected_gan.PRESET,),
    "projected-stylegan2": (projected_gan.STYLE_PRESET,),
    "stylegan1": (stylegan1.PRESET,),
    "msg-stylegan": (msg_stylegan.PRESET,),
    "plain": (plain.PRESET,),
    "demo": (demo.PRESET,),
    "demo-stylegan2": (demo_stylegan2.PRESET,),
}
FAMILIES = tuple(dict.fromkeys(preset.family for presets in PRESETS.values() for preset in presets))
UNIVERSAL_FLAGS = frozenset(
    {
        "outdir", "data", "cfg", "family", "device", "backend", "nobench", "dry_run", "build_only", "settings", "tick",
        "tick_seconds", "snap", "grid", "metrics", "metric_images", "keep_checkpoints", "keep_snapshots",
        "weights", "allow_download", "allow_unverified",
    }
)  # fmt: skip
"""Flags of `openstylegan train` that do not depend on the family."""

__all__ = ["FAMILIES", "PRESETS", "UNIVERSAL_FLAGS", "Preset", "find_preset", "flag"]


def flag(name: str) -> str:
    """A field's name as it is typed: `--batch-gpu`."""
    return f"--{name.replace('_', '-')}"


def find_preset(cfg: str, given: Set[str], family: str | None = None) -> Preset:
    """The preset that the configuration `cfg` belongs to, when the flags `given` (field names) were typed.

    `family` says which where several families have a configuration of that name. Raises `InputError`.
    """
    presets = lookup(PRESETS, cfg, "configuration (--cfg)")
    if family is not None:
        presets = tuple(preset for preset in presets if preset.family == family)
        if not presets:
            has = ", ".join(name for name, all_of in PRESETS.items() for p in all_of if p.family == family)
            raise InputError(
                f"--family={family} has no configuration '{cfg}': expected one of {has or ', '.join(FAMILIES)}"
            )
    fitting = [p for p in presets if given <= p.flags | UNIVERSAL_FLAGS and given >= set(p.required)]
    if not fitting:
        refuse(presets[-1], cfg, given)
    return fitting[0]


def refuse(preset: Preset, cfg: str, given: Set[str]) -> None:
    """Raises `InputError` for a flag that `preset` does not have, or lacks one that it requires."""
    for name in sorted(given - preset.flags - UNIVERSAL_FLAGS):
        siblings = [f"--family={p.family}" for p in PRESETS[cfg] if name in p.flags]
        others = [f"--cfg={c}" for c, presets in PRESETS.items() if any(name in p.flags for p in presets)]
        raise InputError(
            f"{flag(name)} is not an option of --cfg={cfg} of {preset.family}; leave it out, or use what has it: "
            f"{', '.join(siblings or others)}"
        )
    missing = [name for name in preset.required if name not in given]
    raise InputError(f"--cfg={cfg} needs {', '.join(map(flag, missing))}; give a value")
