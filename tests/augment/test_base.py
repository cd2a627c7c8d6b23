from __future__ import annotations

import pytest
import torch

from openstylegan.augment import AdaptiveAugment, Augment, NoAugment, base


def test_no_augmentation_passes_images_on():
    x = torch.randn(2, 3, 4, 4)
    augment = NoAugment()
    assert augment(x) is x
    assert augment((x, x)) == (x, x)
    augment.observe(torch.ones(3))
    augment.update(0, 64)
    assert float(augment.p) == 0


def test_an_augmentation_must_say_what_it_does():
    with pytest.raises(NotImplementedError, match="Nameless must define forward"):
        type("Nameless", (Augment,), {})()(torch.zeros(1, 3, 4, 4))


def test_signs_are_summed_over_processes(monkeypatch):
    """This process sees a positive logit, another one three negative ones: together their mean is below the target."""
    others = torch.tensor([-3.0, 3.0], dtype=torch.float64)
    monkeypatch.setattr(base, "all_reduce_sum", lambda sums: sums + others)
    augment = AdaptiveAugment(interval=1, kimg=1, initial_p=0.5, target=0)
    augment.observe(torch.ones(1, 1))
    assert (float(augment.sign_sum), float(augment.sign_count)) == (-2, 4)
    augment.update(0, 100)
    assert float(augment.p) == pytest.approx(0.4)
