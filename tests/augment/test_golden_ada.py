"""The pipe against arrays recorded from the original program: every preset, at fixed percentiles and at p = 0."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers import golden
from torch import Tensor

from openstylegan.augment import AugmentPipe
from openstylegan.ops.paths import reference_paths

TOLERANCE = 2.5e-5
"""The recorded float32 arrays are themselves up to 1.7e-5 away from float64."""

golden_file = cache(golden)


class RecordedNoise:
    """The recorded image noise; other draws are the middle of their distribution, where no gate at p = 0 opens."""

    def __init__(self, noise: np.ndarray):
        self.noise = torch.from_numpy(noise)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return self.noise.to(dtype) if tuple(shape) == tuple(self.noise.shape) else torch.zeros(tuple(shape))

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full(tuple(shape), 0.5, dtype=dtype)


def cases() -> list[Any]:
    """Every recorded case, by both paths."""
    found = []
    for name in ("ada_32", "ada_64", "ada_gray_32"):
        for case in golden_file(name)[1]["cases"]:
            for path, context in (("fast", nullcontext), ("plain", reference_paths)):
                label = f"{name}-{case['key'].removeprefix('out/')}-{path}"
                found.append(pytest.param(name, case, context, id=label))
    return found


@pytest.mark.parametrize(("name", "case", "path"), cases())
def test_recorded_output(name: str, case: dict[str, Any], path: Any):
    arrays, about = golden_file(name)
    spec = about["options"]["specs"][case["spec"]]
    pipe = AugmentPipe(**spec)
    pipe.p.fill_(case["p"])
    images, expected = torch.from_numpy(arrays["in/images"]), torch.from_numpy(arrays[case["key"]])
    with path():
        actual = pipe(images, RecordedNoise(arrays["in/noise"]), debug_percentile=case["debug_percentile"])
    torch.testing.assert_close(actual, expected, rtol=0, atol=TOLERANCE)
    if "cutout" in spec and case["debug_percentile"] is not None:
        assert torch.equal((actual == 0).all(1), (expected == 0).all(1)), "the rectangle's edge has moved"


@pytest.mark.parametrize("name", ["ada_32", "ada_64", "ada_gray_32"])
def test_recorded_filters(name: str):
    arrays, pipe = golden_file(name)[0], AugmentPipe()
    assert np.array_equal(pipe.Hz_geom.numpy(), arrays["buf/Hz_geom"])
    assert np.array_equal(pipe.Hz_fbank.numpy(), arrays["buf/Hz_fbank"])
