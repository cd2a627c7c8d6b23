from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from openstylegan.augment.options import AUGMENT_PRESETS, COLOR, GEOMETRIC, PipeOptions, pipe_options
from openstylegan.errors import InputError

STRENGTHS = (*GEOMETRIC, *COLOR, "imgfilter", "noise", "cutout")


def test_fifteen_transforms_off_by_default():
    assert len(STRENGTHS) == 15
    assert all(getattr(PipeOptions(), name) == 0 for name in STRENGTHS)


@pytest.mark.parametrize(
    ("preset", "on"),
    [
        ("blit", "xflip rotate90 xint"),
        ("geom", "scale rotate aniso xfrac"),
        ("color", "brightness contrast lumaflip hue saturation"),
        ("filter", "imgfilter"),
        ("noise", "noise"),
        ("cutout", "cutout"),
        ("bg", "xflip rotate90 xint scale rotate aniso xfrac"),
        ("bgc", "xflip rotate90 xint scale rotate aniso xfrac brightness contrast lumaflip hue saturation"),
    ],
)
def test_what_a_preset_switches_on(preset: str, on: str):
    options = pipe_options(preset)
    assert {name for name in STRENGTHS if getattr(options, name) == 1} == set(on.split())
    assert {name for name in STRENGTHS if getattr(options, name)} == set(on.split())


def test_presets_add_up():
    for small, large, added in (
        ("bgc", "bgcf", "imgfilter"),
        ("bgcf", "bgcfn", "noise"),
        ("bgcfn", "bgcfnc", "cutout"),
    ):
        assert {**AUGMENT_PRESETS[small], added: 1} == AUGMENT_PRESETS[large]


def test_single_options_replace_the_presets():
    options = pipe_options("bgc", xflip=0, xint_max=0.25, noise=0.5)
    assert (options.xflip, options.rotate90, options.xint_max, options.noise) == (0, 1, 0.25, 0.5)


def test_stages_run_only_where_something_is_on():
    assert not PipeOptions().moves_pixels
    assert not PipeOptions().changes_color
    assert PipeOptions(xfrac=0.1).moves_pixels
    assert PipeOptions(hue=0.1).changes_color


@pytest.mark.parametrize("name", [f.name for f in fields(PipeOptions) if f.name != "imgfilter_bands"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_what_is_not_a_strength(name: str, value: Any):
    with pytest.raises(InputError, match=f"expected {name} as a number >= 0"):
        PipeOptions(**{name: value})


@pytest.mark.parametrize("bands", [(1, 1, 1), 1, "1111", (1, 1, 1, -1)])
def test_what_are_not_bands(bands: Any):
    with pytest.raises(InputError, match="imgfilter_bands"):
        PipeOptions(imgfilter_bands=bands)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="did you mean 'xflip'"):
        pipe_options(xflop=1)
    with pytest.raises(InputError, match="did you mean 'bgc'"):
        pipe_options("bgcx")
