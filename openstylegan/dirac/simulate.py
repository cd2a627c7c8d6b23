"""Euler-Maruyama steps of many Dirac-GANs at once: every control with every seed.

An iteration moves the players by `lr` times their drift and lets the Brownian motions run for one unit of time:

    X <- X + lr f(X) h + (rho1 xi1 + rho2 |X|^beta xi2) sqrt(h) X,    1 / h = `substeps` steps an iteration.

In the time t = lr x iterations, in which the players follow the theorem's equation, the strengths are rho / sqrt(lr).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openstylegan.dirac.game import Array, Control, Game
from openstylegan.randomness import numpy_generator

CHUNK = 500
"""Iterations between two looks at who has arrived."""


@dataclass(frozen=True)
class Protocol:
    """How a game is run: the rate of the players, steps an iteration, where it starts (theta is measured from c), how
    near to rest it has converged, the seeds, and in how many parts an iteration's noise is drawn (a multiple of
    `substeps`: runs of other steps then follow the same Brownian motions)."""

    lr: float = 0.001
    substeps: int = 1
    start: tuple[float, float] = (5.0, 0.0)
    tolerance: float = 0.2
    num_seeds: int = 100
    seed: int = 0
    noise_parts: int = 1

    def noise(self, chunk: int, iterations: int) -> Array:
        """Standard normal numbers of `iterations` iterations, [iterations x substeps, 2, seeds]."""
        parts = max(self.noise_parts, self.substeps)
        assert parts % self.substeps == 0
        random = numpy_generator(self.seed, "dirac", chunk)
        fine = random.standard_normal((iterations * self.substeps, parts // self.substeps, 2, self.num_seeds))
        return fine.sum(1) / math.sqrt(parts // self.substeps)


class Population:
    """Games in progress: phi, theta [n] and the control and seed of each. All controls see the same noise of a seed."""

    def __init__(self, game: Game, controls: Sequence[Control], protocol: Protocol):
        self.game, self.protocol = game, protocol
        num = len(controls) * protocol.num_seeds
        self.number = np.arange(num)
        self.seeds = np.tile(np.arange(protocol.num_seeds), len(controls))
        self.phi = np.full(num, float(protocol.start[0]))
        self.theta = np.full(num, float(protocol.start[1] + game.c))
        names = ("rho1", "rho2", "beta")
        self.strengths = [np.repeat([float(getattr(c, n)) for c in controls], protocol.num_seeds) for n in names]
        self.controlled = bool(self.strengths[0].any() or self.strengths[1].any())

    def keep(self, which: Array) -> None:
        """Goes on with some of the games only."""
        self.phi, self.theta, self.number, self.seeds = (
            a[which] for a in (self.phi, self.theta, self.number, self.seeds)
        )
        self.strengths = [a[which] for a in self.strengths]

    def step(self, noise: Array) -> Array:
        """One Euler-Maruyama step with standard normal `noise` [2, seeds]; |X|^2 before it, [n]."""
        h = 1 / self.protocol.substeps
        away = self.theta - self.game.c
        square = self.phi**2 + away**2
        d_phi, d_theta = self.game.drift(self.phi, self.theta)
        move = self.protocol.lr * h
        if self.controlled:
            rho1, rho2, beta = self.strengths
            xi = noise[:, self.seeds]
            u = (rho1 * xi[0] + rho2 * square ** (beta / 2) * xi[1]) * math.sqrt(h)
            self.phi, self.theta = self.phi + move * d_phi + u * self.phi, self.theta + move * d_theta + u * away
        else:
            self.phi, self.theta = self.phi + move * d_phi, self.theta + move * d_theta
        return square


def arrivals(game: Game, controls: Sequence[Control], protocol: Protocol, limit: int = 100_000) -> Array:
    """The iteration before which |X| first was at most `tolerance`, [controls, seeds]; infinite after `limit`.

    Games that have arrived are not followed further; one that runs away to infinity never arrives.
    """
    population = Population(game, controls, protocol)
    found = np.full(len(population.number), math.inf)
    level = protocol.tolerance**2
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, limit, CHUNK):
            noises = protocol.noise(begin // CHUNK, min(CHUNK, limit - begin))
            for n, noise in enumerate(noises):
                here = population.number[population.step(noise) <= level]
                if len(here):
                    found[here] = np.minimum(found[here], begin + n / protocol.substeps)
            alive = np.isinf(found[population.number]) & np.isfinite(population.phi + population.theta)
            if not alive.all():
                population.keep(alive)
            if not len(population.number):
                break
    return found.reshape(len(controls), protocol.num_seeds)


def path(game: Game, control: Control, protocol: Protocol, iterations: int) -> tuple[Array, Array]:
    """phi and theta before each iteration and after the last, [iterations + 1, seeds] each."""
    population = Population(game, [control], protocol)
    phis, thetas = [population.phi], [population.theta]
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, iterations, CHUNK):
            noises = protocol.noise(begin // CHUNK, min(CHUNK, iterations - begin))
            for n, noise in enumerate(noises):
                population.step(noise)
                if (n + 1) % protocol.substeps == 0:
                    phis.append(population.phi)
                    thetas.append(population.theta)
    return np.stack(phis), np.stack(thetas)


def lyapunov_exponents(game: Game, control: Control, protocol: Protocol, iterations: int) -> Array:
    """The slope of log|X| over the second half of a path, for each seed, per unit of t = lr x iterations."""
    phi, theta = path(game, control, protocol, iterations)
    logs = 0.5 * np.log(phi**2 + (theta - game.c) ** 2)
    half = iterations // 2
    return (logs[-1] - logs[half]) / ((iterations - half) * protocol.lr)
