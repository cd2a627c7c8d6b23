"""How many pictures a second one core loads: from the raw cache, from a ZIP of stored PNGs, from compressed ones.

    python benchmarks/loader.py [--side 256] [--count 1024] [--json FILE]

The pictures are synthetic but photograph-like: smooth colour with sensor noise. The rate is images per second of
process CPU time through `BatchLoader` without workers, the median of interleaved rounds, so that a busy machine counts
little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from openstylegan.data.dataset import ImageDataset, open_dataset
from openstylegan.data.loader import BatchLoader
from openstylegan.data.transform import ENCODERS
from openstylegan.data.writer import open_writer, picture_name
from openstylegan.files import CACHE_VARIABLE, write_json

BATCH = 64
ROUNDS = 9
DISTINCT = 64


def picture(index: int, side: int) -> np.ndarray:
    """Smooth colour and noise, uint8 [side, side, 3]."""
    random = np.random.default_rng(index)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + random.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)


def write_zip(path: Path, count: int, side: int, encoder: str) -> None:
    """A ZIP of `count` pictures, 64 of them distinct."""
    files = [ENCODERS[encoder](picture(i, side)) for i in range(min(DISTINCT, count))]
    with open_writer(path) as write:
        for index in range(count):
            write(picture_name(index), [files[index % len(files)]])


def round_of(dataset: ImageDataset) -> Callable[[], float]:
    """A function that loads as many images as the dataset has and returns images/s of CPU time."""
    batches = len(dataset) // BATCH

    def measure() -> float:
        with BatchLoader(dataset, seed=0, workers=0) as loader:
            began = time.process_time()
            for step in range(batches):
                loader.fetch(step * BATCH, slice(None), BATCH)
            return batches * BATCH / (time.process_time() - began)

    return measure


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        for encoder in ENCODERS:
            write_zip(Path(folder) / f"{encoder}.zip", arguments.count, arguments.side, encoder)
        stored = Path(folder) / "stored.zip"
        datasets = {
            "raw cache": open_dataset(stored, cache=True),
            "raw cache, half of them mirrored": open_dataset(stored, cache=True, xflip=True),
            "ZIP of stored PNGs": open_dataset(stored, cache=False),
            "ZIP of compressed PNGs": open_dataset(Path(folder) / "deflate.zip", cache=False),
        }
        rounds = {label: round_of(dataset) for label, dataset in datasets.items()}
        rates: dict[str, list[float]] = {label: [] for label in rounds}
        for _ in range(ROUNDS):
            for label, measure in rounds.items():
                rates[label].append(measure())
    result = {label: round(statistics.median(values)) for label, values in rates.items()}
    for label, rate in result.items():
        print(f"{rate:>8,} images/s a core, {arguments.side} px, {label}")
    if arguments.json:
        write_json(arguments.json, {"side": arguments.side, "count": arguments.count, "images_per_cpu_second": result})


if __name__ == "__main__":
    main()
