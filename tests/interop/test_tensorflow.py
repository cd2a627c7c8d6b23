"""TensorFlow pickles: every architecture, labels of both kinds, options, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_files import Network, tf_discriminator, tf_generator, tf_network, tf_pickle
from helpers import GOLDEN
from torch import nn

import openstylegan
from openstylegan.errors import InputError
from openstylegan.interop import tensorflow_msg
from openstylegan.interop.inspect import inspect
from openstylegan.interop.tensorflow_names import noise_name
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.registry import build

G_OPTIONS = {"z_dim": 6, "c_dim": 0, "w_dim": 7, "img_resolution": 16, "img_channels": 3}
TF_G = {"latent_size": 6, "label_size": 0, "dlatent_size": 7, "resolution": 16, "fmap_base": 16, "fmap_max": 5}
TF_D = {"label_size": 0, "resolution": 16, "fmap_base": 16, "fmap_max": 5}
NARROW = {"channel_base": 32, "channel_max": 5}


def noisy(module: nn.Module) -> Any:
    """Every number that begins as a constant is made another one."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not name.endswith("resample_filter"):
                tensor += torch.randn(tensor.shape) * 0.3
    return module.eval().requires_grad_(False)


def generator(**options: Any) -> Any:
    torch.manual_seed(0)
    nested = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": NARROW}
    return noisy(build(GENERATORS, "stylegan2", {**G_OPTIONS, **nested, **options}, "generator"))


def discriminator(**options: Any) -> Any:
    torch.manual_seed(0)
    return noisy(build(DISCRIMINATORS, "stylegan2", {"img_resolution": 16, **NARROW, **options}, "discriminator"))


def loaded(path: Path, G: Network, D: Network | None = None, protocol: int = 4) -> Any:
    D = D or tf_discriminator(discriminator(), TF_D)
    path.write_bytes(tf_pickle((G, D, G), protocol))
    return openstylegan.load(path)


G_CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "skip": ({}, {}),
    "orig": ({"synthesis_kwargs": {**NARROW, "architecture": "orig"}}, {"architecture": "orig"}),
    "resnet": ({"synthesis_kwargs": {**NARROW, "architecture": "resnet"}}, {"architecture": "resnet"}),
    "filter": ({"synthesis_kwargs": {**NARROW, "resample_filter": [1, 2, 1]}}, {"resample_kernel": [1, 2, 1]}),
    "mapping": (
        {"mapping_kwargs": {"num_layers": 2, "layer_features": 4, "lr_multiplier": 0.1, "activation": "relu"}},
        {"mapping_fmaps": 4, "mapping_lrmul": 0.1, "mapping_nonlinearity": "relu"},
    ),
    "clamp": ({"synthesis_kwargs": {**NARROW, "conv_clamp": 0.5}}, {"conv_clamp": 0.5, "num_fp16_res": 2}),
    "labels": (
        {"c_dim": 3, "mapping_kwargs": {"num_layers": 2, "embed_features": 4}},
        {"label_size": 3, "label_fmaps": 4},
    ),
    "called": ({}, {"truncation_psi": 0.5, "style_mixing_prob": 0.9, "structure": "auto", "conditioning": "concat"}),
}


@pytest.mark.parametrize("case", G_CASES)
def test_a_generator_of_every_kind(case: str, tmp_path: Path) -> None:
    ours, theirs = G_CASES[case]
    G = generator(**ours)
    found = loaded(tmp_path / "a.pkl", tf_generator(G, {**TF_G, "mapping_layers": 2, **theirs})).G_ema
    z, c = torch.randn(3, 6), torch.eye(3)[:, : G.c_dim]
    assert torch.equal(found(z, c, noise_mode="const"), G(z, c, noise_mode="const"))
    assert torch.equal(found.mapping.w_avg, G.mapping.w_avg)
    assert found.state_dict().keys() == G.state_dict().keys()
    # A style's bias has its 1 taken away and given back.
    for name, tensor in G.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, atol=3e-7, rtol=0)


