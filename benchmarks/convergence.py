"""Which recipe is how good after how much work: scores of several at the same processor times, on the demo pictures.

    python benchmarks/convergence.py --outdir DIR [--seeds 3] [--minutes 1 2 4 8 12] [--recipes NAME ...] [--size 32]

- stylegan2-ada: `demo --cfg demo-stylegan2` (StyleGAN2-ADA, arXiv 2006.06676, cut to the budget).
- fastgan-lite: FastGAN-lite at an eighth of its width against a projected discriminator (arXiv 2111.01007).
- projected-stylegan2: the first one's generator against that discriminator, without batch normalisation in it.
- fastgan-groups: the demo, FastGAN-lite told which of 128 groups of pictures that look alike to draw (arXiv
  1712.04407), against such a discriminator without batch normalisation; the groups are clusters of features.
- trial: an earlier attempt with FastGAN-lite, features at 96 px and z of 256: the yardstick.

The clock is the process CPU time of training steps without scoring; a minute is one of a machine of two cores, 120
seconds. Every score is of the averaged generator:

- fd_efflite0, and precision and recall (k = 3) on the same features. A projected discriminator looks through the same
  network, which flatters it there; hence
- an independent distance: Frechet distance on Inception's features where that file is at hand, else on features of a
  convolutional network with random weights (arXiv 2002.09797 measures so), whose channels are scaled by real pictures;
- colour distance: half the sum of differences between the histograms (6 x 6 x 6) of all pixels, 0 to 1.

A finished run is a line of DIR/runs.jsonl; what is interrupted starts again. The table, the curves and the grids of
pictures are made of all finished runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openstylegan.cli.demo import by_groups
from openstylegan.config import Component, PlayerConfig, TrainConfig
from openstylegan.data.demo import demo_path
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.errors import InputError
from openstylegan.features import load_extractor
from openstylegan.files import append_line, read_lines, write_text
from openstylegan.images import from_uint8, tile, write_png
from openstylegan.metrics.fid import frechet_distance
from openstylegan.metrics.precision_recall import precision_recall
from openstylegan.metrics.statistics import moments_of
from openstylegan.ops.allocator import configure_allocator
from openstylegan.presets import demo, demo_stylegan2
from openstylegan.sampling.measured import NumberedSampler
from openstylegan.training.build import Run, build_run
from openstylegan.training.loop import train_step

MINUTE = 120.0
"""Processor seconds."""
BINS = 6
COLORS = ("#222222", "#c1442d", "#2d6fc1", "#b8860b", "#4c9141")
NAMES = {
    "fd_efflite0": "fd_efflite0",
    "recall": "recall",
    "precision": "precision",
    "independent": "independent distance",
    "colour": "colour distance",
}


def stylegan2_ada(data: str, size: int) -> TrainConfig:
    """The demo's recipe of that name."""
    return demo_stylegan2.make_config(dataclasses.replace(demo_stylegan2.OPTIONS, minutes=None), data, size)


def fastgan_groups(data: str, size: int) -> TrainConfig:
    """The demo: FastGAN-lite by groups."""
    options = demo.Options(minutes=None, cond=True, precision="bfloat16")
    return demo.make_config(options, str(by_groups(Path(data))), size)


def projected(data: str, size: int, generator: PlayerConfig, lr: float, batch: int, **judge: Any) -> TrainConfig:
    """Another generator, and small discriminators with the rate `lr` and the options `judge`, without groups."""
    config = demo.make_config(demo.Options(minutes=None, batch=batch, precision="bfloat16"), data, size)
    network = Component("projected", {"width": 64, **judge})
    return dataclasses.replace(config, generator=generator, discriminator=PlayerConfig(network, lr=lr))


def fastgan_lite(data: str, size: int) -> TrainConfig:
    """Features at 64 px, batch normalisation, batch 8."""
    return projected(data, size, demo.GENERATOR, 5e-4, 8, feature_side=64)


def projected_stylegan2(data: str, size: int) -> TrainConfig:
    """The generator of demo-stylegan2, and small discriminators without batch normalisation."""
    generator = dataclasses.replace(stylegan2_ada(data, size).generator, lr=0.003)
    return projected(data, size, generator, 1e-3, 16, feature_side=64, norm=False)


def trial(data: str, size: int) -> TrainConfig:
    """The yardstick."""
    network = Component("fastgan", {**demo.GENERATOR.network.options, "z_dim": 256})
    return projected(data, size, dataclasses.replace(demo.GENERATOR, network=network), 5e-4, 8, feature_side=96)


