"""Between planes and channels-last pictures."""

from __future__ import annotations

import pytest
import torch

from openstylegan.ops.layouts import copy_pixels, to_channels_last, to_planes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 70, 9, 13), (1, 3, 33, 5), (3, 1, 4, 4), (2, 16, 1, 1), (1, 64, 16, 16)])
@pytest.mark.parametrize("threads", [1, 4])
def test_values_stay_where_they_are(shape: tuple[int, ...], dtype: torch.dtype, threads: int) -> None:
    x, before = torch.arange(torch.Size(shape).numel()).remainder(251).view(shape).to(dtype), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        last = to_channels_last(x)
        planes = to_planes(last)
    finally:
        torch.set_num_threads(before)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert planes.is_contiguous()
    assert torch.equal(last, x)
    assert torch.equal(planes, x)


def test_other_layouts_are_copied() -> None:
    x = torch.randn(2, 20, 6, 8).transpose(2, 3)
    assert torch.equal(to_channels_last(x), x)
    assert torch.equal(to_planes(x), x)
    assert to_planes(x).is_contiguous()


@pytest.mark.parametrize("channels_last", [True, False])
def test_parts_of_pictures_are_copied(channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    y = torch.zeros(2, 5, 9, 8).contiguous(memory_format=layout)
    x = torch.randn(2, 5, 6, 5).contiguous(memory_format=layout)
    copy_pixels(y[:, :, 1::2, ::2], x[:, :, 1:5, :4])
    want = torch.zeros(2, 5, 9, 8)
    want[:, :, 1::2, ::2] = x[:, :, 1:5, :4]
    assert torch.equal(y, want)