D_CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "resnet": ({}, {}),
    "skip": ({"architecture": "skip"}, {"architecture": "skip"}),
    "orig": ({"architecture": "orig"}, {"architecture": "orig"}),
    "groups": (
        {"epilogue_kwargs": {"mbstd_group_size": 2, "mbstd_num_channels": 5}},
        {"mbstd_group_size": 2, "mbstd_num_features": 5},
    ),
    "classes embedded, no layers": (
        {"c_dim": 3, "cmap_dim": 4, "mapping_kwargs": {"num_layers": 0}},
        {"label_size": 3, "mapping_fmaps": 4},
    ),
    "classes embedded, two layers": (
        {"c_dim": 3, "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1}},
        {"label_size": 3, "mapping_layers": 2},
    ),
    "a score a class": ({"c_dim": 3, "class_scores": True}, {"label_size": 3}),
}


@pytest.mark.parametrize("case", D_CASES)
def test_a_discriminator_of_every_kind(case: str, tmp_path: Path) -> None:
    """A group of 4 samples is what TensorFlow takes when no size is stored, whatever the batch."""
    ours, theirs = D_CASES[case]
    D = discriminator(**{"epilogue_kwargs": {"mbstd_group_size": 4}, **ours})
    G = tf_generator(generator(), {**TF_G, "mapping_layers": 2})
    found = loaded(tmp_path / "a.pkl", G, tf_discriminator(D, {**TF_D, **theirs})).D
    images, c = torch.randn(8, 3, 16, 16), torch.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1], : D.c_dim]
    assert torch.equal(found(images, c), D(images, c))


