"""What `openstylegan dirac` writes: tables of convergence, of rates and of losses against regularizers, in Markdown."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from openstylegan.dirac.game import LOSSES, REGULARIZERS, Array, Control, Game, theorem_level
from openstylegan.dirac.simulate import Protocol, arrivals, lyapunov_exponents
from openstylegan.dirac.table import LIMIT, Row, count, measure, misfit, ordering
from openstylegan.files import atomic_path

PUBLISHED_PROTOCOL = Protocol()
GAMES_PROTOCOL = Protocol(lr=0.005, substeps=4, start=(1.0, 0.0), tolerance=0.01)
RATE_CONTROLS = tuple(Control(rho1, 0.01, 2.0) for rho1 in (0.02, 0.05, 0.1, 0.2))
RATE_ITERATIONS = 8000
GAMES_LIMIT = 20_000


def percentile(values: Array, share: float) -> float:
    """The value that `share` % of `values` do not exceed; infinite ones are the largest."""
    return float(np.percentile(values, share, method="inverted_cdf"))


def convergence_lines(protocol: Protocol, limit: int = LIMIT) -> Iterator[str]:
    """The published table beside ours, how well they agree, and what half the step makes of it."""
    same_noise = dataclasses.replace(protocol, noise_parts=2)
    rows = measure(same_noise, limit)
    halved = measure(dataclasses.replace(same_noise, substeps=2), limit)
    yield "| beta | rho1 | rho2 | published | ours, median | 5 to 95 % of seeds | never | half the step | ratio |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row, half in zip(rows, halved, strict=True):
        yield convergence_line(row, half, limit)
    alike, total = ordering(rows)
    agree = sum(abs(row.decades) < math.log10(2) for row in rows)
    near = sum(abs(row.decades) < 0.5 for row in rows)
    yield ""
    yield (
        f"Misfit {misfit(rows):.2f} decades (root mean square; {misfit(halved):.2f} with half the step). "
        f"Of 18 cells {agree} agree within a factor of 2, {near} within half a decade; "
        f"of {total} pairs of cells whose published numbers differ "
        f"{alike} are ordered alike ({ordering(halved)[0]} with half the step)."
    )
    free = arrivals(Game(), [Control()], dataclasses.replace(protocol, num_seeds=1), limit)
    yield f"Without the controller: {count(float(free[0, 0]), limit)} iterations."


def convergence_line(row: Row, half: Row, limit: int) -> str:
    """A row of the table."""
    law, ratio = row.control, 10**row.decades
    low, high = percentile(row.ours, 5), percentile(row.ours, 95)
    if math.isinf(row.published):
        verdict = "both above" if math.isinf(row.median) else f"below {ratio:.2g}"
    else:
        verdict = f"above {ratio:.2g}" if math.isinf(row.median) else f"{ratio:.2g}"
    cells = (
        f"{law.beta:g}", f"{law.rho1:g}", f"{law.rho2:g}", count(row.published), count(row.median, limit),
        f"{count(low, limit)} to {count(high, limit)}", f"{np.isinf(row.ours).mean():.0%}",
        count(half.median, limit), verdict,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def rate_lines(protocol: Protocol) -> Iterator[str]:
    """The theorem's bound on the rate against the measured Lyapunov exponent, both per unit of t = lr x iterations."""
    game = Game(c=0.0)  # around another c, theta - c is lost in theta's rounding long before the end
    near = dataclasses.replace(protocol, start=(0.01, 0.0), substeps=4)
    yield "| rho1 | rho1² / (2 lr) | phi* | the theorem: at most | measured, mean ± deviation over seeds |"
    yield "|---|---|---|---|---|"
    for law in RATE_CONTROLS:
        scaled = Control(law.rho1 / math.sqrt(near.lr), law.rho2 / math.sqrt(near.lr), law.beta)
        level, strength = theorem_level(game, scaled), scaled.rho1**2 / 2
        bound = f"{level - strength:.3g}" if strength > level else "nothing (rho1² / 2 is not above phi*)"
        found = lyapunov_exponents(game, law, near, RATE_ITERATIONS)
        yield f"| {law.rho1:g} | {strength:.3g} | {level:.3g} | {bound} | {found.mean():.3g} ± {found.std():.2g} |"


def games() -> Iterator[tuple[str, str, Game, Control]]:
    """Every loss with every regularizer, and with the controller."""
    for loss in LOSSES:
        for regularizer in REGULARIZERS:
            yield loss, regularizer, Game(loss, regularizer), Control()
        yield loss, "bmc", Game(loss), Control(0.1, 0.01)


def game_lines(protocol: Protocol) -> Iterator[str]:
    """Iterations to converge of every loss with every regularizer (gamma 1) and with the controller (0.1, 0.01, 2)."""
    found: dict[str, list[str]] = {loss: [] for loss in LOSSES}
    for loss, _, game, control in games():
        seeds = protocol.num_seeds if control.rho1 else 1
        times = arrivals(game, [control], dataclasses.replace(protocol, num_seeds=seeds), GAMES_LIMIT)
        median = percentile(times, 50)
        found[loss].append(f"> {GAMES_LIMIT:,}" if math.isinf(median) else f"{median:,.0f}")
    names = (*REGULARIZERS, "bmc")
    yield f"| loss | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for loss, numbers in found.items():
        yield f"| {loss} | {' | '.join(numbers)} |"


def protocol_line(protocol: Protocol, limit: int) -> str:
    """How a table was measured."""
    phi, theta = protocol.start
    return (
        f"lr {protocol.lr:g}, {protocol.substeps} Euler-Maruyama step(s) an iteration, start phi = {phi:g}, "
        f"theta - c = {theta:g}, converged when |X| is first at most {protocol.tolerance:g}, "
        f"{protocol.num_seeds} seeds, at most {limit:,} iterations."
    )


def lines(limit: int = LIMIT) -> Iterator[str]:
    """The three tables under their headings, with their protocols."""
    yield from ("### Iterations to converge", "", f"Wasserstein loss, {protocol_line(PUBLISHED_PROTOCOL, limit)}", "")
    yield from convergence_lines(PUBLISHED_PROTOCOL, limit)
    yield from ("", "### The theorem's rate", "")
    lr = PUBLISHED_PROTOCOL.lr
    yield (
        f"Wasserstein loss, c = 0, rho2 = 0.01, beta = 2, lr {lr:g}, 4 Euler-Maruyama steps an iteration, start "
        f"|X| = 0.01, slopes over the second half of {RATE_ITERATIONS:,} iterations."
    )
    yield ""
    yield from rate_lines(PUBLISHED_PROTOCOL)
    yield from ("", "### Losses and regularizers", "")
    yield f"c = 1, gamma 1, controller (0.1, 0.01, 2), {protocol_line(GAMES_PROTOCOL, GAMES_LIMIT)}"
    yield ""
    yield from game_lines(GAMES_PROTOCOL)


def print_tables() -> None:
    """Prints the tables line by line, as they come."""
    for line in lines():
        print(line, flush=True)


def write_tables(place: str | os.PathLike[str]) -> None:
    """Writes the tables as Markdown, all or nothing."""
    text = "\n".join(lines()) + "\n"
    with atomic_path(place) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
