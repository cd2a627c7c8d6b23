"""MSG-StyleGAN's configuration: its numbers, its defaults by the number of GPUs, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openstylegan.errors import InputError
from openstylegan.presets.msg_stylegan import PRESET


def made(**changes: Any) -> Any:
    return PRESET.make_config(replace(PRESET.options, **changes), "cats.zip", 256)


def test_the_numbers_of_the_program() -> None:
    config = made()
    assert [(p.name, [t.name for t in p.terms], p.every) for p in config.phases] == [
        ("Dmain", ["logistic_d", "scale_r1"], 1),
        ("Gmain", ["logistic_g"], 1),
    ]
    assert config.phases[0].terms[1].options == {"gamma": 10}
    for player in (config.generator, config.discriminator):
        assert (player.lr, player.beta1, player.beta2, player.eps) == (0.003, 0, 0.99, 1e-8)
        assert player.network.name == "msg_stylegan"
        assert player.network.options.items() >= {"channel_base": 16384, "channel_max": 512}.items()
    assert config.discriminator.network.options["mbstd_group_size"] == 4
    assert (config.total_kimg, config.style_mixing_prob, config.augment.name) == (25000, 0, "none")
    assert (config.ema.half_life_kimg, config.ema.rampup) == (10, None)
    assert config.output.grid == (15, 8)
    assert (config.output.kimg_per_tick, config.output.image_ticks, config.output.snapshot_ticks) == (10, 1, 10)


@pytest.mark.parametrize(("gpus", "batch"), [(1, 4), (2, 32), (4, 16), (8, 32)])
def test_the_batch_by_gpus(gpus: int, batch: int) -> None:
    assert made(gpus=gpus).schedule.options == {"batch_size": batch, "batch_gpu": batch // gpus}
    assert f"gpus{gpus}-batch{batch}" in PRESET.describe(replace(PRESET.options, gpus=gpus), "cats.zip", set())


def test_what_is_asked_for_is_what_is_made() -> None:
    config = made(gamma=3.0, cbase=512, cmax=16, mbstd_group=2, glr=0.1, dlr=0.2, batch=8, batch_gpu=2)
    assert config.phases[0].terms[1].options == {"gamma": 3}
    assert config.generator.network.options == {"channel_base": 512, "channel_max": 16}
    assert config.discriminator.network.options == {"channel_base": 512, "channel_max": 16, "mbstd_group_size": 2}
    assert (config.generator.lr, config.discriminator.lr) == (0.1, 0.2)
    assert config.schedule.options == {"batch_size": 8, "batch_gpu": 2}
    assert PRESET.describe(replace(PRESET.options, desc="x", gamma=0.5), "a/cats.zip", set()).endswith("gamma0.5-x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpus": 3}, "--batch: expected a number"),
        ({"batch": 6}, "--batch-gpu as a multiple of 4"),
        ({"gamma": -1.0}, "--gamma"),
        ({"glr": -1.0}, "--glr"),
        ({"cbase": 0}, "--cbase"),
        ({"mbstd_group": 0}, "--mbstd-group"),
        ({"resume": "a", "init_from": "b"}, "--resume or --init-from"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)
