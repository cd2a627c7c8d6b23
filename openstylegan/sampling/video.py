"""Videos of latents: every cell of a grid runs along a closed curve through the ws of its seeds, or along a walk.

The curve is that of StyleGAN3's video generator (arXiv 2106.12423), the walk (`walk.py`) that of MSG-StyleGAN's
(arXiv 1903.06048). Differs from the originals: conditional networks film one class; GIF and WebP beside mp4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from openstylegan.data.progress import Watch, counted, unwatched
from openstylegan.errors import InputError
from openstylegan.features.base import as_rgb
from openstylegan.images import tile
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.sampling.film import BIT_RATE, check_film, write_film
from openstylegan.sampling.generate import NoiseMode, draw, generator_of, ws_of_seeds
from openstylegan.sampling.interpolation import LoopingSpline, keyframe_seeds
from openstylegan.sampling.walk import Walk, WalkFilm

W_FRAMES = 120
"""Frames from one keyframe to the next."""


class Film(Protocol):
    """The ws [cells, num_ws, w_dim] of every frame."""

    def __len__(self) -> int: ...
    def __getitem__(self, frame: int, /) -> Tensor: ...


@dataclass(frozen=True)
class Look:
    """How frames are drawn: with which noise ("random": another in every frame), and the (height, width) that they are
    resized to, bicubically."""

    noise_mode: NoiseMode = "const"
    resize: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.resize is not None and min(self.resize) < 1:
            raise InputError(f"expected a size of at least 1x1 pixels, got {self.resize[0]}x{self.resize[1]}")

    def finish(self, frame: np.ndarray) -> np.ndarray:
        """A frame, bytes [H, W, 3], in its size."""
        if self.resize is None:
            return frame
        return np.asarray(Image.fromarray(frame).resize(self.resize[::-1], Image.Resampling.BICUBIC))


class LatentFilm:
    """The ws of a video: `seeds` [cells, K] are the keyframes, `w_frames` frames apart.

    Raises `InputError`.
    """

    def __init__(
        self,
        G: Generator,
        seeds: np.ndarray,
        w_frames: int = W_FRAMES,
        trunc: float = 1.0,
        class_idx: int | None = None,
    ):
        if w_frames < 1:
            raise InputError(f"expected at least 1 frame a keyframe, got {w_frames}; check --w-frames")
        self.device, self.w_frames = next(G.parameters()).device, w_frames
        num_cells, num_keyframes = seeds.shape
        with torch.no_grad():
            ws = ws_of_seeds(G, seeds.flatten().tolist(), trunc, class_idx=class_idx)
        keyframes = ws.unflatten(0, (num_cells, num_keyframes)).transpose(0, 1)
        self.spline = LoopingSpline(keyframes.cpu().numpy())

    def __len__(self) -> int:
        return self.spline.num_keyframes * self.w_frames

    def __getitem__(self, frame: int) -> Tensor:
        """ws of all cells, [cells, num_ws, w_dim] float32, of one frame."""
        return torch.from_numpy(self.spline(frame / self.w_frames)).to(self.device, torch.float32)


@torch.no_grad()
def grid_frames(
    G: Generator, film: Film, columns: int, batch: int = 1, look: Look | None = None
) -> Iterator[np.ndarray]:
    """Yields the frames of `film`, bytes [H, W, 3], drawn when they are asked for, with `columns` cells in a row."""
    look = look or Look()
    for frame in range(len(film)):
        yield look.finish(grid_frame(G, film[frame], columns, batch, look.noise_mode, frame))


def grid_frame(
    G: Generator, ws: Tensor, columns: int, batch: int = 1, noise_mode: NoiseMode = "const", frame: int = 0
) -> np.ndarray:
    """One frame, bytes [H, W, 3], of the cells' ws [cells, num_ws, w_dim]. Random noise is by frame and cell."""
    seeds = range(frame * len(ws), (frame + 1) * len(ws))
    cells = [draw(G, ws[n : n + batch], noise_mode, seeds[n : n + batch]) for n in range(0, len(ws), batch)]
    return tile(as_rgb(torch.cat(cells)), columns)


def make_video(
    network: str | os.PathLike[str] | Generator,
    output: str | os.PathLike[str],
    seeds: Sequence[int] = (),
    *,
    walk: Walk | None = None,
    grid: tuple[int, int] = (1, 1),
    num_keyframes: int | None = None,
    shuffle_seed: int | None = None,
    w_frames: int = W_FRAMES,
    trunc: float = 1.0,
    class_idx: int | None = None,
    look: Look | None = None,
    fps: int | None = None,
    bit_rate: int = BIT_RATE,
    batch: int = 1,
    watch: Watch = unwatched,
) -> int:
    """Writes a looping video and returns how many frames it has.

    It goes through `seeds`, or along a `walk`. `grid` is (columns, rows); `fps` None: 60, in a GIF 50. Raises
    `InputError`.
    """
    check_film(output, fps)
    if min(grid) < 1 or batch < 1:
        raise InputError(f"expected a grid of at least 1x1 and a batch of at least 1, got {grid} and {batch}")
    if walk is not None and seeds:
        raise InputError("expected seeds or a walk, got both; leave one out")
    num_cells = grid[0] * grid[1]
    if walk is None:
        placed = keyframe_seeds(seeds, num_cells, num_keyframes, shuffle_seed)
        G = generator_of(network)
        film: Film = LatentFilm(G, placed, w_frames, trunc, class_idx)
    else:
        G = generator_of(network)
        film = WalkFilm(G, walk, num_cells, trunc, class_idx)
    with watch(Path(output).name, len(film)) as advance, FrozenWeights():
        frames = counted(grid_frames(G, film, grid[0], batch, look), advance)
        write_film(output, frames, len(film), fps, bit_rate)
    return len(film)
