"""Generators small enough to run at every test, with every weight that starts at a constant set to something."""

from __future__ import annotations

from typing import Any

import torch

from openstylegan.networks import GENERATORS
from openstylegan.networks.base import Generator


def tiny_generator(name: str = "stylegan2", seed: int = 0, **options: Any) -> Generator:
    """A 16 px generator with w_dim 8 in evaluation mode, without gradients, noise and w_avg not zero."""
    given: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "img_resolution": 16}
    if name == "stylegan2":
        given["synthesis_kwargs"] = {"channel_base": 64, "channel_max": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = GENERATORS[name](**{**given, **options})
        with torch.no_grad():
            for key, parameter in made.named_parameters():
                if key.endswith("noise_strength"):
                    parameter.fill_(0.3)
            made.mapping.w_avg.normal_()
    return made.eval().requires_grad_(False)
