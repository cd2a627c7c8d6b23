"""What share of the processor's convolution peak the StyleGAN2 generator reaches when it draws pictures.

    python benchmarks/generator_forward.py [--precision float32 bfloat16] [--rounds 7] [--threads 1]
        [--below GFLOP] [--json FILE]

"fast" is what runs when pictures are sampled (weights frozen); "plain" is the reference formulation: one group a
sample, contiguous tensors. The share is (floating-point operations of the plain formulation, as
torch.utils.flop_counter counts them) / (process CPU seconds x peak), the peak being that of the same precision,
measured before and after each pass. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peak import PRECISIONS, beside_peak
from torch.utils.flop_counter import FlopCounterMode

from openstylegan.files import write_json
from openstylegan.networks.base import set_precision
from openstylegan.networks.stylegan2 import StyleGAN2Generator
from openstylegan.ops.allocator import configure_allocator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.ops.paths import reference_paths

GOALS = {(64, "float32"): 0.70, (64, "bfloat16"): 0.65, (256, "float32"): 0.62, (256, "bfloat16"): 0.52}
CASES = {64: 8, 256: 1}
"""Side of the pictures and batch."""


class Case:
    """A generator of one size with a batch of latents."""

    def __init__(self, side: int, batch: int):
        options = {"channel_base": 16384, "channel_max": 512, "num_fp16_res": 16}
        self.G = StyleGAN2Generator(img_resolution=side, synthesis_kwargs=options).eval().requires_grad_(False)
        self.z, self.batch = torch.randn(batch, self.G.z_dim), batch
        weights = FrozenWeights()
        self.paths: dict[str, Callable[[], AbstractContextManager[object]]] = {
            "fast": lambda: weights,
            "plain": reference_paths,
        }
        with reference_paths(), FlopCounterMode(display=False) as counter:
            self.G(self.z)
        self.operations = float(counter.get_total_flops())

    def seconds(self, precision: str, path: str) -> float:
        """Process CPU time of one pass."""
        set_precision(self.G, precision)
        with self.paths[path](), torch.no_grad():
            began = time.process_time()
            self.G(self.z)
            return time.process_time() - began


def measure(case: Case, precision: str, rounds: int, below: float | None) -> dict[str, dict[str, float]]:
    """Median CPU-milliseconds an image and share of the peak, by path."""
    found: dict[str, list[tuple[float, float]]] = {path: [] for path in case.paths}
    for path in found:
        case.seconds(precision, path)  # warms up
    for _ in range(rounds):
        for path, results in found.items():
            results.append(beside_peak(partial(case.seconds, precision, path), PRECISIONS[precision], below))
    return {path: summary(results, case) for path, results in found.items()}


def summary(results: list[tuple[float, float]], case: Case) -> dict[str, float]:
    """Medians of (CPU seconds, peak) pairs; each share is taken against the peak measured beside it."""
    return {
        "cpu_ms_an_image": statistics.median(s for s, _ in results) / case.batch * 1e3,
        "peak_gflops": statistics.median(p for _, p in results) / 1e9,
        "share": statistics.median(case.operations / (s * p) for s, p in results),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--below", type=float, help="count what ran between peaks lower than this, in GFLOP")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s).\n")
    print("| picture | precision | path | CPU-ms an image | GFLOP an image | peak, GFLOP/CPU-s | share | goal |")
    print("|---|---|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    for side, batch in CASES.items():
        case = Case(side, batch)
        for precision in arguments.precision:
            for path, found in measure(case, precision, arguments.rounds, arguments.below).items():
                goal = f"{100 * GOALS[side, precision]:.0f} %" if path == "fast" else ""
                print(
                    f"| {side} px, batch {batch} | {precision} | {path} | {found['cpu_ms_an_image']:.0f} "
                    f"| {case.operations / batch / 1e9:.1f} | {found['peak_gflops']:.0f} "
                    f"| {100 * found['share']:.0f} % | {goal} |",
                    flush=True,
                )
                rows.append({"side": side, "batch": batch, "precision": precision, "path": path, **found})
    if arguments.json:
        write_json(arguments.json, {"threads": arguments.threads, "rows": rows})


if __name__ == "__main__":
    main()
