"""StyleGAN3's convolutions of channels-last pictures, of any number of channels, when no gradient is recorded.

In bfloat16 on matrix units (`amx`), where they are; 1x1 convolutions in float32 are one product of matrices a sample.
Their layers have 45, 91, 181 and 362 channels: results have room for whole vectors or blocks between their pixels, as
`filtered_lrelu_pixels` takes and gives them. The scales of input and output cost no pass of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.ops import amx
from openstylegan.ops.amx import BLOCK, Ends
from openstylegan.ops.filtered_lrelu_pixels import fits, line, pitch
from openstylegan.ops.frozen import derived
from openstylegan.ops.layouts import to_channels_last
from openstylegan.ops.paths import readable


def usable(x: Tensor, w: Tensor, padding: int) -> bool:
    """Whether a convolution of `x` [N, I, H, W] with `w` [O, I, k, k] is computed here; vectors are half full."""
    taps = w.shape[2] * w.shape[3]
    return (
        fits(x)
        and readable(w)
        and x.numel() > 0
        and 2 * len(w) >= line(x)
        and min(x.shape[2:]) + 2 * padding >= max(w.shape[2:])
        and (taps <= amx.MOST_TAPS if x.dtype == torch.bfloat16 else (taps, padding) == (1, 0))
    )


def scaled_correlate(x: Tensor, w: Tensor, before: Tensor, after: Tensor, padding: int) -> Tensor:
    """`conv2d(x * before, w, padding) * after`, with scales [N, I] of the channels of x and [N, O] of the result.

    The result is channels-last, but for room between its pixels.
    """
    pixels = x if pitch(x) is not None else to_channels_last(x)
    y = _products(pixels, w, before, after) if x.dtype == torch.float32 else _amx(pixels, w, before, after, padding)
    return y[:, : len(w)]


def _amx(x: Tensor, w: Tensor, before: Tensor, after: Tensor, padding: int) -> Tensor:
    weights = derived(w, "bfloat16 in whole blocks", _in_blocks)
    outputs, inputs = weights.shape[:2]
    return amx.correlate(x, weights, 1, (padding, padding), Ends(_filled(before, inputs), _filled(after, outputs)))


def _in_blocks(w: Tensor) -> Tensor:
    """`w` [O, I, k, k] in bfloat16, filled up with zeros to whole blocks of inputs and of outputs."""
    return F.pad(w.detach().to(torch.bfloat16), [0, 0, 0, 0, 0, -w.shape[1] % BLOCK, 0, -w.shape[0] % BLOCK])


def _products(x: Tensor, w: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """The pixels [N, H W, I] times weights [N, I, O]."""
    (n, i, height, width), matrix = x.shape, derived(w, "a matrix of whole vectors", _matrix)
    weights = (matrix * before.detach()[:, :, None]).mul_(_filled(after, matrix.shape[1])[:, None, :])
    y = torch.bmm(x.detach().permute(0, 2, 3, 1).view(n, height * width, i), weights)
    return y.view(n, height, width, -1).permute(0, 3, 1, 2)


def _matrix(w: Tensor) -> Tensor:
    """`w` [O, I, 1, 1] as a matrix [I, O], filled up with zeros to whole vectors of outputs."""
    return F.pad(w.detach()[:, :, 0, 0].t(), [0, -len(w) % line(w)]).contiguous()


def _filled(scale: Tensor, channels: int) -> Tensor:
    """`scale` [N, C] of `channels` channels, in float32."""
    return F.pad(scale.detach().float(), [0, channels - scale.shape[1]])
