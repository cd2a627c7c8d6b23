"""A modulated layer in bfloat16 on matrix units, when no gradient is recorded: one pass, or two where it up-samples.

Style, convolution and tail in one pass read each picture and write each result once. Its sums are rounded once, not
once an operation, so it is nearer to float32 than the plain form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.ops import amx
from openstylegan.ops.amx import Ends
from openstylegan.ops.arguments import Padding
from openstylegan.ops.conv2d_resample import left_over, resample_padding, transposed
from openstylegan.ops.convolution import channels_last
from openstylegan.ops.tail import Slopes, tail
from openstylegan.ops.upfirdn2d import upfirdn2d


def layer(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    b: Tensor | None,
    up: int,
    padding: Padding,
    f: Tensor | None,
    flip_weight: bool,
    slopes: Slopes,
) -> Tensor | None:
    """The layer of `modulated_conv2d_bias_act` with `weight` [O, I, k, k] in float32 or bfloat16 and the demodulation
    `d` [N, O], or None where it is not computed here."""
    if not amx.usable(x, weight):
        return None
    pad, styles = resample_padding(f, up, 1, padding), styles.float()
    if up == 1:
        if not flip_weight or pad[0] != pad[1] or pad[2] != pad[3] or min(pad) < 0:
            return None
        sides = [x.shape[2 + k] + 2 * pad[2 - 2 * k] - weight.shape[2 + k] + 1 for k in range(2)]
        ends = _ends(styles, d, noise, b, slopes, (len(x), len(weight), *sides))
        return None if ends is None else amx.correlate(channels_last(x), weight, 1, (pad[2], pad[0]), ends)
    if min(weight.shape[2:]) < up:
        return None
    size = tuple((x.shape[2 + k] - 1) * up + weight.shape[2 + k] for k in range(2))
    y = amx.scatter(channels_last(x), transposed(weight, flip_weight), up, (0, 0), (size[0], size[1]), Ends(styles))
    y = upfirdn2d(y, f, padding=left_over(pad, weight, up), gain=up**2)
    scale = None if d is None else d.to(x.dtype)[:, :, None, None]
    noise, b = (None if t is None else t.to(x.dtype) for t in (noise, b))
    return tail(y, scale, noise, None if b is None else b[:, None, None], slopes, own=True)


def _ends(
    styles: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    b: Tensor | None,
    slopes: Slopes,
    size: tuple[int, ...],
) -> Ends | None:
    """Around a result of `size` (N, O, H, W). The gain joins everything that is added or multiplied.

    None for noise that has to be broadcast, or does not fit: the plain form says so.
    """
    slope, gain, clamp = slopes
    n, outputs, h, w = size
    if noise is not None:
        if noise.shape not in ((h, w), (1, 1, h, w), (n, 1, h, w)):
            return None
        noise = (noise.float() * gain).reshape(-1, h, w)
    after = None
    if d is not None:
        after = d.float() * gain
    elif gain != 1:
        after = torch.full((n, outputs), gain, dtype=torch.float32)
    return Ends(styles, after, None if b is None else b.float() * gain, noise, slope, clamp)