RECIPES: dict[str, Callable[[str, int], TrainConfig]] = {
    "stylegan2-ada": stylegan2_ada,
    "fastgan-lite": fastgan_lite,
    "projected-stylegan2": projected_stylegan2,
    "fastgan-groups": fastgan_groups,
    "trial": trial,
}


class RandomFeatures:
    """Means and deviations of the channels of five stages of a random network: [N, 2 x 496] of uint8 [N, 3, H, W].

    Each convolution's channels are scaled to deviation 1 on `images`, as a trained network's are: unscaled, the deeper
    stages would hardly differ between pictures.
    """

    name = "random convolutional network"
    widths = (16, 32, 64, 128, 256)

    def __init__(self, images: Tensor):
        random = torch.Generator().manual_seed(0)
        self.layers: list[nn.Conv2d] = []
        x = from_uint8(images)
        for inputs, outputs in zip((3, *self.widths[:-1]), self.widths, strict=True):
            layer = nn.Conv2d(inputs, outputs, 3, padding=1).requires_grad_(False)
            layer.weight.normal_(generator=random)
            y = nn.functional.conv2d(x, layer.weight, padding=1)
            scale = 1 / (y.std((0, 2, 3)) + 1e-6)
            layer.weight *= scale[:, None, None, None]
            layer.bias = nn.Parameter(-y.mean((0, 2, 3)) * scale, requires_grad=False)
            self.layers.append(layer)
            x = self.halved(layer, x)

    def halved(self, layer: nn.Conv2d, x: Tensor) -> Tensor:
        """A stage."""
        x = layer(x).relu_()
        return nn.functional.avg_pool2d(x, 2) if min(x.shape[2:]) > 1 else x

    def __call__(self, images: Tensor) -> Tensor:
        found = []
        for part in images.split(64):
            x, own = from_uint8(part), []
            for layer in self.layers:
                x = self.halved(layer, x)
                own += [x.mean((2, 3)), x.var((2, 3), unbiased=False).sqrt()]
            found.append(torch.cat(own, 1))
        return torch.cat(found)


def independent_features(images: Tensor) -> Any:
    """Inception where its file is at hand, else the random network."""
    try:
        return load_extractor("inception")
    except InputError:
        return RandomFeatures(images)


def colours(images: Tensor) -> Tensor:
    """The histogram [BINS^3] of all pixels, of sum 1."""
    level = images[:, :3].long() * BINS // 256
    index = (level[:, 0] * BINS + level[:, 1]) * BINS + level[:, 2]
    counts = torch.bincount(index.flatten(), minlength=BINS**3)
    return counts / counts.sum()


class Scores:
    """What real pictures are like, and how far generated ones are from that."""

    def __init__(self, reals: Tensor):
        self.usual, self.other = load_extractor("efficientnet-lite0"), independent_features(reals[:256])
        self.features, self.colours = self.usual(reals), colours(reals)
        self.moments, self.other_moments = moments_of(self.features), moments_of(self.other(reals))

    def of(self, images: Tensor) -> dict[str, float]:
        """All scores of pictures uint8 [N, C, H, W]."""
        features = self.usual(images)
        precision, recall = precision_recall(self.features, features)
        return {
            "fd_efflite0": frechet_distance(*self.moments, *moments_of(features)),
            "precision": precision,
            "recall": recall,
            "independent": frechet_distance(*self.other_moments, *moments_of(self.other(images))),
            "colour": float((self.colours - colours(images)).abs().sum() / 2),
        }


def pictures(folder: Path, size: int) -> Path:
    """The pictures of the package at `size` px."""
    place = folder / f"pictures-{size}.zip"
    if not place.is_file():
        prepare(demo_path(), place, PrepareOptions(width=size, height=size))
    return place


def drawn(run: Run, num: int) -> Tensor:
    """Pictures of the averaged generator."""
    return NumberedSampler(run.state.ema.module, 0, len(run.dataset), run.dataset.labels)(range(num))


