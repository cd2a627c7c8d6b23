"""Compiled code is kept from tensors that have no numbers: it would read addresses that are none."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from openstylegan.ops import filtered_lrelu_compiled, resample_compiled, tail_compiled, winograd_planes
from openstylegan.ops.layouts import copy_pixels, to_channels_last, to_planes
from openstylegan.ops.paths import readable


def test_only_plain_tensors_in_the_cpu_s_memory_are_readable() -> None:
    x = torch.zeros(2, 3)
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(x)
    assert readable(x, nn.Parameter(x), None)
    assert not readable(x, fake)
    assert not readable(torch.empty(2, device="meta"))


def test_shapes_without_numbers_take_the_plain_forms() -> None:
    with FakeTensorMode():
        x = torch.empty(4, 128, 64, 64).contiguous(memory_format=torch.channels_last)
        assert not tail_compiled.usable(x)
        assert not resample_compiled.usable(x)
        assert not filtered_lrelu_compiled.usable(x)
        assert not winograd_planes.pays(x, (128, 128, 3, 3), 1)
        assert to_planes(x).is_contiguous()
        assert to_channels_last(to_planes(x)).is_contiguous(memory_format=torch.channels_last)
        target = torch.empty(4, 128, 128, 128).contiguous(memory_format=torch.channels_last)
        copy_pixels(target[:, :, ::2, ::2], x)
        assert target.shape == F.interpolate(x, scale_factor=2).shape
