"""Figure 1 of arXiv 2306.10468: the field of the gradients, and both players over time, controlled or not."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openstylegan.dirac.game import Control, Game
from openstylegan.dirac.simulate import Protocol, path
from openstylegan.errors import InputError
from openstylegan.files import atomic_path
from openstylegan.sampling.spectra_plots import check_matplotlib, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from openstylegan.dirac.game import Array

FORMATS = (".png", ".svg")
PHI, THETA, DATA, FAINT = "#1f5fa8", "#c1442d", "#222222", "#9aa4b1"


@dataclass(frozen=True)
class Drawing:
    """What is drawn: the game, its control, how it is run (at an `lr` at which circles can be seen), how long."""

    game: Game
    control: Control
    protocol: Protocol
    iterations: int


def draw_field(axes: Axes, drawing: Drawing, free: tuple[Array, Array], steered: tuple[Array, Array]) -> None:
    """Arrows along the gradients, the path without control, and one with it."""
    c, reach = drawing.game.c, 1.6 * max(abs(drawing.protocol.start[0]), abs(drawing.protocol.start[1]), 0.5)
    theta, phi = np.meshgrid(np.linspace(c - reach, c + reach, 17), np.linspace(-reach, reach, 17))
    d_phi, d_theta = drawing.game.drift(phi, theta)
    length = np.hypot(d_phi, d_theta).clip(1e-12)
    axes.quiver(theta, phi, d_theta / length, d_phi / length, color=FAINT, angles="xy", width=0.004)
    axes.plot(free[1][:, 0], free[0][:, 0], color=DATA, linewidth=1, label="without controller")
    axes.plot(steered[1][:, 0], steered[0][:, 0], color=THETA, linewidth=1, alpha=0.9, label="with, middle seed")
    axes.plot([c], [0], "o", color=DATA, markersize=5)
    axes.set(xlim=(c - reach, c + reach), ylim=(-reach, reach), xlabel="theta", ylabel="phi")
    axes.set_title("Field of the gradients", fontsize=9)
    axes.set_aspect("equal")
    axes.legend(loc="lower left", fontsize=8)


def draw_curves(axes: Axes, c: float, found: tuple[Array, Array], title: str) -> None:
    """phi and theta over time: the first column as a line, 5 to 95 and 25 to 75 % of all seeds as bands."""
    for values, rest, color, name in ((found[0], 0.0, PHI, "phi"), (found[1], c, THETA, "theta")):
        steps = np.arange(len(values))
        axes.axhline(rest, color=color, linewidth=0.6, linestyle=":")
        if values.shape[1] > 1:
            stayed = values[:, np.isfinite(values[-1])]
            low, first, third, high = np.percentile(stayed, [5, 25, 75, 95], axis=1)
            axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
            axes.fill_between(steps, first, third, color=color, alpha=0.3, linewidth=0)
        axes.plot(steps, values[:, 0], color=color, linewidth=1, label=name)
    axes.set(xlabel="iteration", xlim=(0, len(found[0]) - 1))
    axes.set_title(title, fontsize=9)
    axes.legend(loc="upper right", fontsize=8)


def middle_first(game: Game, found: tuple[Array, Array]) -> tuple[Array, Array]:
    """The paths with that seed before all others whose distance from rest is the middle one at the end."""
    with np.errstate(over="ignore", invalid="ignore"):
        distances = np.nan_to_num(np.hypot(found[0][-1], found[1][-1] - game.c), nan=np.inf)
    middle = np.argsort(distances, kind="stable")[len(distances) // 2]
    order = [middle, *(n for n in range(len(distances)) if n != middle)]
    return found[0][:, order], found[1][:, order]


def controlled_title(drawing: Drawing, steered: tuple[Array, Array]) -> str:
    """What the curves with the controller show; how many of them an Euler-Maruyama step threw out to infinity."""
    law, seeds = drawing.control, drawing.protocol.num_seeds
    lost = seeds - int(np.isfinite(steered[0][-1] + steered[1][-1]).sum())
    title = f"rho1 = {law.rho1:g}, rho2 = {law.rho2:g}, beta = {law.beta:g}; {seeds} seeds: middle, 50 %, 90 %"
    return title if lost == 0 else f"{title}\n(without the {lost} that ran away)"


def draw(drawing: Drawing, place: str | os.PathLike[str]) -> None:
    """Writes the figure as .png or .svg, all or nothing. Raises `InputError`."""
    if Path(place).suffix not in FORMATS:
        raise InputError(f"expected a figure that ends in {' or '.join(FORMATS)}, got {place}")
    check_matplotlib()
    alone = dataclasses.replace(drawing.protocol, num_seeds=1)
    free = path(drawing.game, Control(), alone, drawing.iterations)
    steered = middle_first(drawing.game, path(drawing.game, drawing.control, drawing.protocol, drawing.iterations))
    figure = new_figure(13.5, 4.2, 110)
    field, left, right = figure.subplots(1, 3, width_ratios=(1, 1.4, 1.4))
    draw_field(field, drawing, free, steered)
    draw_curves(left, drawing.game.c, free, "Without the controller")
    draw_curves(right, drawing.game.c, steered, controlled_title(drawing, steered))
    right.set_ylim(left.get_ylim())
    with atomic_path(place) as temporary:
        figure.savefig(temporary, format=Path(place).suffix[1:])
