"""Pictures of average spectra: a heat map with contours, and slices of several spectra over each other."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from openstylegan.errors import InputError
from openstylegan.files import atomic_path
from openstylegan.sampling.spectra import Slice, Spectrum, decibels, slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = np.linspace(-40, 20, 13)
SLICE_RANGE = (-50.0, 30.0)


def check_matplotlib() -> None:
    """Raises `InputError` without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("expected the package matplotlib for drawing, found none; pip install openstylegan[plots]")


def new_figure(width: float, height: float, dpi: float) -> Figure:
    """A figure in inches, apart from matplotlib's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a PNG, all or nothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def draw_heatmap(
    spectrum: Spectrum, path: str | os.PathLike[str], title: str = "", smooth: float = 1.25, dpi: float = 100
) -> None:
    """A spectrum in decibels over both frequencies, in cycles per image width. Raises `InputError`."""
    check_matplotlib()
    db, half = decibels(spectrum, smooth), spectrum.image_size / 2
    frequency = np.linspace(-half, half, len(db))
    figure = new_figure(6, 4.8, dpi)
    axes = figure.add_subplot()
    filled = axes.contourf(frequency, frequency, db, LEVELS, extend="both", cmap="Blues")
    axes.contour(frequency, frequency, db, LEVELS, linewidths=1, colors="midnightblue", alpha=0.2, linestyles="solid")
    figure.colorbar(filled, ax=axes, ticks=LEVELS, label="dB")
    axes.set_aspect("equal")
    axes.set_xticks(np.linspace(-half, half, 5))
    axes.set_yticks(np.linspace(-half, half, 5))
    axes.set_title(title)
    write_figure(figure, path)


def draw_slices(
    spectra: Sequence[Spectrum],
    names: Sequence[str],
    path: str | os.PathLike[str],
    smooth: float = 0.0,
    dpi: float = 100,
) -> None:
    """The spectra along 0 and 45 degrees, one panel each. Raises `InputError`."""
    check_matplotlib()
    figure = new_figure(12, 4.6, dpi)
    panels = figure.subplots(1, 2)
    for panel, lines in zip(panels, zip(*(slices(s, smooth) for s in spectra), strict=True), strict=True):
        draw_panel(panel, lines, names)
    write_figure(figure, path)


def draw_panel(axes: Axes, lines: Sequence[Slice], names: Sequence[str]) -> None:
    """One panel: decibels against frequency."""
    end = float(lines[0].frequency[-1])
    for line, name in zip(lines, names, strict=True):
        axes.plot(line.frequency, line.db, label=name)
    ticks = np.linspace(0, end, 9)
    axes.set_xlim(0, end)
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axes.set_ylim(*SLICE_RANGE)
    axes.set_yticks(np.linspace(*SLICE_RANGE, 9))
    axes.set_title(lines[0].name)
    axes.set_xlabel("cycles per image width")
    axes.set_ylabel("dB")
    axes.grid(True)
    axes.legend(loc="upper right")
