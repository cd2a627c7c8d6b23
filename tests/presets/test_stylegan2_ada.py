"""The numbers of the StyleGAN2-ADA presets, one by one, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from openstylegan.config import TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.stylegan2_ada import Options, describe, make_config


def made(resolution: int = 256, **options: Any) -> TrainConfig:
    return make_config(Options(**options), "pictures.zip", resolution)


def gamma(config: TrainConfig) -> float:
    return config.phases[3].terms[0].options["gamma"]


FIXED = {
    # kimg, batch, batch_gpu, mbstd, channel_base, lr, gamma, ema, ramp-up, mapping layers
    "stylegan2": (25000, 32, 4, 4, 32768, 0.002, 10, 10, None, 8),
    "paper256": (25000, 64, 8, 8, 16384, 0.0025, 1, 20, None, 8),
    "paper512": (25000, 64, 8, 8, 32768, 0.0025, 0.5, 20, None, 8),
    "paper1024": (25000, 32, 4, 4, 32768, 0.002, 2, 10, None, 8),
    "cifar": (100000, 64, 32, 32, 32768, 0.0025, 0.01, 500, 0.05, 2),
}


@pytest.mark.parametrize("cfg", FIXED)
def test_fixed_configurations(cfg: str) -> None:
    config = made(cfg=cfg)
    g, d = config.generator.network.options, config.discriminator.network.options
    found = (
        config.total_kimg,
        config.schedule.options["batch_size"],
        config.schedule.options["batch_gpu"],
        d["epilogue_kwargs"]["mbstd_group_size"],
        g["synthesis_kwargs"]["channel_base"],
        config.generator.lr,
        gamma(config),
        config.ema.half_life_kimg,
        config.ema.rampup,
        g["mapping_kwargs"]["num_layers"],
    )
    assert found == FIXED[cfg]
    assert (config.generator.beta1, config.generator.beta2, config.generator.eps) == (0.0, 0.99, 1e-8)
    assert config.discriminator.lr == config.generator.lr
    assert (d["channel_base"], d["channel_max"], d["num_fp16_res"], d["conv_clamp"]) == (found[4], 512, 4, 256)
    assert (g["z_dim"], g["w_dim"]) == (512, 512)


AUTO = {
    # (resolution, gpus): batch, gamma, ema
    (64, 1): (32, 0.0256, 10),
    (64, 2): (64, 0.0128, 20),
    (64, 4): (64, 0.0128, 20),
    (64, 8): (64, 0.0128, 20),
    (128, 1): (32, 0.1024, 10),
    (128, 2): (64, 0.0512, 20),
    (128, 4): (64, 0.0512, 20),
    (128, 8): (64, 0.0512, 20),
    (256, 1): (16, 0.8192, 5),
    (256, 2): (32, 0.4096, 10),
    (256, 4): (64, 0.2048, 20),
    (256, 8): (64, 0.2048, 20),
    (512, 1): (8, 6.5536, 2.5),
    (512, 2): (16, 3.2768, 5),
    (512, 4): (32, 1.6384, 10),
    (512, 8): (64, 0.8192, 20),
    (1024, 1): (4, 52.4288, 1.25),
    (1024, 2): (8, 26.2144, 2.5),
    (1024, 4): (16, 13.1072, 5),
    (1024, 8): (32, 6.5536, 10),
}


@pytest.mark.parametrize("case", AUTO)
def test_auto(case: tuple[int, int]) -> None:
    config = made(case[0], gpus=case[1])
    batch, expected_gamma, ema = AUTO[case]
    assert config.schedule.options == {"batch_size": batch, "batch_gpu": batch // case[1]}
    assert gamma(config) == pytest.approx(expected_gamma, rel=1e-12)
    assert config.ema.half_life_kimg == ema and config.ema.rampup == 0.05
    assert config.generator.lr == (0.002 if case[0] >= 1024 else 0.0025)
    widths = config.generator.network.options["synthesis_kwargs"]["channel_base"]
    assert widths == (32768 if case[0] >= 512 else 16384)
    assert config.generator.network.options["mapping_kwargs"] == {"num_layers": 2, "lr_multiplier": 0.01}
    mbstd = config.discriminator.network.options["epilogue_kwargs"]["mbstd_group_size"]
    assert mbstd == min(batch // case[1], 4)


@pytest.mark.parametrize(("gpus", "batch", "batch_gpu"), [(1, 64, 8), (2, 64, 8), (8, 64, 8)])
def test_fewer_gpus_than_a_configuration_was_made_for_accumulate(gpus: int, batch: int, batch_gpu: int) -> None:
    config = made(cfg="paper256", gpus=gpus)
    assert config.schedule.options == {"batch_size": batch, "batch_gpu": batch_gpu}


def test_more_gpus_than_that_are_refused() -> None:
    with pytest.raises(InputError, match="divisible by gpus x batch-gpu = 16 x 8"):
        made(cfg="paper256", gpus=16)


def test_a_batch_of_ones_own_is_a_batch_a_gpu() -> None:
    assert made(cfg="paper256", gpus=4, batch=32).schedule.options == {"batch_size": 32, "batch_gpu": 8}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ffhq256", "ffhq-res256-mirror-paper256-noaug.pkl"),
        ("ffhq512", "ffhq-res512-mirror-stylegan2-noaug.pkl"),
        ("ffhq1024", "ffhq-res1024-mirror-stylegan2-noaug.pkl"),
        ("celebahq256", "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl"),
        ("lsundog256", "lsundog-res256-paper256-kimg100000-noaug.pkl"),
    ],
)
def test_names_of_published_networks(name: str, file: str) -> None:
    base = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets/"
    config = made(resume=name)
    assert config.transfer_from == base + file
    assert config.ema.rampup is None and config.augment.options["kimg"] == 100
    assert describe(Options(cfg="paper256", resume=name), "cats", {"resume"}) == f"cats-paper256-resume{name}"
    assert made(init_from=name).init_from == base + file


def test_init_from_leaves_the_recipe_alone() -> None:
    config = made(init_from="a.pkl")
    assert (config.augment, config.ema) == (made().augment, made().ema)
    assert config.init_from == "a.pkl" and config.transfer_from is None


def test_learning_rates_and_widths_of_ones_own() -> None:
    config = made(glr=0.0, dlr=0.001, cbase=1024, cmax=32, freezed=4, nhwc=True)
    g, d = config.generator, config.discriminator
    assert (g.lr, d.lr) == (0.0, 0.001)
    assert g.network.options["synthesis_kwargs"]["channel_base"] == d.network.options["channel_base"] == 1024
    assert g.network.options["synthesis_kwargs"]["channel_max"] == d.network.options["channel_max"] == 32
    assert d.network.options["block_kwargs"] == {"freeze_layers": 4, "fp16_channels_last": True}
    assert g.network.options["synthesis_kwargs"]["fp16_channels_last"] is True


def test_pictures() -> None:
    data = made(cond=True, subset=100, mirror=True, seed=3, workers=2, label_source="folders").data
    assert (data.use_labels, data.max_size, data.xflip, data.subset_seed) == (True, 100, True, 3)
    assert (data.num_workers, data.label_source) == (2, "folders")


def test_cifar_has_no_path_length_no_mixing_and_an_orig_discriminator() -> None:
    config = made(32, cfg="cifar")
    assert config.phases[1].terms == () and config.phases[1].lazy
    assert config.style_mixing_prob == 0
    assert config.discriminator.network.options["architecture"] == "orig"
    assert made(cfg="stylegan2").style_mixing_prob == 0.9


def test_phases_are_lazy() -> None:
    phases = made().phases
    assert [(p.name, p.player, p.every, p.lazy) for p in phases] == [
        ("Gmain", "G", 1, False),
        ("Greg", "G", 4, True),
        ("Dmain", "D", 1, False),
        ("Dreg", "D", 16, True),
    ]
    assert phases[1].terms[0].options == {"weight": 2.0}


def test_augmentation() -> None:
    assert made().augment.options == {"preset": "bgc", "target": 0.6, "kimg": 500}
    assert made(resume="x").augment.options["kimg"] == 100
    assert made(aug="fixed", p=0.3, augpipe="bg").augment.options == {"preset": "bg", "p": 0.3}
    assert made(aug="fixed", p=0.0).augment.name == made(aug="noaug").augment.name == "none"
    assert made(target=0.0).augment.options["target"] == 0.0


def test_resuming_turns_the_ramp_up_off() -> None:
    assert made(cfg="cifar").ema.rampup == 0.05
    assert made(cfg="cifar", resume="x").ema.rampup is None


def test_fp32_turns_clamping_off() -> None:
    options = made(fp32=True).discriminator.network.options
    assert (options["num_fp16_res"], options["conv_clamp"]) == (0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 3}, "--gpus: expected a power of two, got 3"),
        ({"gpus": 0}, "--gpus: expected a power of two, got 0"),
        ({"subset": 0}, "--subset: expected a number from 1 on, got 0"),
        ({"gamma": -1}, "--gamma: expected a number from 0 on, got -1"),
        ({"kimg": 0}, "--kimg: expected a number above 0, got 0"),
        ({"minutes": 0}, "--minutes: expected a number above 0"),
        ({"batch": 0}, "--batch: expected a number from 1 on"),
        ({"batch": 6, "gpus": 4}, r"--batch: expected a multiple of 4 \(--gpus\), got 6"),
        ({"batch": 8, "batch_gpu": 3}, "divisible by gpus x batch-gpu = 1 x 3, got 8"),
        ({"batch_gpu": 0}, "--batch-gpu: expected a number from 1 on"),
        ({"aug": "ada", "p": 0.5}, "--p has no effect with --aug=ada"),
        ({"aug": "noaug", "p": 0.5}, "--p has no effect with --aug=noaug"),
        ({"aug": "fixed"}, "--aug=fixed: expected a strength, got none"),
        ({"aug": "fixed", "p": 1.5}, "--p: expected a number from 0 to 1, got 1.5"),
        ({"aug": "fixed", "p": -0.1}, "--p: expected a number from 0 to 1"),
        ({"aug": "fixed", "p": 0.5, "target": 0.5}, "--target has no effect with --aug=fixed"),
        ({"aug": "noaug", "target": 0.5}, "--target has no effect with --aug=noaug"),
        ({"target": 1.5}, "--target: expected a number from 0 to 1"),
        ({"aug": "noaug", "augpipe": "bg"}, "--augpipe has no effect with --aug=noaug"),
        ({"freezed": -1}, "--freezed: expected a number from 0 on"),
        ({"workers": 0}, "--workers: expected a number from 1 on"),
        ({"cbase": 0}, "--cbase: expected a number from 1 on"),
        ({"cmax": 0}, "--cmax: expected a number from 1 on"),
        ({"glr": -0.1}, "--glr: expected a number from 0 on"),
        ({"dlr": float("nan")}, "--dlr: expected a number from 0 on"),
        ({"cfg": "papr256"}, "did you mean 'paper256'"),
        ({"resume": "a", "init_from": "b"}, "--resume or --init-from"),
    ],
)
def test_options_out_of_range_or_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        made(**options)
    assert "\n" not in str(caught.value)


def test_errors_come_in_the_order_of_the_options() -> None:
    mistakes: dict[str, Any] = {"gpus": 3, "gamma": -1, "kimg": -1, "batch": 0, "p": 2, "freezed": -1, "workers": 0}
    for flag in ("gpus", "gamma", "kimg", "batch", "workers", "p", "freezed"):
        with pytest.raises(InputError, match=f"^--{flag}:"):
            made(**mistakes)
        del mistakes[flag]


def test_names_of_runs() -> None:
    options = Options(
        cond=True, subset=100, mirror=True, gamma=10.0, kimg=500, batch=16, target=0.7, augpipe="bg", freezed=2
    )
    name = describe(options, "data/cats.zip", {"aug"})
    assert name == "cats-cond-subset100-mirror-auto1-gamma10-kimg500-batch16-ada-target0.7-bg-freezed2"
    assert describe(Options(cfg="paper256"), "cats", {"resume"}) == "cats-paper256-noresume"
    assert describe(Options(cfg="cifar", resume="a.safetensors"), "cats", {"resume"}) == "cats-cifar-resumecustom"
    assert describe(Options(cfg="cifar", kimg=1e6), "cats/", {"freezed"}) == "cats-cifar-kimg1000000-freezed0"
    assert describe(Options(gpus=4, aug="fixed", p=0.25), "cats", {"aug"}) == "cats-auto4-fixed-p0.25"
