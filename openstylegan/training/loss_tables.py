"""`losses/`: a CSV for each loss of a run, under the names that plain rewritings of StyleGAN2 give them, and its plot.

The tables are made anew from `stats.jsonl`: so they are whole after a crash, and right after a run went back.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from openstylegan.files import write_text
from openstylegan.training.plots import draw
from openstylegan.training.run_record import Curve, RunRecord

FOLDER = "losses"
TABLES: Mapping[str, tuple[str, ...]] = {
    "d_adversarial_loss": ("Loss/D/loss",),
    "d_gp": ("Loss/gradient_penalty", "Loss/r1_penalty"),
    "g_adversarial_loss": ("Loss/G/loss",),
    "g_plr": ("Loss/pl_penalty",),
}
"""The name of a table, and the statistics of which the first that the run has is in it (penalties before weights)."""


def rows_of(record: RunRecord, name: str) -> np.ndarray:
    """step, kimg and mean of every tick that has a value of the statistic `name`, [ticks, 3]."""
    curve, steps = record.curve(name), record.curve("Progress/step")
    both = np.isin(steps.kimg, curve.kimg)
    return np.stack([steps.value[both], curve.kimg, curve.value], axis=1)


def table_text(rows: np.ndarray) -> str:
    """The rows as CSV, with a head."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "kimg", "value"])
    writer.writerows([int(step), f"{kimg:.10g}", f"{value:.9g}"] for step, kimg, value in rows)
    return text.getvalue()


def found_tables(record: RunRecord) -> dict[str, np.ndarray]:
    """The tables that the run has values for, by name."""
    found = {}
    for table, names in TABLES.items():
        name = next((name for name in names if len(record.curve(name))), None)
        if name is not None:
            found[table] = rows_of(record, name)
    return found


def write_loss_tables(run_folder: Path, plots: bool = False) -> list[Path]:
    """Writes `losses/<name>.csv`, and with `plots` (where matplotlib is installed) `losses/<name>.png`; the paths.

    Raises `InputError` when there is no such folder.
    """
    written = []
    drawn = plots and importlib.util.find_spec("matplotlib") is not None
    for table, rows in found_tables(RunRecord(run_folder)).items():
        path = run_folder / FOLDER / f"{table}.csv"
        path.parent.mkdir(exist_ok=True)
        write_text(path, table_text(rows))
        written.append(path)
        if drawn:
            curve = Curve(rows[:, 1], rows[:, 2], np.zeros(len(rows)))
            draw(path.with_suffix(".png"), [(table, [("", curve)])], [])
            written.append(path.with_suffix(".png"))
    return written