def test_labels_of_2019_are_normalized_with_z(tmp_path: Path) -> None:
    """c times a matrix is put behind z as it is, and both are normalized as one vector."""
    joint = {"num_layers": 2, "embed_features": 6, "joint_normalization": True}
    G = generator(c_dim=3, mapping_kwargs=joint)
    network = tf_generator(G, {**TF_G, "label_size": 3, "mapping_layers": 2})
    matrix = np.random.RandomState(0).randn(3, 6).astype(np.float32)
    variables = dict(network.components["mapping"].variables)
    del variables["LabelEmbed/weight"], variables["LabelEmbed/bias"]
    network.components["mapping"].variables = [("LabelConcat/weight", matrix), *variables.items()]
    found = loaded(tmp_path / "a.pkl", network).G_ema
    z, c = torch.randn(3, 6) * 3, torch.eye(3)
    x = torch.cat([z, c @ torch.from_numpy(matrix)], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(found.mapping.map(z, c), G.mapping.fc1(G.mapping.fc0(x)))


@pytest.mark.parametrize("protocol", [2, 5])
def test_other_protocols(protocol: int, tmp_path: Path) -> None:
    G = generator()
    found = loaded(tmp_path / "a.pkl", tf_generator(G, {**TF_G, "mapping_layers": 2}), protocol=protocol).G_ema
    assert torch.equal(found.mapping.fc1.weight, G.mapping.fc1.weight)


@pytest.mark.parametrize(("name", "beta", "expected"), [("dlatent_avg_beta", 0.9, 0.9), ("w_avg_beta", None, 1.0)])
def test_the_decay_of_w_avg_under_both_names(name: str, beta: Any, expected: float, tmp_path: Path) -> None:
    network = tf_generator(generator(), {**TF_G, "mapping_layers": 2, name: beta})
    assert loaded(tmp_path / "a.pkl", network).G_ema.mapping.w_avg_beta == expected


def test_noise_is_numbered_by_layers() -> None:
    assert [noise_name(n).removeprefix("synthesis.").removesuffix(".noise_const") for n in range(5)] == [
        *("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1")
    ]


def growing(G: Network) -> None:
    G.variables[0] = ("lod", np.float32(1.5))


def with_unknown_option(G: Network) -> None:
    G.static_kwargs = {**G.static_kwargs, "synthesis_func": "G_synthesis_other"}


def with_unknown_variable(G: Network) -> None:
    G.components["synthesis"].variables.append(("8x8/Attention/weight", np.zeros([2, 2])))


def with_lost_variable(G: Network) -> None:
    G.components["mapping"].variables.pop()


def with_another_rank(G: Network) -> None:
    G.components["mapping"].variables[0] = ("Dense0/weight", np.zeros([2, 2, 2], np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (growing, "still growing"),
        (with_unknown_option, "'synthesis_func'"),
        (with_unknown_variable, "1 variables that are not known: synthesis/8x8/Attention/weight"),
        (with_lost_variable, "1 tensors missing"),
        (with_another_rank, "2 dimensions"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(change: Any, message: str, tmp_path: Path) -> None:
    network = tf_generator(generator(), {**TF_G, "mapping_layers": 2})
    change(network)
    with pytest.raises(InputError, match=message) as error:
        loaded(tmp_path / "a.pkl", network)
    assert "\n" not in str(error.value)


OLDER = {
    "StyleGAN": ("G_style", {}, "a StyleGAN generator"),
    "A to D": ("G_main", {}, "configuration A to D"),
    "another": ("G_paper", {}, "unknown TensorFlow program"),
}


@pytest.mark.parametrize("case", OLDER)
def test_older_networks_are_named(case: str, tmp_path: Path) -> None:
    build_func, more, message = OLDER[case]
    network = tf_network("Gs", build_func, {"resolution": 16}, {"x/weight": np.ones([2, 3], np.float32)})
    network.__dict__.update(more)
    with pytest.raises(InputError, match=message):
        loaded(tmp_path / "a.pkl", network)
    assert message in inspect(tmp_path / "a.pkl").json()["networks"]["G_ema"]["is"]


def test_msg_stylegan_s_own_file_opens() -> None:
    networks = openstylegan.load(GOLDEN / "tf_msg.pkl")
    assert networks.about["networks"]["G"]["name"] == networks.about["networks"]["D"]["name"] == "msg_stylegan"
    images = networks.G_ema(torch.randn(8, 32), torch.eye(3)[torch.arange(8) % 3])
    assert [image.shape[-1] for image in images] == [4, 8, 16]
    assert networks.D(images, torch.eye(3)[torch.arange(8) % 3]).shape == (8, 1)


MSG_UP = {f"synthesis/{r}x{r}/Conv0_up/weight": np.arange(9.0).reshape(3, 3, 1, 1) for r in (8, 64, 128, 256)}


@pytest.mark.parametrize(
    ("fused", "mirrored"),
    [
        ({}, {128, 256}),
        ({"fused_scale": "auto"}, {128, 256}),
        ({"fused_scale": True}, {8, 64, 128, 256}),
        ({"fused_scale": False}, set()),
    ],
)
def test_fused_up_convolutions_of_msg_stylegan_are_mirrored_back(fused: dict[str, Any], mirrored: set[int]) -> None:
    found = tensorflow_msg.generator_tensors(MSG_UP, {"resolution": 256, **fused}, "G")
    assert {int(n.split(".")[1][1:]) for n, kernel in found.items() if kernel[0, 0, 0, 0] == 8} == mirrored


def test_msg_stylegan_s_numbered_variables_are_those_of_their_resolution() -> None:
    numbered = {"synthesis/ToRGB_lod0/bias": 0, "synthesis/ToRGB_lod6/bias": 0, "synthesis/noise0": 0,
                "synthesis/noise1": 0, "synthesis/noise13": 0, "synthesis/4x4/Conv/bias": 0}  # fmt: skip
    assert list(tensorflow_msg.by_resolution(numbered, 8)) == [
        *("synthesis/256x/ToRGB/bias", "synthesis/4x/ToRGB/bias", "synthesis/4x/noise0", "synthesis/4x/noise1"),
        *("synthesis/256x/noise1", "synthesis/4x4/Conv/bias"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 48}, "a power of two"),
        ({"fmap_base": "many"}, "whole numbers"),
        ({"fused_scale": "always"}, "fused_scale"),
        ({"use_styles": False}, "'use_styles'"),
    ],
)
def test_an_msg_stylegan_generator_that_is_not_understood(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    G = tf_network("Gs", "G_style", options, {"dlatent_avg": np.zeros(512, np.float32)})
    G.num_inputs = 2
    with pytest.raises(InputError, match=message):
        loaded(tmp_path / "a.pkl", G)
