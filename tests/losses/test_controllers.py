"""The control law against its published form, and its potential against the law by autograd."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.losses.controllers import BrownianD, BrownianG, BrownianLaw, brownian_drift, brownian_potential
from openstylegan.randomness import BatchStream, SampleStream

NOISE = torch.tensor([0.7, -1.3], dtype=torch.float64)


def logits(seed: int, num: int = 5, k: int = 3) -> Tensor:
    return BatchStream(torch.Generator().manual_seed(seed)).normal((num, k), torch.float64)


def test_the_law_is_the_published_one() -> None:
    own, other, b1, b2 = logits(0), logits(1), NOISE[0], NOISE[1]
    law = BrownianLaw(0.3, 0.2)
    published = 0.3 * own * b1 + 0.2 * (own**2 + other**2) * own * b2
    assert torch.allclose(brownian_drift(own, other, NOISE, law), published, rtol=1e-14)
    form = 0.15 * own**2 * b1 + (0.05 * own**4 + 0.1 * other**2 * own**2) * b2
    assert torch.allclose(brownian_potential(own, other, NOISE, law), form, rtol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("each", [False, True], ids=["step", "image"])
def test_the_gradient_of_the_potential_is_the_law(beta: float, each: bool) -> None:
    own, other, law = logits(0).requires_grad_(), logits(1), BrownianLaw(0.3, 0.2, beta)
    noise = logits(2, k=2) if each else NOISE
    (gradient,) = torch.autograd.grad(brownian_potential(own, other, noise, law).sum(), own)
    assert torch.allclose(gradient, brownian_drift(own, other, noise, law), rtol=1e-12)
    assert torch.autograd.gradgradcheck(lambda x: brownian_potential(x, other, noise, law), own)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_rest_is_a_rest(beta: float) -> None:
    own = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    potential = brownian_potential(own, torch.zeros(2, 1, dtype=torch.float64), NOISE, BrownianLaw(0.3, 0.2, beta))
    (gradient,) = torch.autograd.grad(potential.sum(), own)
    assert torch.equal(potential.detach(), torch.zeros(2, 1)) and torch.equal(gradient, torch.zeros(2, 1))


def forward_pass(real: Tensor, fake: Tensor) -> SimpleNamespace:
    """A micro-batch of which only the logits are looked at."""
    reported: dict[str, Tensor] = {}
    return SimpleNamespace(
        real_logits=real,
        fake_logits=fake,
        num_samples=len(real),
        step_stream=lambda purpose: BatchStream(torch.Generator().manual_seed(7)),
        stream=lambda purpose, num: SampleStream(7, purpose, (0,), range(num)),
        report=lambda name, values: reported.update({name: values.detach()}),
        reported=reported,
    )


@pytest.mark.parametrize("noise", ["step", "image"])
def test_players_that_descend_follow_the_law(noise: str) -> None:
    """The gradient of a term with respect to the leading logits is minus the law over the number of logits; the other
    player's logits are constants."""
    real, fake = logits(0).requires_grad_(), logits(1).requires_grad_()
    f = forward_pass(real, fake)
    for term, own, other, name in (
        (BrownianD(0.3, 0.2, 2.0, -0.5, 2.0, noise), real, fake, "Loss/D/bmc"),  # type: ignore[arg-type]
        (BrownianG(0.3, 0.2, 2.0, -0.5, 2.0, noise), fake, real, "Loss/G/bmc"),  # type: ignore[arg-type]
    ):
        beside = other.detach()
        if isinstance(term, BrownianG):
            term = term.double()
            term.update_statistics(beside.square().mean()[None], torch.tensor(15.0))
            beside = beside.square().mean().sqrt()
        loss = term(f)
        drawn = term.draw(f, own)
        assert drawn.shape == ((2,) if noise == "step" else (5, 2))
        found = torch.autograd.grad(loss, [own, other], allow_unused=True)
        law = brownian_drift(own.detach(), beside, drawn, term.law)
        assert found[0] is not None and torch.allclose(found[0], -law / own.numel(), rtol=1e-12)
        assert found[1] is None
        assert math.isclose(float(f.reported[name].mean()), -float(loss.detach()), rel_tol=1e-12)


def test_the_statistic_of_the_generator_s_term_gives_the_average_law() -> None:
    """For beta = 2: the law with the root of the mean square of D(x) is the mean of the laws with each D(x)."""
    own, real, law = logits(0, k=1), logits(1, num=50, k=1), BrownianLaw(0.3, 0.2)
    each = torch.stack([brownian_drift(own, r, NOISE, law) for r in real]).mean(0)
    assert torch.allclose(brownian_drift(own, real.square().mean().sqrt(), NOISE, law), each, rtol=1e-12)


def test_the_noise_has_its_mean_and_deviation() -> None:
    f = forward_pass(torch.zeros(4000, 1), torch.zeros(4000, 1))
    drawn = BrownianD(mean=-0.5, std=2.0, noise="image").draw(f, f.real_logits)
    assert torch.allclose(drawn.mean(0), torch.tensor([-0.5, -0.5]), atol=0.12)
    assert torch.allclose(drawn.std(0), torch.tensor([2.0, 2.0]), atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho1": -1.0}, "rho1 and rho2 from 0"),
        ({"rho1": 0.0, "rho2": 0.0}, "--bmc=none"),
        ({"beta": 0.5}, "beta from 1"),
        ({"std": -1.0}, "deviation"),
        ({"std": 0.0}, "deviation"),
        ({"noise": "batch"}, "'step' or 'image'"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BrownianG(**options)
