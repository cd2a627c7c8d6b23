"""Convolutions of few pixels with many weights: the same as PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from openstylegan.ops import few_pixels
from openstylegan.ops.convolution import Geometry, correlate
from openstylegan.ops.few_pixels import correlate_few_pixels, few_pixels_pay
from openstylegan.ops.upsampled_conv import upsampled_conv2d, upsampled_conv2d_reference


@pytest.mark.parametrize(
    ("kernel", "padding"), [((3, 3), (1, 1)), ((4, 4), (0, 0)), ((1, 3), (0, 1)), ((2, 1), (1, 0))]
)
def test_it_is_a_convolution(kernel: tuple[int, int], padding: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x, w = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(7, 3, *kernel, dtype=torch.float64)
    found = correlate_few_pixels(x.to(memory_format=torch.channels_last), w, padding)
    torch.testing.assert_close(found, F.conv2d(x, w, padding=padding), rtol=1e-12, atol=1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_it_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert few_pixels_pay(16, 1 << 22) and not few_pixels_pay(16, 1 << 12) and not few_pixels_pay(4096, 1 << 22)
    monkeypatch.setattr(few_pixels, "FEWEST_WEIGHTS", 1)
    torch.manual_seed(0)
    x, w = torch.randn(2, 20, 4, 4, dtype=torch.float64), torch.randn(6, 20, 3, 3, dtype=torch.float64)
    monkeypatch.setattr(F, "conv2d", lambda *_, **__: pytest.fail("oneDNN was asked"))
    own = correlate(x, w, Geometry(1, (1, 1)))
    larger = upsampled_conv2d(x, w, torch.ones(6, dtype=torch.float64))
    monkeypatch.undo()
    torch.testing.assert_close(own, F.conv2d(x, w, padding=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(larger, upsampled_conv2d_reference(x, w) + 1, rtol=1e-12, atol=1e-12)


def test_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_pixels, "FEWEST_WEIGHTS", 1)
    torch.manual_seed(0)
    x = torch.randn(1, 16, 2, 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 16, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(upsampled_conv2d, (x, w, torch.ones(2, dtype=torch.float64, requires_grad=True)))
