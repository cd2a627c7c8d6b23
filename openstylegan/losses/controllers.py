"""The Brownian Motion Controller: noise that multiplies the discriminator's answers steers both players to rest.

Luo, Zhu, Chen, Zhu, "Stabilizing GANs' training with Brownian Motion Controller" (arXiv 2306.10468): to what moves a
player, the control u = rho1 X B1' + rho2 |X|^beta X B2' is added, with X = (D(x), D(G(z))) and B1', B2' Gaussian.

Differs from the paper: beta is any number from 1 on, where the paper has 2 for networks. The generator's term takes the
mean square of D at real pictures from the discriminator's latest phase, where the paper takes D at the real pictures
beside the generated ones: so its phase costs no pass over real pictures. For beta = 2 that is the paper's term averaged
over the real pictures, as D knew them one step before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.losses.base import ForwardPass, LossTerm


@dataclass(frozen=True)
class BrownianLaw:
    """The strengths rho1 of the linear and rho2 of the superlinear control, and the exponent beta of the latter."""

    rho1: float = 0.1
    rho2: float = 0.01
    beta: float = 2.0

    def __post_init__(self) -> None:
        if not (self.rho1 >= 0 and self.rho2 >= 0 and self.rho1 + self.rho2 > 0):
            raise InputError(
                f"expected rho1 and rho2 from 0 and one of them above, got {self.rho1:g} and {self.rho2:g}; "
                "without the controller leave its term out (--bmc=none)"
            )
        if not self.beta >= 1:
            raise InputError(f"expected beta from 1 on, got {self.beta:g}")


def brownian_drift(own: Tensor, other: Tensor, noise: Tensor, law: BrownianLaw) -> Tensor:
    """The control on a player: rho1 own B1' + rho2 (own^2 + other^2)^(beta / 2) own B2', shaped as `own`.

    `own` are the logits [N, K] that the player is steered by (D: of real, G: of generated pictures), `other` the other
    ones [N, K] or a number for all. `noise` is (B1', B2'): [2] for the batch, or [N, 2].
    """
    size = (own.square() + other.square()) ** (law.beta / 2)
    return own * (law.rho1 * noise[..., :1] + law.rho2 * size * noise[..., 1:])


def brownian_potential(own: Tensor, other: Tensor, noise: Tensor, law: BrownianLaw) -> Tensor:
    """What a player maximises beside its objective: its gradient with respect to `own` is `brownian_drift`.

    rho1 / 2 own^2 B1' + rho2 / (beta + 2) [(own^2 + other^2)^((beta + 2) / 2) - |other|^(beta + 2)] B2', shaped as
    `own`; for beta = 2 the last part is (rho2 / 4 own^4 + rho2 / 2 other^2 own^2) B2'. `other` must be detached.
    """
    power = law.beta + 2
    size = (own.square() + other.square()) ** (power / 2) - other.abs() ** power
    return law.rho1 / 2 * own.square() * noise[..., :1] + law.rho2 / power * size * noise[..., 1:]


class BrownianController(LossTerm):
    """-E of `brownian_potential`, for a player that minimises. The potential itself is reported.

    B1' and B2' are Gaussian of `mean` and `std`: one pair a step, the same for both players, or one for each picture
    and player (`noise` "image"). A negative mean pulls logits to zero, a positive one drives them away.
    """

    def __init__(
        self,
        rho1: float = 0.1,
        rho2: float = 0.01,
        beta: float = 2.0,
        mean: float = 0.0,
        std: float = 1.0,
        noise: Literal["step", "image"] = "step",
    ):
        super().__init__()
        self.law = BrownianLaw(rho1, rho2, beta)
        if not std >= 0 or (std == 0 and mean == 0):
            raise InputError(
                f"expected a deviation of the noise from 0, above it for mean 0, got {std:g}, mean {mean:g}"
            )
        if noise not in ("step", "image"):
            raise InputError(f"expected noise 'step' or 'image', got '{noise}'")
        self.mean, self.std, self.noise = mean, std, noise
        if self.watches_real_logits:
            self.register_buffer("real_square", torch.zeros([]))

    def draw(self, f: ForwardPass, like: Tensor) -> Tensor:
        """B1' and B2': [2], or [N, 2] for one a picture."""
        if self.noise == "step":
            white = f.step_stream("bmc").normal((2,))
        else:
            white = f.stream("bmc", f.num_samples).normal((f.num_samples, 2))
        return self.mean + self.std * white.to(like)

    def value(self, f: ForwardPass, own: Tensor, other: Tensor, name: str) -> Tensor:
        """The term, reported as `name`."""
        potential = brownian_potential(own, other.detach(), self.draw(f, own), self.law)
        f.report(name, potential)
        return -potential.mean()


class BrownianD(BrownianController):
    """The controller on the discriminator: D(x) leads, D(G(z)) at the same position of the batch stands beside it."""

    def forward(self, f: ForwardPass) -> Tensor:
        return self.value(f, f.real_logits, f.fake_logits, "Loss/D/bmc")


class BrownianG(BrownianController):
    """The controller on the generator: D(G(z)) leads; D(x) is as large as in D's latest phase, 0 before the first."""

    watches_real_logits = True

    def forward(self, f: ForwardPass) -> Tensor:
        own = f.fake_logits
        return self.value(f, own, self.get_buffer("real_square").sqrt().to(own), "Loss/G/bmc")

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        real_square = self.get_buffer("real_square")
        real_square.copy_(mean.squeeze())
