"""Does the picture move as a whole? A small StyleGAN3-T and a small StyleGAN2, trained alike on the demo pictures.

    python benchmarks/stylegan3_page.py [--minutes 10] [--out runs/stylegan3-page] [--docs docs/pictures]

Trains both for so many minutes (32 px, the same widths, batch and gamma), measures EQ-T of both over 400 pictures,
and draws: the same latent moved by fractions of a pixel, and the average spectra of both beside the data's.

StyleGAN2 has no input that could be moved; here its 4 x 4 constant is, as the periodic signal it is least bad for
(by the Fourier shift theorem), and its noise stays where it is, as always. That is the most it can do.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

import openstylegan
from openstylegan.data.dataset import open_dataset
from openstylegan.data.demo import demo_path
from openstylegan.files import write_json
from openstylegan.images import tile, to_uint8, write_png
from openstylegan.metrics.equivariance import equivariance_errors, psnr
from openstylegan.metrics.probe import SharedNoise
from openstylegan.metrics.shifting import translation_matrix
from openstylegan.networks.base import Generator
from openstylegan.randomness import NoiseSource
from openstylegan.sampling.measured import NumberedSampler
from openstylegan.sampling.spectra import average_spectrum, mean_and_deviation, pictures_of_dataset, pictures_of_network
from openstylegan.sampling.spectra_plots import draw_slices

SIDE, GROUP, NUM = 32, 4, 400
NETWORKS = {
    "StyleGAN3-T": ["--cfg=stylegan3-t"],
    "StyleGAN2": ["--cfg=stylegan2", "--family=stylegan3", "--map-depth=2"],
}
ALIKE = [
    "--gpus=1",
    "--batch=16",
    "--gamma=0.05",
    "--cbase=1024",
    "--cmax=32",
    "--aug=noaug",
    "--mirror=1",
    "--grid=8x4",
]
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Pixels by which the strip's pictures are moved to the right."""


def run(*arguments: str) -> None:
    """One command of the package."""
    subprocess.run([sys.executable, "-m", "openstylegan.cli.main", *arguments], check=True)


def trained(name: str, out: Path, minutes: float) -> Generator:
    """The averaged generator of a new run, or of the one that is already there."""
    folder = out / name
    if not list(folder.glob("*/network-snapshot-*.safetensors")):
        where = [f"--outdir={folder}", f"--data={out / 'data.zip'}", f"--minutes={minutes}"]
        run("train", *where, *ALIKE, *NETWORKS[name])
    [only] = folder.glob("0*")
    return openstylegan.load(only).G_ema


def shifted(constant: Tensor, x: float, y: float) -> Tensor:
    """A periodic [C, h, w] moved by (x, y) of its width and height, to the right and down."""
    spectrum = torch.fft.fft2(constant.double())
    for axis, shift in ((-1, x), (-2, y)):
        frequencies = torch.fft.fftfreq(constant.shape[axis], dtype=torch.float64) * constant.shape[axis]
        turn = torch.exp(-2j * math.pi * frequencies * shift)
        spectrum = spectrum * (turn if axis == -1 else turn[:, None])
    return torch.fft.ifft2(spectrum).real.to(constant)


class ConstantMoved(NumberedSampler):
    """A StyleGAN2 generator whose constant is moved where a transform asks for it."""

    transformable = True  # type: ignore[assignment]

    @contextmanager
    def moved(self, transform: Tensor) -> Iterator[None]:
        """The constant moved meanwhile by what `transform` says (translations only)."""
        constant = self.G.get_submodule("synthesis.b4").get_parameter("const")
        before = constant.clone()
        constant.copy_(shifted(before, -float(transform[0, 2]), -float(transform[1, 2])))
        yield
        constant.copy_(before)

    @torch.no_grad()
    def synthesis(self, ws: Tensor, noise: NoiseSource, transform: Tensor | None = None) -> Tensor:
        """As the base class."""
        with self.moved(translation_matrix(0, 0) if transform is None else transform):
            return super().synthesis(ws, noise)


def sampler(name: str, G: Generator) -> NumberedSampler:
    """A generator that can be moved."""
    return NumberedSampler(G, 0) if name == "StyleGAN3-T" else ConstantMoved(G, 0)


def eq_t(probe: NumberedSampler, motion: str) -> float:
    """EQ-T in dB over `NUM` pictures."""
    rows = [equivariance_errors(probe, range(n, n + GROUP), 0, motion) for n in range(0, NUM, GROUP)]
    return psnr(torch.cat(rows))[0]


def strip(probe: NumberedSampler, seeds: Sequence[int]) -> Tensor:
    """One row a seed: the picture moved by `STEPS`, uint8 [rows * columns, C, H, W]."""
    pictures = []
    for seed in seeds:
        z = torch.randn(1, probe.z_dim, generator=torch.Generator().manual_seed(seed))
        ws = probe.mapping(z, torch.zeros(1, 0))
        for step in STEPS:
            noise = SharedNoise(0, "page/noise", seed)
            pictures.append(probe.synthesis(ws, noise, translation_matrix(-step / SIDE, 0)))
    return torch.nn.functional.interpolate(to_uint8(torch.cat(pictures)), scale_factor=3.0, mode="nearest")


def main() -> None:
    """Trains, measures, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/stylegan3-page"))
    parser.add_argument("--docs", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    out, docs = arguments.out, arguments.docs
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "data.zip").is_file():
        run("dataset", f"--source={demo_path()}", f"--dest={out / 'data.zip'}", f"--width={SIDE}", f"--height={SIDE}")
    data = pictures_of_dataset(open_dataset(str(out / "data.zip")))
    mean, std = mean_and_deviation(data)
    spectra, scores = [average_spectrum(data, mean, std)], {}
    print("| network | kimg | EQ-T whole pixels, dB | EQ-T any fraction, dB |\n|---|---|---|---|")
    for name in NETWORKS:
        G = trained(name, out, arguments.minutes)
        probe = sampler(name, G)
        scores[name] = [eq_t(probe, motion) for motion in ("whole", "fraction")]
        [snapshot] = sorted((out / name).glob("*/network-snapshot-*.safetensors"))[-1:]
        print(f"| {name} | {int(snapshot.stem[-6:])} | {scores[name][0]:.1f} | {scores[name][1]:.1f} |", flush=True)
        stem = name.lower()
        write_png(docs / f"{stem}-moved.png", tile(strip(probe, (1, 2, 3)), len(STEPS)))
        spectra.append(average_spectrum(pictures_of_network(G, 1000), mean, std))
    draw_slices(spectra, ["data", *NETWORKS], docs / "stylegan3-spectra.png")
    write_json(out / "scores.json", scores)


if __name__ == "__main__":
    main()
