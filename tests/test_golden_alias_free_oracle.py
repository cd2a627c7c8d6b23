"""StyleGAN3's generator under random options against NumPy float64, also under options that no recording has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from golden import alias_free_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from openstylegan.networks import GENERATORS

few = settings(max_examples=10, deadline=None, derandomize=True)
OPTIONS = st.fixed_dictionaries(
    {
        "channel_base": st.sampled_from([16, 40]),
        "channel_max": st.integers(2, 4),
        "num_layers": st.integers(3, 6),
        "num_critical": st.integers(0, 2),
    },
    optional={
        "first_cutoff": st.sampled_from([1, 1.5]), "first_stopband": st.sampled_from([3.0, 4.0]),
        "last_stopband_rel": st.sampled_from([1.0, 1.5]), "margin_size": st.sampled_from([0, 3]),
        "output_scale": st.just(1.0), "conv_kernel": st.sampled_from([1, 5]), "filter_size": st.sampled_from([2, 4]),
        "lrelu_upsampling": st.sampled_from([1, 4]), "use_radial_filters": st.booleans(),
        "conv_clamp": st.sampled_from([None, 0.5]),
        "mapping_kwargs": st.fixed_dictionaries({"num_layers": st.sampled_from([1, 3])}),
    },
)  # fmt: skip


def filled(network: torch.nn.Module, seed: int, transform: np.ndarray) -> dict[str, np.ndarray]:
    """Every parameter and buffer but the filters drawn anew; the state in NumPy."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.double().eval().requires_grad_(False).state_dict().items():
        if name.endswith("magnitude_ema"):
            tensor.uniform_(0.3, 1.3, generator=generator)
        elif name.endswith("transform"):
            tensor.copy_(torch.from_numpy(transform))
        elif not name.endswith("_filter"):
            tensor.normal_(generator=generator)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


@few
@given(
    st.integers(0, 2**31), OPTIONS, st.sampled_from([8, 16]), st.sampled_from([0, 3]), st.sampled_from([1, 3]),
    st.sampled_from([1, 0.6, -0.5]), st.sampled_from([None, 2]), st.floats(-3, 3),
)  # fmt: skip
def test_any_options(seed, options, side, c_dim, img_channels, psi, cutoff, angle):
    network: Any = GENERATORS["stylegan3"](
        z_dim=5, c_dim=c_dim, w_dim=6, img_resolution=side, img_channels=img_channels, **options
    )
    cos, sin = math.cos(angle), math.sin(angle)
    state = filled(network, seed, np.array([[cos, sin, 0.1], [-sin, cos, -angle], [0, 0, 1]]))
    random = np.random.default_rng(seed)
    z, c = random.standard_normal((2, 5)), random.standard_normal((2, c_dim))
    ws, images = alias_free_oracle.generator(z, c, state, side, img_channels, options, psi, cutoff)
    found = network.mapping(torch.tensor(z), torch.tensor(c), psi, cutoff)
    np.testing.assert_allclose(found.numpy(), ws, atol=1e-9 * np.abs(ws).max())
    # The filters are stored in float32.
    found = network.synthesis(torch.tensor(ws))
    np.testing.assert_allclose(found.numpy(), images, atol=3e-6 * np.abs(images).max())
