"""The plain StyleGAN2's configuration: what its options become, its widths, its lengths, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from openstylegan.config import SampleConfig, TrainConfig
from openstylegan.errors import InputError
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.presets.plain import PRESET


def made(resolution: int = 64, **changes: Any) -> TrainConfig:
    return PRESET.make_config(replace(PRESET.options, **changes), "cats", resolution)


def phases(**changes: Any) -> list[tuple[str, list[str], int, bool]]:
    return [(p.name, [t.name for t in p.terms], p.every, p.lazy) for p in made(**changes).phases]


def test_the_vanilla_loss_is_that_of_the_paper() -> None:
    assert phases() == [
        ("Gmain", ["logistic_g"], 1, False),
        ("Greg", ["path_length"], 4, True),
        ("Dmain", ["logistic_d"], 1, False),
        ("Dreg", ["r1"], 16, True),
    ]
    assert made(gamma=3.0).phases[3].terms[0].options == {"gamma": 3}
    assert made(plr_weight=5.0).phases[1].terms[0].options == {"weight": 5}


def test_the_wasserstein_loss_has_its_penalty_in_every_step() -> None:
    assert phases(loss="wasserstein", plr_weight=0.0) == [
        ("Gmain", ["wasserstein_g"], 1, False),
        ("Dmain", ["wasserstein_d", "gradient_penalty"], 1, False),
    ]
    critic = made(loss="wasserstein", gp_weight=7.0).phases[-1]
    assert [t.options for t in critic.terms] == [{"drift": 0}, {"weight": 7}]
    assert phases(loss="wasserstein", gp_every=4)[-1] == ("Dreg", ["gradient_penalty"], 4, True)
    assert phases(gamma=0.0)[-1] == ("Dmain", ["logistic_d"], 1, False)


def test_the_generator_moves_in_every_so_manyth_step() -> None:
    assert [(name, every) for name, _, every, _ in phases(d_steps=5)] == [
        ("Gmain", 5), ("Greg", 20), ("Dmain", 1), ("Dreg", 16)
    ]  # fmt: skip
    config = made(d_steps=5, steps=1000, batch=8, ema_start=10, ema_beta=0.9)
    assert config.total_kimg == 40
    assert config.ema.start_kimg == pytest.approx(0.4)
    assert config.ema.beta is not None and config.ema.beta**5 == pytest.approx(0.9)


def test_widths_follow_the_capacity() -> None:
    """G: min(max, capacity 2^(log2(res) - k + 1)) at 2^k px, D: min(max, capacity 2^(k - 1))."""
    config = made(64, capacity=4, cmax=48, latent_dim=8, map_depth=2)
    G = GENERATORS[config.generator.network.name](img_resolution=64, **config.generator.network.options)
    D = DISCRIMINATORS[config.discriminator.network.name](0, 64, 3, **config.discriminator.network.options)
    assert G.synthesis.b4.const.shape[0] == 48
    for k in range(2, 7):
        assert getattr(G.synthesis, f"b{2**k}").conv1.weight.shape[0] == min(48, 4 * 2 ** (6 - k + 1))
    for k in range(3, 7):
        assert getattr(D, f"b{2**k}").conv0.weight.shape[1] == min(48, 4 * 2 ** (k - 1))
    assert D.b4.fc.weight.shape[0] == 8
    assert len(G.mapping.w_avg) == 8 and G.mapping.num_layers == 2


def test_the_mirrored_discriminator_has_the_generators_widths() -> None:
    config = made(64, capacity=4, cmax=48, d_widths="mirrored")
    D = DISCRIMINATORS[config.discriminator.network.name](0, 64, 3, **config.discriminator.network.options)
    assert [getattr(D, f"b{r}").conv0.weight.shape[0] for r in (64, 32, 16, 8)] == [8, 16, 32, 48]


@pytest.mark.parametrize("cfg", [{"tanh": True}, {}])
def test_tanh_keeps_pictures_within_their_range(cfg: dict[str, Any]) -> None:
    config = made(8, capacity=2, latent_dim=8, map_depth=2, **cfg)
    torch.manual_seed(0)
    G = GENERATORS[config.generator.network.name](img_resolution=8, **config.generator.network.options).eval()
    with torch.no_grad():
        G.synthesis.b8.torgb.bias.fill_(3.0)
        largest = float(G(torch.randn(4, 8), noise_mode="const").max())
    assert (largest < 1) == bool(cfg)


def test_options_of_shape_reach_the_networks() -> None:
    config = made(fir="1,2,1", mbstd_group=8, mbstd_channels=2, map_lr=0.1, channels=1, w_mean="samples")
    G, D = config.generator.network.options, config.discriminator.network.options
    assert G["synthesis_kwargs"]["resample_filter"] == D["block_kwargs"]["resample_filter"] == [1, 2, 1]
    assert D["epilogue_kwargs"] == {"mbstd_group_size": 8, "mbstd_num_channels": 2}
    assert G["mapping_kwargs"] == {"num_layers": 8, "lr_multiplier": 0.1, "w_avg_beta": None}
    assert (config.data.channels, config.data.resize) == (1, "nearest")
    assert made(precision="bfloat16").discriminator.network.options["num_fp16_res"] == 4


def test_outputs() -> None:
    output = made().output
    assert output.samples == SampleConfig((1.0,), (0.0,), None)
    assert output.loss_tables
    output = made(
        sample_psi="1,0.7", sample_mixing="0,0.9", w_mean="samples", sample_every=200, save_every=300, batch=8
    ).output
    assert output.samples == SampleConfig((1.0, 0.7), (0.0, 0.9), 20_000)
    assert (output.kimg_per_tick, output.image_ticks) == (0.8, 2)
    assert output.snapshot_ticks == output.checkpoint_ticks == 3


def test_the_name_of_a_run() -> None:
    options = replace(PRESET.options, loss="wasserstein", d_steps=5, desc="x")
    assert PRESET.describe(options, "pictures/cats", set()) == "plain-cats-wasserstein-capacity16-dsteps5-x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "r1"}, "--loss: expected vanilla or wasserstein"),
        ({"steps": 10, "kimg": 1.0}, "--steps or --kimg"),
        ({"gp_weight": 1.0}, "--gp-weight has no effect"),
        ({"loss": "wasserstein", "gamma": 1.0}, "--gamma has no effect"),
        ({"gamma": 0.0, "gp_every": 2}, "--gp-every has no effect"),
        ({"mbstd_channels": 0, "mbstd_group": 2}, "--mbstd-group has no effect"),
        ({"w_samples": 10}, "--w-samples has no effect"),
        ({"w_samples": 10, "w_mean": "samples"}, "--w-samples has no effect"),
        ({"d_steps": 0}, "--d-steps"),
        ({"capacity": 0}, "--capacity"),
        ({"ema_beta": 1.5}, "--ema-beta"),
        ({"mixing_prob": -0.1}, "--mixing-prob"),
        ({"sample_mixing": "0,2"}, "--sample-mixing"),
        ({"sample_psi": "a"}, "--sample-psi: expected numbers"),
        ({"sample_psi": "nan"}, "--sample-psi: expected finite"),
        ({"fir": "1,-1"}, "--fir"),
        ({"resize": "big"}, "--resize"),
        ({"resize": "4"}, "--resize"),
        ({"batch": 6}, "--batch-gpu as a multiple of 4"),
        ({"resume": "a", "init_from": "b"}, "--resume or --init-from"),
        ({"sample_every": 5, "output": replace(PRESET.options.output, kimg_per_tick=1)}, "--tick or --sample-every"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)
