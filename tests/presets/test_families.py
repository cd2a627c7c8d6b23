"""The table of configurations: which family a name and the flags that were typed lead to, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from openstylegan.cli.train_arguments import TrainArguments
from openstylegan.errors import InputError
from openstylegan.presets import FAMILIES, PRESETS, UNIVERSAL_FLAGS, find_preset
from openstylegan.presets.base import number

ALL = [(cfg, preset) for cfg, presets in PRESETS.items() for preset in presets]
ids = [f"{cfg} of {preset.family}" for cfg, preset in ALL]
TYPED = {f.name for f in dataclasses.fields(TrainArguments)}
BESIDE = {"output"}
"""Options that are made of several flags."""


def test_every_flag_belongs_to_a_family_or_to_all() -> None:
    known = UNIVERSAL_FLAGS.union(*(preset.flags for _, preset in ALL))
    assert TYPED <= known


@pytest.mark.parametrize(("cfg", "preset"), ALL, ids=ids)
def test_every_option_of_a_family_can_be_typed(cfg: str, preset: object) -> None:
    assert preset.flags - BESIDE <= TYPED  # type: ignore[attr-defined]
    assert set(preset.required) <= preset.flags  # type: ignore[attr-defined]


@pytest.mark.parametrize(("cfg", "preset"), ALL, ids=ids)
def test_every_family_makes_a_configuration_and_a_name(cfg: str, preset: object) -> None:
    required = {"gpus": 1, "batch": 8, "gamma": 1.0}
    options = dataclasses.replace(
        preset.options,  # type: ignore[attr-defined]
        cfg=cfg,
        **{name: required[name] for name in preset.required},  # type: ignore[attr-defined]
    )
    config = preset.make_config(options, "cats.zip", 32)  # type: ignore[attr-defined]
    assert config.preset == cfg
    assert "cats" in preset.describe(options, "cats.zip", set())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("flags", "family"),
    [
        ("", "stylegan2-ada"),
        ("gpus gamma mirror", "stylegan2-ada"),
        ("gpus batch gamma", "stylegan3"),
        ("gpus batch gamma map_depth mbstd_group desc tick", "stylegan3"),
        ("gpus batch gamma subset", "stylegan2-ada"),
        ("gpus batch gamma augpipe cond", "stylegan2-ada"),
    ],
)
def test_stylegan2_of_two_families(flags: str, family: str) -> None:
    assert find_preset("stylegan2", {"cfg", "data", *flags.split()}).family == family


def test_the_family_can_be_said() -> None:
    flags = {"gpus", "batch", "gamma"}
    assert find_preset("stylegan2", flags, "stylegan2-ada").family == "stylegan2-ada"
    with pytest.raises(InputError, match="needs --gpus, --batch, --gamma"):
        find_preset("stylegan2", set(), "stylegan3")
    with pytest.raises(InputError, match="no configuration 'paper256'.*stylegan3-t"):
        find_preset("paper256", flags, "stylegan3")
    with pytest.raises(InputError, match=f"expected one of {', '.join(FAMILIES)}"):
        find_preset("paper256", flags, "stylegan4")


@pytest.mark.parametrize(
    ("cfg", "flag", "message"),
    [
        ("auto", "map_depth", r"--map-depth is not an option of --cfg=auto of stylegan2-ada;.*--cfg=stylegan3-t"),
        ("stylegan3-t", "augpipe", r"--augpipe is not an option of --cfg=stylegan3-t of stylegan3;.*--cfg=auto"),
        ("stylegan3-t", "subset", "--subset is not an option"),
        ("stylegan3-t", "nhwc", "--nhwc is not an option"),
        ("stylegan3-t", "allow_tf32", "--allow-tf32 is not an option"),
        ("stylegan2", "map_depth", "--map-depth is not an option.*has it: --family=stylegan3$"),
    ],
)
def test_a_flag_of_another_family_is_named(cfg: str, flag: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        find_preset(cfg, {"cfg", flag})
    assert "\n" not in str(caught.value)


def test_unknown_configurations_name_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'stylegan3-t'"):
        find_preset("stylegan3t", set())


def test_numbers_in_names() -> None:
    assert [number(v) for v in (25000, 1e6, 0.16, 100000.0)] == ["25000", "1000000", "0.16", "100000"]
