"""The loss functions against their formulas, on networks small enough to differentiate by hand."""

from __future__ import annotations

import math

import torch

from openstylegan.losses.adversarial import (
    logistic_d_fake,
    logistic_d_real,
    logistic_g,
    saturating_g,
    wasserstein_d,
    wasserstein_g,
)
from openstylegan.losses.path_length import path_length_penalty, path_lengths
from openstylegan.losses.penalties import gradient_penalty, interpolated, r1_penalty


def test_logistic_losses() -> None:
    x = torch.tensor([[-3.0], [0.0], [2.0]], dtype=torch.float64)
    assert torch.allclose(logistic_g(x), torch.log1p(torch.exp(-x)))
    assert torch.allclose(logistic_d_real(x), torch.log1p(torch.exp(-x)))
    assert torch.allclose(logistic_d_fake(x), torch.log1p(torch.exp(x)))
    assert torch.allclose(saturating_g(x), torch.log(1 - x.sigmoid()))


def test_r1_of_a_quadratic() -> None:
    """D(x) = w |x|^2 / 2 has gradient w x, so R1 = w^2 |x|^2 and its derivative by w is 2 w |x|^2."""
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    w = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(w * x.square().sum([1, 2, 3])[:, None] / 2, x)
    norms = x.detach().square().sum([1, 2, 3])
    assert torch.allclose(penalty, w.detach() ** 2 * norms)
    (gradient,) = torch.autograd.grad(penalty.mean(), w)
    assert torch.allclose(gradient, 2 * w.detach() * norms.mean())


def test_r1_of_several_resolutions_is_their_sum() -> None:
    images = tuple(torch.randn(2, 3, s, s, requires_grad=True) for s in (4, 8))
    logits = torch.stack([(i.square() / 2).sum([1, 2, 3]) for i in images]).sum(0)
    expected = torch.stack([i.detach().square().sum([1, 2, 3]) for i in images]).sum(0)
    assert torch.allclose(r1_penalty(logits, images), expected)


def test_wasserstein_losses() -> None:
    real, fake = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [0.0]])
    assert wasserstein_g(fake).tolist() == [[-2.0], [0.0]]
    assert math.isclose(float(wasserstein_d(real, fake)), -1)
    assert math.isclose(float(wasserstein_d(real, fake, 0.1)), -0.5, rel_tol=1e-6)


def test_gradient_penalty_of_a_linear_critic() -> None:
    """D(x) = w . x has the gradient w everywhere: (|w| - 1)^2, whose derivative by w is 2 (|w| - 1) w / |w|."""
    w = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    real, fake = (torch.randn(5, 3, 4, 4, dtype=torch.float64) for _ in range(2))
    share = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).view(5, 1, 1, 1)
    x = interpolated(real, fake, share)
    assert torch.allclose(x, share * real + (1 - share) * fake) and x.requires_grad  # type: ignore[union-attr]
    penalty = gradient_penalty((x * w).sum([1, 2, 3])[:, None], x)
    norm = w.detach().norm()
    assert torch.allclose(penalty, ((norm - 1) ** 2).expand(5))
    (gradient,) = torch.autograd.grad(penalty.mean(), w)
    assert torch.allclose(gradient, 2 * (norm - 1) * w.detach() / norm)


def test_gradient_penalty_over_several_resolutions_is_of_one_norm() -> None:
    images = tuple(torch.randn(2, 3, s, s, requires_grad=True) for s in (4, 8))
    logits = torch.stack([(i.square() / 2).sum([1, 2, 3]) for i in images]).sum(0)
    squares = torch.stack([i.detach().square().sum([1, 2, 3]) for i in images]).sum(0)
    assert torch.allclose(gradient_penalty(logits, images), (squares.sqrt() - 1).square())


def test_path_lengths_of_a_linear_generator() -> None:
    """image = A w for each layer's w added up: J^T y = A^T y for every layer."""
    matrix = torch.randn(3 * 4 * 4, 6, dtype=torch.float64)
    ws = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    images = (ws.sum(1) @ matrix.T).view(2, 3, 4, 4)
    noise = torch.randn_like(images)
    expected = (noise.flatten(1) / 4 @ matrix).norm(dim=1)
    assert torch.allclose(path_lengths(images, ws, noise), expected)


def test_the_penalty_of_micro_batches_has_the_gradient_of_the_whole() -> None:
    lengths = torch.rand(6, dtype=torch.float64, requires_grad=True)
    pl_mean, decay = torch.tensor(0.3, dtype=torch.float64), 0.2
    target = pl_mean + decay * (lengths.mean() - pl_mean)
    (whole,) = torch.autograd.grad((lengths - target).square().mean(), lengths)
    mean = lengths.detach().mean()
    parts = [path_length_penalty(lengths[m::3], pl_mean, decay, mean).mean() for m in range(3)]
    (cut,) = torch.autograd.grad(sum(parts) / 3, lengths)
    assert torch.allclose(whole, cut, rtol=1e-12)
    (single,) = torch.autograd.grad(path_length_penalty(lengths, pl_mean, decay).mean(), lengths)
    assert torch.allclose(whole, single, rtol=1e-12)
    value = path_length_penalty(lengths, pl_mean, decay).mean().item()
    assert math.isclose(value, (lengths - target).square().mean().item())
