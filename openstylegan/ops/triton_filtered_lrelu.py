"""`filtered_lrelu` in one Triton kernel: the same three calls as `filtered_lrelu_products`, for tensors on CUDA.

Along an axis both filters, and for gradients their transposes, are a `Resampling` of `upfirdn2d`. A 2-D filter is a sum
of separable ones, one for each row; rows that mirror each other are added first, so that half of the sum is zero for
a mirrored filter (StyleGAN3-R's) and left out, without asking the device what the taps are.

Nothing but x is kept for the gradients: the signs are computed again.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from openstylegan.ops.arguments import filter_size
from openstylegan.ops.filtered_lrelu_products import MIRRORED, Setting
from openstylegan.ops.triton_found import kernels_for, launch
from openstylegan.ops.upfirdn2d import Resampling

TILE = 64
"""Oversampled samples of a tile, each way: with 12 taps and a factor of 2, 27 of 32 results are kept."""
MOST_TAPS = 48
"""Longer filters would leave little of a tile."""
CHUNK = 16
"""Input samples of one product, the fewest that tensor cores take."""
SMALLEST_BLOCK = 16


class Step(NamedTuple):
    """One of the linear maps: weights [ranks, taps] along x and y, and the resampling they are for."""

    along_x: Tensor
    along_y: Tensor
    resampling: Resampling

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Ranks, taps along x and along y."""
        return len(self.along_x), self.along_x.shape[1], self.along_y.shape[1]

    def adjoint(self, size: tuple[int, int], result: tuple[int, int]) -> Step:
        """The transpose of a map from `size` to `result`, each (width, height)."""
        _, taps_x, taps_y = self.numbers
        return self._replace(resampling=self.resampling.adjoint((taps_x, taps_y), size, result))

    def result(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the result for an input of that size."""
        (up, down, pad, _), taps = self.resampling, self.numbers[1:]
        width, height = ((size[k] * up[k] + sum(pad[2 * k : 2 * k + 2]) - taps[k]) // down[k] + 1 for k in range(2))
        return width, height


def takes(fu: Tensor | None, fd: Tensor | None) -> bool:
    """Whether the kernel has room for these filters."""
    return max(*filter_size(fu), *filter_size(fd)) <= MOST_TAPS


def forward(x: Tensor, b: Tensor | None, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor:
    """The op on `x` [N, C, H, W] with bias [C]."""
    up, down = _steps(x, fu, fd, setting)
    return _run(x, b, None, (up, up, down), down.result(up.result(_size(x))), setting)


def pullback(x: Tensor, b: Tensor | None, gy: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor:
    """The gradient with respect to x for the gradient `gy` of the output."""
    up, down = _steps(x, fu, fd, setting)
    high = up.result(_size(x))
    back = down.adjoint(high, _size(gy))
    return _run(x, b, gy, (up, back, up.adjoint(_size(x), high)), _size(x), setting)


def pushforward(
    x: Tensor, b: Tensor | None, v: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting
) -> Tensor:
    """The derivative of the output along a change `v` of x."""
    up, down = _steps(x, fu, fd, setting)
    return _run(x, b, v, (up, up, down), down.result(up.result(_size(x))), setting)


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[3], x.shape[2]


def _steps(x: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> tuple[Step, Step]:
    """The filters up and down."""
    up, down = (setting.up, setting.up), (setting.down, setting.down)
    return (
        Step(*_tables(fu, x), Resampling(up, (1, 1), setting.pad, setting.flip)),
        Step(*_tables(fd, x), Resampling((1, 1), down, (0, 0, 0, 0), setting.flip)),
    )


def _tables(f: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [ranks, taps] along x and along y of which the filter is the sum of outer products; float32."""
    if f is None:
        one = torch.ones((1, 1), dtype=torch.float32, device=x.device)
        return one, one
    taps = f.detach().to(x.device, torch.float32).contiguous()
    return (taps[None], taps[None]) if taps.ndim == 1 else _folded(taps)


def _folded(taps: Tensor) -> tuple[Tensor, Tensor]:
    """A 2-D filter by rows: with each the row that mirrors it, once added and once subtracted.

    What is left of the latter by rounding a mirrored filter counts as zero.
    """
    height, half = len(taps), len(taps) // 2
    rows = torch.eye(height, device=taps.device)
    upper, lower = taps[:half], taps.flip(0)[:half]
    chosen, mirror = rows[:half], rows.flip(0)[:half]
    odd = (upper - lower) / 2
    odd = torch.where(odd.abs() > MIRRORED * taps.abs().max(), odd, 0)
    along_x = torch.cat([(upper + lower) / 2, odd, taps[half : height - half]])
    return along_x, torch.cat([chosen + mirror, chosen - mirror, rows[half : height - half]])


def _run(
    x: Tensor,
    b: Tensor | None,
    given: Tensor | None,
    steps: tuple[Step, Step, Step],
    size: tuple[int, int],
    setting: Setting,
) -> Tensor:
    """`filtered_lrelu_kernel` over all planes; `steps` are the filters up, of `given`, and of the result."""
    x, other = _rows(x), _rows(x if given is None else given.to(x.dtype))
    (n, c), (width, height) = x.shape[:2], size
    y = x.new_empty(n, c, height, width)
    (_, taps_x, taps_y), last = steps[2].numbers, steps[2].resampling
    step_x, step_y = ((TILE - taps) // down + 1 for taps, down in zip((taps_x, taps_y), last.down, strict=True))
    tiles_x, tiles_y = -(-width // step_x), -(-height // step_y)
    kernel = kernels_for(x).filtered_lrelu_kernel
    arguments = [
        *(other, x if b is None else b.detach().contiguous(), y),
        *(table for step in steps for table in (step.along_x, step.along_y)),
        *(c, tiles_x, tiles_x * tiles_y),
        *(x.shape[2], x.shape[3], *x.stride()[:3], other.shape[2], other.shape[3], *other.stride()[:3], height, width),
        *(number for step in steps[:2] for number in (*step.numbers, step.resampling.up[0], *_ends(step))),
        *(*steps[2].numbers, last.down[0], *_ends(steps[2]), step_x, step_y),
        *(setting.up**2 * setting.gain, float(setting.slope), inf if setting.clamp is None else float(setting.clamp)),
    ]
    launch(
        kernel, n * c * tiles_x * tiles_y, x, *arguments,
        HAS_BIAS=b is not None, DERIVATIVE=given is not None, HALF=x.dtype != torch.float32,
        TILE=TILE, OUT_Y=_block(step_y), OUT_X=_block(step_x), CHUNK=CHUNK,
    )  # fmt: skip
    return y


def _ends(step: Step) -> tuple[int, int, int]:
    """Padding before the first column and row, and whether the filter is mirrored."""
    pad = step.resampling.pad
    return pad[0], pad[2], int(not step.resampling.flip)


def _rows(x: Tensor) -> Tensor:
    """`x` such that the values of a row lie side by side."""
    x = x.detach()
    return x if x.stride(3) == 1 else x.contiguous()


def _block(step: int) -> int:
    """The power of two that holds so many results."""
    return max(SMALLEST_BLOCK, 1 << (step - 1).bit_length())
