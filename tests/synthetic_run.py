"""Run folders that look like real ones, for the tests of what reads them.

To look at one: `python tests/synthetic_run.py FOLDER [TICKS]`.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from openstylegan.images import tile, write_png

CELL, COLUMNS, ROWS = 32, 10, 6


def config(name: str = "shapes-32", total_kimg: float = 200.0) -> dict[str, Any]:
    """A configuration as a run writes it."""
    network = {"name": "stylegan2", "options": {"channel_base": 4096, "channel_max": 128}}
    player = {"network": network, "lr": 0.0025, "beta1": 0.0, "beta2": 0.99, "eps": 1e-08}
    return {
        "data": {"path": f"/data/{name}.zip", "use_labels": False, "max_size": None, "xflip": True},
        "generator": player,
        "discriminator": player,
        "phases": [
            {"name": "Gmain", "player": "G", "terms": [{"name": "logistic", "options": {}}], "every": 1, "lazy": False},
            {
                "name": "Dreg",
                "player": "D",
                "terms": [{"name": "r1", "options": {"gamma": 0.4}}],
                "every": 16,
                "lazy": True,
            },
        ],
        "augment": {"name": "ada", "options": {"target": 0.6, "pipe": "bgc"}},
        "ema": {"half_life_kimg": 2.0, "rampup": 0.05},
        "output": {"kimg_per_tick": 1.0, "grid": [COLUMNS, ROWS], "metrics": ["fd_efflite0"]},
        "total_kimg": total_kimg,
        "seed": 7,
        "precision": "float32",
        "preset": "auto",
    }


def environment() -> dict[str, Any]:
    """What a run notes about the machine."""
    return {
        "openstylegan": "0.1.0",
        "python": "3.11.9",
        "torch": "2.13.0+cpu",
        "device": {"name": "cpu", "cores": 2, "threads": 2, "capability": "AVX512"},
        "command": ["openstylegan", "train", "--data", "my shapes.zip", "--outdir", "runs"],
    }


def stat(mean: float, std: float = 0.0, num: int = 1) -> dict[str, float]:
    """One statistic of a tick."""
    return {"num": num, "mean": mean, "std": std}


def tick(number: int, kimg: float, random: np.random.Generator) -> dict[str, Any]:
    """A line of `stats.jsonl` after `kimg`."""
    age, noise = 1 - math.exp(-kimg / 40), random.normal(size=12)
    real, fake = 1.6 * age + 0.12 * noise[0], -1.7 * age - 0.3 + 0.12 * noise[1]
    augment = max(0.0, 0.0021 * (kimg - 20)) * (1 + 0.01 * noise[2])
    second = 151 + 3 * noise[3] + (40 if number % 50 == 0 else 0)
    return {
        "Loss/scores/fake": stat(fake, 0.8 + 0.3 * age, 2000),
        "Loss/signs/fake": stat(max(-1.0, -0.75 * age - 0.1 + 0.03 * noise[4]), 0.6, 2000),
        "Loss/G/loss": stat(0.8 + 1.4 * age + 0.15 * noise[5], 0.9, 1000),
        "Loss/scores/real": stat(real, 0.9 + 0.3 * age, 1000),
        "Loss/signs/real": stat(min(1.0, 0.6 * age + 0.03 * noise[6]), 0.7, 1000),
        "Loss/D/loss": stat(1.38 - 0.6 * age + 0.06 * noise[7], 0.5, 1000),
        "Loss/pl_penalty": stat(4 * math.exp(-kimg / 6) + 0.003 * math.exp(0.3 * noise[8]), 0.01, 250),
        "Loss/G/reg": stat(8 * math.exp(-kimg / 6) + 0.006 * math.exp(0.3 * noise[8]), 0.02, 250),
        "Loss/r1_penalty": stat(0.02 + 0.12 * age * math.exp(0.25 * noise[9]), 0.05, 60),
        "Loss/D/reg": stat(0.004 + 0.024 * age * math.exp(0.25 * noise[9]), 0.01, 60),
        "Progress/tick": stat(number),
        "Progress/kimg": stat(kimg),
        "Progress/augment": stat(augment),
        "Timing/total_sec": stat(second * kimg),
        "Timing/sec_per_tick": stat(second),
        "Timing/sec_per_kimg": stat(second),
        "Timing/maintenance_sec": stat(1.2 + 0.1 * noise[10] if number % 5 else 6.0),
        "Timing/total_hours": stat(second * kimg / 3600),
        "Timing/total_days": stat(second * kimg / 86400),
        "Timing/Gmain": stat(820 + 15 * noise[11]),
        "Timing/Greg": stat(960 + 12 * noise[2]),
        "Timing/Dmain": stat(1010 + 12 * noise[3]),
        "Timing/Dreg": stat(1390 + 20 * noise[4]),
        "Resources/cpu_mem_gb": stat(1.31 + 0.0002 * number + 0.01 * abs(noise[0])),
        "Resources/peak_gpu_mem_gb": stat(0.0),
        "Gradients/Gmain": stat(0.9 + 0.2 * age + 0.08 * noise[8], 0.3, 60),
        "Gradients/Dmain": stat(1.9 - 0.4 * age + 0.1 * noise[9], 0.4, 60)
        if number != 37
        else stat(math.nan, math.nan, 60),
        "Health/skipped_steps": stat(0.0 if number < 37 else 2.0),
        "timestamp": 1.7e9 + second * kimg,
    }


def shapes(count: int, sharpness: float, seed: int) -> np.ndarray:
    """Coloured shapes on white, bytes [count, 3, CELL, CELL]; `sharpness` 0 is coarse noise, 1 is clear."""
    y, x = np.mgrid[-1 : 1 : CELL * 1j, -1 : 1 : CELL * 1j]
    random, cells = np.random.default_rng(seed), []
    for n in range(count):
        radius, colour = random.uniform(0.45, 0.8), random.uniform(0.05, 0.85, 3)
        distance = (np.hypot(x, y), np.maximum(abs(x), abs(y)), abs(np.hypot(x, y) - 0.2) + 0.35)[n % 3]
        inside = 1 / (1 + np.exp((distance - radius) * (2 + 40 * sharpness)))
        clear = 1 - inside[None] * (1 - colour[:, None, None])
        coarse = random.uniform(0, 1, (3, 8, 8)).repeat(CELL // 8, 1).repeat(CELL // 8, 2)
        cells.append(clear * sharpness + coarse * (1 - sharpness))
    return (np.stack(cells).clip(0, 1) * 255).round().astype(np.uint8)


def write_pictures(folder: Path, grids: list[int]) -> None:
    """`reals.png`, `grid.json`, and a grid of generated images at each kimg of `grids`."""
    write_png(folder / "reals.png", tile(shapes(COLUMNS * ROWS, 1.0, 1), COLUMNS))
    (folder / "grid.json").write_text(json.dumps({"columns": COLUMNS, "rows": ROWS, "real_indices": []}))
    write_png(folder / "fakes_init.png", tile(shapes(COLUMNS * ROWS, 0.0, 2), COLUMNS))
    for kimg in grids:
        sharpness = 0.93 * (1 - math.exp(-kimg / 35))
        write_png(folder / f"fakes{kimg:06d}.png", tile(shapes(COLUMNS * ROWS, sharpness, 2), COLUMNS))


def write_scores(folder: Path, grids: list[int], random: np.random.Generator) -> None:
    """Two metrics, one of them with two results."""
    sampling = {"seed": 0, "truncation_psi": 1, "noise_mode": "random"}
    protocol = {"extractor": "efficientnet-lite0", "num_real": 1615, "num_generated": 2000, "sampling": sampling}
    for kimg in grids:
        age = math.exp(-kimg / 45)
        common = {"snapshot": f"network-snapshot-{kimg:06d}.safetensors", "protocol": protocol, "timestamp": 1.7e9}
        score = 68 + 240 * age + 4 * random.normal() + 0.5 * max(kimg - 110, 0)
        precision, recall = abs(0.72 * (1 - age) + 0.01 * random.normal()), 0.41 * (1 - age) ** 2
        for name, results in (
            ("fd_efflite0", {"fd_efflite0": score}),
            ("pr_efflite0", {"pr_efflite0_precision": precision, "pr_efflite0_recall": recall}),
        ):
            with open(folder / f"metric-{name}.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"results": results, "metric": name, **common}) + "\n")


def write_run(folder: Path, num_ticks: int = 160, num_grids: int = 16, seed: int = 0) -> Path:
    """A run of `num_ticks` ticks of 1 kimg in `folder`, with pictures, scores, two steps left out, and a log."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    step = max(num_ticks // num_grids, 1)
    grids = list(range(step, num_ticks + 1, step))
    ticks = [tick(n, float(max(n, 0.016)), random) for n in range(num_ticks + 1)]
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ticks))
    (folder / "config.json").write_text(json.dumps(config(total_kimg=num_ticks * 1.25), indent=2))
    preset = config(total_kimg=25000.0)
    preset["ema"]["half_life_kimg"] = 10.0
    (folder / "preset.json").write_text(json.dumps(preset, indent=2))
    (folder / "environment.json").write_text(json.dumps(environment(), indent=2))
    log = [f"tick {n:<5d} kimg {n:<8.1f} time {n * 2}m 31s sec/tick 151.0 augment 0.000" for n in range(num_ticks)]
    (folder / "log.txt").write_text("\n".join(log) + "\n")
    write_pictures(folder, grids)
    write_scores(folder, [0, *grids], random)
    for kimg in grids[-3:]:
        (folder / f"network-snapshot-{kimg:06d}.safetensors").write_bytes(b"\0" * 4096)
    (folder / "checkpoints").mkdir(exist_ok=True)
    return folder


if __name__ == "__main__":
    print(write_run(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:3])))
