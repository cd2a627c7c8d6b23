"""The StyleGAN2 networks against recorded arrays of the original, for every file of these kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import GOLDEN, golden, relative_error
from torch import Tensor, nn

from openstylegan.images import to_uint8
from openstylegan.networks import DISCRIMINATORS, GENERATORS

GENERATOR_FILES = sorted(path.stem for path in GOLDEN.glob("sg2_G_*.npz"))
DISCRIMINATOR_FILES = sorted(path.stem for path in GOLDEN.glob("sg2_D_*.npz"))
MIXING_FILES = sorted(path.stem for path in GOLDEN.glob("style_mixing*.npz"))
TOLERANCE = 2e-5
"""Of the largest magnitude; the recorded float32 outputs are themselves within 2.2e-6 of float64."""


def load(table: dict[str, Any], name: str) -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    """The recorded network with its weights, in evaluation mode; the arrays; the options."""
    arrays, meta = golden(name)
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    network = table["stylegan2"](**meta["options"]["init_kwargs"])
    state = {key.removeprefix("state/"): value for key, value in tensors.items() if key.startswith("state/")}
    assert list(network.state_dict()) == list(state)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False), tensors, meta["options"]


def test_there_are_recorded_networks():
    assert len(GENERATOR_FILES) >= 4
    assert len(DISCRIMINATOR_FILES) >= 4
    assert len(MIXING_FILES) >= 1


@pytest.mark.parametrize("name", GENERATOR_FILES)
def test_mapping(name):
    network, tensors, options = load(GENERATORS, name)
    z, c = tensors["in/z"], tensors["in/c"]
    psi, cutoff = options["truncation_psi"], options["truncation_cutoff"]
    assert network.num_ws == options["num_ws"]
    for key, arguments in {"w": (), "w_trunc": (psi,), "w_trunc_cutoff": (psi, cutoff)}.items():
        assert relative_error(network.mapping(z, c, *arguments), tensors[f"out/{key}"]) < TOLERANCE
    network.train().mapping(z, c)
    assert relative_error(network.mapping.w_avg, tensors["out/w_avg_after_train_forward"]) < TOLERANCE


@pytest.mark.parametrize("fused_modconv", [None, True, False])
@pytest.mark.parametrize("name", GENERATOR_FILES)
def test_synthesis(name, fused_modconv):
    network, tensors, options = load(GENERATORS, name)
    for noise_mode in ("const", "none"):
        images = network.synthesis(tensors["out/w"], noise_mode=noise_mode, fused_modconv=fused_modconv)
        assert relative_error(images, tensors[f"out/img_{noise_mode}"]) < TOLERANCE
    psi, cutoff = options["truncation_psi"], options["truncation_cutoff"]
    images = network(tensors["in/z"], tensors["in/c"], psi, cutoff, noise_mode="const", fused_modconv=fused_modconv)
    assert relative_error(images, tensors["out/img_const_trunc_cutoff"]) < TOLERANCE


@pytest.mark.parametrize("name", DISCRIMINATOR_FILES)
def test_discriminator(name):
    network, tensors, _ = load(DISCRIMINATORS, name)
    images, c = tensors["in/img"].requires_grad_(), tensors["in/c"]
    logits = network(images, c)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert relative_error(logits, tensors["out/logits"]) < TOLERANCE
    # Pre-activations on the kink of the leaky ReLU make input gradients differ more than values.
    assert relative_error(gradient, tensors["out/grad_sum_logits_wrt_img"]) < 1e-3
    half = len(images) // 2
    assert relative_error(network(images[:half], c[:half]), tensors["out/logits_first_half"]) < TOLERANCE


@pytest.mark.parametrize("name", MIXING_FILES)
def test_style_mixing(name):
    arrays, meta = golden(name)
    options = meta["options"]
    network, _, _ = load(GENERATORS, options["generator"])
    seeds = [int(seed) for seed in arrays["out/seeds"]]
    z = torch.from_numpy(np.stack([np.random.RandomState(seed).randn(network.z_dim) for seed in seeds]))
    ws = network.mapping(z, None, options["truncation_psi"])
    assert relative_error(ws, arrays["out/seed_w"]) < 1e-5
    assert levels_apart(network.synthesis(ws, noise_mode=options["noise_mode"]), arrays["out/seed_u8"]) <= 1e-3
    by_seed = dict(zip(seeds, ws, strict=True))
    for row, row_seed in enumerate(options["row_seeds"]):
        for column, column_seed in enumerate(options["col_seeds"]):
            mixed = by_seed[row_seed].clone()
            mixed[options["col_styles"]] = by_seed[column_seed][options["col_styles"]]
            assert relative_error(mixed, arrays["out/mix_w"][row, column]) < 1e-5
            image = network.synthesis(mixed[None], noise_mode=options["noise_mode"])
            assert levels_apart(image, arrays["out/mix_u8"][row, column][None]) <= 1e-3


def levels_apart(images: Tensor, expected: np.ndarray) -> float:
    """The share of bytes that differ from `expected` [N, H, W, C]; none may by more than one level."""
    ours = to_uint8(images).permute(0, 2, 3, 1).numpy().astype(int)
    difference = np.abs(ours - expected.astype(int))
    assert difference.max() <= 1
    return float((difference > 0).mean())
