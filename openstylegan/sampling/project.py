"""Projecting pictures with files as users know them: target.png, proj.png, projected_w.npz, proj.mp4.

A control is a picture that the network made itself, projected first: what is reached with it is the most that can be
hoped for with others.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openstylegan.data.progress import Watch, counted, unwatched
from openstylegan.errors import InputError
from openstylegan.features.base import as_rgb
from openstylegan.features.lpips import PerceptualFeatures
from openstylegan.files import atomic_path
from openstylegan.images import Images, leaves, write_png
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.sampling.film import check_film, write_film
from openstylegan.sampling.generate import generator_of, ws_of_seeds
from openstylegan.sampling.labels import one_hot
from openstylegan.sampling.projector import Projection, ProjectorOptions, project
from openstylegan.sampling.targets import Target

VIDEO_FPS, VIDEO_BIT_RATE = 10, 16_000_000


@dataclass(frozen=True)
class Projected:
    """What became of one target: `ws` [1, num_ws, w_dim], its picture uint8 [C, H, W], and how near that is.

    `distance` is the perceptual one at the last step. `w_error`, of a control, is the distance of w from the true one
    as a part of the distance that the mean w has from it.
    """

    target: Target
    ws: Tensor
    picture: Tensor
    psnr: float
    distance: float
    w_error: float | None


def as_bytes(images: Images) -> Tensor:
    """[-1, 1] to bytes as the projector does: clamp(127.5 (x + 1), 0, 255), truncated."""
    return ((leaves(images)[-1] + 1) * 127.5).clamp(0, 255).to(torch.uint8)


def psnr(a: Tensor, b: Tensor) -> float:
    """10 log10(255^2 / mean squared difference) of two pictures of bytes, in dB; infinite for equal ones."""
    error = float((a.double() - b.double()).square().mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


@torch.no_grad()
def render(G: Generator, ws: Tensor) -> Tensor:
    """uint8 [N, C, H, W], on the CPU, of ws [N, num_ws, w_dim], with the network's own noise."""
    return as_bytes(G.synthesis(ws.to(next(G.parameters()).device), noise_mode="const")).cpu()


@torch.no_grad()
def control_target(G: Generator, seed: int, class_idx: int | None = None) -> Target:
    """A picture that `G` makes, with the ws it comes from."""
    ws = ws_of_seeds(G, [seed], class_idx=class_idx)
    return Target(f"control-seed{seed:04d}", render(G, ws)[0], ws.cpu())


def project_targets(
    network: str | os.PathLike[str] | Generator,
    targets: Sequence[Target],
    features: PerceptualFeatures,
    outdir: str | os.PathLike[str] | None = None,
    options: ProjectorOptions | None = None,
    *,
    class_idx: int | None = None,
    save_video: bool = True,
    batch: int = 1,
    watch: Watch = unwatched,
) -> Iterator[Projected]:
    """Projects `targets`, `batch` at a time, and yields what became of each once its files are written.

    The files of a single target lie in `outdir`, those of several in folders named after them. Raises `InputError`.
    """
    G, options = generator_of(network), options or ProjectorOptions()
    if batch < 1 or not targets:
        raise InputError(f"expected at least one target and a batch of at least 1, got {len(targets)} and {batch}")
    if outdir is not None and save_video:
        check_film("proj.mp4")
    one_hot(class_idx, G.c_dim, 1)  # raises what is wrong with the class before anything is shown
    for start in range(0, len(targets), batch):
        part = targets[start : start + batch]
        with watch(", ".join(target.name for target in part), options.num_steps) as advance:
            pictures = torch.stack([target.image for target in part])
            projection = project(G, pictures, features, options, class_idx=class_idx, progress=advance)
        for n, target in enumerate(part):
            found = judged(G, target, projection, n)
            if outdir is not None:
                folder = Path(outdir) if len(targets) == 1 else Path(outdir, target.name)
                write_projected(folder, found)
                if save_video:
                    write_descent(folder / "proj.mp4", G, target, projection, n, watch)
            yield found


def judged(G: Generator, target: Target, projection: Projection, n: int) -> Projected:
    """What became of target `n`."""
    ws = projection.ws[n : n + 1]
    picture, w_error = render(G, ws)[0], None
    if target.true_ws is not None:
        w_error = float((ws - target.true_ws).norm() / (projection.w_avg - target.true_ws).norm())
    distance = float(projection.distances[-1, n])
    return Projected(target, ws, picture, psnr(target.image, picture), distance, w_error)


def write_projected(folder: Path, found: Projected) -> None:
    """target.png, proj.png and projected_w.npz (`w` [1, num_ws, w_dim])."""
    write_png(folder / "target.png", found.target.image.permute(1, 2, 0).numpy())
    write_png(folder / "proj.png", found.picture.permute(1, 2, 0).numpy())
    with atomic_path(folder / "projected_w.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, w=found.ws.numpy())


def write_descent(path: Path, G: Generator, target: Target, projection: Projection, n: int, watch: Watch) -> None:
    """The way to target `n`, a frame a step: the target and, beside it, the picture of w."""
    num_steps = len(projection.path)
    with watch(path.name, num_steps) as advance, FrozenWeights():
        frames = counted(descent_frames(G, target, projection, n), advance)
        write_film(path, frames, num_steps, VIDEO_FPS, VIDEO_BIT_RATE)


def descent_frames(G: Generator, target: Target, projection: Projection, n: int) -> Iterator[np.ndarray]:
    """Yields the frames of that film, bytes [H, 2 W, 3]."""
    for step in range(len(projection.path)):
        picture = render(G, projection.ws_after(step)[n : n + 1])[0]
        yield as_rgb(torch.cat([target.image, picture], 2)[None])[0].permute(1, 2, 0).numpy()
