"""Configurations: there and back, overridden, and one line for what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import small_config

from openstylegan import config as configs
from openstylegan.config import Component, TrainConfig, with_overrides
from openstylegan.errors import InputError


def test_json_and_back(tmp_path: Path) -> None:
    config = small_config(Path("data.zip"), max_minutes=2.5)
    configs.save(tmp_path / "config.json", config)
    assert configs.load(TrainConfig, tmp_path / "config.json") == config


def test_dotted_overrides() -> None:
    config = small_config(Path("data.zip"))
    changed = with_overrides(
        config, {"ema.half_life_kimg": 7, "phases.3.terms.0.options.gamma": 5.0, "generator.network.options.new": 1}
    )
    assert changed.ema.half_life_kimg == 7
    assert changed.phases[3].terms[0].options == {"gamma": 5.0}
    assert changed.generator.network.options["new"] == 1
    assert config.ema.half_life_kimg != 7


def test_another_component_has_its_own_options() -> None:
    config = with_overrides(small_config(Path("data.zip")), {"schedule.options.ignored": 1})
    settings = {"schedule.options.batch_size": 6, "schedule.name": "other"}
    assert with_overrides(config, settings).schedule == Component("other", {"batch_size": 6})
    same = with_overrides(config, {"schedule.name": config.schedule.name})
    assert same == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ema.half_live_kimg", 1, "did you mean 'half_life_kimg'"),
        ("emma.half_life_kimg", 1, "did you mean 'ema'"),
        ("phases.9.every", 1, "below 4"),
        ("seed.x", 1, "plain value"),
        ("seed", "many", "wrong type"),
        ("nonfinite", "panic", "wrong type"),
        ("phases.0.player", "X", "wrong type"),
    ],
)
def test_what_does_not_fit_is_one_line(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        with_overrides(small_config(Path("data.zip")), {name: value})
    assert "\n" not in str(caught.value)


def test_a_missing_setting_is_named() -> None:
    data = configs.to_dict(small_config(Path("data.zip")))
    del data["schedule"]
    with pytest.raises(InputError, match="schedule"):
        configs.from_dict(TrainConfig, data)
