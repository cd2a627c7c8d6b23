"""Image-space filtering: every sample's four frequency bands amplified or weakened at random.

StyleGAN2-ADA (arXiv 2006.06676), appendix B.3. The bands are octaves, cut out with the sym2 (Daubechies 2) wavelet.
Differs from the original: pictures smaller than the filter are taken (reflected as often as it needs); of a picture at
several resolutions, an octave is amplified alike at all of them.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.augment.draws import Draws
from openstylegan.augment.linear import SeparableGroup, SeparableMap, apply_linear, equal_samples
from openstylegan.augment.options import NUM_BANDS, PipeOptions

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
EXPECTED_POWER = np.array([10.0, 1.0, 1.0, 1.0]) / 13
"""The power spectrum of natural pictures over the bands (1 / f), which the amplification keeps."""


def filter_bank() -> Tensor:
    """`Hz_fbank` [4, 43]: the taps of the bands, lowest first; they add up to the unit impulse. float32."""
    low = np.array(SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    keep, cut = (np.convolve(h, h[::-1]) / 2 for h in (low, high))
    bank = np.eye(NUM_BANDS, 1)
    for band in range(1, NUM_BANDS):
        spread = np.zeros((NUM_BANDS, 2 * bank.shape[1] - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, keep) for row in spread])
        start = (bank.shape[1] - len(cut)) // 2
        bank[band, start : start + len(cut)] += cut
    return torch.from_numpy(bank).float()


def band_gains(options: PipeOptions, draws: Draws) -> np.ndarray:
    """Amplification `[N, 4]` of every sample's bands: the product over bands of 2^(N std), each kept to its power."""
    gains = np.ones((draws.num_samples, NUM_BANDS))
    for band, strength in enumerate(options.imgfilter_bands):
        value = np.exp2(draws.normal(f"imgfilter_{band}") * options.imgfilter_std)
        change = np.ones_like(gains)
        change[:, band] = np.where(draws.fires(f"imgfilter_{band}_gate", options.imgfilter * strength), value, 1)
        power = (EXPECTED_POWER * change**2).sum(axis=1, keepdims=True)
        gains *= np.where(change[:, band : band + 1] == 1, 1, change / np.sqrt(power))
    return gains


def gains_at_size(gains: np.ndarray, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """The gains of pictures of size `old` for the same pictures at size `new`: an octave down, a band up."""
    octaves = round(np.log2(max(old) / max(new)))
    return gains[:, np.clip(np.arange(NUM_BANDS) - octaves, 0, NUM_BANDS - 1)]


def reflected(index: np.ndarray, size: int) -> np.ndarray:
    """Indices into an axis of `size`, those beyond its ends reflected there, again and again where they have to be."""
    period = max(2 * size - 2, 1)
    index = np.mod(index, period)
    return np.minimum(index, period - index) if size > 1 else np.zeros_like(index)


def filter_reference(images: Tensor, taps: np.ndarray) -> Tensor:
    """`images` [N, C, H, W] filtered along x and y with their sample's `taps` [N, T]; gradients to any order."""
    n, c, h, w = images.shape
    reach = taps.shape[1] // 2
    rows, columns = (torch.from_numpy(reflected(np.arange(-reach, s + reach), s)).to(images.device) for s in (h, w))
    x = images.index_select(2, rows).index_select(3, columns)
    weight = torch.from_numpy(taps).to(images.device, images.dtype).repeat_interleave(c, 0)
    x = x.reshape(1, n * c, *x.shape[2:])
    x = F.conv2d(x, weight[:, None, None, :], groups=n * c)
    return F.conv2d(x, weight[:, None, :, None], groups=n * c).reshape(n, c, h, w)


def filter_fast(images: Tensor, taps: np.ndarray, gains: np.ndarray) -> Tensor:
    """As `filter_reference`, each axis as one matrix product; samples whose gains are all 1 are left as they are."""
    height, width = images.shape[2:]
    groups = []
    for samples in equal_samples(np.flatnonzero((gains != 1).any(axis=1)).tolist(), gains):
        left = filter_matrix(taps[samples[0]], height)
        right = left if width == height else filter_matrix(taps[samples[0]], width)
        groups.append(SeparableGroup(left, right, samples))
    return apply_linear(images, SeparableMap(groups)) if groups else images


def filter_matrix(taps: np.ndarray, size: int) -> np.ndarray:
    """`[size, size]`: the filter along an axis of `size` whose ends are reflected."""
    reach = len(taps) // 2
    columns = reflected(np.arange(size)[:, None] + np.arange(-reach, reach + 1), size)
    flat = (np.arange(size)[:, None] * size + columns).reshape(-1)
    return np.bincount(flat, np.tile(taps, size), size * size).reshape(size, size)
