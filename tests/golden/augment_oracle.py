"""The augmentation pipe once more, in NumPy float64, at a fixed percentile: one sample, one transform after the other.

StyleGAN2-ADA (arXiv 2006.06676), appendix B. Every draw is its percentile q; a normal number's is erfinv(2 q - 1), as
in the original's debugging option, and the second rotation is left out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import erfinv

from golden import oracles
from golden.oracles import Array

SYM6 = np.array([
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
])  # fmt: skip
BANDS = [
    [-1, 0, 9, 16, 18, 0, -66, -144, -207, -256, -297, -288, -212, 0, 468, 1056, 1674, 2304, 2918, 3456, 3888, 4096],
    [1, 0, -9, -16, -18, 0, 66, 144, 207, 256, 297, 288, 244, 0, -756, -1568, -2250, -2304, -806, 1152, 3024, 4096],
    [0] * 12 + [-32, 0, 288, 512, 576, 0, -3136, -4608, 2304, 8192],
    [0] * 18 + [1024, 0, -9216, 16384],
]
"""The filter bank times 32768: the first 22 of 43 symmetric taps, lowest band first."""
GEOMETRIC = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def translation(x: float, y: float) -> Array:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def scaling(x: float, y: float) -> Array:
    return np.diag([x, y, 1.0])


def rotation(angle: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def inverse_transform(options: dict[str, Any], q: float, height: int, width: int) -> Array:
    """From output to input pixels, both from the middle of the picture, x to the right and y down."""
    normal = float(erfinv(2 * q - 1))
    m = np.eye(3)
    if options.get("xflip"):
        m = m @ scaling(1 / (1 - 2 * math.floor(2 * q)), 1)
    if options.get("rotate90"):
        m = m @ rotation(math.pi / 2 * math.floor(4 * q))
    if options.get("xint"):
        t = (2 * q - 1) * options.get("xint_max", 0.125)
        m = m @ translation(-np.round(t * width), -np.round(t * height))
    if options.get("scale"):
        s = 2 ** (normal * options.get("scale_std", 0.2))
        m = m @ scaling(1 / s, 1 / s)
    if options.get("rotate"):
        m = m @ rotation((2 * q - 1) * math.pi * options.get("rotate_max", 1))
    if options.get("aniso"):
        s = 2 ** (normal * options.get("aniso_std", 0.2))
        m = m @ scaling(1 / s, s)
    if options.get("xfrac"):
        t = normal * options.get("xfrac_std", 0.125)
        m = m @ translation(-t * width, -t * height)
    return m


def bilinear(plane: Array, x: Array, y: Array) -> Array:
    """Values between the pixels of [H, W] at columns x and rows y, zero outside."""
    out = np.zeros(x.shape)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for row in (top, top + 1):
        for column in (left, left + 1):
            weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            inside = (row >= 0) & (row < plane.shape[0]) & (column >= 0) & (column < plane.shape[1])
            out[inside] += weight[inside] * plane[row[inside], column[inside]]
    return out


def margins(m: Array, height: int, width: int) -> tuple[int, int, int, int]:
    """How far the picture is mirrored around itself, (left, right, top, bottom): as far as its corners reach, and 6."""
    cx, cy = (width - 1) / 2, (height - 1) / 2
    corners = m @ np.array([[-cx, cx, cx, -cx], [-cy, -cy, cy, cy], [1, 1, 1, 1]])
    left, top = (-corners[:2]).max(axis=1) + (6 - cx, 6 - cy)
    right, bottom = corners[:2].max(axis=1) + (6 - cx, 6 - cy)
    x = [math.ceil(min(max(side, 0), width - 1)) for side in (left, right)]
    y = [math.ceil(min(max(side, 0), height - 1)) for side in (top, bottom)]
    return x[0], x[1], y[0], y[1]


def moved(plane: Array, m: Array) -> Array:
    """[H, W] resampled by the inverse transform m, at twice the rate and between two low-pass filters."""
    height, width = plane.shape
    left, right, top, bottom = margins(m, height, width)
    grown = np.pad(plane, [(top, bottom), (left, right)], mode="reflect")
    m = translation((left - right) / 2, (top - bottom) / 2) @ m
    taps = SYM6 / SYM6.sum()
    fine = oracles.upfirdn2d(grown[None, None], taps, (2, 2), (1, 1), (6, 5, 6, 5), gain=4)[0, 0]
    m = scaling(2, 2) @ m @ scaling(0.5, 0.5)
    m = translation(-0.5, -0.5) @ m @ translation(0.5, 0.5)
    rows, columns = (height + 6) * 2, (width + 6) * 2
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    source = m @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    sampled = bilinear(fine, source[0] + (fine.shape[1] - 1) / 2, source[1] + (fine.shape[0] - 1) / 2)
    picture = sampled.reshape(1, 1, rows, columns)
    return oracles.upfirdn2d(picture, taps, (1, 1), (2, 2), (-1, -1, -1, -1), flip_filter=True)[0, 0]


def color_matrix(options: dict[str, Any], q: float, channels: int) -> Array:
    """Colours to colours, 4x4."""
    normal, c = float(erfinv(2 * q - 1)), np.eye(4)
    axis = np.array([1, 1, 1, 0]) / math.sqrt(3)
    luma = np.outer(axis, axis)
    if options.get("brightness"):
        shift = np.eye(4)
        shift[:3, 3] = normal * options.get("brightness_std", 0.2)
        c = shift @ c
    if options.get("contrast"):
        c = np.diag([2 ** (normal * options.get("contrast_std", 0.5))] * 3 + [1]) @ c
    if options.get("lumaflip"):
        c = (np.eye(4) - 2 * math.floor(2 * q) * luma) @ c
    if options.get("hue") and channels > 1:
        angle = (2 * q - 1) * math.pi * options.get("hue_max", 1)
        cross = np.array([[0, -1, 1, 0], [1, 0, -1, 0], [-1, 1, 0, 0], [0, 0, 0, 0]]) / math.sqrt(3)
        turn = luma + math.cos(angle) * (np.diag([1, 1, 1, 0]) - luma) + math.sin(angle) * cross
        turn[3, 3] = 1
        c = turn @ c
    if options.get("saturation") and channels > 1:
        c = (luma + (np.eye(4) - luma) * 2 ** (normal * options.get("saturation_std", 1))) @ c
    return c


def recolored(image: Array, c: Array) -> Array:
    if len(image) == 3:
        return np.einsum("ij,jhw->ihw", c[:3, :3], image) + c[:3, 3][:, None, None]
    row = c[:3].mean(axis=0)
    return image * row[:3].sum() + row[3]


def filtered(image: Array, options: dict[str, Any], q: float) -> Array:
    """Bands amplified one by one, the expected power kept."""
    power, gains = np.array([10, 1, 1, 1]) / 13, np.ones(4)
    for i, band in enumerate(options.get("imgfilter_bands", [1, 1, 1, 1])):
        if band > 0:
            t = np.ones(4)
            t[i] = 2 ** (float(erfinv(2 * q - 1)) * options.get("imgfilter_std", 1))
            gains = gains * t / np.sqrt((power * t**2).sum())
    bank = np.array([[*half, *half[-2::-1]] for half in BANDS]) / 32768
    taps = gains @ bank
    grown = np.pad(image, [(0, 0), (21, 21), (21, 21)], mode="reflect")
    return oracles.upfirdn2d(grown[None], taps)[0]


def cut(image: Array, options: dict[str, Any], q: float) -> Array:
    height, width = image.shape[1:]
    half = options.get("cutout_size", 0.5) / 2
    keep_x = np.abs((np.arange(width) + 0.5) / width - q) >= half
    keep_y = np.abs((np.arange(height) + 0.5) / height - q) >= half
    return image * (keep_x[None, :] | keep_y[:, None])


def augment(image: Array, options: dict[str, Any], q: float, noise: Array) -> Array:
    """[C, H, W] of one or three channels; strengths above 0 count as on."""
    if any(options.get(name) for name in GEOMETRIC):
        m = inverse_transform(options, q, *image.shape[1:])
        image = np.stack([moved(plane, m) for plane in image])
    if any(options.get(name) for name in COLOR):
        image = recolored(image, color_matrix(options, q, len(image)))
    if options.get("imgfilter"):
        image = filtered(image, options, q)
    if options.get("noise"):
        image = image + noise * float(erfinv(q)) * options.get("noise_std", 0.1)
    return cut(image, options, q) if options.get("cutout") else image
