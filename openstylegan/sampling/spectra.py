"""Average power spectra of pictures: what a generator's pictures hold too much or too little of (arXiv:2106.12423).

A picture's bytes are brought to mean 0 and deviation 1 by the *data's* mean and deviation, windowed, and padded for a
finer spectrum. The window has unit energy, so white noise of unit variance gives 0 dB at any size and interpolation.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.data.progress import Advance, silent
from openstylegan.errors import InputError
from openstylegan.files import atomic_path
from openstylegan.images import leaves, to_uint8
from openstylegan.networks.base import Generator
from openstylegan.randomness import SampleStream

if TYPE_CHECKING:
    from openstylegan.data.dataset import ImageDataset

SMALLEST_POWER = 1e-30
"""Nothing at all is drawn as -300 dB."""


@dataclass(frozen=True)
class PictureSource:
    """`num` square pictures of `size` pixels; `batches()` gives them as uint8 [n, C, size, size]."""

    num: int
    size: int
    batches: Callable[[], Iterator[Tensor]]


@dataclass(frozen=True)
class Spectrum:
    """`power` [interp * image_size, interp * image_size] float64, zero frequency first, of pictures of `image_size`."""

    power: np.ndarray
    image_size: int

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file of the arrays `spectrum` and `image_size`."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, spectrum=self.power, image_size=self.image_size)


def load_spectrum(path: str | os.PathLike[str]) -> Spectrum:
    """Reads what `Spectrum.save` wrote. Raises `InputError`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            power, size = file["spectrum"].astype(np.float64), int(file["image_size"])
    except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
        raise InputError(f"expected an .npz file of `spectra calc` at {path}, got {error}") from error
    if power.ndim != 2 or power.shape[0] != power.shape[1] or size < 1 or len(power) % size:
        raise InputError(f"expected a square spectrum of a multiple of {size} in {path}, got {list(power.shape)}")
    return Spectrum(power, size)


def square_side(shape: tuple[int, ...]) -> int:
    """The side of pictures [C, H, W]. Raises `InputError` unless they are square."""
    if shape[1] != shape[2]:
        raise InputError(f"expected square pictures for a spectrum, got {shape[2]} x {shape[1]}; crop them first")
    return shape[1]


def pictures_of_dataset(dataset: ImageDataset, batch: int = 16) -> PictureSource:
    """All pictures of an open dataset, in its order. Raises `InputError` for pictures that are not square."""
    num = len(dataset)

    def batches() -> Iterator[Tensor]:
        for start in range(0, num, batch):
            yield torch.from_numpy(dataset.images(np.arange(start, min(start + batch, num))))

    return PictureSource(num, square_side(dataset.image_shape), batches)


def pictures_of_network(G: Generator, num: int, seed: int = 0, batch: int = 16) -> PictureSource:
    """`num` pictures of a generator, psi 1, random noise; picture i from RandomState(seed + i): z, then a class.

    Raises `InputError` for pictures that are not square and for seeds beyond 2^32.
    """
    if num < 1 or seed < 0 or seed + num > 2**32:
        raise InputError(f"expected at least 1 picture and seeds from 0 to 2^32 - 1, got {num} from seed {seed}")

    def batches() -> Iterator[Tensor]:
        for start in range(0, num, batch):
            yield draw(G, seed, range(start, min(start + batch, num)))

    return PictureSource(num, square_side(G.image_shape), batches)


@torch.no_grad()
def draw(G: Generator, seed: int, indices: range) -> Tensor:
    """uint8 [n, C, H, W]: the pictures of these numbers."""
    device = next(G.parameters()).device
    z, c = np.zeros((len(indices), G.z_dim)), np.zeros((len(indices), G.c_dim), np.float32)
    for row, i in enumerate(indices):
        random = np.random.RandomState(seed + i)
        z[row] = random.randn(G.z_dim)
        if G.c_dim:
            c[row, random.randint(G.c_dim)] = 1
    ws = G.mapping(torch.from_numpy(z).to(device), torch.from_numpy(c).to(device))
    noise = SampleStream(seed, "spectra/noise", (), indices, device)
    return to_uint8(leaves(G.synthesis(ws, noise_mode="random", noise_source=noise))[-1])


def mean_and_deviation(source: PictureSource, advance: Advance = silent) -> tuple[float, float]:
    """Mean and (population) standard deviation of all values 0 .. 255 of all pixels and channels, exactly."""
    count = total = squares = 0
    for images in source.batches():
        values = images.to(torch.int64)
        count += values.numel()
        total += int(values.sum())
        squares += int(values.square().sum())
        advance(len(images))
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean * mean, 0.0))


