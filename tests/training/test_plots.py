"""curve.png: drawn when matplotlib is there and there is something to draw."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from PIL import Image
from synthetic_run import write_run

from openstylegan.errors import InputError
from openstylegan.training.plots import curves_of, write_curves
from openstylegan.training.run_record import RunRecord


def test_the_curves_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import matplotlib

    before = dict(matplotlib.rcParams)
    folder = write_run(tmp_path / "$run$", num_ticks=20, num_grids=4)
    assert write_curves(folder) == folder / "curve.png"
    with Image.open(folder / "curve.png") as image:
        assert image.size[0] > image.size[1] > 500, "three metrics above three panels"
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    assert dict(matplotlib.rcParams) == before, "other figures of this process look as before"


def test_panels_without_anything_but_zeros_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", num_ticks=5, num_grids=1)
    panels = dict(curves_of(RunRecord(folder)))
    assert [label for label, _ in panels["Loss"]] == ["generator", "discriminator"]
    assert panels["Augmentation strength p"] == []


def test_one_tick_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert write_curves(write_run(tmp_path / "run", num_ticks=0, num_grids=1)) is not None


def test_nothing_to_draw_gives_no_file(tmp_path: Path) -> None:
    assert write_curves(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run", num_ticks=2, num_grids=1)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    assert write_curves(folder) is None and not (folder / "curve.png").exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run folder"):
        write_curves(tmp_path / "none")
