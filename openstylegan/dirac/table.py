"""The published table of iterations to converge (arXiv 2306.10468), beside ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from openstylegan.dirac.game import Array, Control, Game
from openstylegan.dirac.simulate import Protocol, arrivals

LIMIT = 100_000
RHO1, RHO2, BETAS = (0.1, 0.01, 0.001), (1e-4, 1e-3, 1e-2), (2.0, 1.0)
MORE = math.inf
PUBLISHED: dict[tuple[float, float], tuple[float, float, float]] = {
    (2.0, 0.1): (1500, 750, 700),
    (2.0, 0.01): (MORE, 9000, 8500),
    (2.0, 0.001): (MORE, MORE, MORE),
    (1.0, 0.1): (600, 400, 400),
    (1.0, 0.01): (25_000, 15_000, 10_000),
    (1.0, 0.001): (MORE, MORE, 40_000),
}
"""By beta and rho1, for each rho2; infinite: more than 100,000."""


@dataclass(frozen=True)
class Row:
    """A cell of the table: its control, the published number, and ours for every seed."""

    control: Control
    published: float
    ours: Array

    @property
    def median(self) -> float:
        """The middle seed; infinite when fewer than half converged."""
        return float(np.percentile(self.ours, 50, method="inverted_cdf"))

    @property
    def decades(self) -> float:
        """log10 of ours over the published number, 0 when both are above the limit; a number above the limit counts as
        the limit, so this is a lower bound there."""
        return math.log10(min(self.median, LIMIT) / min(self.published, LIMIT))


def cells() -> list[tuple[Control, float]]:
    """The 18 cells, as the paper orders them."""
    return [
        (Control(rho1, rho2, beta), PUBLISHED[beta, rho1][n])
        for beta in BETAS
        for rho1 in RHO1
        for n, rho2 in enumerate(RHO2)
    ]


def measure(protocol: Protocol, limit: int = LIMIT) -> list[Row]:
    """All cells with the Wasserstein loss."""
    controls = [control for control, _ in cells()]
    found = arrivals(Game(), controls, protocol, limit)
    return [Row(control, published, ours) for (control, published), ours in zip(cells(), found, strict=True)]


def misfit(rows: list[Row]) -> float:
    """Root mean square of the rows' decades."""
    return math.sqrt(sum(row.decades**2 for row in rows) / len(rows))


def ordering(rows: list[Row]) -> tuple[int, int]:
    """How many pairs of cells whose published numbers differ we order alike, and how many such pairs there are."""
    alike = total = 0
    for n, a in enumerate(rows):
        for b in rows[:n]:
            if a.published != b.published:
                total += 1
                alike += (a.median < b.median) == (a.published < b.published) and a.median != b.median
    return alike, total


def count(value: float, limit: int = LIMIT) -> str:
    """Iterations as a person writes them."""
    return f"> {limit:,}" if math.isinf(value) else f"{value:,.0f}"