def window(size: int, beta: float) -> Tensor:
    """The Kaiser window (symmetric) of length `size`, scaled to unit energy: [size] float64."""
    w = torch.kaiser_window(size, periodic=False, beta=beta, dtype=torch.float64)
    return w / w.square().sum().sqrt()


def check_options(std: float, beta: float, interp: int) -> None:
    """Raises `InputError` for options that make no spectrum."""
    if not std > 0 or interp < 1 or beta < 0:
        raise InputError(f"expected --std above 0, --interp from 1, --beta from 0, got {std:g}, {interp}, {beta:g}")


def average_spectrum(
    source: PictureSource,
    mean: float,
    std: float,
    beta: float = 8.0,
    interp: int = 4,
    advance: Advance = silent,
    device: torch.device | str = "cpu",
) -> Spectrum:
    """The mean over pictures and channels of |FFT(window (x - mean) / std)|^2, padded to `interp` times the size.

    Transforms are taken in float32 and added in float64. Raises `InputError`.
    """
    if not std > 0 or interp < 1 or beta < 0:
        raise InputError(
            f"expected --std above 0, --interp from 1 and --beta from 0, got {std:g}, {interp} and {beta:g}"
        )
    w = window(source.size, beta)
    taper, side = torch.outer(w, w).to(device), source.size * interp
    half, done = torch.zeros(side, side // 2 + 1, dtype=torch.float64), 0
    for images in source.batches():
        x = (images.to(device).double() - mean) / std * taper
        power = torch.fft.rfft2(x.float(), s=(side, side)).abs().square()
        half += power.mean(1).double().sum(0).cpu()
        done += len(images)
        advance(len(images))
    return Spectrum(full_plane(half / done, side).numpy(), source.size)


def full_plane(half: Tensor, side: int) -> Tensor:
    """The whole spectrum [side, side] of real pictures from its half [side, side // 2 + 1]: P(-f) = P(f)."""
    rest = half[:, 1 : (side + 1) // 2].flip(1)
    return torch.cat([half, torch.roll(rest.flip(0), 1, 0)], 1)


def decibels(spectrum: Spectrum, smooth: float = 0.0) -> np.ndarray:
    """10 log10 of the spectrum, zero frequency in the middle, the first row and column repeated at the end.

    [n + 1, n + 1] float64. `smooth`: the sigma of a Gaussian, in units of 1 / image width.
    """
    db = 10 * np.log10(np.maximum(np.fft.fftshift(spectrum.power), SMALLEST_POWER))
    db = np.pad(db, (0, 1), mode="wrap")
    return gaussian(db, smooth * len(spectrum.power) / spectrum.image_size) if smooth > 0 else db


def gaussian(grid: np.ndarray, sigma: float) -> np.ndarray:
    """`grid` [H, W] smoothed by a Gaussian out to 4 sigma; beyond the edge its nearest value stands."""
    radius = int(4 * sigma + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, -1)
    x = torch.from_numpy(grid)[None, None]
    x = F.conv2d(F.pad(x, (radius, radius, 0, 0), mode="replicate"), taps)
    x = F.conv2d(F.pad(x, (0, 0, radius, radius), mode="replicate"), taps.transpose(2, 3))
    return x[0, 0].numpy()


@dataclass(frozen=True)
class Slice:
    """Decibels along a line from zero frequency outwards; `frequency` in cycles per image width."""

    name: str
    frequency: np.ndarray
    db: np.ndarray


def slices(spectrum: Spectrum, smooth: float = 0.0) -> tuple[Slice, Slice]:
    """Along 0 degrees, to size / 2, and along 45 degrees, to size / sqrt(2)."""
    db = decibels(spectrum, smooth)
    middle, size = len(db) // 2, spectrum.image_size
    straight, diagonal = db[middle, middle:], np.diagonal(db)[middle:]
    return (
        Slice("0\N{DEGREE SIGN} slice", np.linspace(0, size / 2, len(straight)), straight),
        Slice("45\N{DEGREE SIGN} slice", np.linspace(0, size / math.sqrt(2), len(diagonal)), diagonal),
    )


def load_all(paths: list[Path]) -> list[Spectrum]:
    """The spectra of files, which must be of pictures of one size. Raises `InputError`."""
    found = [load_spectrum(path) for path in paths]
    sizes = {spectrum.image_size for spectrum in found}
    if len(sizes) > 1:
        raise InputError(f"expected spectra of pictures of one size, got {', '.join(map(str, sorted(sizes)))}")
    return found
