"""Processor seconds that a FastGAN generator of 256 px takes for a picture.

    python benchmarks/fastgan_forward.py [--precision float32 bfloat16] [--rounds 7] [--threads 1] [--json FILE]

"fast" is what runs when pictures are sampled (weights frozen, norms folded into them, enlarged convolutions by phases),
"plain" the reference formulation. Process CPU time at batch 1, medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from openstylegan.files import write_json
from openstylegan.networks.base import set_precision
from openstylegan.networks.fastgan import FastGANGenerator
from openstylegan.ops.allocator import configure_allocator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.ops.paths import reference_paths

GOALS = {"float32": 0.85, "bfloat16": 0.6}
"""CPU seconds a picture, of FastGAN (not lite) at 256 px."""


def generator(lite: bool) -> FastGANGenerator:
    """A network whose running statistics have seen a batch."""
    torch.manual_seed(0)
    G = FastGANGenerator(img_resolution=256, lite=lite).requires_grad_(False)
    with torch.no_grad():
        G(torch.randn(2, G.z_dim))
    return G.eval()


def seconds(G: FastGANGenerator, z: torch.Tensor, path: AbstractContextManager[object]) -> float:
    """Process CPU time of a picture."""
    with path, torch.no_grad():
        began = time.process_time()
        G(z, noise_mode="const")
        return time.process_time() - began


def measure(lite: bool, precision: str, rounds: int) -> dict[str, float]:
    """Medians by path; the first round warms up."""
    G, z, weights = generator(lite), torch.randn(1, 256), FrozenWeights()
    paths: dict[str, Callable[[], AbstractContextManager[object]]] = {"fast": lambda: weights, "plain": reference_paths}
    set_precision(G, precision)
    found: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(rounds + 1):
        for name, path in paths.items():
            found[name].append(seconds(G, z, path()))
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    configure_allocator()
    print("| generator | precision | fast | plain | goal |")
    print("|---|---|---|---|---|")
    results = []
    for lite in (False, True):
        for precision in arguments.precision:
            found = measure(lite, precision, arguments.rounds)
            goal = "" if lite else f"{GOALS[precision]} s"
            name = "FastGAN-lite" if lite else "FastGAN"
            print(f"| {name} | {precision} | {found['fast']:.2f} s | {found['plain']:.2f} s | {goal} |", flush=True)
            results.append({"lite": lite, "precision": precision, **found})
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
