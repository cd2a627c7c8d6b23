"""What the ADA pipe costs: CPU-milliseconds an image, our fast path beside the plain formulation.

    python benchmarks/ada.py [--sizes 32 64 256] [--presets bgc bgcfnc] [--p 1 0.3 0] [--rounds 9] [--json FILE]

"plain" is what `reference_paths()` gives: reflect, upfirdn2d, grid_sample, upfirdn2d, grouped convolutions, sample by
sample. Numbers are process CPU time with one thread, drawing included, medians of interleaved rounds, so that a busy
machine counts little; "lowest" is the quietest round. "+ backward" adds the gradient with respect to the images.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from openstylegan.augment import AUGMENT_PRESETS, AugmentPipe
from openstylegan.files import write_json
from openstylegan.ops.paths import reference_paths
from openstylegan.randomness import SampleStream, generator

PATHS: dict[str, Callable[[], AbstractContextManager[None]]] = {"fast": nullcontext, "plain": reference_paths}
BATCH = {32: 16, 64: 16, 128: 8}
"""Images a call; larger pictures come in fours."""


def calls(size: int, preset: str, p: float, path: str) -> dict[str, Callable[[int], float]]:
    """Functions that augment one batch and return CPU-milliseconds an image; the argument is the round."""
    num = BATCH.get(size, 4)
    pipe = AugmentPipe(preset=preset)
    pipe.p.fill_(p)
    images = torch.randn(num, 3, size, size, generator=generator(0, "benchmark"))

    def measure(round_: int, backward: bool) -> float:
        x = images.clone().requires_grad_(backward)
        began = time.process_time()
        with PATHS[path]():
            y = pipe(x, SampleStream(0, "benchmark", [round_], range(num)))
        if backward:
            y.sum().backward()
        return (time.process_time() - began) / num * 1000

    return {"forward": lambda r: measure(r, False), "+ backward": lambda r: measure(r, True)}


def compare(size: int, preset: str, p: float, rounds: int) -> list[dict[str, Any]]:
    """Median and lowest CPU-milliseconds an image by both paths."""
    timed = {(path, what): call for path in PATHS for what, call in calls(size, preset, p, path).items()}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in timed}
    for round_ in range(-1, rounds):
        for key, call in timed.items():
            spent = call(max(round_, 0))
            if round_ >= 0:  # the first round warms up
                times[key].append(spent)
    about = {"size": size, "preset": preset, "p": p}
    return [
        {**about, "path": path, "pass": what, "median_ms": statistics.median(t), "lowest_ms": min(t)}
        for (path, what), t in times.items()
    ]


def print_rows(rows: list[dict[str, Any]]) -> None:
    """One line a pass: fast, plain, and their ratio."""
    found = {(r["path"], r["pass"]): r for r in rows}
    for what in ("forward", "+ backward"):
        fast, plain = (found[path, what] for path in PATHS)
        print(
            f"{fast['size']:4d} px  {fast['preset']:7s} p={fast['p']:<4g} {what:11s}"
            f" fast {fast['median_ms']:8.2f} (lowest {fast['lowest_ms']:.2f})"
            f"   plain {plain['median_ms']:8.2f} (lowest {plain['lowest_ms']:.2f})"
            f"   {plain['median_ms'] / fast['median_ms']:5.1f} times",
            flush=True,
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 256])
    parser.add_argument("--presets", nargs="+", default=["bgc", "bgcfnc"], choices=AUGMENT_PRESETS)
    parser.add_argument("--p", type=float, nargs="+", default=[1.0, 0.3, 0.0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("CPU-ms an image, one thread, float32 RGB")
    rows = []
    for size in arguments.sizes:
        for preset in arguments.presets:
            for p in arguments.p:
                rows += compare(size, preset, p, arguments.rounds)
                print_rows(rows[-4:])
    if arguments.json:
        write_json(arguments.json, {"machine": platform.processor() or platform.machine(), "rows": rows})


if __name__ == "__main__":
    main()
