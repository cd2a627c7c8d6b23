"""Which step size, start, noise and stopping rule explain the published table of iterations to converge?

    python benchmarks/dirac_table.py [--seeds 15] [--quick]

The paper (arXiv 2306.10468) does not state them. With the Wasserstein loss |X| alone decides: an iteration turns X and
multiplies |X| by sqrt((1 + a)^2 + lr^2), a being normal with mean m s (rho1 + rho2 |X|^beta) and variance
s^2 (rho1^2 + rho2^2 |X|^(2 beta)), where s scales the noise and m is its mean. So the mean logarithm says how fast |X|
falls, and its reciprocal, integrated from the start to the tolerance, about how long that takes. First all combinations
are rated so; then those with m = 0 and s = 1 (the law as it is written, one unit of Brownian time an iteration) by
simulation. Misfit: root mean square over the 18 cells of log10(ours / published), numbers above 100,000 counted as
100,000.
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np

from openstylegan.dirac.simulate import Protocol
from openstylegan.dirac.table import LIMIT, cells, measure, misfit, ordering

RATES = (0.0, 0.001, 0.003, 0.005, 0.007, 0.01, 0.02, 0.05, 0.1)
SCALES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MEANS = (0.0, -0.01, -0.03, -0.1, -0.3, -1.0)
STARTS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0)
TOLERANCES = (1.0, 0.5, 0.3, 0.1, 0.03, 0.01, 0.001)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


def expected_times(lr: float, scale: float, mean: float, start: float, tolerance: float) -> np.ndarray:
    """Iterations from |X| = start to the tolerance, cell by cell; infinite where |X| rises on the way."""
    rho1, rho2, beta = (np.array([[getattr(c, n)] for c, _ in cells()]) for n in ("rho1", "rho2", "beta"))
    logs = np.linspace(math.log(tolerance), math.log(start), 30)
    power = np.exp(beta * logs)
    center = mean * scale * (rho1 + rho2 * power)
    spread = scale * np.sqrt(rho1**2 + (rho2 * power) ** 2)
    a = center[..., None] + spread[..., None] * NODES
    speed = -(0.5 * np.log((1 + a) ** 2 + lr**2 + 1e-300) * WEIGHTS).sum(-1) / WEIGHTS.sum()
    times = (logs[-1] - logs[0]) * (1 / np.maximum(speed, 1e-300)).mean(1)
    return np.where((speed <= 0).any(1), math.inf, times)


def rate(times: np.ndarray) -> float:
    """The misfit of `times`."""
    published = np.minimum([p for _, p in cells()], LIMIT)
    return float(np.sqrt((np.log10(np.minimum(times, LIMIT) / published) ** 2).mean()))


def hypotheses() -> list[tuple[float, tuple[float, float, float, float, float]]]:
    """All combinations with their misfit, best first."""
    grid = itertools.product(RATES, SCALES, MEANS, STARTS, TOLERANCES)
    return sorted((rate(expected_times(*h)), h) for h in grid if h[4] < h[3])


def print_best(title: str, found: list[tuple[float, tuple[float, float, float, float, float]]], num: int) -> None:
    """A table of the first `num`."""
    print(f"{title}\n\n| misfit | lr | noise scale | mean | start | tolerance |\n|---|---|---|---|---|---|")
    for error, h in found[:num]:
        print(f"| {error:.3f} | " + " | ".join(f"{v:g}" for v in h) + " |")
    print()


def simulate(num_seeds: int) -> None:
    """Medians of simulated tables, mean 0 and scale 1."""
    print("By simulation, mean 0, noise scale 1, lr 0.001\n")
    print("| misfit | start | tolerance | pairs ordered alike |\n|---|---|---|---|")
    found = []
    for start, tolerance in itertools.product((3.0, 4.0, 5.0, 6.0, 7.0, 10.0), (0.2, 0.3, 0.5, 0.7, 1.0)):
        rows = measure(Protocol(start=(start, 0.0), tolerance=tolerance, num_seeds=num_seeds))
        found.append((misfit(rows), start, tolerance, ordering(rows)))
    for error, start, tolerance, (alike, total) in sorted(found)[:10]:
        print(f"| {error:.3f} | {start:g} | {tolerance:g} | {alike} of {total} |")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=15, help="seeds of the simulated tables (15)")
    parser.add_argument("--quick", action="store_true", help="without simulation")
    arguments = parser.parse_args()
    found = hypotheses()
    print_best(f"All {len(found)} combinations", found, 8)
    print_best("Mean 0", [f for f in found if f[1][2] == 0], 8)
    print_best("Mean 0, noise scale = sqrt(lr) or lr", [f for f in found if f[1][2] == 0 and f[1][1] < 1], 4)
    if not arguments.quick:
        simulate(arguments.seeds)


if __name__ == "__main__":
    main()
