"""Does the Brownian Motion Controller help? Scores over time with and without it, at the same processor time.

    python benchmarks/bmc_experiment.py --outdir runs/bmc [--seconds 600] [--seeds 5] [--cases wgan wgan-gp stylegan2]

Three recipes at 32 px on the pictures of the package: WGAN (weights clipped at 0.01) and WGAN-GP with a small
convolutional net as in DCGAN (batch 64, Adam 1e-4), and StyleGAN2 with R1. The controller sits on the critic of the
first two, on the generator of the third, as the paper has it. Every run trains for so many seconds of its process's
time, measured without scoring; it is scored at equal shares of that time by fd_efflite0 of its generator as it is (not
averaged: oscillation is what is asked about). Oscillation: the variance of a run's scores after the first third, as
they are, and around a straight line (a score that falls varies too). Answers: the mean of |D| over real pictures in the
end.

One line of JSON a run in OUTDIR/scores.jsonl; runs that are in it are not repeated. The figure is OUTDIR/scores.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openstylegan.config import Component, DataConfig, EmaConfig, PhaseConfig, PlayerConfig, TrainConfig
from openstylegan.data.demo import demo_path
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.images import from_uint8
from openstylegan.metrics.evaluate import evaluate
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.networks.base import Discriminator, Generator
from openstylegan.sampling.measured import NumberedSampler
from openstylegan.training.build import Run, build_run
from openstylegan.training.loop import train_step

CASES = ("wgan", "wgan-gp", "stylegan2")
CLIP = 0.01
BURN_IN = 1 / 3


class PlainMapping(nn.Module):
    """z as its own w."""

    def forward(self, z: Tensor, c: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        return z.unsqueeze(1)


class PlainSynthesis(nn.Module):
    """Transposed convolutions with batch normalisation, doubling from 4 px."""

    def __init__(self, z_dim: int, width: int, resolution: int, channels: int):
        super().__init__()
        doublings = resolution.bit_length() - 3
        wide = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, wide, 4, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
        for _ in range(doublings - 1):
            layers += [nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(wide // 2), nn.ReLU()]
            wide //= 2
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(wide, channels, 4, 2, 1), nn.Tanh())

    def forward(
        self, ws: Tensor, noise_mode: str = "none", noise_source: Any = None, force_fp32: bool = False
    ) -> Tensor:
        return self.layers(ws[:, 0, :, None, None])


class PlainGenerator(Generator):
    """A small convolutional generator as in DCGAN (arXiv 1511.06434)."""

    def __init__(self, c_dim: int, img_resolution: int, img_channels: int, z_dim: int = 64, width: int = 16):
        super().__init__()
        self.z_dim = self.w_dim = z_dim
        self.c_dim, self.num_ws, self.img_resolution, self.img_channels = c_dim, 1, img_resolution, img_channels
        self.image_shape = (img_channels, img_resolution, img_resolution)
        self.mapping = PlainMapping()
        self.synthesis = PlainSynthesis(z_dim, width, img_resolution, img_channels)


class PlainDiscriminator(Discriminator):
    """A small convolutional critic without normalisation; a picture's score does not depend on the batch."""

    def __init__(self, c_dim: int, img_resolution: int, img_channels: int, width: int = 16):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        self.image_shape = (img_channels, img_resolution, img_resolution)
        layers: list[nn.Module] = [nn.Conv2d(img_channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for _ in range(img_resolution.bit_length() - 4):
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2)]
            width *= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 4))

    def forward(self, images: Any, c: Tensor | None = None) -> Tensor:
        return self.layers(images).flatten(1)


def phase(player: Any, terms: Iterable[Component], controlled: bool) -> PhaseConfig:
    """A player's main phase, with its controller at its defaults."""
    controller = (Component(f"bmc_{player.lower()}"),) if controlled else ()
    return PhaseConfig(f"{player}main", player, (*terms, *controller))


