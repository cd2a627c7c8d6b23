"""The numbers of the StyleGAN3 presets, one by one, their names, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from openstylegan.config import BlurConfig, TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.stylegan3 import Options, check_values, describe, make_config

REQUIRED: dict[str, Any] = {"gpus": 8, "batch": 32, "gamma": 8.2}


def made(**options: Any) -> TrainConfig:
    return make_config(Options(**{**REQUIRED, **options}), "pictures.zip", 256)


WIDTHS = {
    # channel_base and channel_max of G, lr of G, mapping layers, style mixing, table of G
    "stylegan3-t": (32768, 512, 0.0025, 2, 0.0, "stylegan3"),
    "stylegan3-r": (65536, 1024, 0.0025, 2, 0.0, "stylegan3"),
    "stylegan2": (32768, 512, 0.002, 8, 0.9, "stylegan2"),
}


@pytest.mark.parametrize("cfg", WIDTHS)
def test_what_the_configurations_share(cfg: str) -> None:
    config = made(cfg=cfg)
    assert config.total_kimg == 25000
    assert config.schedule.options == {"batch_size": 32, "batch_gpu": 4}
    assert (config.ema.half_life_kimg, config.ema.rampup) == (10, 0.05)
    for player in (config.generator, config.discriminator):
        assert (player.beta1, player.beta2, player.eps) == (0.0, 0.99, 1e-8)
    assert config.discriminator.lr == 0.002
    assert config.discriminator.network.name == "stylegan2"
    assert config.discriminator.network.options == {
        "channel_base": 32768,
        "channel_max": 512,
        "num_fp16_res": 4,
        "conv_clamp": 256,
        "block_kwargs": {"freeze_layers": 0},
        "epilogue_kwargs": {"mbstd_group_size": 4},
    }
    dreg = config.phases[-1]
    assert (dreg.name, dreg.every, dreg.lazy) == ("Dreg", 16, True)
    assert dreg.terms[0].options == {"gamma": 8.2}


@pytest.mark.parametrize("cfg", WIDTHS)
def test_what_differs_between_the_configurations(cfg: str) -> None:
    config = made(cfg=cfg)
    options = config.generator.network.options
    widths = options.get("synthesis_kwargs", options)
    found = (
        widths["channel_base"],
        widths["channel_max"],
        config.generator.lr,
        options["mapping_kwargs"]["num_layers"],
        config.style_mixing_prob,
        config.generator.network.name,
    )
    assert found == WIDTHS[cfg]
    assert options["mapping_kwargs"]["w_avg_beta"] == 0.998
    assert (options["z_dim"], options["w_dim"]) == (512, 512)
    assert (widths["num_fp16_res"], widths["conv_clamp"]) == (4, 256)


def test_r_turns_with_one_by_one_convolutions_and_radial_filters() -> None:
    r, t = (made(cfg=cfg).generator.network.options for cfg in ("stylegan3-r", "stylegan3-t"))
    assert (r["conv_kernel"], r["use_radial_filters"]) == (1, True)
    assert "conv_kernel" not in t and "use_radial_filters" not in t


@pytest.mark.parametrize(("batch", "beta"), [(16, 0.9994456360), (32, 0.9988915793), (64, 0.9977843871)])
def test_the_magnitudes_follow_the_batch(batch: int, beta: float) -> None:
    for cfg in ("stylegan3-t", "stylegan3-r"):
        options = made(cfg=cfg, batch=batch, gpus=1).generator.network.options
        assert options["magnitude_ema_beta"] == pytest.approx(beta, abs=5e-11)
    assert "magnitude_ema_beta" not in made(cfg="stylegan2", batch=batch, gpus=1).generator.network.options


@pytest.mark.parametrize(("batch", "ema"), [(16, 5), (32, 10), (64, 20)])
def test_the_average_follows_the_batch(batch: int, ema: float) -> None:
    assert made(batch=batch, gpus=1).ema.half_life_kimg == ema


def test_only_stylegan2_regularizes_g() -> None:
    assert [(p.name, p.every, p.lazy) for p in made(cfg="stylegan2").phases] == [
        ("Gmain", 1, False),
        ("Greg", 4, True),
        ("Dmain", 1, False),
        ("Dreg", 16, True),
    ]
    assert made(cfg="stylegan2").phases[1].terms[0].options == {"weight": 2}
    for cfg in ("stylegan3-t", "stylegan3-r"):
        phases = made(cfg=cfg).phases
        assert [p.name for p in phases] == ["Gmain", "Dmain", "Dreg"]
        assert not any(p.lazy for p in phases if p.player == "G"), "G's learning rate and betas stay what they are"


@pytest.mark.parametrize("cfg", WIDTHS)
def test_running_statistics_follow_the_main_phase_of_d_only(cfg: str) -> None:
    assert [p.name for p in made(cfg=cfg).phases if p.updates_statistics] == ["Dmain"]


@pytest.mark.parametrize(("batch", "fade"), [(16, 100), (32, 200), (64, 400)])
def test_r_begins_blurred(batch: int, fade: float) -> None:
    assert made(cfg="stylegan3-r", batch=batch, gpus=1).blur == BlurConfig(10, fade)
    for cfg in ("stylegan3-t", "stylegan2"):
        assert made(cfg=cfg, batch=batch, gpus=1).blur == BlurConfig(0, 0)


def test_gamma_0_leaves_r1_out() -> None:
    dreg = made(gamma=0).phases[-1]
    assert dreg.terms == () and dreg.lazy and dreg.every == 16


def test_options_find_their_place() -> None:
    config = made(
        gpus=2, batch=16, batch_gpu=4, cbase=16384, cmax=256, glr=0.001, dlr=0.003, map_depth=5, mbstd_group=2,
        freezed=10, kimg=5000, cond=True, mirror=True, seed=7, workers=2,
    )  # fmt: skip
    g, d = config.generator, config.discriminator
    assert config.schedule.options == {"batch_size": 16, "batch_gpu": 4}
    assert (g.network.options["channel_base"], g.network.options["channel_max"], g.lr) == (16384, 256, 0.001)
    assert g.network.options["mapping_kwargs"]["num_layers"] == 5
    assert (d.network.options["channel_base"], d.network.options["channel_max"], d.lr) == (16384, 256, 0.003)
    assert d.network.options["block_kwargs"] == {"freeze_layers": 10}
    assert d.network.options["epilogue_kwargs"] == {"mbstd_group_size": 2}
    assert (config.total_kimg, config.seed, config.data.num_workers) == (5000, 7, 2)
    assert config.data.use_labels and config.data.xflip and config.data.max_size is None


def test_r_doubles_what_was_asked_for() -> None:
    config = made(cfg="stylegan3-r", cbase=16384)
    g, d = config.generator.network.options, config.discriminator.network.options
    assert (g["channel_base"], g["channel_max"]) == (32768, 1024)
    assert (d["channel_base"], d["channel_max"]) == (16384, 512)


def test_augmentation() -> None:
    assert made().augment.options == {"preset": "bgc", "target": 0.6, "kimg": 500}
    assert made(target=0.5).augment.options["target"] == 0.5
    assert made(aug="fixed").augment.options == {"preset": "bgc", "p": 0.2}
    assert made(aug="fixed", p=0.7).augment.options["p"] == 0.7
    assert made(aug="fixed", p=0.0).augment.name == made(aug="noaug").augment.name == "none"


def test_resuming_from_a_network() -> None:
    config = made(resume="a.pkl")
    assert config.transfer_from == "a.pkl" and config.init_from is None
    assert config.augment.options["kimg"] == 100
    assert config.ema.rampup is None
    assert made(cfg="stylegan3-r", resume="a.pkl").blur == BlurConfig(0, 0)


def test_init_from_leaves_the_recipe_alone() -> None:
    config = made(init_from="a.pkl")
    assert config.init_from == "a.pkl" and config.transfer_from is None
    assert (config.augment, config.ema) == (made().augment, made().ema)
    assert made(cfg="stylegan3-r", init_from="a.pkl").blur == BlurConfig(10, 200)


@pytest.mark.parametrize("cfg", WIDTHS)
def test_fp32_turns_clamping_off(cfg: str) -> None:
    config = made(cfg=cfg, fp32=True, precision="float16")
    g = config.generator.network.options
    for options in (g.get("synthesis_kwargs", g), config.discriminator.network.options):
        assert (options["num_fp16_res"], options["conv_clamp"]) == (0, None)
    assert config.precision == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 33}, "--batch: expected a multiple of 8"),
        ({"batch": 32, "gpus": 2, "batch_gpu": 3}, "divisible by gpus x batch-gpu = 2 x 3"),
        ({"batch": 16}, r"--batch-gpu: expected at least 4 \(--mbstd-group\), got 2"),
        ({"batch_gpu": 2}, "--mbstd-group"),
        ({"mbstd_group": 8}, "--mbstd-group"),
        ({"aug": "noaug", "p": 0.5}, "--p has no effect"),
        ({"aug": "fixed", "target": 0.5}, "--target has no effect"),
        ({"resume": "a.pkl", "init_from": "b.pkl"}, "--resume or --init-from"),
        ({"cfg": "stylegan3-s"}, "stylegan3-t"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        made(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpus", 0), ("batch", 0), ("batch_gpu", 0), ("gamma", -0.1), ("kimg", 0), ("p", 1.1), ("p", -0.1),
        ("target", 2), ("freezed", -1), ("cbase", 0), ("cmax", 0), ("glr", -1), ("dlr", -1), ("map_depth", 0),
        ("mbstd_group", 0), ("seed", -1), ("workers", 0), ("minutes", 0), ("gamma", float("nan")),
    ],
)  # fmt: skip
def test_values_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}: expected a number"):
        check_values(Options(**{**REQUIRED, name: value}))


@pytest.mark.parametrize("desc", ["../out", "two\nlines"])
def test_a_description_is_part_of_a_folders_name(desc: str) -> None:
    with pytest.raises(InputError, match="--desc: expected text"):
        made(desc=desc)


@pytest.mark.parametrize("name", ["batch", "gamma"])
def test_what_is_required(name: str) -> None:
    with pytest.raises(InputError, match=f"needs --{name}"):
        made(**{name: None})


def test_errors_come_in_the_original_order() -> None:
    """Three mistakes at once: the batch over processes, then over micro-batches, then the group."""
    mistakes: dict[str, Any] = {"gpus": 2, "batch": 9, "batch_gpu": 4, "mbstd_group": 8}
    for repaired, message in (({}, "multiple of 2"), ({"batch": 10}, "divisible"), ({"batch": 16}, "--mbstd-group")):
        with pytest.raises(InputError, match=message):
            made(**{**mistakes, **repaired})


def test_any_number_of_gpus_will_do() -> None:
    assert made(gpus=3, batch=12).schedule.options == {"batch_size": 12, "batch_gpu": 4}


def test_names_of_runs() -> None:
    options = Options(cfg="stylegan3-r", gpus=8, batch=32, gamma=32.8, mirror=True, cond=True, kimg=5000)
    assert describe(options, "data/afhqv2-512x512.zip", set()) == "stylegan3-r-afhqv2-512x512-gpus8-batch32-gamma32.8"
    assert describe(Options(**REQUIRED, desc="try2"), "cats", set()).endswith("gpus8-batch32-gamma8.2-try2")
