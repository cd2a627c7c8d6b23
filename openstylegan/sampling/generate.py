"""Pictures from seeds, or from ws that were found by projection: a PNG each, and a grid of all."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.images import leaves, tile, to_uint8, write_png
from openstylegan.interop.loading import load
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.randomness import SampleStream
from openstylegan.sampling.labels import ClassChoice, labels_of_seeds, one_hot
from openstylegan.sampling.latents import latents
from openstylegan.sampling.mean_style import mean_style, toward
from openstylegan.sampling.transform import moved

NoiseMode = Literal["const", "random", "none"]


def generator_of(network: str | os.PathLike[str] | Generator) -> Generator:
    """The averaged generator of a file, a run folder or a URL; a generator is taken as it is. Raises `InputError`."""
    return network if isinstance(network, Generator) else load(network).G_ema


def ws_of_seeds(
    G: Generator,
    seeds: Sequence[int],
    trunc: float = 1.0,
    truncation_cutoff: int | None = None,
    class_idx: ClassChoice = None,
    mean: Tensor | None = None,
) -> Tensor:
    """ws [n, num_ws, w_dim] of `seeds`, truncated towards the network's own average or `mean`. Raises `InputError`."""
    if not math.isfinite(trunc):
        raise InputError(f"--trunc: expected a finite number, got {trunc}")
    device = next(G.parameters()).device
    z, c = latents(seeds, G.z_dim).to(device), labels_of_seeds(G, seeds, class_idx).to(device)
    if mean is not None:
        return toward(G.mapping(z, c), mean, trunc, truncation_cutoff)
    return G.mapping(z, c, truncation_psi=trunc, truncation_cutoff=truncation_cutoff)


