"""The random numbers behind a batch of augmentations, and their stand-ins at a fixed percentile.

A sample takes one block of uniform and one block of normal numbers, whose columns have names. The blocks are the same
whatever is switched on, so switching one transform on does not change another's draws.

Differs from StyleGAN2-ADA (arXiv 2006.06676): there every transform draws for the whole batch when its turn comes.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Protocol

import numpy as np
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.randomness import NoiseSource

# The order of the columns is part of every run's recipe: append, never reorder.
UNIFORM_COLUMNS = (
    *("xflip", "xflip_gate", "rotate90", "rotate90_gate", "xint_x", "xint_y", "xint_gate", "scale_gate"),
    *("rotate_pre", "rotate_pre_gate", "aniso_gate", "rotate_post", "rotate_post_gate", "xfrac_gate"),
    *("brightness_gate", "contrast_gate", "lumaflip", "lumaflip_gate", "hue", "hue_gate", "saturation_gate"),
    *("imgfilter_0_gate", "imgfilter_1_gate", "imgfilter_2_gate", "imgfilter_3_gate"),
    *("noise_gate", "cutout_gate", "cutout_x", "cutout_y"),
)
NORMAL_COLUMNS = (
    *("scale", "aniso", "xfrac_x", "xfrac_y", "brightness", "contrast", "saturation"),
    *("imgfilter_0", "imgfilter_1", "imgfilter_2", "imgfilter_3", "noise"),
)


class Draws(Protocol):
    """One number a sample, by name; arrays are float64 `[N]`."""

    num_samples: int

    def uniform(self, name: str) -> np.ndarray:
        """Uniform numbers in [0, 1)."""

    def normal(self, name: str) -> np.ndarray:
        """Standard normal numbers."""

    def half_normal(self, name: str) -> np.ndarray:
        """Magnitudes of standard normal numbers."""

    def fires(self, name: str, strength: float) -> np.ndarray:
        """Whether the transform of that gate is applied, with probability strength * p; bool `[N]`."""

    def fires_in_pair(self, name: str, strength: float) -> np.ndarray:
        """As `fires` for one of two such that either fires with probability strength * p."""


class RandomDraws:
    """Draws from `stream`: `uniform([N, 29])`, then `normal([N, 12])`."""

    def __init__(self, stream: NoiseSource, num_samples: int, p: float):
        self.num_samples, self.p = num_samples, p
        self._uniform = columns(stream.uniform([num_samples, len(UNIFORM_COLUMNS)]), UNIFORM_COLUMNS)
        self._normal = columns(stream.normal([num_samples, len(NORMAL_COLUMNS)]), NORMAL_COLUMNS)

    def uniform(self, name: str) -> np.ndarray:
        return self._uniform[name]

    def normal(self, name: str) -> np.ndarray:
        return self._normal[name]

    def half_normal(self, name: str) -> np.ndarray:
        return np.abs(self._normal[name])

    def fires(self, name: str, strength: float) -> np.ndarray:
        return self._uniform[name] < strength * self.p

    def fires_in_pair(self, name: str, strength: float) -> np.ndarray:
        return self._uniform[name] < 1 - math.sqrt(min(max(1 - strength * self.p, 0), 1))


def columns(block: Tensor, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The columns of a block `[N, len(names)]` by name. A block on a CUDA device is waited for."""
    return dict(zip(names, block.double().cpu().numpy().T, strict=True))


class PercentileDraws:
    """Every draw at its `percentile` in (0, 1), every transform of strength > 0 applied, whatever p is.

    As in the original's debugging option, the second rotation is left out and a normal number's percentile is
    erfinv(2 q - 1), which is 1 / sqrt(2) of the true one; magnitudes are erfinv(q).
    """

    def __init__(self, percentile: float, num_samples: int):
        if not 0 < percentile < 1:
            raise InputError(f"expected debug_percentile between 0 and 1, both left out, got {percentile}")
        self.num_samples, self.percentile = num_samples, percentile

    def uniform(self, name: str) -> np.ndarray:
        return np.full(self.num_samples, self.percentile)

    def normal(self, name: str) -> np.ndarray:
        return np.full(self.num_samples, erfinv(2 * self.percentile - 1))

    def half_normal(self, name: str) -> np.ndarray:
        return np.full(self.num_samples, erfinv(self.percentile))

    def fires(self, name: str, strength: float) -> np.ndarray:
        return np.full(self.num_samples, strength > 0)

    def fires_in_pair(self, name: str, strength: float) -> np.ndarray:
        return np.full(self.num_samples, strength > 0 and name != "rotate_post_gate")


def erfinv(x: float) -> float:
    """The inverse error function: the normal quantile of (x + 1) / 2 over sqrt(2)."""
    return NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2)
