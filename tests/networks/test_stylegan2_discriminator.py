"""The StyleGAN2 discriminator: names, counts, Freeze-D, labels, clamps, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.networks import DISCRIMINATORS


def discriminator(resolution=16, c_dim=0, **options):
    torch.manual_seed(0)
    options = {"channel_base": 128, "channel_max": 16, **options}
    return DISCRIMINATORS["stylegan2"](c_dim, resolution, **options).eval()


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("resolution", "c_dim", "options", "total"),
    [
        (1024, 0, {}, 29012513),
        (256, 0, {"channel_base": 16384}, 24001089),
        (32, 10, {"architecture": "orig"}, 23089664),
    ],
)
def test_parameter_counts_of_the_original(resolution, c_dim, options, total):
    with torch.device("meta"):
        network = DISCRIMINATORS["stylegan2"](c_dim, resolution, 3, **options)
    assert sum(parameter.numel() for parameter in network.parameters()) == total


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize(("resolution", "channels", "c_dim"), [(8, 1, 0), ((24, 40), 4, 3), (20, 2, 0)])
def test_sizes(architecture, resolution, channels, c_dim):
    network = discriminator(resolution, c_dim, img_channels=channels, architecture=architecture)
    assert network(normal(4, *network.image_shape), normal(4, c_dim)).shape == (4, 1)


def test_freeze_layers_counts_from_the_image():
    names = {}
    for frozen in range(6):
        network = discriminator(16, block_kwargs={"freeze_layers": frozen})
        names[frozen] = [n for n, _ in network.named_buffers() if n.endswith("weight")]
        assert set(network.state_dict()) == set(discriminator(16).state_dict())
    order = ["b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0"]
    assert names == {frozen: [f"{name}.weight" for name in order[:frozen]] for frozen in range(6)}
    skip = discriminator(16, architecture="skip", block_kwargs={"freeze_layers": 4})
    buffers = [n for n, _ in skip.named_buffers() if n.endswith("weight")]
    assert buffers == ["b16.fromrgb.weight", "b16.conv0.weight", "b16.conv1.weight", "b8.fromrgb.weight"]
    everything = discriminator(16, c_dim=2, block_kwargs={"freeze_layers": 99})
    assert {name.split(".")[0] for name, _ in everything.named_parameters()} == {"mapping", "b4"}


def test_logits_are_projected_on_the_label():
    network = discriminator(8, c_dim=3, cmap_dim=5, mapping_kwargs={"num_layers": 2})
    images, c = normal(2, 3, 8, 8), torch.eye(3)[:2]
    features = {}
    network.b4.out.register_forward_hook(lambda m, i, y: features.update(out=y))
    logits = network(images, c)
    cmap = network.mapping(None, c)
    torch.testing.assert_close(logits, (features["out"] * cmap).sum(1, keepdim=True) / math.sqrt(5))
    assert not torch.equal(logits, network(images, c.flip(0)))


def test_minibatch_stddev_couples_the_samples_of_a_group_only():
    images = normal(8, 3, 8, 8)
    changed = images.clone()
    changed[0] += 1
    network = discriminator(8, epilogue_kwargs={"mbstd_group_size": 4})
    moved = (network(images) != network(changed)).flatten().nonzero().flatten().tolist()
    assert moved == [0, 2, 4, 6]
    without = discriminator(8, epilogue_kwargs={"mbstd_num_channels": 0})
    assert (without(images) != without(changed)).flatten().nonzero().flatten().tolist() == [0]
    with pytest.raises(InputError, match="multiple of the minibatch-stddev group size 4, got 6"):
        network(images[:6])


def test_clamps_are_active_in_float32_and_scaled_in_residual_blocks():
    network, seen = discriminator(16, architecture="resnet", conv_clamp=0.02), {}
    for name in ("b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b4.conv"):
        module = network.get_submodule(name)
        module.register_forward_hook(lambda m, i, y, name=name: seen.update({name: float(y.detach().abs().max())}))
    network.b4.conv.bias.data.fill_(1)
    network(10 * normal(4, 3, 16, 16))
    assert seen["b16.fromrgb"] == seen["b4.conv"] == pytest.approx(0.02)
    assert seen["b16.conv1"] == pytest.approx(0.02 * 0.5**0.5)
    assert seen["b16.skip"] != pytest.approx(0.02)
    unclamped = discriminator(8, architecture="skip", conv_clamp=0.02)
    unclamped.b4.fromrgb.register_forward_hook(lambda m, i, y: seen.update(last=float(y.detach().abs().max())))
    unclamped(10 * normal(4, 3, 8, 8))
    assert seen["last"] > 0.02


def test_input_gradients_reach_second_order():
    network = discriminator(8).double()
    images = normal(4, 3, 8, 8).double().requires_grad_()
    (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    weights = {name: p.grad for name, p in network.named_parameters() if name.endswith("weight")}
    assert all(grad is not None and grad.isfinite().all() and grad.any() for grad in weights.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 50}, "48x48 or 56x56"),
        ({"resolution": 4}, "at least 8"),
        ({"img_channels": 0}, "img_channels from 1 to 4, got 0"),
        ({"architecture": "resnt"}, "did you mean 'resnet'"),
        ({"channel_base": 8}, "at least one channel at resolution 16"),
    ],
)
def test_options_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        discriminator(**change)


def test_calls_that_cannot_be():
    network = discriminator(8, c_dim=2)
    with pytest.raises(InputError, match="expected images of shape"):
        network(normal(2, 1, 8, 8), torch.zeros(2, 2))
    with pytest.raises(InputError, match="this network is conditional"):
        network(normal(2, 3, 8, 8))


def test_class_scores_are_picked_by_the_label():
    network = discriminator(8, 3, class_scores=True)
    images, c = normal(4, 3, 8, 8), torch.eye(3)[[0, 2, 1, 1]]
    assert network.b4.out.weight.shape == (3, 16) and not any("mapping" in name for name in network.state_dict())
    every = torch.cat([network(images, torch.eye(3)[[k] * 4]) for k in range(3)], dim=1)
    torch.testing.assert_close(network(images, c), (every * c).sum(dim=1, keepdim=True))
    blended = torch.tensor([[0.25, 0.25, 0.5]]).repeat(4, 1)
    torch.testing.assert_close(network(images, blended), (every * blended).sum(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("c_dim", "options", "message"),
    [
        (0, {}, "expected classes"),
        (3, {"cmap_dim": 4}, "no embedding"),
        (3, {"mapping_kwargs": {"num_layers": 1}}, "no"),
    ],
)
def test_class_scores_go_without_an_embedding(c_dim, options, message):
    with pytest.raises(InputError, match=message):
        discriminator(8, c_dim, class_scores=True, **options)
