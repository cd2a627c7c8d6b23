"""The StyleGAN2 generator: sizes, noise, w routing, precision of the sums, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.networks import GENERATORS
from openstylegan.networks.stylegan2 import SynthesisLayer, ToRGBLayer
from openstylegan.randomness import BatchStream, SampleStream


def generator(resolution=16, channels=3, c_dim=0, mapping_kwargs=None, **synthesis):
    torch.manual_seed(0)
    options = {"channel_base": 128, "channel_max": 16, **synthesis}
    network = GENERATORS["stylegan2"](8, c_dim, 12, resolution, channels, mapping_kwargs or {"num_layers": 2}, options)
    for layer in network.synthesis.layers:
        if layer.use_noise:
            layer.noise_strength.data.fill_(0.5)
    return network.eval().requires_grad_(False)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def num_elements(tensors) -> int:
    return sum(tensor.numel() for tensor in tensors)


@pytest.mark.parametrize(
    ("resolution", "c_dim", "options", "mapping", "total", "buffers", "mapping_parameters"),
    [
        (1024, 0, {}, {}, 30370060, 2797104, 2101248),
        (256, 0, {"channel_base": 16384}, {}, 24767458, 175568, 2101248),
        (32, 10, {}, {"num_layers": 2}, 20215315, 3392, 793088),
    ],
)
def test_parameter_counts_of_the_original(resolution, c_dim, options, mapping, total, buffers, mapping_parameters):
    with torch.device("meta"):
        network = GENERATORS["stylegan2"](512, c_dim, 512, resolution, 3, mapping, options)
    assert num_elements(network.parameters()) == total
    assert num_elements(network.buffers()) == buffers
    assert num_elements(network.mapping.parameters()) == mapping_parameters


def test_names_and_shapes_of_a_block():
    state = {name: list(value.shape) for name, value in generator((24, 40)).synthesis.b8.state_dict().items()}
    assert state == {
        "resample_filter": [4, 4],
        "conv0.weight": [16, 16, 3, 3],
        "conv0.noise_strength": [],
        "conv0.bias": [16],
        "conv0.resample_filter": [4, 4],
        "conv0.noise_const": [12, 20],
        "conv0.affine.weight": [16, 12],
        "conv0.affine.bias": [16],
        "conv1.weight": [16, 16, 3, 3],
        "conv1.noise_strength": [],
        "conv1.bias": [16],
        "conv1.resample_filter": [4, 4],
        "conv1.noise_const": [12, 20],
        "conv1.affine.weight": [16, 12],
        "conv1.affine.bias": [16],
        "torgb.weight": [3, 16, 1, 1],
        "torgb.bias": [3],
        "torgb.affine.weight": [16, 12],
        "torgb.affine.bias": [16],
    }


@pytest.mark.parametrize("resolution", [4, 8, 24, (16, 32), (20, 28)])
@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_sizes(resolution, architecture):
    network = generator(resolution, channels=2, architecture=architecture)
    images = network(normal(3, 8))
    assert images.shape == (3, *network.image_shape)
    assert images.is_contiguous()
    assert [list(s) for s in network.noise_shapes()] == [
        list(layer.noise_const.shape) for layer in network.synthesis.layers
    ]


def test_a_torgb_shares_its_w_with_the_next_block():
    network, seen = generator(16), {}
    ws = torch.arange(6.0).reshape(1, 6, 1).expand(2, 6, 12)
    for name, module in network.synthesis.named_modules():
        if isinstance(module, (SynthesisLayer, ToRGBLayer)):
            module.register_forward_pre_hook(lambda m, args, name=name: seen.update({name: int(args[1][0, 0])}))
    network.synthesis(ws, noise_mode="none")
    assert seen == {
        "b4.conv1": 0, "b4.torgb": 1,
        "b8.conv0": 1, "b8.conv1": 2, "b8.torgb": 3,
        "b16.conv0": 3, "b16.conv1": 4, "b16.torgb": 5,
    }  # fmt: skip


@pytest.mark.parametrize("noise_mode", ["const", "none"])
@pytest.mark.parametrize("fused_modconv", [None, False])
def test_a_sample_does_not_depend_on_the_batch(noise_mode, fused_modconv):
    network, z = generator(32), normal(5, 8)
    batch = network(z, noise_mode=noise_mode, fused_modconv=fused_modconv)
    alone = torch.cat([network(row[None], noise_mode=noise_mode, fused_modconv=fused_modconv) for row in z])
    assert (batch - alone).abs().max() < 1e-5 * batch.abs().max()


def test_noise_of_a_sample_does_not_depend_on_the_batch():
    network, z = generator(16), normal(4, 8)
    batch = network(z, noise_source=SampleStream(0, "noise", [3], [7, 8, 9, 10]))
    parts = [network(z[i : i + 2], noise_source=SampleStream(0, "noise", [3], [7 + i, 8 + i])) for i in (0, 2)]
    torch.testing.assert_close(batch, torch.cat(parts), rtol=1e-5, atol=1e-5)


def test_noise_is_one_block_split_layer_by_layer():
    network, seen = generator(8), []
    for layer in network.synthesis.layers:
        layer.register_forward_pre_hook(lambda m, args: seen.append(args[2]))
    network(normal(2, 8), noise_source=BatchStream(torch.Generator().manual_seed(5)))
    block = torch.randn(2, 16 + 64 + 64, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.cat([noise.flatten(1) for noise in seen], dim=1), block)


def test_noise_modes():
    network, ws = generator(8), normal(2, 4, 12)
    torch.manual_seed(3)
    first = network.synthesis(ws)
    torch.manual_seed(3)
    assert torch.equal(network.synthesis(ws), first)
    assert not torch.equal(network.synthesis(ws), first)
    const, none = (network.synthesis(ws, noise_mode=mode) for mode in ("const", "none"))
    assert not torch.equal(const, none)
    for layer in network.synthesis.layers:
        layer.noise_const.zero_()
    torch.testing.assert_close(network.synthesis(ws, noise_mode="const"), none)


def test_without_noise():
    network = generator(8, use_noise=False)
    assert not [name for name in network.state_dict() if "noise" in name]
    assert network.noise_shapes() == []
    z = normal(2, 8)
    assert torch.equal(network(z), network(z, noise_mode="none"))


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_the_clamp_is_active_in_float32(architecture):
    network, seen = generator(16, architecture=architecture, conv_clamp=0.25), {}
    for name, module in network.synthesis.named_modules():
        if isinstance(module, (SynthesisLayer, ToRGBLayer)):
            module.register_forward_hook(lambda m, i, y, name=name: seen.update({name: float(y.abs().max())}))
    network(normal(2, 8))
    scale = 0.5**0.5 if architecture == "resnet" else 1
    assert seen["b8.conv1"] == pytest.approx(0.25 * scale)
    assert seen["b8.conv0"] == pytest.approx(0.25)
    assert seen["b16.torgb"] <= 0.25


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_kernel_sizes(kernel_size):
    network = generator(8, kernel_size=kernel_size)
    assert network.synthesis.b8.conv0.weight.shape[2:] == (kernel_size, kernel_size)
    z = normal(2, 8)
    fused, unfused = (network(z, noise_mode="const", fused_modconv=fused) for fused in (True, False))
    torch.testing.assert_close(fused, unfused, rtol=1e-4, atol=1e-5)


def test_statistics_from_a_mean_over_the_global_batch():
    network, z = generator(8), normal(6, 8)
    halves = [network.mapping(part, update_w_avg=False)[:, 0] for part in z.split(3)]
    network.update_statistics(torch.cat(halves).mean(0), torch.tensor(6))
    cut = network.mapping.w_avg.clone()
    network.mapping.w_avg.zero_()
    network.train().mapping(z)
    torch.testing.assert_close(network.mapping.w_avg, cut)
    untracked = generator(8, mapping_kwargs={"num_layers": 2, "w_avg_beta": None})
    untracked.update_statistics(torch.ones(12), torch.tensor(6))
    assert "mapping.w_avg" not in untracked.state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 50}, "48x48 or 56x56"),
        ({"channels": 5}, "img_channels from 1 to 4, got 5"),
        ({"architecture": "skipp"}, "did you mean 'skip'"),
        ({"activation": "lrelo"}, "did you mean 'lrelu'"),
        ({"kernel_size": 2}, "odd kernel_size"),
        ({"channel_base": 8}, "at least one channel at resolution 16"),
    ],
)
def test_options_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        generator(**change)


def test_calls_that_cannot_be():
    network = generator(8)
    with pytest.raises(InputError, match=r"expected ws of shape \[N, 4, 12\], got \[2, 5, 12\]"):
        network.synthesis(normal(2, 5, 12))
    with pytest.raises(InputError, match="did you mean 'const'"):
        network.synthesis(normal(2, 4, 12), noise_mode="cnst")
    with pytest.raises(InputError, match="expected noise_mode 'random' with a noise_source"):
        network.synthesis(normal(2, 4, 12), noise_mode="const", noise_source=BatchStream())
