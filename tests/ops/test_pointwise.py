"""1x1 convolutions as matrix products."""

from __future__ import annotations

from unittest import mock

import torch
import torch.nn.functional as F

from openstylegan.ops import pointwise as module
from openstylegan.ops.pointwise import pointwise


def test_equals_the_convolution_with_its_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 5, 3, 4), (7, 5, 1, 1), (7,))
    )
    with mock.patch.object(module, "FEWEST_WEIGHTS", 1):
        y = pointwise(x, w, b)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert torch.autograd.gradgradcheck(pointwise, (x, w, b))
    g = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    wanted = F.conv2d(x, w, b)
    torch.testing.assert_close(y, wanted, rtol=1e-12, atol=1e-12)
    ours, theirs = (torch.autograd.grad(result, (x, w, b), g) for result in (y, wanted))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
