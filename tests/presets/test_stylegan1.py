"""StyleGAN1's configuration: the numbers of the program it is from, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from openstylegan.config import TrainConfig
from openstylegan.errors import InputError
from openstylegan.presets.stylegan1 import SIZES, Options, describe, images_in, make_config
from openstylegan.registry import build
from openstylegan.training.schedule import SCHEDULES


def config(resolution: int = 1024, **options: Any) -> TrainConfig:
    return make_config(dataclasses.replace(Options(), **options), "ffhq.zip", resolution)


def table(made: TrainConfig) -> dict[int, tuple[int, float]]:
    """Batch and learning rate by size, of a run on 1024 px."""
    levels = made.schedule.options["levels"]
    return {1024 >> own["lod"]: (own["batch_size"], round(own["lr_scale"] * made.generator.lr, 6)) for own in levels}


def test_the_schedule_by_size() -> None:
    batches = (512, 256, 128, 64, 32, 32, 32, 32, 32)
    rates = (0.001, 0.001, 0.001, 0.001, 0.001, 0.0015, 0.002, 0.003, 0.003)
    assert table(config(sched=True, init_size=4)) == dict(zip(SIZES, zip(batches, rates, strict=True), strict=True))
    assert table(config()) == dict.fromkeys(SIZES[1:], (32, 0.001))
    assert table(config(batch=16, max_size=16)) == {8: (16, 0.001), 16: (16, 0.001)}


def test_the_length_is_three_million_steps() -> None:
    assert config().total_kimg == 96_000
    made = config(sched=True)
    schedule = build(SCHEDULES, made.schedule.name, made.schedule.options, "schedule")
    seen = steps = 0
    for stage in schedule.stages[:-1]:
        seen, steps = seen + schedule.length(stage), steps + schedule.length(stage) // stage.batch_size
    assert made.total_kimg * 1000 == seen + (3_000_000 - steps) * 32
    assert images_in(3, [{"batch_size": 8}, {"batch_size": 4}], 8) == 24
    assert images_in(5, [{"batch_size": 8}, {"batch_size": 4}], 8) == 3 * 8 + 2 * 4


def test_losses_rates_and_averages() -> None:
    wgan, r1 = config(), config(loss="r1", mixing=True)
    terms = {c.phases[0].terms[0].name: [(t.name, t.options) for p in c.phases for t in p.terms] for c in (wgan, r1)}
    assert terms["wasserstein_d"] == [
        ("wasserstein_d", {}), ("gradient_penalty", {"weight": 10.0}), ("wasserstein_g", {})
    ]  # fmt: skip
    assert terms["logistic_d"] == [("logistic_d", {}), ("r1", {"gamma": 10.0}), ("logistic_g", {})]
    assert (wgan.style_mixing_prob, r1.style_mixing_prob) == (0.0, 0.9)
    assert wgan.ema.beta == 0.999 and wgan.data.xflip
    assert wgan.generator.lr_factors == {"style.": 0.01}
    assert (wgan.generator.beta1, wgan.generator.beta2, wgan.generator.eps) == (0.0, 0.99, 1e-8)
    assert wgan.discriminator.network.options["from_rgb_activate"]
    assert not config(no_from_rgb_activate=True).discriminator.network.options["from_rgb_activate"]


def test_a_start_from_a_checkpoint_fades_its_first_size() -> None:
    made = config(init_size=64, max_size=256, ckpt="train_step-4.model")
    assert made.schedule.options["fade_first"] and made.init_from == "train_step-4.model"
    assert list(table(made)) == [64, 128, 256]
    assert not config().schedule.options["fade_first"]


def test_micro_batches_of_several_processes() -> None:
    levels = config(sched=True, gpus=4, batch_gpu=16).schedule.options["levels"]
    assert [(own["batch_size"], own["batch_gpu"]) for own in levels[:4]] == [(256, 16), (128, 16), (64, 16), (32, 8)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_size": 12}, "--init-size: expected one of 4, 8"),
        ({"init_size": 64, "max_size": 32}, r"--init-size <= --max-size <= 1024 \(the pictures\), got 64 and 32"),
        ({"sched": True, "batch": 32}, "--batch has no effect with --sched"),
        ({"gamma": 1.0}, "--gamma has no effect with --loss=wgan-gp"),
        ({"ckpt": "a", "init_from": "b"}, "--ckpt or --init-from"),
        ({"precision": "bfloat16"}, "--precision: expected float32 or float64"),
        ({"phase": 0}, "--phase: expected a number from 1"),
        ({"gpus": 3}, "--batch: expected a multiple of 3"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(**options)


def test_pictures_must_be_of_a_power_of_two() -> None:
    with pytest.raises(InputError, match="a power of two, got 48"):
        config(48)


def test_the_name_of_a_run() -> None:
    options = Options(sched=True, mixing=True, loss="r1", desc="x")
    assert describe(options, "ffhq.zip", set()) == "stylegan1-ffhq-r1-sched-mixing-x"
