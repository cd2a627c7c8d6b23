"""The StyleGAN2 networks under random options against NumPy float64, also under options that no recording has."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from golden import network_oracles
from hypothesis import given, settings
from hypothesis import strategies as st

from openstylegan.networks import DISCRIMINATORS, GENERATORS

few = settings(max_examples=12, deadline=None, derandomize=True)
activations = st.sampled_from(["lrelu", "linear", "relu", "swish"])
filters = st.sampled_from([[1, 3, 3, 1], [1, 2, 1], [1, 1], [1, 4, 6, 4, 1]])
clamps = st.sampled_from([None, 0.8])
architectures = st.sampled_from(["orig", "skip", "resnet"])

SYNTHESIS = st.fixed_dictionaries(
    {"channel_base": st.sampled_from([48, 96]), "channel_max": st.integers(3, 6), "architecture": architectures},
    optional={
        "resample_filter": filters, "conv_clamp": clamps, "use_noise": st.booleans(), "activation": activations,
        "kernel_size": st.sampled_from([1, 3, 5]), "num_fp16_res": st.integers(0, 4),
    },
)  # fmt: skip
MAPPING = st.fixed_dictionaries(
    {"num_layers": st.integers(1, 3)},
    optional={
        "embed_features": st.integers(3, 9), "layer_features": st.integers(3, 9), "activation": activations,
        "lr_multiplier": st.sampled_from([0.01, 0.5]),
    },
)  # fmt: skip
BLOCK = st.fixed_dictionaries({}, optional={"resample_filter": filters, "activation": activations})
EPILOGUE = st.fixed_dictionaries(
    {}, optional={"mbstd_group_size": st.sampled_from([None, 2, 4]), "mbstd_num_channels": st.integers(0, 2)}
)


def filled(network: torch.nn.Module, seed: int) -> dict[str, np.ndarray]:
    """Every parameter and buffer but the filters drawn anew, so that each of them matters; the state in NumPy."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.double().eval().requires_grad_(False).state_dict().items():
        if not name.endswith("resample_filter"):
            tensor.normal_(generator=generator)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def assert_equal(actual: torch.Tensor, expected: np.ndarray) -> None:
    assert list(actual.shape) == list(expected.shape)
    assert np.abs(actual.detach().numpy() - expected).max() <= 1e-9 * np.abs(expected).max()


@few
@given(
    st.integers(0, 2**31), SYNTHESIS, MAPPING, st.sampled_from([0, 3]), st.sampled_from([8, 16]), st.integers(1, 4),
    st.sampled_from(["const", "none"]), st.booleans(), st.sampled_from([1, 0.6, -0.5]), st.integers(0, 4),
)  # fmt: skip
def test_generator(seed, synthesis, mapping, c_dim, resolution, channels, noise_mode, fused, psi, cutoff):
    network: Any = GENERATORS["stylegan2"](
        z_dim=5, c_dim=c_dim, w_dim=6, img_resolution=resolution, img_channels=channels, mapping_kwargs=mapping,
        synthesis_kwargs=synthesis,
    )  # fmt: skip
    state = filled(network, seed)
    random = np.random.default_rng(seed)
    z, c = random.standard_normal((2, 5)), random.standard_normal((2, c_dim))
    w = network_oracles.mapping(z, c, network_oracles.part(state, "mapping"), mapping)
    num_ws = 2 * (resolution.bit_length() - 1) - 2
    ws = network_oracles.truncate(w, state["mapping.w_avg"], num_ws, psi, cutoff or None)
    actual = network.mapping(torch.tensor(z), torch.tensor(c), truncation_psi=psi, truncation_cutoff=cutoff or None)
    assert_equal(actual, ws)
    noise_mode = noise_mode if synthesis.get("use_noise", True) else "none"
    layers = network_oracles.part(state, "synthesis")
    image = network_oracles.synthesis(ws, layers, resolution, noise_mode, synthesis)
    assert_equal(network.synthesis(torch.tensor(ws), noise_mode=noise_mode, fused_modconv=fused), image)


@few
@given(
    st.integers(0, 2**31), architectures, BLOCK, MAPPING, EPILOGUE, clamps, st.sampled_from([0, 3]),
    st.sampled_from([8, 16]), st.integers(1, 4), st.sampled_from([1, 2, 4, 8]), st.sampled_from([None, 7]),
)  # fmt: skip
def test_discriminator(seed, architecture, block, mapping, epilogue, clamp, c_dim, resolution, channels, num, cmap_dim):
    options = {
        "channel_base": 64, "channel_max": 4, "architecture": architecture, "conv_clamp": clamp, "block_kwargs": block,
        "mapping_kwargs": mapping, "epilogue_kwargs": epilogue, "cmap_dim": cmap_dim,
    }  # fmt: skip
    network = DISCRIMINATORS["stylegan2"](c_dim=c_dim, img_resolution=resolution, img_channels=channels, **options)
    state = filled(network, seed)
    random = np.random.default_rng(seed)
    images, c = random.standard_normal((num, channels, resolution, resolution)), random.standard_normal((num, c_dim))
    expected = network_oracles.discriminator(images, c, state, resolution, options)
    assert_equal(network(torch.tensor(images), torch.tensor(c)), expected)
