"""StyleGAN3's convolutions in bfloat16 on matrix units, of any number of channels, when no gradient is recorded.

Their layers have 45, 91, 181 and 362 channels: results are channels-last pictures with room for whole blocks of 32, as
`filtered_lrelu_pixels` takes and gives them. The scales of input and output cost no pass of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.ops import amx
from openstylegan.ops.amx import BLOCK, Ends
from openstylegan.ops.amx_found import halves_available
from openstylegan.ops.filtered_lrelu_pixels import pitch
from openstylegan.ops.frozen import derived
from openstylegan.ops.layouts import to_channels_last
from openstylegan.ops.paths import readable


def usable(x: Tensor, w: Tensor, padding: int) -> bool:
    """Whether a convolution of `x` [N, I, H, W] with `w` [O, I, k, k] is computed here; blocks are half full."""
    taps = w.shape[2] * w.shape[3]
    return (
        x.dtype == torch.bfloat16
        and x.numel() > 0
        and 2 * min(w.shape[:2]) >= BLOCK
        and taps <= amx.MOST_TAPS
        and min(x.shape[2:]) + 2 * padding >= max(w.shape[2:])
        and readable(x, w)
        and halves_available()
    )


def scaled_correlate(x: Tensor, w: Tensor, before: Tensor, after: Tensor, padding: int) -> Tensor:
    """`conv2d(x * before, w, padding) * after`, with scales [N, I] of the channels of x and [N, O] of the result.

    The result is channels-last, but for room between its pixels.
    """
    weights = derived(w, "bfloat16 in whole blocks", _in_blocks)
    outputs, inputs = weights.shape[:2]
    pixels = x if pitch(x) is not None else to_channels_last(x)
    ends = Ends(_filled(before, inputs), _filled(after, outputs))
    return amx.correlate(pixels, weights, 1, (padding, padding), ends)[:, : len(w)]


def _in_blocks(w: Tensor) -> Tensor:
    """`w` [O, I, k, k] in bfloat16, filled up with zeros to whole blocks of inputs and of outputs."""
    return F.pad(w.detach().to(torch.bfloat16), [0, 0, 0, 0, 0, -w.shape[1] % BLOCK, 0, -w.shape[0] % BLOCK])


def _filled(scale: Tensor, channels: int) -> Tensor:
    """`scale` [N, C] of `channels` channels, in float32."""
    return F.pad(scale.detach().float(), [0, channels - scale.shape[1]])
