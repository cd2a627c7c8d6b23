"""What all networks share: precision at run time, and the checks of options."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from openstylegan.errors import InputError
from openstylegan.networks import DISCRIMINATORS, GENERATORS, set_precision
from openstylegan.networks.base import Discriminator, Generator, PrecisionBlock

WIDTHS = {"channel_base": 256, "channel_max": 16}


def generator(num_fp16_res: int) -> nn.Module:
    torch.manual_seed(0)
    kwargs = {"num_fp16_res": num_fp16_res, "conv_clamp": 256, **WIDTHS}
    return GENERATORS["stylegan2"](16, 0, 16, 32, 3, {"num_layers": 2}, kwargs).eval().requires_grad_(False)


def discriminator(num_fp16_res: int) -> nn.Module:
    torch.manual_seed(0)
    network = DISCRIMINATORS["stylegan2"](0, 32, 3, num_fp16_res=num_fp16_res, conv_clamp=256, **WIDTHS)
    return network.eval().requires_grad_(False)


def test_num_fp16_res_says_which_blocks_may_run_in_low_precision():
    for make in (generator, discriminator):
        for num_fp16_res, names in {1: {"b32"}, 2: {"b16", "b32"}, 99: {"b8", "b16", "b32"}}.items():
            network = make(num_fp16_res)
            blocks = {
                n for n, m in network.named_modules() if isinstance(m, PrecisionBlock) and m.low_precision_allowed
            }
            assert {name.removeprefix("synthesis.") for name in blocks} == names
            assert set_precision(network, "bfloat16") == len(names)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_low_precision_is_near_and_can_be_undone(name):
    network, ws = generator(99), torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))
    exact = network.synthesis(ws, noise_mode="const")
    set_precision(network, name)
    low = network.synthesis(ws, noise_mode="const")
    assert low.dtype == torch.float32
    assert not torch.equal(low, exact)
    assert (low - exact).abs().max() < 0.05 * exact.abs().max()
    assert torch.equal(network.synthesis(ws, noise_mode="const", force_fp32=True), exact)
    set_precision(network, "float32")
    assert torch.equal(network.synthesis(ws, noise_mode="const"), exact)


def test_low_precision_discriminator_runs_its_epilogue_in_full():
    network, images = discriminator(99), torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    exact = network(images)
    set_precision(network, "bfloat16")
    seen = {}
    network.b8.register_forward_hook(lambda m, i, o: seen.update(b8=o[0].dtype))
    network.b4.conv.register_forward_hook(lambda m, i, o: seen.update(b4=o.dtype))
    low = network(images)
    assert seen == {"b8": torch.bfloat16, "b4": torch.float32}
    assert 0 < (low - exact).abs().max() < 0.05 * exact.abs().max()
    assert torch.equal(network(images, force_fp32=True), exact)


def test_precision_is_never_saved():
    network = generator(99)
    before = list(network.state_dict())
    set_precision(network, "bfloat16")
    assert list(network.state_dict()) == before
    assert all(value.dtype == torch.float32 for value in network.state_dict().values())


def test_precision_without_effect_or_unknown_is_an_error():
    with pytest.raises(InputError, match="set num_fp16_res"):
        set_precision(generator(0), "bfloat16")
    assert set_precision(generator(0), "float32") == 0
    with pytest.raises(InputError, match="did you mean 'bfloat16'"):
        set_precision(generator(1), "bfloat")


def test_nested_options_name_the_nearest():
    with pytest.raises(InputError, match="did you mean 'channel_base'"):
        GENERATORS["stylegan2"](img_resolution=8, synthesis_kwargs={"chanel_base": 64})
    with pytest.raises(InputError, match="did you mean 'freeze_layers'"):
        DISCRIMINATORS["stylegan2"](img_resolution=8, block_kwargs={"freeze_layer": 1})
    with pytest.raises(InputError, match="mapping_kwargs has no option 'w_avg_beta'"):
        DISCRIMINATORS["stylegan2"](img_resolution=8, c_dim=2, mapping_kwargs={"w_avg_beta": 0.9})


def test_what_does_not_grow_takes_lod_0_only():
    for network in (Generator(), Discriminator()):
        network.set_lod(0)
        with pytest.raises(InputError, match=r"expected lod 0, got 1\.5"):
            network.set_lod(1.5)
