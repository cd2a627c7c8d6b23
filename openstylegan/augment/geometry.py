"""Geometric transforms: every sample's flips, turns, scalings and shifts as one 3 x 3 matrix, and its plain execution.

StyleGAN2-ADA (arXiv 2006.06676), appendix B.1 and B.3: the picture is reflected beyond its edges, enlarged twice with
an orthogonal wavelet's low-pass filter, sampled bilinearly on the transformed grid and reduced with the same filter.
`resampling.py` computes the same faster; this is what it is compared with.

Differs from the original: quarter turns are exact; the reflected margin is each sample's own, where the original takes
the largest of the batch, so that a sample does not depend on those beside it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.augment.draws import Draws
from openstylegan.augment.options import PipeOptions
from openstylegan.ops.upfirdn2d import setup_filter, upfirdn2d_reference

# The sym6 wavelet's low-pass filter.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
NUM_TAPS = len(SYM6)
FILTER_PAD = NUM_TAPS // 4
"""Half of the filter's reach, in pixels of the picture."""


def geometry_filter() -> Tensor:
    """`Hz_geom` [12]: the low-pass filter with sum 1, float32."""
    return setup_filter(SYM6)


def inverse_transforms(options: PipeOptions, draws: Draws, height: int, width: int) -> np.ndarray:
    """`M [N, 3, 3]`, float64: from output to input pixel coordinates, origin in the middle, x right, y down."""
    n = draws.num_samples
    matrix = np.tile(np.eye(3), (n, 1, 1))
    if options.xflip > 0:
        flipped = _where(draws, "xflip", options.xflip, np.floor(draws.uniform("xflip") * 2), 0)
        matrix = matrix @ scaling(1 - 2 * flipped, np.ones(n))
    if options.rotate90 > 0:
        matrix = matrix @ quarter_turns(_where(draws, "rotate90", options.rotate90, _quarters(draws), 0))
    if options.xint > 0:
        matrix = matrix @ _whole_shift(options, draws, height, width)
    if options.scale > 0:
        s = _where(draws, "scale", options.scale, np.exp2(draws.normal("scale") * options.scale_std), 1)
        matrix = matrix @ scaling(1 / s, 1 / s)
    if options.rotate > 0:
        matrix = matrix @ _half_of_rotation(options, draws, "rotate_pre")
    if options.aniso > 0:
        s = _where(draws, "aniso", options.aniso, np.exp2(draws.normal("aniso") * options.aniso_std), 1)
        matrix = matrix @ scaling(1 / s, s)
    if options.rotate > 0:
        matrix = matrix @ _half_of_rotation(options, draws, "rotate_post")
    if options.xfrac > 0:
        fires = draws.fires("xfrac_gate", options.xfrac)
        x, y = (np.where(fires, draws.normal(f"xfrac_{a}") * options.xfrac_std, 0) for a in "xy")
        matrix = matrix @ translation(-x * width, -y * height)
    return matrix


def _where(draws: Draws, name: str, strength: float, value: np.ndarray, identity: float) -> np.ndarray:
    return np.where(draws.fires(f"{name}_gate", strength), value, identity)


def _quarters(draws: Draws) -> np.ndarray:
    return np.floor(draws.uniform("rotate90") * 4)


def _whole_shift(options: PipeOptions, draws: Draws, height: int, width: int) -> np.ndarray:
    fires = draws.fires("xint_gate", options.xint)
    # In float32, as the original: a shift of n and a half pixels then rounds to the same side.
    x, y = (
        np.where(fires, (draws.uniform(f"xint_{a}") * 2 - 1) * options.xint_max, 0).astype(np.float32) for a in "xy"
    )
    shift_x, shift_y = np.rint(x * np.float32(width)), np.rint(y * np.float32(height))
    return translation(-shift_x.astype(np.float64), -shift_y.astype(np.float64))


def _half_of_rotation(options: PipeOptions, draws: Draws, name: str) -> np.ndarray:
    fires = draws.fires_in_pair(f"{name}_gate", options.rotate)
    return rotation(np.where(fires, (draws.uniform(name) * 2 - 1) * np.pi * options.rotate_max, 0))


