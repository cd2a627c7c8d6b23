"""docs/training.md: its numbers are those of the code, its options exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from openstylegan.cli.train_arguments import TrainArguments
from openstylegan.presets import PRESETS
from openstylegan.presets.stylegan2_ada import BASE_CONFIGS, SOURCES, BaseConfig, auto_config

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def rows(first_cell: str) -> dict[str, list[str]]:
    """The table whose head begins with `first_cell`, by first cell."""
    start = PAGE.index(f"| {first_cell} |")
    lines = PAGE[start : PAGE.index("\n\n", start)].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_the_automatic_configuration() -> None:
    table = rows("resolution | 1 GPU: batch, `gamma`, half-life")
    sizes = [row for row in table if row.isdigit()]
    assert sizes == ["64", "128", "256", "512", "1024"]
    for size in sizes:
        for gpus, cell in zip((1, 2, 4, 8), table[size], strict=True):
            base = auto_config(int(size), gpus)
            assert [float(n) for n in cell.split(",")] == pytest.approx([base.batch, base.gamma, base.ema_kimg])


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("made for so many GPUs", lambda base: base.ref_gpus),
        ("length, kimg", lambda base: base.kimg),
        ("batch", lambda base: base.batch),
        ("minibatch-std group", lambda base: base.mbstd),
        ("learning rate", lambda base: base.lrate),
        ("`gamma` of R1", lambda base: base.gamma),
        ("half-life of G_ema, kimg", lambda base: base.ema_kimg),
        ("mapping layers", lambda base: base.map_layers),
    ],
)
def test_the_fixed_configurations(row: str, value: object) -> None:
    head = PAGE[PAGE.index("| | auto") :].splitlines()[0]
    names = [cell.strip() for cell in head.strip("|").split("|")][1:]
    for name, cell in zip(names, rows(row)[row], strict=True):
        if name in BASE_CONFIGS:
            base: BaseConfig = BASE_CONFIGS[name]
            assert float(cell.replace(",", "")) == value(base)  # type: ignore[operator]


def test_options_and_configurations_that_are_named_exist() -> None:
    options = {f"--{f.name.replace('_', '-')}" for f in fields(TrainArguments)} | {"--set", "--dry-run"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", PAGE)) <= options
    assert set(re.findall(r"--cfg=([a-z0-9_-]+)", PAGE)) <= PRESETS.keys()
    assert [name for name in (*SOURCES, *PRESETS) if f"`{name}`" not in PAGE] == []
