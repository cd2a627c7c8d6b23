"""`curve.png`: losses, discriminator scores, augmentation and metrics of a run against kimg, drawn by matplotlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openstylegan.files import atomic_path
from openstylegan.training.run_record import Curve, RunRecord, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0b6fb8", "#d1580b", "#0a8f6c", "#a2478f")
PANELS = (
    ("Loss", (("Loss/G/loss", "generator"), ("Loss/D/loss", "discriminator"))),
    ("Discriminator scores (logits)", (("Loss/scores/real", "real"), ("Loss/scores/fake", "generated"))),
    ("Augmentation strength p", (("Progress/augment", ""),)),
)
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#9aa2ab",
    "axes.labelcolor": "#4a4f57",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "xtick.color": "#4a4f57",
    "ytick.color": "#4a4f57",
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "text.parse_math": False,
}


def write_curves(run_folder: Path) -> Path | None:
    """Writes `curve.png` into `run_folder` and returns its path; None without matplotlib or without a statistic.

    Raises `InputError` when there is no such folder.
    """
    record = RunRecord(run_folder)
    panels = [(title, lines) for title, lines in curves_of(record) if lines]
    if importlib.util.find_spec("matplotlib") is None or not (panels or record.scores):
        return None
    draw(run_folder / "curve.png", panels, record.scores)
    return run_folder / "curve.png"


def curves_of(record: RunRecord) -> list[tuple[str, list[tuple[str, Curve]]]]:
    """The panels of `PANELS` and their curves that hold something other than zeros."""
    found = []
    for title, lines in PANELS:
        curves = [(label, record.curve(name)) for name, label in lines]
        found.append((title, [(label, curve) for label, curve in curves if curve.value.any()]))
    return found


def draw(path: Path, panels: list[tuple[str, list[tuple[str, Curve]]]], scores: list[Score]) -> None:
    """Draws the metrics and the panels beside each other, three a row, without touching matplotlib's global state."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(scores) + len(panels)
    columns = min(count, 3)
    rows = -(-count // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * columns, 2.9 * rows), dpi=130, layout="constrained", facecolor="white")
        axes = [figure.add_subplot(rows, columns, n + 1) for n in range(count)]
        for axis, score in zip(axes, scores, strict=False):
            draw_score(axis, score)
        for axis, (title, lines) in zip(axes[len(scores) :], panels, strict=True):
            draw_lines(axis, title, lines)
        with atomic_path(path) as temporary:
            FigureCanvasAgg(figure).print_png(temporary)


def draw_score(axis: Axes, score: Score) -> None:
    """A metric with its best point marked and named."""
    kimg, value, best = score.curve.kimg, score.curve.value, score.best
    axis.plot(kimg, value, color=COLOURS[0], marker="o", markersize=3)
    axis.plot(kimg[best], value[best], "o", markersize=9, markerfacecolor="none", color=COLOURS[1])
    axis.set_title(f"{score.name}: best {value[best]:.4g} at {kimg[best]:g} kimg")
    if not score.higher_is_better:
        axis.set_ylim(bottom=0)
    axis.set_xlabel("kimg")


def draw_lines(axis: Axes, title: str, lines: list[tuple[str, Curve]]) -> None:
    """Statistics against kimg; single points are drawn as points."""
    for colour, (label, curve) in zip(COLOURS, lines, strict=False):
        axis.plot(curve.kimg, curve.value, color=colour, label=label, marker="o" if len(curve) == 1 else None)
    axis.set_title(title)
    axis.set_xlabel("kimg")
    if any(label for label, _ in lines):
        axis.legend()
