"""Keyed randomness: pinned, because a recipe's draws are part of it."""

from __future__ import annotations

import torch

from openstylegan.randomness import BatchStream, SampleStream, generator, key, numpy_generator


def test_keys_are_pinned() -> None:
    """A change here changes every run that was ever made."""
    assert key(0, "a") == 70371372590122459
    assert key(3, "Gmain/latents", 800, 7) == 5261064060730300008
    assert float(torch.randn(1, generator=generator(1, "x", 2))) == float(
        torch.randn(1, generator=generator(1, "x", 2))
    )
    assert numpy_generator(1, "x").integers(1 << 30) == numpy_generator(1, "x").integers(1 << 30)


def test_different_keys_differ() -> None:
    keys = {key(s, p, *c) for s in (0, 1) for p in ("a", "b") for c in ((), (0,), (1,), (0, 1), (1, 0))}
    assert len(keys) == 20


def test_a_sample_draws_the_same_beside_any_others() -> None:
    whole = SampleStream(5, "noise", (16,), range(8))
    first, second = whole.normal((8, 3)), whole.uniform((8, 2))
    part = SampleStream(5, "noise", (16,), [6, 1])
    assert torch.equal(part.normal((2, 3)), first[[6, 1]])
    assert torch.equal(part.uniform((2, 2)), second[[6, 1]])


def test_streams_draw_the_right_distribution() -> None:
    for stream in (SampleStream(0, "x", (), range(64)), BatchStream(generator(0, "x"))):
        normal, uniform = stream.normal((64, 500)), stream.uniform((64, 500), torch.float64)
        assert abs(float(normal.mean())) < 0.02 and abs(float(normal.std()) - 1) < 0.02
        assert 0 <= float(uniform.min()) and float(uniform.max()) < 1 and abs(float(uniform.mean()) - 0.5) < 0.01
        assert uniform.dtype == torch.float64


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    SampleStream(0, "x", (), range(4)).normal((4, 4))
    assert torch.equal(torch.randn(3), expected)