def train(config: TrainConfig, minutes: list[float], scores: Scores | None, num: int) -> tuple[list[Any], Tensor]:
    """Scores at `minutes`, and pictures at the end."""
    run = build_run(config, torch.device("cpu"))
    scores = scores or Scores(torch.from_numpy(run.dataset.images(np.arange(len(run.dataset.names)))))
    spent, points = 0.0, []
    for minute in minutes:
        while spent < minute * MINUTE:
            began = time.process_time()
            train_step(run)
            spent += time.process_time() - began
        kimg = run.state.counters.cur_nimg / 1000
        points.append(
            {"minute": minute, "kimg": kimg, "skipped": run.state.health.skipped, **scores.of(drawn(run, num))}
        )
        print(json.dumps({name: round(value, 3) for name, value in points[-1].items()}), flush=True)
    run.loader.close()
    return points, drawn(run, 96)


def read(path: Path) -> list[dict[str, Any]]:
    """The runs that are done."""
    return read_lines(path)


def cell(values: list[float]) -> str:
    """Mean and deviation."""
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3g}{spread}"


def table(found: list[dict[str, Any]]) -> str:
    """A row for each recipe and minute."""
    lines = [
        "| recipe | minutes | runs | images | " + " | ".join(NAMES.values()) + " |",
        "|---" * (4 + len(NAMES)) + "|",
    ]
    for recipe in dict.fromkeys(run["recipe"] for run in found):
        runs = [run for run in found if run["recipe"] == recipe]
        for minute in sorted({point["minute"] for run in runs for point in run["points"]}):
            points = [p for run in runs for p in run["points"] if p["minute"] == minute]
            cells = [cell([p[name] for p in points]) for name in NAMES]
            images = statistics.mean(p["kimg"] for p in points) * 1000
            lines.append(f"| {recipe} | {minute:g} | {len(points)} | {images:,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: list[dict[str, Any]], place: Path) -> None:
    """Curves over minutes: mean and range over seeds."""
    from openstylegan.sampling.spectra_plots import new_figure, write_figure

    figure = new_figure(13, 4, 100)
    shown = ("fd_efflite0", "independent", "recall")
    for axes, name in zip(figure.subplots(1, len(shown)), shown, strict=True):
        for color, recipe in zip(COLORS, RECIPES, strict=True):
            values: dict[float, list[float]] = {}
            for point in (point for run in found if run["recipe"] == recipe for point in run["points"]):
                values.setdefault(point["minute"], []).append(point[name])
            if values:
                minutes = sorted(values)
                lowest, mean, highest = ([f(values[minute]) for minute in minutes] for f in (min, statistics.mean, max))
                axes.fill_between(minutes, lowest, highest, color=color, alpha=0.15, linewidth=0)
                axes.plot(minutes, mean, color=color, marker="o", markersize=3, label=recipe)
        axes.set(xlabel=f"minutes of {MINUTE:.0f} processor seconds", title=NAMES[name])
        axes.set_ylim(bottom=0)
    figure.axes[0].legend()
    write_figure(figure, place)


def main() -> None:
    """Trains what is missing, then writes the table and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--size", type=int, default=32, help="side of the pictures (32)")
    parser.add_argument("--images", type=int, default=1000, help="pictures of a score (1000)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    configure_allocator()
    torch.set_num_threads(arguments.threads)
    folder: Path = arguments.outdir
    folder.mkdir(parents=True, exist_ok=True)
    data, log, scores = pictures(folder, arguments.size), folder / "runs.jsonl", None
    for seed in range(arguments.seeds):
        for recipe in arguments.recipes:
            about = {"recipe": recipe, "seed": seed, "size": arguments.size, "images": arguments.images}
            minutes = sorted(arguments.minutes)
            if any(about.items() <= run.items() and set(minutes) <= set(run["minutes"]) for run in read(log)):
                continue
            if scores is None:
                from openstylegan.data.dataset import open_dataset

                dataset = open_dataset(data)
                scores = Scores(torch.from_numpy(dataset.images(np.arange(len(dataset)))))
            print(f"{recipe}, seed {seed}", flush=True)
            config = dataclasses.replace(RECIPES[recipe](str(data), arguments.size), seed=seed)
            points, shown = train(config, minutes, scores, arguments.images)
            write_png(folder / f"{recipe}-{seed}.png", tile(shown, 16))
            done = {**about, "minutes": minutes, "independent": scores.other.name, "points": points}
            append_line(log, json.dumps(done))
    found = [run for run in read(log) if run["size"] == arguments.size]
    text = table(found)
    if found:
        text += f"\n\nThe independent distance is on the features of: {found[0]['independent']}."
        draw(found, folder / "convergence.png")
    write_text(folder / "convergence.md", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
