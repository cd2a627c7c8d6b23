"""Designed low-pass filters: published taps, what they pass and stop, and agreement with another implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.ops.lowpass import design_lowpass, kaiser_beta

PUBLISHED = [
    ((12, 2, 12, 32), [0.000791902, 0.010018318, 0.038949523, 0.09241279, 0.15652561, 0.20130186]),
    (
        (24, 8, 16, 128),
        [-0.001638283, -0.003055291, -0.003715158, -0.002145364, 0.003312328, 0.013982081]
        + [0.030283624, 0.051312365, 0.074752904, 0.09721614, 0.1149508, 0.12474386],
    ),
    ((12, 512, 236.69188, 2048), [0.023374246, 0.034449294, -0.050880697, -0.07861523, 0.13961044, 0.43206194]),
]


@pytest.mark.parametrize(("arguments", "half"), PUBLISHED)
def test_published_taps(arguments, half):
    taps = design_lowpass(*arguments)
    assert taps.dtype == torch.float32
    assert np.abs(taps.numpy() - np.array([*half, *half[::-1]])).max() < 1e-8


def test_published_radial_taps():
    taps = design_lowpass(12, 2, 12, 32, radial=True).numpy()
    rows = {
        5: [0.038754884, 0.038754884, 0.03053336, 0.018542157, 0.008198048, 0.00227863, 0.000205262],
        0: [8.4120967e-07, 1.0472169e-05, 4.0277926e-05, 9.4871175e-05, 1.5995772e-04, 2.0526213e-04],
    }
    assert np.abs(taps[5, 5:] - rows[5]).max() < 1e-8
    assert np.abs(taps[0, :6] - rows[0]).max() < 1e-9
    diagonal = [8.4120967e-07, 1.2362108e-04, 1.6941393e-03, 8.8263992e-03, 2.4043446e-02, 3.8754884e-02]
    assert np.abs(np.diagonal(taps)[:6] - diagonal).max() < 1e-8


@pytest.mark.parametrize("num_taps", [5, 12, 48])
@pytest.mark.parametrize("width", [0.3, 2.0, 6.0])
def test_agrees_with_the_window_method_of_scipy(num_taps, width):
    signal = pytest.importorskip("scipy.signal")
    expected = signal.firwin(numtaps=num_taps, cutoff=2.5, width=width, fs=16)
    assert np.abs(design_lowpass(num_taps, 2.5, width, 16).numpy() - expected).max() < 1e-7
    assert kaiser_beta(num_taps, width / 8) == pytest.approx(
        signal.kaiser_beta(signal.kaiser_atten(num_taps, width / 8)), rel=1e-12
    )


@pytest.mark.parametrize("radial", [False, True])
def test_passes_low_and_stops_high_frequencies_in_every_direction(radial):
    cutoff, width, rate = 4.0, 6.0, 32.0
    taps = design_lowpass(24, cutoff, width, rate, radial).double()
    plane = taps if radial else taps.outer(taps)
    steps = (torch.arange(24) - 11.5) / rate

    def response(frequency: float, angle: float) -> float:
        x, y = (frequency * f(torch.tensor(angle)) for f in (torch.cos, torch.sin))
        return float((plane * torch.cos(2 * torch.pi * (x * steps[:, None] + y * steps[None, :]))).sum())

    for angle in (0.0, 0.4, torch.pi / 4) if radial else (0.0, torch.pi / 2):
        assert response(0, angle) == pytest.approx(1, abs=1e-6)
        assert response(cutoff, angle) == pytest.approx(0.5, abs=0.07)
        assert abs(response(cutoff + width / 2 + 1, angle)) < 0.01


def test_a_single_tap_is_no_filter():
    assert design_lowpass(1, 2, 3, 16) is None
    assert design_lowpass(1, 2, 3, 16, radial=True) is None


def test_refuses_what_has_no_meaning():
    with pytest.raises(InputError, match="at least one"):
        design_lowpass(0, 2, 3, 16)
    with pytest.raises(InputError, match="even"):
        design_lowpass(9, 2, 3, 16, radial=True)
