"""The equations of the Dirac-GAN: losses, regularizers, the control law, and the theorem on its rate.

With h1, h2 what the discriminator maximises at real and generated points and h3 what the generator maximises,

    d phi / dt = h1'(phi c) c + h2'(phi theta) theta,    d theta / dt = h3'(phi theta) phi,

whose rest is (phi, theta) = (0, c). X = (phi, theta - c) is the distance from it. Arrays of any shape, float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from openstylegan.registry import lookup

Array = np.ndarray
Function = Callable[[Array], Array]


def sigmoid(t: Array) -> Array:
    """1 / (1 + exp(-t)), without overflow."""
    return 0.5 * (1 + np.tanh(t / 2))


def bell(t: Array) -> Array:
    """The derivative of `sigmoid`."""
    return sigmoid(t) * sigmoid(-t)


@dataclass(frozen=True)
class Loss:
    """h1', h2', h3', their derivatives, and their Lipschitz constants a1, a2, a3 (infinite where they jump)."""

    slopes: tuple[Function, Function, Function]
    curvatures: tuple[Function, Function, Function]
    lipschitz: tuple[float, float, float]


ZERO: tuple[Function, Function, Function] = (np.zeros_like, np.zeros_like, np.zeros_like)
LOSSES: dict[str, Loss] = {
    # h1 = t, h2 = -t, h3 = t
    "wasserstein": Loss((np.ones_like, lambda t: -np.ones_like(t), np.ones_like), ZERO, (0, 0, 0)),
    # h1 = h3 = log sigmoid(t), h2 = log sigmoid(-t)
    "nonsaturating": Loss(
        (lambda t: sigmoid(-t), lambda t: -sigmoid(t), lambda t: sigmoid(-t)),
        (lambda t: -bell(t), lambda t: -bell(t), lambda t: -bell(t)),
        (0.25, 0.25, 0.25),
    ),
    # h1 = min(0, t - 1), h2 = min(0, -t - 1), h3 = t
    "hinge": Loss((lambda t: 1.0 * (t < 1), lambda t: -1.0 * (t > -1), np.ones_like), ZERO, (math.inf, math.inf, 0)),
    # h1 = h3 = -(t - 1)^2 / 2, h2 = -(t + 1)^2 / 2: real and generated points are to be 1 and -1
    "least-squares": Loss(
        (lambda t: 1 - t, lambda t: -1 - t, lambda t: 1 - t),
        (lambda t: -np.ones_like(t), lambda t: -np.ones_like(t), lambda t: -np.ones_like(t)),
        (1, 1, 1),
    ),
}


@dataclass(frozen=True)
class Game:
    """Who plays how: the loss, the regularizer with its strength gamma, and where the data is."""

    loss: str = "wasserstein"
    regularizer: str = "none"
    gamma: float = 1.0
    c: float = 1.0

    def drift(self, phi: Array, theta: Array) -> tuple[Array, Array]:
        """d phi / dt and d theta / dt, without the controller."""
        extra = lookup(REGULARIZERS, self.regularizer, "regularizer")
        plain = self.plain_drift(phi, theta)
        if extra is None:
            return plain
        added = extra(self, phi, theta)
        return plain[0] + self.gamma * added[0], plain[1] + self.gamma * added[1]

    def plain_drift(self, phi: Array, theta: Array) -> tuple[Array, Array]:
        """Both players' gradients."""
        h1, h2, h3 = lookup(LOSSES, self.loss, "loss").slopes
        t = phi * theta
        return h1(phi * self.c) * self.c + h2(t) * theta, h3(t) * phi


def r1(game: Game, phi: Array, theta: Array) -> tuple[Array, Array]:
    """Minus the gradient of |D'(x)|^2 / 2 = phi^2 / 2 (arXiv 1801.04406)."""
    return -phi, np.zeros_like(phi)


def gradient_penalty(game: Game, phi: Array, theta: Array) -> tuple[Array, Array]:
    """Minus the gradient of (|D'| - 1)^2 / 2 (WGAN-GP, arXiv 1704.00028)."""
    return np.sign(phi) - phi, np.zeros_like(phi)


def consensus(game: Game, phi: Array, theta: Array) -> tuple[Array, Array]:
    """Minus the gradient of |v|^2 / 2, v being both players' gradients (arXiv 1705.10461)."""
    loss = lookup(LOSSES, game.loss, "loss")
    (_, h2, h3), (k1, k2, k3) = loss.slopes, loss.curvatures
    t = phi * theta
    v, w = game.plain_drift(phi, theta)
    v_phi = k1(phi * game.c) * game.c**2 + k2(t) * theta**2
    v_theta = k2(t) * t + h2(t)
    w_phi = k3(t) * t + h3(t)
    w_theta = k3(t) * phi**2
    return -(v * v_phi + w * w_phi), -(v * v_theta + w * w_theta)


REGULARIZERS: dict[str, Callable[[Game, Array, Array], tuple[Array, Array]] | None] = {
    "none": None,
    "r1": r1,
    "gradient-penalty": gradient_penalty,
    "consensus": consensus,
}


@dataclass(frozen=True)
class Control:
    """The Brownian Motion Controller: u = rho1 X B1' + rho2 |X|^beta X B2'. Zero strengths: none."""

    rho1: float = 0.0
    rho2: float = 0.0
    beta: float = 2.0


def theorem_level(game: Game, control: Control) -> float:
    """phi* of the theorem: with rho2 != 0, rho1^2 / 2 > phi*, almost surely limsup log|X(t)| / t <= phi* - rho1^2 / 2.

    phi* = max over x >= 0 of -rho2^2 / 2 x^(2 beta) + (a2^2 + a3^2 / 2) x^2 + (1 + a1^2 / 2) c^2 + 2 c + 1 / 2,
    infinite where that has no bound.
    """
    a1, a2, a3 = lookup(LOSSES, game.loss, "loss").lipschitz
    slope, power = a2**2 + a3**2 / 2, 2 * control.beta
    constant = (1 + a1**2 / 2) * game.c**2 + 2 * game.c + 0.5
    if slope == 0:
        return constant
    if math.isinf(slope) or (power == 2 and slope > control.rho2**2 / 2) or control.rho2 == 0:
        return math.inf
    x = 0.0 if power == 2 else (4 * slope / (power * control.rho2**2)) ** (1 / (power - 2))
    return -(control.rho2**2) / 2 * x**power + slope * x**2 + constant
