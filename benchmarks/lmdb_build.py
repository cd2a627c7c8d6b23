"""How many pictures a second one core puts into a multi-resolution LMDB, from 256 px JPEGs at the sizes 8 to 128.

    python benchmarks/lmdb_build.py [--side 256] [--sizes 8-128] [--count 2000] [--json FILE]

The pictures are synthetic but photograph-like: smooth colour with sensor noise, at quality 90. The rate is pictures
per second of process CPU time with one worker, the best of three builds, compiling left out; with the compiled
resampler and with Pillow's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from openstylegan.data import prepare as preparing
from openstylegan.data.lmdb_storage import Size, parse_sizes
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.data.resample import compile_resampler, load_resampler
from openstylegan.files import CACHE_VARIABLE, write_json

DISTINCT, ROUNDS = 64, 3


def write_pictures(folder: Path, count: int, side: int) -> int:
    """A folder of `count` JPEGs, 64 of them distinct. Returns the mean of their sizes in bytes."""
    folder.mkdir()
    for index in range(DISTINCT):
        random = np.random.default_rng(index)
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)
        noisy = np.clip(smooth + random.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index:06d}.jpg", quality=90)
    for index in range(DISTINCT, count):
        os.link(folder / f"{index % DISTINCT:06d}.jpg", folder / f"{index:06d}.jpg")
    return sum(path.stat().st_size for path in folder.iterdir()) // count


def rate(source: Path, dest: Path, sizes: tuple[Size, ...]) -> float:
    """Pictures per second of CPU time, of one build."""
    start = time.process_time()
    report = prepare(source, dest, PrepareOptions(sizes=sizes, workers=1))
    return report.pictures / (time.process_time() - start)


def main() -> None:
    """Builds with and without compiled code in turn, and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--sizes", default="8-128")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        os.environ[CACHE_VARIABLE] = f"{place}/cache"
        mean_bytes = write_pictures(Path(place) / "pictures", options.count, options.side)
        load_resampler(compile_resampler())
        for turn in range(2 * ROUNDS):
            name = ("compiled resampler", "Pillow's resampler")[turn % 2]
            preparing.COMPILE_FROM = 1 if turn % 2 == 0 else options.count + 1
            dest = Path(place) / f"{turn}.lmdb"
            found.setdefault(name, []).append(rate(Path(place) / "pictures", dest, parse_sizes(options.sizes)))
    print(
        f"{options.count} JPEGs of {options.side} px ({mean_bytes / 1024:.0f} KiB each) at the sizes {options.sizes}\n"
    )
    print("| | pictures/s a core |\n|---|---|")
    for name, rates in found.items():
        print(f"| {name} | {max(rates):,.0f} |")
    if options.json:
        write_json(options.json, {name: max(rates) for name, rates in found.items()})


if __name__ == "__main__":
    main()