def translation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Shifts `[N, 3, 3]` by (x, y)."""
    matrix = np.tile(np.eye(3), (len(x), 1, 1))
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return matrix


def scaling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scalings `[N, 3, 3]` by x along x and y along y."""
    matrix = np.tile(np.eye(3), (len(x), 1, 1))
    matrix[:, 0, 0], matrix[:, 1, 1] = x, y
    return matrix


def rotation(angle: np.ndarray) -> np.ndarray:
    """Rotations `[N, 3, 3]` [[cos, -sin], [sin, cos]], in radians; the content turns counter-clockwise on screen."""
    return _rotation(np.cos(angle), np.sin(angle))


def quarter_turns(count: np.ndarray) -> np.ndarray:
    """Rotations by `count` quarters, exact: the content turns as `torch.rot90(image, count, (H, W))`."""
    quarter = count.astype(np.int64) % 4
    return _rotation(np.array([1.0, 0.0, -1.0, 0.0])[quarter], np.array([0.0, 1.0, 0.0, -1.0])[quarter])


def _rotation(cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    matrix = scaling(cos, cos)
    matrix[:, 0, 1], matrix[:, 1, 0] = -sin, sin
    return matrix


def at_size(matrix: np.ndarray, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """The transforms of pictures of size `old` (height, width) for the same pictures at size `new`."""
    if old == new:
        return matrix
    scale = np.array([new[1] / old[1], new[0] / old[0], 1.0])
    return matrix * scale[:, None] / scale[None, :]


def margins(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels `[N, 4]` (left, top, right, bottom) by which a picture is reflected beyond its edges.

    What the transformed corners and the filters reach, at most the picture's own size less one.
    """
    half = np.array([(width - 1) / 2, (height - 1) / 2])
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) * np.array([*half, 1.0])
    points = np.einsum("nij,cj->nci", matrix, corners)[:, :, :2]
    reach = np.concatenate([-points, points], axis=2).max(axis=1) + 2 * FILTER_PAD - np.tile(half, 2)
    return np.ceil(np.clip(reach, 0, np.tile(2 * half, 2))).astype(np.int64)


def transform_reference(images: Tensor, matrix: np.ndarray, taps: Tensor) -> Tensor:
    """`images` [N, C, H, W] under the inverse transforms `M [N, 3, 3]`, step by step; gradients to any order."""
    sides = margins(matrix, *images.shape[2:])
    results = [_transform_one(images[i : i + 1], matrix[i], sides[i], taps) for i in range(len(images))]
    return torch.cat(results) if results else images


def _transform_one(image: Tensor, matrix: np.ndarray, sides: np.ndarray, taps: Tensor) -> Tensor:
    height, width = image.shape[2:]
    left, top, right, bottom = (int(s) for s in sides)
    padded = F.pad(image, [left, right, top, bottom], mode="reflect")
    matrix = shifted((left - right) / 2, (top - bottom) / 2) @ matrix
    fine = upfirdn2d_reference(padded, taps, up=2, padding=[FILTER_PAD * 2, FILTER_PAD * 2 - 1] * 2, gain=4)
    matrix = scaled(2, 2) @ matrix @ scaled(0.5, 0.5)
    matrix = shifted(-0.5, -0.5) @ matrix @ shifted(0.5, 0.5)
    out_height, out_width = 2 * (height + 2 * FILTER_PAD), 2 * (width + 2 * FILTER_PAD)
    matrix = scaled(2 / fine.shape[3], 2 / fine.shape[2]) @ matrix @ scaled(out_width / 2, out_height / 2)
    theta = torch.from_numpy(matrix[None, :2]).to(image.device, image.dtype)
    grid = F.affine_grid(theta, [1, image.shape[1], out_height, out_width], align_corners=False)
    sampled = F.grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return upfirdn2d_reference(sampled, taps, down=2, padding=-1, flip_filter=True)


def shifted(x: float, y: float) -> np.ndarray:
    """One shift `[3, 3]`."""
    return translation(np.array([x]), np.array([y]))[0]


def scaled(x: float, y: float) -> np.ndarray:
    """One scaling `[3, 3]`."""
    return scaling(np.array([x]), np.array([y]))[0]
