"""OpenStyleGAN: one toolkit for the style-based GAN family. Importing it does not import torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "evaluate", "generate", "load", "train"]

if TYPE_CHECKING:
    from openstylegan.errors import InputError
    from openstylegan.interop.loading import load
    from openstylegan.metrics.evaluate import evaluate
    from openstylegan.sampling.generate import generate
    from openstylegan.training.run import train

PUBLIC = {
    "InputError": "openstylegan.errors",
    "load": "openstylegan.interop.loading",
    "generate": "openstylegan.sampling.generate",
    "evaluate": "openstylegan.metrics.evaluate",
    "train": "openstylegan.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'openstylegan' has no attribute '{name}'")
    return getattr(importlib.import_module(PUBLIC[name]), name)
