"""The machine's convolution peak: floating-point operations per CPU second of large channels-last convolutions.

    python benchmarks/peak.py [--rounds 9] [--threads 1] [--json FILE]

Other benchmarks state shares of it, measured in the same process and minutes: it moves with what else the machine does
(bfloat16 matrix units are shared between neighbours: by a factor of two and more here). Process CPU time. Their option
--below GFLOP counts only what ran between two peaks lower than that: so results of one state of the machine are
compared with each other.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.files import write_json
from openstylegan.ops.allocator import configure_allocator

SHAPES = ((8, 512, 16), (8, 256, 32), (4, 512, 32), (4, 256, 64))
"""(batch, channels in and out, side) of 3x3 convolutions."""
TRIES = 200
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def operations(batch: int, channels: int, side: int) -> float:
    """Floating-point operations of one of the convolutions, a multiplication and an addition counted as two."""
    return 2.0 * batch * side**2 * channels**2 * 9


def convolution_rates(dtype: torch.dtype, repeats: int = 3) -> list[float]:
    """Operations per CPU second of each of the `SHAPES`, the median of a few runs each."""
    rates = []
    for batch, channels, side in SHAPES:
        x = _channels_last(torch.randn(batch, channels, side, side), dtype)
        w = _channels_last(torch.randn(channels, channels, 3, 3), dtype)
        seconds = []
        for _ in range(repeats):
            with torch.no_grad():
                began = time.process_time()
                F.conv2d(x, w, padding=1)
                seconds.append(time.process_time() - began)
        rates.append(operations(batch, channels, side) / statistics.median(seconds))
    return rates


def convolution_peak(dtype: torch.dtype) -> float:
    """Operations per CPU second of the fastest of a few large convolutions (of medians: one lucky run is no peak)."""
    return max(convolution_rates(dtype))


def beside_peak(seconds: Callable[[], float], dtype: torch.dtype, below: float | None = None) -> tuple[float, float]:
    """What `seconds()` returns, CPU seconds of something, and the larger of the peaks before and after it.

    With `below`, in GFLOP, again until both are lower.
    """
    limit = float("inf") if below is None else below * 1e9
    for _ in range(TRIES):
        before = convolution_peak(dtype)
        if before < limit:
            spent, after = seconds(), convolution_peak(dtype)
            if after < limit:
                return spent, max(before, after)
    sys.exit(f"the peak was not below {below} GFLOP per CPU second before and after any of {TRIES} runs")


def _channels_last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype=dtype, memory_format=torch.channels_last)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s). GFLOP per CPU second.\n")
    rates: dict[str, list[list[float]]] = {name: [] for name in PRECISIONS}
    for _ in range(arguments.rounds + 1):
        for name, dtype in PRECISIONS.items():
            rates[name].append(convolution_rates(dtype))
    print("| batch x channels x side | " + " | ".join(f"{name} (lowest to highest)" for name in PRECISIONS) + " |")
    print("|---|" + "---|" * len(PRECISIONS))
    results = []
    for k, shape in enumerate(SHAPES):
        found = {name: [rate[k] / 1e9 for rate in rates[name][1:]] for name in PRECISIONS}  # the first warms up
        cells = [f"{statistics.median(r):.0f} ({min(r):.0f} to {max(r):.0f})" for r in found.values()]
        print(f"| {' x '.join(map(str, shape))} | {' | '.join(cells)} |")
        results.append({"shape": shape, **{name: statistics.median(r) for name, r in found.items()}})
    if arguments.json:
        write_json(arguments.json, {"threads": arguments.threads, "gflops_per_cpu_second": results})


if __name__ == "__main__":
    main()
