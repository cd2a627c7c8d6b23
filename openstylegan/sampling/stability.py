"""How much a run's pictures still change: the mean squared difference of the same latents' pictures an epoch apart.

The stability figure of MSG-GAN (arXiv 1903.06048): 36 fixed latents, one curve for every resolution, which compares a
network with a picture at every resolution with one that grows. Here the pictures are those of the snapshots of a run,
of its averaged generator, psi 1 and constant noise, with values from 0 to 1 (the paper does not say which).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.files import write_text
from openstylegan.images import leaves
from openstylegan.interop.loading import load, snapshots_of
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.randomness import SampleStream
from openstylegan.snapshot import Networks

NUM_LATENTS = 36


@dataclass
class Curve:
    """The changes of the pictures that are `width` pixels wide, and the epochs that they were seen at."""

    width: int
    epochs: list[float] = field(default_factory=list)
    mse: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Stability:
    """The curves of a run, smallest pictures first, and how many epochs lie between its snapshots, on the mean."""

    name: str
    curves: list[Curve]
    spacing: float


@torch.no_grad()
def pictures_of(G: Generator, num: int, seed: int, batch: int = 4) -> dict[int, Tensor]:
    """The pictures [num, C, h, w] in [0, 1] of the fixed latents of a seed, by their width; classes take turns."""
    z = SampleStream(seed, "stability/z", (), range(num)).normal((num, G.z_dim))
    c = torch.eye(G.c_dim)[torch.arange(num) % G.c_dim] if G.c_dim > 0 else torch.zeros(num, 0)
    with FrozenWeights():
        parts = [
            leaves(G(z_part, c_part, truncation_psi=1, update_w_avg=False, noise_mode="const"))
            for z_part, c_part in zip(z.split(batch), c.split(batch), strict=True)
        ]
    scales = [torch.cat(scale) for scale in zip(*parts, strict=True)]
    return {scale.shape[-1]: (scale.double() + 1).div(2).clamp(0, 1) for scale in scales}


def images_seen(networks: Networks) -> int:
    """How many pictures had been shown when a snapshot was taken. Raises `InputError` when it does not say so."""
    seen = networks.about.get("cur_nimg")
    if seen is None:
        raise InputError(
            f"expected a snapshot of a run of ours, got {networks.path}; it does not say how long it trained"
        )
    return int(seen)


def epoch_images(networks: Networks, given: int | None) -> int:
    """Pictures in an epoch: as given, or those of the run's dataset. Raises `InputError`."""
    found = given or networks.about.get("dataset", {}).get("num_images")
    if not found or found < 1:
        raise InputError(f"expected to find the number of training pictures in {networks.path}; give --epoch-images")
    return int(found)


def spaced(folder: Path, epochs: float, given: int | None) -> Iterator[tuple[float, Networks]]:
    """Epoch and networks of a run's first snapshot, and of each that is `epochs` or more after the one before it."""
    last: float | None = None
    for path in snapshots_of(folder):
        networks = load(path)
        epoch = images_seen(networks) / epoch_images(networks, given)
        if last is None or epoch >= last + epochs:
            yield epoch, networks
            last = epoch


def stability_of(
    run: str | os.PathLike[str],
    *,
    num_latents: int = NUM_LATENTS,
    seed: int = 0,
    epochs: float = 1.0,
    num_epoch_images: int | None = None,
) -> Stability:
    """How much the pictures of a run folder's snapshots differ from those `epochs` (or more) before.

    While a network grows there are pictures of one size at a time; where the size changes nothing is compared.
    `num_epoch_images`: pictures in an epoch, by default those of the run's dataset. Raises `InputError`.
    """
    folder = Path(run)
    if num_latents < 1 or not epochs > 0:
        raise InputError(f"expected at least 1 latent and a distance above 0 epochs, got {num_latents} and {epochs:g}")
    curves: dict[int, Curve] = {}
    seen: list[float] = []
    before: dict[int, Tensor] = {}
    for epoch, networks in spaced(folder, epochs, num_epoch_images):
        now = pictures_of(networks.G_ema, num_latents, seed)
        for width in sorted(now.keys() & before.keys()):
            curve = curves.setdefault(width, Curve(width))
            curve.epochs.append(epoch)
            curve.mse.append(float((now[width] - before[width]).square().mean()))
        before = now
        seen.append(epoch)
    if not curves:
        raise InputError(
            f"expected snapshots of one size {epochs:g} epochs apart in {folder}, got {len(seen)} at such distances; "
            "give a smaller --epochs, or train with a smaller --snap"
        )
    return Stability(folder.name, [curves[width] for width in sorted(curves)], (seen[-1] - seen[0]) / (len(seen) - 1))


def write_table(path: Path, runs: Sequence[Stability]) -> None:
    """Writes every point of every curve as a CSV: run, width, epoch, mse."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("run", "width", "epoch", "mse"))
    for run in runs:
        for curve in run.curves:
            for epoch, mse in zip(curve.epochs, curve.mse, strict=True):
                table.writerow((run.name, curve.width, f"{epoch:.4f}", f"{mse:.6g}"))
    write_text(path, text.getvalue())


def draw_stability(path: Path, runs: Sequence[Stability]) -> None:
    """Writes a PNG with a panel for each run, on the same axes. Raises `InputError` without matplotlib."""
    from openstylegan.sampling.spectra_plots import check_matplotlib, new_figure, write_figure

    check_matplotlib()
    figure = new_figure(5.2 * len(runs), 3.6, 110)
    widths = sorted({curve.width for run in runs for curve in run.curves})
    panels = figure.subplots(1, len(runs), sharey=True, sharex=True, squeeze=False)[0]
    for panel, run in zip(panels, runs, strict=True):
        for curve in run.curves:
            colour = f"C{widths.index(curve.width) % 10}"
            panel.plot(curve.epochs, curve.mse, color=colour, marker="o", markersize=3, label=f"{curve.width} px")
        panel.set_yscale("log")
        panel.set_title(run.name)
        panel.set_xlabel("epoch")
        panel.grid(True, which="both", alpha=0.2)
        panel.legend()
    panels[0].set_ylabel("MSE to the snapshot before")
    write_figure(figure, path)
