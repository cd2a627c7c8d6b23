"""What every generator and every discriminator of the tables must keep."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.images import leaves, map_images
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.networks.base import Discriminator, Generator, running_buffers
from openstylegan.training.running import Running

Z_DIM, W_DIM, RESOLUTION = 8, 12, 16

SMALL_GENERATORS: dict[str, dict[str, Any]] = {
    "stylegan1": {"num_layers": 2, "channels": [12, 8, 6], "fused_resolution": 16},
    "stylegan2": {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 128, "channel_max": 12}},
    "stylegan2_tanh": {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 128, "channel_max": 12},
    },
    "stylegan3": {"channel_base": 256, "channel_max": 12, "num_layers": 5, "margin_size": 3},
    "fastgan": {"ngf": 2, "num_classes": 10},
    "msg_stylegan": {"num_layers": 2, "channel_base": 128, "channel_max": 12},
}
SQUARE_ONLY = {"stylegan3", "fastgan"}
POWERS_OF_TWO_ONLY = {"fastgan"}
SMALL_DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "stylegan1": {"channels": [12, 8, 6], "fused_resolution": 16, "mbstd_group_size": 2},
    "stylegan2": {"channel_base": 128, "channel_max": 12, "mapping_kwargs": {"num_layers": 2}},
    "stylegan2_rising": {"capacity": 1, "channel_max": 12},
    "msg_stylegan": {"channel_base": 128, "channel_max": 12},
    "projected": {"cout": 4, "width": 4, "feature_side": 64, "num_classes": 10},
}
"""Options that make each entry small; a new entry brings its own."""
FROZEN = ("feature_network.",)
"""Parts that are never trained."""

generators = pytest.mark.parametrize("name", sorted(GENERATORS))
discriminators = pytest.mark.parametrize("name", sorted(DISCRIMINATORS))
shapes = pytest.mark.parametrize(
    ("resolution", "channels", "c_dim"), [(16, 3, 0), (16, 1, 3), ((16, 24), 2, 0), (20, 4, 2)]
)


def generator(name: str, resolution: Any = RESOLUTION, channels: int = 3, c_dim: int = 0, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    sizes = {"z_dim": Z_DIM, "c_dim": c_dim, "img_resolution": resolution, "img_channels": channels}
    if has_w_dim(name):
        sizes["w_dim"] = W_DIM
    return GENERATORS[name](**sizes, **SMALL_GENERATORS[name])


def has_w_dim(name: str) -> bool:
    """Whether w has a size of its own; else ws hold z as it is."""
    return "w_dim" in inspect.signature(GENERATORS[name]).parameters


def discriminator(name: str, resolution: Any = RESOLUTION, channels: int = 3, c_dim: int = 0) -> Discriminator:
    torch.manual_seed(0)
    return DISCRIMINATORS[name](c_dim, resolution, channels, **SMALL_DISCRIMINATORS[name])


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_every_entry_is_reached():
    assert set(SMALL_GENERATORS) == set(GENERATORS)
    assert set(SMALL_DISCRIMINATORS) == set(DISCRIMINATORS)
    for base, table in ((Generator, GENERATORS), (Discriminator, DISCRIMINATORS)):
        for entry in table.values():
            assert issubclass(entry, base)
            assert entry.__doc__
            kinds = {p.kind for p in inspect.signature(entry).parameters.values()}
            assert inspect.Parameter.VAR_KEYWORD not in kinds, "options must be checkable by name"


@generators
@shapes
def test_generator_shapes(name, resolution, channels, c_dim):
    odd = isinstance(resolution, int) and resolution & (resolution - 1)
    if (name in SQUARE_ONLY and not isinstance(resolution, int)) or (name in POWERS_OF_TWO_ONLY and odd):
        with pytest.raises(InputError, match="square"):
            generator(name, resolution, channels, c_dim)
        return
    network = generator(name, resolution, channels, c_dim).eval()
    w_dim = W_DIM if has_w_dim(name) else Z_DIM
    assert (network.z_dim, network.c_dim, network.w_dim) == (Z_DIM, c_dim, w_dim)
    assert network.img_channels == channels
    assert network.img_resolution == resolution
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    assert network.image_shape == (channels, height, width)
    z, c = normal(3, Z_DIM), normal(3, c_dim)
    ws = network.mapping(z, c)
    assert ws.shape == (3, network.num_ws, w_dim)
    images = network.synthesis(ws, noise_mode="const")
    assert leaves(images)[-1].shape == (3, *network.image_shape)
    assert torch.equal(leaves(network(z, c, noise_mode="const"))[-1], leaves(images)[-1])


@discriminators
@shapes
def test_discriminator_shapes(name, resolution, channels, c_dim):
    network = discriminator(name, resolution, channels, c_dim).eval()
    assert (network.c_dim, network.img_channels, network.img_resolution) == (c_dim, channels, resolution)
    reals = network.prepare_reals(normal(4, *network.image_shape))
    assert leaves(reals)[-1].shape[1:] == network.image_shape
    logits = network(reals, normal(4, c_dim))
    assert logits.ndim == 2
    assert len(logits) == 4


@generators
@pytest.mark.parametrize("c_dim", [0, 3])
def test_gradients_reach_every_parameter_of_a_generator(name, c_dim):
    network = generator(name, c_dim=c_dim).train()
    for lod in range(network.max_lod, -1, -1):
        network.set_lod(lod)
        images = network(normal(2, Z_DIM), normal(2, c_dim))
        sum((image * normal(*image.shape, seed=2)).sum() for image in leaves(images)).backward()
    assert_reached(network)


@discriminators
@pytest.mark.parametrize("c_dim", [0, 3])
def test_gradients_reach_every_parameter_of_a_discriminator(name, c_dim):
    network = discriminator(name, c_dim=c_dim).train()
    for lod in range(network.max_lod, -1, -1):
        network.set_lod(lod)
        network(network.prepare_reals(normal(4, *network.image_shape)), normal(4, c_dim)).square().sum().backward()
    assert_reached(network)


def assert_reached(network: torch.nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if name.startswith(FROZEN):
            assert not parameter.requires_grad, name
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@generators
def test_path_length_gradients_are_differentiable(name):
    network = generator(name).train()
    ws = network.mapping(normal(2, Z_DIM), None)
    ws.requires_grad_()  # of a generator whose ws are its latents
    image = leaves(network.synthesis(ws))[-1]
    (gradient,) = torch.autograd.grad((image * normal(*image.shape, seed=2)).sum(), ws, create_graph=True)
    gradient.square().sum().backward()
    reached = [p for p in network.parameters() if p.grad is not None and p.grad.any()]
    assert len(reached) > len(list(network.parameters())) / 2


@discriminators
def test_image_gradients_are_differentiable(name):
    network = discriminator(name).train()
    reals = map_images(lambda x: x.requires_grad_(), network.prepare_reals(normal(4, *network.image_shape)))
    gradients = torch.autograd.grad(network(reals, None).sum(), leaves(reals), create_graph=True)
    sum(gradient.square().sum() for gradient in gradients).backward()
    assert any(p.grad is not None and p.grad.any() for p in network.parameters())


@generators
def test_evaluation_is_deterministic_and_changes_nothing(name):
    network = generator(name).eval()
    before = copy.deepcopy(network.state_dict())
    z = normal(2, Z_DIM)
    first, second = (leaves(network(z, None, noise_mode="const"))[-1] for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@generators
def test_a_sample_does_not_depend_on_its_batch(name):
    network, z = settled(generator(name)).eval(), normal(4, Z_DIM)
    batch = leaves(network(z, None, noise_mode="const"))[-1]
    alone = torch.cat([leaves(network(row[None], None, noise_mode="const"))[-1] for row in z])
    assert (batch - alone).abs().max() < 1e-5 * batch.abs().max()


@generators
def test_generator_state_round_trip_and_copy(name):
    network, z = generator(name, c_dim=2).eval(), normal(2, Z_DIM)
    expected = leaves(network(z, normal(2, 2), noise_mode="const"))[-1]
    other = generator(name, c_dim=2, seed=99).eval()
    other.load_state_dict(network.state_dict(), strict=True)
    for twin in (other, copy.deepcopy(network)):
        assert torch.equal(leaves(twin(z, normal(2, 2), noise_mode="const"))[-1], expected)
    assert not shares_memory(network, copy.deepcopy(network))


@discriminators
def test_discriminator_state_round_trip_and_copy(name):
    network = discriminator(name, c_dim=2).eval()
    images, c = network.prepare_reals(normal(4, *network.image_shape)), normal(4, 2)
    torch.manual_seed(99)
    other = DISCRIMINATORS[name](2, RESOLUTION, 3, **SMALL_DISCRIMINATORS[name]).eval()
    other.load_state_dict(network.state_dict(), strict=True)
    for twin in (other, copy.deepcopy(network)):
        assert torch.equal(twin(images, c), network(images, c))
    assert not shares_memory(network, copy.deepcopy(network))


def shares_memory(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pointers = [{p.data_ptr() for p in (*m.parameters(), *m.buffers()) if p.numel()} for m in (first, second)]
    return bool(pointers[0] & pointers[1])


@generators
def test_statistics_follow_what_was_observed_of_every_sample(name):
    network, z = generator(name).train(), normal(4, Z_DIM)
    ws = network.mapping(z, None, update_w_avg=False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with Running([network]):
        images, observed = network.observed_synthesis(ws, noise_mode="const")
    with Running([network]):
        assert torch.equal(leaves(images)[-1], leaves(network.synthesis(ws, noise_mode="const"))[-1])
    assert observed.shape == (4, observed.shape[1]) and not observed.requires_grad
    with Running([network]):
        halves = [network.observed_synthesis(part, noise_mode="const")[1] for part in ws.split(2)]
    torch.testing.assert_close(torch.cat(halves), observed, rtol=1e-5, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    mean = torch.cat([ws[:, 0].detach(), observed], dim=1).double().mean(dim=0)
    network.update_statistics(mean, torch.tensor(4.0))
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed <= {key for key, _ in network.named_buffers()}
    assert len(changed) >= (1 if hasattr(network.mapping, "w_avg") else 0) + observed.shape[1]


@generators
def test_generator_in_float64(name):
    network, z = settled(generator(name)).eval(), normal(2, Z_DIM)
    single = leaves(network(z, None, noise_mode="const"))[-1]
    double = leaves(network.double()(z.double(), None, noise_mode="const"))[-1]
    assert double.dtype == torch.float64
    assert (double - single).abs().max() < 1e-5 * double.abs().max()
    assert nothing_is_rounded(lambda x: leaves(network(x, None, noise_mode="const"))[-1], z.double())


def settled(network: Generator) -> Generator:
    """`network` after a few batches in training mode, with running buffers that mean something."""
    for seed in range(9 if running_buffers(network) else 0):
        network.train()(normal(4, Z_DIM, seed=seed), None)
    return network


def nothing_is_rounded(function: Any, x: torch.Tensor) -> bool:
    """Whether `function` moves smoothly over a step of 1e-9, far below what float32 can tell apart."""
    step = 1e-9 * normal(*x.shape, seed=3).double()
    one, two = function(x + step) - function(x), function(x + 2 * step) - function(x)
    return bool((two - 2 * one).abs().max() < 1e-3 * two.abs().max())


@discriminators
def test_discriminator_in_float64(name):
    network = discriminator(name).eval()
    images = network.prepare_reals(normal(4, *network.image_shape))
    single = network(images, None)
    images = map_images(lambda x: x.double(), images)
    double = network.double()(images, None)
    assert double.dtype == torch.float64
    assert (double - single).abs().max() < 1e-4 * double.abs().max()
    largest = leaves(images)[-1]
    assert nothing_is_rounded(lambda x: network((*leaves(images)[:-1], x) if isinstance(images, tuple) else x), largest)


@generators
def test_generator_refuses_what_does_not_fit(name):
    network = generator(name, c_dim=2)
    with pytest.raises(InputError):
        network(normal(2, Z_DIM + 1), normal(2, 2))
    with pytest.raises(InputError):
        network(normal(2, Z_DIM), None)
    with pytest.raises(InputError):
        network(normal(2, Z_DIM), normal(2, 5))
    with pytest.raises(InputError):
        generator(name, resolution=3)
    with pytest.raises(InputError):
        generator(name, channels=7)


@discriminators
def test_discriminator_refuses_what_does_not_fit(name):
    network = discriminator(name, c_dim=2)
    reals = network.prepare_reals(normal(4, *network.image_shape))
    with pytest.raises(InputError):
        network(reals, None)
    with pytest.raises(InputError):
        network(map_images(lambda x: x[:, :1], reals), normal(4, 2))
    with pytest.raises(InputError):
        discriminator(name, resolution=3)


@generators
def test_the_level_of_detail_of_a_generator(name):
    network = generator(name).eval()
    ws = network.mapping(normal(2, Z_DIM), None)
    for lod in range(network.max_lod + 1):
        network.set_lod(lod)
        top = leaves(network.synthesis(ws, noise_mode="const"))[-1]
        assert top.shape[1:] == (3, RESOLUTION >> lod, RESOLUTION >> lod)
        other = torch.cat([ws[:, : network.num_ws_in_use], 1 + ws[:, network.num_ws_in_use :]], dim=1)
        assert torch.equal(leaves(network.synthesis(other, noise_mode="const"))[-1], top)
    for lod in (-0.1, network.max_lod + 0.1):
        with pytest.raises(InputError, match="lod"):
            network.set_lod(lod)


@discriminators
def test_the_level_of_detail_of_a_discriminator(name):
    network, pictures = discriminator(name).eval(), normal(4, 3, RESOLUTION, RESOLUTION)
    for lod in range(network.max_lod + 1):
        network.set_lod(lod)
        reals = network.prepare_reals(pictures)
        assert leaves(reals)[-1].shape[1:] == (3, RESOLUTION >> lod, RESOLUTION >> lod)
        assert network(reals).isfinite().all()
    for lod in (-0.1, network.max_lod + 0.1):
        with pytest.raises(InputError, match="lod"):
            network.set_lod(lod)
