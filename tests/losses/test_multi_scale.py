"""Penalties of several resolutions: the mean over them, of total gradients."""

from __future__ import annotations

import torch

from openstylegan.losses.multi_scale import r1_penalty_of_scales, r2_penalty_of_scales
from openstylegan.networks.msg_discriminator import pyramid


def test_r1_of_scales_is_their_mean_and_total() -> None:
    """D = |x|^2 / 2 at both scales, the smaller made of the larger: its gradient reaches the larger by a quarter."""
    large = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    images = pyramid(large, 2)
    logits = torch.stack([(i.square() / 2).sum([1, 2, 3]) for i in images]).sum(0)
    small = images[0].detach()
    total = large.detach() + small.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    expected = (small.square().sum([1, 2, 3]) + total.square().sum([1, 2, 3])) / 2
    assert torch.allclose(r1_penalty_of_scales(logits, images), expected)


def test_r2_of_scales_that_do_not_hang_together() -> None:
    images = tuple(torch.randn(2, 3, s, s, requires_grad=True) for s in (4, 8, 16))
    logits = torch.stack([(i.square() / 2).sum([1, 2, 3]) for i in images]).sum(0)
    expected = torch.stack([i.detach().square().sum([1, 2, 3]) for i in images]).mean(0)
    assert torch.allclose(r2_penalty_of_scales(logits, images), expected)