def config_of(case: str, controlled: bool, seed: int, data: Path, batch: int) -> TrainConfig:
    """The recipe of a case."""
    style = case == "stylegan2"
    widths = {"channel_base": 512, "channel_max": 32}
    generator = {"z_dim": 64, "w_dim": 64, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": dict(widths)}
    networks = (
        (Component("stylegan2", generator), Component("stylegan2", widths))
        if style
        else (Component("plain"), Component("plain"))
    )
    terms = {
        "wgan": (("wasserstein_g",), ("wasserstein_d", {"drift": 0.0})),
        "wgan-gp": (("wasserstein_g",), ("wasserstein_d", {"drift": 0.0})),
        "stylegan2": (("logistic_g",), ("logistic_d",)),
    }[case]
    critic = [Component(*terms[1]), *([Component("gradient_penalty")] if case == "wgan-gp" else [])]
    phases = [
        phase("G", [Component(*terms[0])], controlled and style),
        phase("D", critic, controlled and not style),
    ]
    if style:
        phases.append(PhaseConfig("Dreg", "D", (Component("r1", {"gamma": 0.1}),), 16, lazy=True))
    lr, beta1, beta2 = (0.0025, 0.0, 0.99) if style else (1e-4, 0.5, 0.9)
    players = [PlayerConfig(n, lr=lr, beta1=beta1, beta2=beta2) for n in networks]
    return TrainConfig(
        data=DataConfig(str(data), xflip=True, num_workers=1),
        generator=players[0],
        discriminator=players[1],
        phases=tuple(phases),
        schedule=Component("constant", {"batch_size": batch, "batch_gpu": batch}),
        ema=EmaConfig(1.0, 0.05),
        style_mixing_prob=0.0,
        seed=seed,
    )


def clip(run: Run) -> None:
    """Keeps the critic's weights within the bounds of WGAN (arXiv 1701.07875)."""
    with torch.no_grad():
        for parameter in run.state.D.parameters():
            parameter.clamp_(-CLIP, CLIP)


def score(run: Run, num: int) -> float:
    """fd_efflite0 of `num` pictures of the generator as it is."""
    G = run.state.G.eval()
    [record] = evaluate(["fd_efflite0"], NumberedSampler(G, 0), run.dataset, num_generated=num)
    G.train()
    return record.results["fd_efflite0"]


def answers(run: Run, num: int) -> float:
    """The mean of |D(x)| over `num` real pictures: the controller's terms are powers of it."""
    images = from_uint8(torch.from_numpy(run.dataset.images(np.arange(min(num, len(run.dataset))))))
    with torch.no_grad():
        return float(run.state.D(images).abs().mean())


def curve(config: TrainConfig, case: str, seconds: float, num_scores: int, num_images: int) -> dict[str, Any]:
    """Scores of one run at equal shares of `seconds` of its process's time."""
    run = build_run(config, torch.device("cpu"))
    spent, points = 0.0, []
    for n in range(1, num_scores + 1):
        while spent < seconds * n / num_scores:
            begin = time.process_time()
            train_step(run)
            if case == "wgan":
                clip(run)
            spent += time.process_time() - begin
        points.append((round(spent, 2), run.state.counters.cur_nimg, score(run, num_images)))
    run.loader.close()
    return {"points": points, "skipped": run.state.health.skipped, "answers": answers(run, num_images)}


def oscillation(scores: list[float], trend: bool = True) -> float:
    """The variance of the scores after the burn-in; without `trend` of what a straight line through them leaves."""
    kept = scores[int(len(scores) * BURN_IN) :]
    if len(kept) < 3:
        return float("nan")
    if trend:
        return statistics.variance(kept)
    steps = np.arange(len(kept))
    left = kept - np.polyval(np.polyfit(steps, kept, 1), steps)
    return float((left**2).sum() / (len(kept) - 2))


def read(path: Path) -> list[dict[str, Any]]:
    """The runs that are done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def table(found: list[dict[str, Any]]) -> str:
    """Last score and oscillation of every case, mean and deviation over seeds."""
    measured = ("last score", "best score", "oscillation", "without trend")
    titles = ("recipe", "controller", "runs", *measured, "answers", "images")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for case in CASES:
        for controlled in (False, True):
            runs = [r for r in found if (r["case"], r["controlled"]) == (case, controlled)]
            if not runs:
                continue
            scores = [[p[2] for p in r["points"]] for r in runs]
            ends = ([s[-1] for s in scores], [min(s) for s in scores])
            columns = (*ends, *([oscillation(s, trend) for s in scores] for trend in (True, False)))
            cells = [f"{np.mean(c):.4g} ± {np.std(c, ddof=min(1, len(c) - 1)):.2g}" for c in columns]
            known = [r["answers"] for r in runs if "answers" in r]
            cells.append(f"{np.mean(known):.3g}" if known else "")
            images = np.mean([r["points"][-1][1] for r in runs])
            lines.append(
                f"| {case} | {'yes' if controlled else 'no'} | {len(runs)} | {' | '.join(cells)} | {images:,.0f} |"
            )
    return "\n".join(lines)


def draw(found: list[dict[str, Any]], place: Path) -> None:
    """Score curves, mean and range over seeds."""
    from openstylegan.sampling.spectra_plots import new_figure, write_figure

    figure = new_figure(13, 4, 100)
    for axes, case in zip(figure.subplots(1, len(CASES)), CASES, strict=True):
        for controlled, color in ((False, "#222222"), (True, "#c1442d")):
            runs = [r["points"] for r in found if (r["case"], r["controlled"]) == (case, controlled)]
            if runs:
                scores = np.array([[p[2] for p in points] for points in runs])
                seconds = np.array([[p[0] for p in points] for points in runs]).mean(0)
                axes.fill_between(seconds, scores.min(0), scores.max(0), color=color, alpha=0.15, linewidth=0)
                axes.plot(seconds, scores.mean(0), color=color, label="with" if controlled else "without")
        axes.set(title=case, xlabel="processor seconds", ylabel="fd_efflite0")
        axes.legend()
    write_figure(figure, place)


def pictures(folder: Path, size: int) -> Path:
    """The pictures of the package at `size` px."""
    place = folder / f"pictures-{size}.zip"
    if not place.is_file():
        prepare(demo_path(), place, PrepareOptions(width=size, height=size))
    return place


def main() -> None:
    """Trains what is missing, then prints the table and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600, help="processor seconds of a run (600)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scores", type=int, default=15, help="scores of a run (15)")
    parser.add_argument("--images", type=int, default=1000, help="pictures of a score (1000)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.outdir.mkdir(parents=True, exist_ok=True)
    GENERATORS["plain"], DISCRIMINATORS["plain"] = PlainGenerator, PlainDiscriminator
    data, log = pictures(arguments.outdir, arguments.size), arguments.outdir / "scores.jsonl"
    for seed in range(arguments.seeds):
        for case in arguments.cases:
            for controlled in (False, True):
                about = {"case": case, "controlled": controlled, "seed": seed, "seconds": arguments.seconds}
                if any(about.items() <= r.items() for r in read(log)):
                    continue
                config = config_of(case, controlled, seed, data, arguments.batch)
                found = curve(config, case, arguments.seconds, arguments.scores, arguments.images)
                with log.open("a") as file:
                    file.write(json.dumps({**about, **found}) + "\n")
    print(table(read(log)))
    draw(read(log), arguments.outdir / "scores.png")


if __name__ == "__main__":
    main()
