"""`openstylegan dirac`: the Dirac-GAN laboratory, as a figure and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError


def dirac(
    *,
    figure: Path | None = None,
    tables: Annotated[bool, Parameter(negative="")] = False,
    dest: Path | None = None,
    loss: Literal["wasserstein", "nonsaturating", "hinge", "least-squares"] = "wasserstein",
    regularizer: Literal["none", "r1", "gradient-penalty", "consensus"] = "none",
    gamma: float = 1.0,
    c: float = 1.0,
    rho1: float = 0.1,
    rho2: float = 0.01,
    beta: float = 2.0,
    start: tuple[float, float] = (1.0, 0.0),
    lr: float = 0.05,
    substeps: int = 50,
    iterations: int = 1500,
    seeds: int = 100,
    seed: int = 0,
) -> None:
    """The smallest GAN there is, with and without the Brownian Motion Controller: a figure, tables, or both.

    The options from --loss on are the figure's; the tables are the published experiment and have a protocol of their
    own, which is printed with them. They take about a minute.

    Parameters
    ----------
    figure
        The figure to write: .png or .svg.
    tables
        Print the tables: iterations to converge beside the published ones, the theorem's rate, losses and regularizers.
    dest
        The Markdown file to write the tables to, instead of printing them.
    loss
        Of both players.
    regularizer
        Of the discriminator (consensus: of both).
    gamma
        Strength of the regularizer.
    c
        Where the data is.
    rho1
        Strength of the controller's linear part.
    rho2
        Strength of its superlinear part.
    beta
        Exponent of its superlinear part.
    start
        Where the players begin: phi, and theta's distance from c.
    lr
        Rate of the players an iteration.
    substeps
        Euler-Maruyama steps an iteration.
    iterations
        Length of the figure.
    seeds
        How many paths with the controller.
    seed
        Decides them.
    """
    from openstylegan.dirac import Control, Game, Protocol
    from openstylegan.dirac.figure import Drawing, draw
    from openstylegan.dirac.report import print_tables, write_tables

    if figure is None and not tables and dest is None:
        raise InputError("expected something to make, got nothing; give --figure dirac.png, --tables or --dest FILE")
    from_zero = {"rho1": rho1, "rho2": rho2, "beta": beta, "gamma": gamma, "lr": lr}
    from_one = {"substeps": substeps, "iterations": iterations, "seeds": seeds}
    for least, numbers in ((0, from_zero), (1, from_one)):
        for name, value in numbers.items():
            if not value >= least:
                raise InputError(f"--{name}: expected a number from {least} on, got {value}")
    if figure is not None:
        protocol = Protocol(lr=lr, substeps=substeps, start=start, num_seeds=seeds, seed=seed)
        draw(Drawing(Game(loss, regularizer, gamma, c), Control(rho1, rho2, beta), protocol, iterations), figure)
        print(figure)
    if dest is not None:
        write_tables(dest)
        print(dest)
    elif tables:
        print_tables()
