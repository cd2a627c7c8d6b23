"""The augmentation pipe at random percentiles, sizes, strengths and ranges against NumPy float64."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from golden import augment_oracle
from golden.kinds.augment import GivenNoise
from hypothesis import given, settings
from hypothesis import strategies as st

from openstylegan.augment.pipe import AugmentPipe
from openstylegan.ops.paths import reference_paths

few = settings(max_examples=25, deadline=None, derandomize=True)
strengths = st.sampled_from([0.3, 1])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*augment_oracle.GEOMETRIC, *augment_oracle.COLOR), strengths),
        **dict.fromkeys(("imgfilter", "noise", "cutout"), strengths),
        "xint_max": st.just(0.3), "scale_std": st.just(0.4), "rotate_max": st.just(0.25), "aniso_std": st.just(0.1),
        "xfrac_std": st.just(0.05), "brightness_std": st.just(0.5), "contrast_std": st.just(0.2),
        "hue_max": st.just(0.4), "saturation_std": st.just(0.7), "imgfilter_std": st.just(0.5),
        "imgfilter_bands": st.sampled_from([[1, 0, 0, 1], [0, 1, 1, 0], [0.5, 0.5, 1, 2]]),
        "noise_std": st.just(0.3), "cutout_size": st.just(0.31),
    },
)  # fmt: skip


@few
@given(
    st.integers(0, 2**31), OPTIONS, st.floats(0.03, 0.97), st.integers(22, 34), st.integers(22, 34),
    st.sampled_from([1, 3]), st.booleans(),
)  # fmt: skip
def test_any_options(seed, options, q, height, width, channels, plain):
    random = np.random.default_rng(seed)
    images = random.uniform(-1, 1, (2, channels, height, width))
    noise = random.standard_normal(images.shape)
    with reference_paths() if plain else nullcontext():
        stream = GivenNoise(torch.tensor(noise))
        actual = AugmentPipe(**options)(torch.tensor(images), stream, debug_percentile=q)
    expected = np.stack([augment_oracle.augment(x, options, q, n) for x, n in zip(images, noise, strict=True)])
    np.testing.assert_allclose(actual.numpy(), expected, atol=2e-6 * max(1, np.abs(expected).max()))
