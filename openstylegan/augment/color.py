"""Colour transforms: every sample's brightness, contrast, luma flip, hue and saturation as one affine map.

StyleGAN2-ADA (arXiv 2006.06676), appendix B.2.
Differs from the original: pictures with an alpha channel are taken; their alpha is left as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from openstylegan.augment.draws import Draws
from openstylegan.augment.options import PipeOptions
from openstylegan.errors import InputError

GREY_CHANNELS = (1, 2)
"""Grey, and grey with alpha; 3 and 4 are RGB and RGB with alpha."""
LUMA = np.array([1.0, 1.0, 1.0]) / np.sqrt(3.0)
_CROSS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3.0)


def check_channels(channels: int) -> None:
    """Raises `InputError` unless the colours of pictures of so many channels can be transformed."""
    if channels not in (1, 2, 3, 4):
        raise InputError(
            f"expected 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels for colour augmentation, "
            f"got {channels}; switch brightness, contrast, lumaflip, hue and saturation off"
        )


def color_matrices(options: PipeOptions, draws: Draws, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """`A [N, 3, 3]` and `b [N, 3]` of rgb <- A rgb + b; for grey pictures hue and saturation are left out."""
    matrix = np.tile(np.eye(3), (draws.num_samples, 1, 1))
    offset = _where(draws, "brightness", options.brightness, draws.normal("brightness") * options.brightness_std, 0)
    scale = _where(draws, "contrast", options.contrast, np.exp2(draws.normal("contrast") * options.contrast_std), 1)
    offset = np.repeat((offset * scale)[:, None], 3, axis=1)
    matrix = matrix * scale[:, None, None]
    for change in _linear_changes(options, draws, channels):
        matrix, offset = change @ matrix, (change @ offset[:, :, None])[:, :, 0]
    return matrix, offset


def _linear_changes(options: PipeOptions, draws: Draws, channels: int) -> list[np.ndarray]:
    """The `[N, 3, 3]` that follow brightness and contrast, in their order; those that never fire are left out."""
    luma = np.outer(LUMA, LUMA)
    changes = []
    if options.lumaflip > 0:
        flip = _where(draws, "lumaflip", options.lumaflip, np.floor(draws.uniform("lumaflip") * 2), 0)
        changes.append(np.eye(3) - 2 * flip[:, None, None] * luma)
    if options.hue > 0 and channels not in GREY_CHANNELS:
        angle = (draws.uniform("hue") * 2 - 1) * np.pi * options.hue_max
        changes.append(hue_rotation(_where(draws, "hue", options.hue, angle, 0)))
    if options.saturation > 0 and channels not in GREY_CHANNELS:
        factor = np.exp2(draws.normal("saturation") * options.saturation_std)
        factor = _where(draws, "saturation", options.saturation, factor, 1)
        changes.append(luma + (np.eye(3) - luma) * factor[:, None, None])
    return changes


def _where(draws: Draws, name: str, strength: float, value: np.ndarray, identity: float) -> np.ndarray:
    return np.where(draws.fires(f"{name}_gate", strength), value, identity)


def hue_rotation(angle: np.ndarray) -> np.ndarray:
    """Right-handed rotations `[N, 3, 3]` about the grey axis (Rodrigues), in radians."""
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cos * np.eye(3) + sin * _CROSS + (1 - cos) * np.outer(LUMA, LUMA)


def apply_color(images: Tensor, matrix: np.ndarray, offset: np.ndarray) -> Tensor:
    """Images `[N, C, H, W]` of 1 to 4 channels under rgb <- A rgb + b. Not clamped; alpha is left as it is.

    Grey pictures take the mean of the three rows: y = x (sum of the mean row of A) + mean of b.
    """
    if not _changes(matrix, offset):
        return images
    n, c, h, w = images.shape
    if c in GREY_CHANNELS:
        matrix = matrix.mean(axis=1).sum(axis=1)[:, None, None]
        offset = offset.mean(axis=1)[:, None]
    num = matrix.shape[1]
    full = np.tile(np.eye(c), (n, 1, 1))
    full[:, :num, :num] = matrix
    shift = np.zeros((n, c, 1))
    shift[:, :num, 0] = offset
    a, b = (torch.from_numpy(m).to(images.device, images.dtype, non_blocking=True) for m in (full, shift))
    return torch.baddbmm(b, a, images.reshape(n, c, h * w)).reshape(n, c, h, w)


def _changes(matrix: np.ndarray, offset: np.ndarray) -> bool:
    return bool((matrix != np.eye(3)).any() or offset.any())
