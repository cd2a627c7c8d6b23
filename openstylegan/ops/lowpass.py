"""Low-pass filters by the window method: a sinc along one axis, or a jinc of the distance from the centre.

From StyleGAN3 (arXiv 2106.12423, section 3.1 and appendix C), with Kaiser's window and his formulas for its shape
(Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from openstylegan.errors import InputError


def kaiser_beta(num_taps: int, transition: float) -> float:
    """The window's shape for `num_taps` and a transition band of `transition` times the Nyquist frequency.

    With the attenuation A = 2.285 (n - 1) pi transition + 7.95 dB, which so many taps can reach: 0.1102 (A - 8.7)
    above 50 dB, 0.5842 (A - 21)^0.4 + 0.07886 (A - 21) above 21 dB, 0 (a box) below.
    """
    attenuation = 2.285 * (num_taps - 1) * math.pi * transition + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0


def design_lowpass(
    num_taps: int, cutoff: float, width: float, sampling_rate: float, radial: bool = False
) -> Tensor | None:
    """A float32 filter [num_taps], or [num_taps, num_taps] when `radial`, that sums to 1; None for a single tap.

    `cutoff` (of half the amplitude), the full `width` of the transition band and `sampling_rate` are in one unit.
    Computed in float64. Raises `InputError` for an odd number of taps of a radial filter, whose centre has no limit in
    the formula, and for a filter without taps.
    """
    if num_taps < 1:
        raise InputError(f"expected at least one filter tap, got {num_taps}; choose a larger filter_size")
    if num_taps == 1:
        return None
    beta = kaiser_beta(num_taps, width / (sampling_rate / 2))
    window = torch.kaiser_window(num_taps, periodic=False, beta=beta, dtype=torch.float64)
    steps = torch.arange(num_taps, dtype=torch.float64) - (num_taps - 1) / 2
    taps = _jinc(steps, cutoff, sampling_rate) * window.outer(window) if radial else _sinc(steps, cutoff, sampling_rate)
    taps = taps if radial else taps * window
    return (taps / taps.sum()).float()


def _sinc(steps: Tensor, cutoff: float, sampling_rate: float) -> Tensor:
    """The ideal filter along one axis but for its scale: sinc(2 fc k / fs)."""
    return torch.sinc(steps * (cutoff / (sampling_rate / 2)))


def _jinc(steps: Tensor, cutoff: float, sampling_rate: float) -> Tensor:
    """The ideal filter of all directions alike: J1(2 pi fc r) / (pi r) at distance r from the centre."""
    if len(steps) % 2:
        raise InputError(
            f"expected an even number of taps for a radial filter, got {len(steps)}; choose an even filter_size"
        )
    radius = torch.hypot(steps[:, None], steps[None, :]) / sampling_rate
    return torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius)
