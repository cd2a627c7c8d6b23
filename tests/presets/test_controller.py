"""--bmc of every configuration: which phase gets the controller, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from openstylegan.config import Component, TrainConfig
from openstylegan.errors import InputError
from openstylegan.losses import LOSS_TERMS
from openstylegan.presets import PRESETS
from openstylegan.registry import build

ALL = [(cfg, preset) for cfg, presets in PRESETS.items() for preset in presets]
REQUIRED = {"gpus": 1, "batch": 8, "gamma": 1.0}


def config_of(cfg: str, preset: object, **options: object) -> TrainConfig:
    required = {name: REQUIRED[name] for name in preset.required}  # type: ignore[attr-defined]
    made = dataclasses.replace(preset.options, cfg=cfg, **required, **options)  # type: ignore[attr-defined]
    return preset.make_config(made, "cats.zip", 32)  # type: ignore[attr-defined]


def controllers(config: TrainConfig) -> dict[str, Component]:
    """The controllers of a configuration, by player, and that they stand beside another loss."""
    found: dict[str, Component] = {}
    for phase in config.phases:
        for term in phase.terms:
            if term.name.startswith("bmc_"):
                assert phase.player not in found and not phase.lazy and len(phase.terms) > 1
                assert term.name == f"bmc_{phase.player.lower()}"
                found[phase.player] = term
    return found


@pytest.mark.parametrize(("cfg", "preset"), ALL, ids=[f"{cfg} of {preset.family}" for cfg, preset in ALL])
def test_every_configuration_can_be_controlled(cfg: str, preset: object) -> None:
    plain = config_of(cfg, preset)
    assert controllers(plain) == {}
    assert config_of(cfg, preset, bmc="none") == plain
    assert controllers(config_of(cfg, preset, bmc="g")) == {"G": Component("bmc_g")}
    assert controllers(config_of(cfg, preset, bmc="d")) == {"D": Component("bmc_d")}
    options = {"rho1": 0.2, "rho2": 0.3, "beta": 1.0, "mean": -0.1, "std": 0.5, "noise": "image"}
    both = controllers(config_of(cfg, preset, bmc="both", **{f"bmc_{k}": v for k, v in options.items()}))
    assert both == {"G": Component("bmc_g", options), "D": Component("bmc_d", options)}
    for term in both.values():
        built = build(LOSS_TERMS, term.name, term.options, "loss term")
        law = built.law  # type: ignore[attr-defined]
        assert (law.rho1, law.rho2, law.beta, built.mean, built.std) == (0.2, 0.3, 1.0, -0.1, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bmc_rho1": 0.1}, "--bmc-rho1 has no effect with --bmc=none"),
        ({"bmc": "g", "bmc_rho2": -1.0}, "--bmc-rho2: expected a number from 0"),
        ({"bmc": "g", "bmc_beta": 0.5}, "--bmc-beta: expected a number from 1"),
        ({"bmc": "d", "bmc_std": -0.5}, "--bmc-std: expected a number from 0"),
        ({"bmc": "d", "bmc_rho1": 0.0, "bmc_rho2": 0.0}, "--bmc has no effect"),
        ({"bmc": "d", "bmc_std": 0.0}, "--bmc has no effect"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_of("auto", PRESETS["auto"][0], **options)
