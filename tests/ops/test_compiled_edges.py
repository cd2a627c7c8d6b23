"""Compiled code at its edges: sizes, types and layouts that nobody draws with, which must not be computed otherwise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.ops import amx
from openstylegan.ops.modulated_conv2d import modulated_conv2d, modulated_conv2d_bias_act
from openstylegan.ops.paths import reference_paths

on_matrix_units = pytest.mark.skipif(bool(amx.available()), reason=f"no matrix units: {amx.available()}")


def pictures(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


def near(got: Tensor, want: Tensor, limit: float) -> bool:
    """Whether the largest difference is at most `limit` times the largest value; NaN is not near."""
    assert got.shape == want.shape
    return bool((got.double() - want.double()).abs().max() <= limit * want.double().abs().max())


@on_matrix_units
@pytest.mark.parametrize("padding", [3, 4, 6])
@pytest.mark.parametrize("width", [7, 12, 25])
def test_more_padding_than_the_kernel_spans(padding: int, width: int) -> None:
    torch.manual_seed(0)
    x, w = pictures(2, 32, 6, width, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3).bfloat16()
    for stride in (1, 2):
        want = F.conv2d(x.double(), w.double(), stride=stride, padding=padding)
        assert near(amx.correlate(x, w, stride, (padding, padding)), want, 2**-8)


@pytest.mark.parametrize("side", [1, 2])
def test_a_kernel_larger_than_the_picture_is_refused(side: int) -> None:
    x, w = pictures(1, 32, side, side, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3)
    with torch.no_grad(), pytest.raises((InputError, RuntimeError), match=r"[Kk]ernel"):
        modulated_conv2d(x, w, torch.randn(1, 32))


@on_matrix_units
def test_a_picture_without_pixels_is_scattered_to() -> None:
    gy, w = pictures(1, 32, 2, 4, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3)
    assert amx.scatter(gy, w, 1, (2, 1), (0, 4)).shape == (1, 32, 0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (8, 1), (1, 8), (1, 1, 1, 1), (2, 1, 1, 8), (1, 32, 8, 8)])
def test_noise_that_is_broadcast(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, w, styles = pictures(2, 32, 8, 8, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3), torch.randn(2, 32)
    noise = torch.randn(shape)
    with torch.no_grad():
        y = modulated_conv2d_bias_act(x, w, styles, noise, padding=1, act="lrelu")
        with reference_paths():
            want = modulated_conv2d_bias_act(x, w, styles, noise, padding=1, act="lrelu")
    assert near(y, want, 2**-6)


@pytest.mark.parametrize("shape", [(9, 9), (3, 1, 8, 8), (7, 8)])
def test_noise_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    x, w = pictures(2, 32, 8, 8, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3)
    with torch.no_grad(), pytest.raises(RuntimeError, match="size"):
        modulated_conv2d_bias_act(x, w, torch.randn(2, 32), torch.randn(shape), padding=1)


def test_another_default_type_changes_nothing() -> None:
    torch.manual_seed(0)
    x, w, styles = pictures(2, 32, 8, 8, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3), torch.randn(2, 32)

    def draw() -> Tensor:
        with torch.no_grad():
            return modulated_conv2d_bias_act(x, w, styles, padding=1, demodulate=False, act="lrelu")

    want = draw()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(draw(), want)
    finally:
        torch.set_default_dtype(before)