@torch.no_grad()
def images_of_seeds(
    G: Generator,
    seeds: Sequence[int],
    trunc: float = 1.0,
    truncation_cutoff: int | None = None,
    class_idx: ClassChoice = None,
    noise_mode: NoiseMode = "const",
    batch: int = 1,
    mean: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yields uint8 pictures [n, C, H, W], at most `batch` at a time, in the order of `seeds`.

    A seed's latent and noise depend on the seed only, so its picture is the same in any batch (up to rounding).
    """
    if truncation_cutoff is not None and not 0 <= truncation_cutoff <= G.num_ws:
        raise InputError(f"expected a truncation cutoff from 0 to {G.num_ws} layers, got {truncation_cutoff}")
    for start in range(0, len(seeds), batch):
        part = list(seeds[start : start + batch])
        yield draw(G, ws_of_seeds(G, part, trunc, truncation_cutoff, class_idx, mean), noise_mode, part)


@torch.no_grad()
def images_of_ws(G: Generator, ws: Tensor, noise_mode: NoiseMode = "const") -> Iterator[Tensor]:
    """Yields a uint8 picture [1, C, H, W] for each of `ws` [n, num_ws, w_dim]."""
    for n, own in enumerate(ws.split(1)):
        yield draw(G, own, noise_mode, [n])


def draw(G: Generator, ws: Tensor, noise_mode: NoiseMode, noise_seeds: Sequence[int]) -> Tensor:
    """uint8 pictures [n, C, H, W] of `ws` [n, num_ws, w_dim]; random noise is drawn from a seed a picture."""
    return to_uint8(drawn(G, ws, noise_mode, noise_seeds))


def drawn(G: Generator, ws: Tensor, noise_mode: NoiseMode, noise_seeds: Sequence[int]) -> Tensor:
    """What `draw` makes bytes of: the (largest) images [n, C, H, W], nominally in [-1, 1]."""
    source = SampleStream(0, "generate/noise", (), noise_seeds) if noise_mode == "random" else None
    return leaves(G.synthesis(ws, noise_mode=noise_mode, noise_source=source))[-1]


def read_projected_w(path: str | os.PathLike[str], G: Generator) -> Tensor:
    """`w` [n, num_ws, w_dim] of an .npz file written by a projector. Raises `InputError`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            ws = torch.from_numpy(file["w"]).float()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected an .npz file with an array 'w' at {path}, got {error}") from error
    if ws.dim() != 3 or ws.shape[1:] != (G.num_ws, G.w_dim):
        raise InputError(f"expected w of shape [n, {G.num_ws}, {G.w_dim}] in {path}, got {list(ws.shape)}")
    if len(ws) == 0 or not torch.isfinite(ws).all():
        raise InputError(f"expected at least one w, and finite numbers, in {path}; project again")
    return ws.to(next(G.parameters()).device)


def generate(
    network: str | os.PathLike[str] | Generator,
    seeds: Sequence[int] = (),
    outdir: str | os.PathLike[str] | None = None,
    *,
    trunc: float = 1.0,
    truncation_cutoff: int | None = None,
    w_samples: int | None = None,
    class_idx: ClassChoice = None,
    noise_mode: NoiseMode = "const",
    projected_w: str | os.PathLike[str] | None = None,
    translate: tuple[float, float] = (0.0, 0.0),
    rotate: float = 0.0,
    batch: int = 1,
    grid_columns: int | None = None,
    keep: bool = True,
) -> np.ndarray:
    """Pictures of `seeds` (or of `projected_w`), uint8 [N, H, W, C].

    `network` is a file, a run folder, a URL or a generator. With `outdir`, each picture is written as it is made
    (`seed0042.png`, or `proj00.png`), and several also as `grid.png`. `translate` (in picture widths and heights, to
    the right and down) and `rotate` (degrees, counter-clockwise) need a StyleGAN3 network. `keep` False is for more
    pictures than memory holds: they are only written, none is returned, and there is no grid. `w_samples`: the mean
    that `trunc` moves w to is estimated from so many latents. `class_idx` "random": each seed draws its class, the one
    that the viewer shows. Raises `InputError`.
    """
    G = generator_of(network)
    if w_samples is not None and (trunc == 1 or projected_w is not None):
        raise InputError("expected pictures of seeds and --trunc other than 1 with --w-samples; leave it out")
    if batch < 1 or (grid_columns is not None and grid_columns < 1):
        raise InputError(f"expected a batch and grid columns of at least 1, got {batch} and {grid_columns}")
    if projected_w is not None:
        ws = read_projected_w(projected_w, G)
        names = [f"proj{n:02d}.png" for n in range(len(ws))]
        batches = images_of_ws(G, ws, noise_mode)
    else:
        if not seeds:
            raise InputError("expected at least one seed; give --seeds 0-35 or --projected-w FILE")
        names = [f"seed{seed:04d}.png" for seed in seeds]
        mean = None if w_samples is None else mean_of(G, class_idx, w_samples)
        batches = images_of_seeds(G, seeds, trunc, truncation_cutoff, class_idx, noise_mode, batch, mean)
    with moved(G, translate, rotate), FrozenWeights():
        kept = written(batches, names, outdir, keep)
    together = torch.stack(kept) if kept else torch.empty((0, *G.image_shape), dtype=torch.uint8)
    if outdir is not None and len(kept) > 1:
        write_png(Path(outdir) / "grid.png", tile(together, grid_columns or math.ceil(math.sqrt(len(together)))))
    return together.permute(0, 2, 3, 1).numpy()


def mean_of(G: Generator, class_idx: ClassChoice, num: int) -> Tensor:
    """The average w of a class, estimated from `num` latents. Raises `InputError`."""
    if class_idx == "random":
        raise InputError("expected one class with --w-samples, for each has an average of its own; give --class N")
    return mean_style(G, one_hot(class_idx, G.c_dim, 1), num)


def written(
    batches: Iterator[Tensor], names: Sequence[str], outdir: str | os.PathLike[str] | None, keep: bool
) -> list[Tensor]:
    """The pictures [C, H, W] of `batches` if they are to be kept; each is written when there is a folder."""
    kept: list[Tensor] = []
    each = (image for images in batches for image in images.cpu())
    for name, image in zip(names, each, strict=True):
        if outdir is not None:
            write_png(Path(outdir) / name, image.permute(1, 2, 0).numpy())
        if keep:
            kept.append(image)
    return kept
