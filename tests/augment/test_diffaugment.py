"""DiffAugment's translation: by rectangles as by its definition."""

from __future__ import annotations

import torch

from openstylegan.augment.diffaugment import translation
from openstylegan.ops.paths import reference_paths


def test_translation_by_rectangles_is_its_definition_to_second_order() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, 5, 7, generator=random, dtype=torch.float64, requires_grad=True)
    rows, columns = torch.tensor([0, 2, -1, 4, -5, 9]), torch.tensor([0, -3, 6, 1, 2, -9])
    y = translation(x, rows, columns)
    with reference_paths():
        wanted = translation(x, rows, columns)
    assert torch.equal(y, wanted)
    g = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    assert torch.equal(*(torch.autograd.grad(result, x, g)[0] for result in (y, wanted)))
    assert torch.autograd.gradgradcheck(lambda x: translation(x, rows, columns), x)
