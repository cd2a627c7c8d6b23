"""The dataset tool: any source of pictures to a ZIP or a folder of PNGs of one shape with a `dataset.json`.

A picture that cannot be used is skipped and told, with the file, the reason and what was done, in a report beside the
destination (`NAME.report.json`). The result depends on the source and the options only, not on the workers.

Differs from StyleGAN2-ADA (arXiv 2006.06676): any size and 1 to 4 channels; pictures unlike the first are skipped, not
fatal, unless they are the greater part; an existing destination is never overwritten.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from openstylegan.data.collect import LABELS_FROM_SOURCE, Collector, choose_labels
from openstylegan.data.progress import Advance, silent
from openstylegan.data.report import Report
from openstylegan.data.shapes import Shape
from openstylegan.data.sources import Source, open_source
from openstylegan.data.transform import ENCODERS, RESIZE_FILTERS, TRANSFORMS, Outcome, Recipe, crashed, prepare_record
from openstylegan.data.workers import ordered_map, processes
from openstylegan.data.writer import check_destination, open_writer
from openstylegan.errors import InputError
from openstylegan.files import write_json
from openstylegan.registry import lookup

MODES = ("keep", "L", "RGB", "RGBA")
MAX_SIDE = 1 << 16
ShowProgress = Callable[[str, int | None], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class PrepareOptions:
    """What to make of a source. `labels`: "source" (its own), "folders" (names as classes), "none", or a CSV file."""

    max_images: int | None = None
    resize_filter: str = "lanczos"
    transform: str = "none"
    width: int | None = None
    height: int | None = None
    mode: str = "keep"
    labels: str = LABELS_FROM_SOURCE
    encoder: str = "stored"
    workers: int = 1

    @property
    def recipe(self) -> Recipe:
        """What the workers need of it. Raises `InputError` when the options contradict each other."""
        lookup(TRANSFORMS, self.transform, "transform")
        lookup(RESIZE_FILTERS, self.resize_filter, "resize filter")
        lookup(ENCODERS, self.encoder, "encoder")
        lookup(dict.fromkeys(MODES), self.mode, "mode")
        for name, value in (("width", self.width), ("height", self.height), ("max-images", self.max_images)):
            if value is not None and not 1 <= value <= (MAX_SIDE if name != "max-images" else value):
                raise InputError(f"expected --{name} from 1 to {MAX_SIDE}, got {value}")
        if self.transform != "none" and (self.width is None or self.height is None):
            raise InputError(f"--transform {self.transform} needs --width and --height; give both")
        if self.transform == "center-crop-wide" and (self.height or 0) > (self.width or 0):
            raise InputError(f"center-crop-wide needs a height of at most the width, got {self.width} x {self.height}")
        return Recipe(self.transform, self.width, self.height, self.resize_filter, self.mode, self.encoder)


def outcomes(source: Source, options: PrepareOptions) -> Iterator[Outcome]:
    """The source's records prepared, in order."""
    work = functools.partial(prepare_record, recipe=options.recipe)
    records = itertools.islice(source.records, options.max_images)
    return ordered_map(work, records, options.workers, processes, crashed)


def no_progress(_: str, __: int | None) -> AbstractContextManager[Advance]:
    """Shows nothing."""
    return nullcontext(silent)


def prepare(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: PrepareOptions | None = None,
    show_progress: ShowProgress = no_progress,
) -> Report:
    """Reads the pictures at `source`, writes them to `dest`, a new ZIP (by its ending) or folder, and a report beside.

    With `workers` > 1 processes are spawned, so a script that calls this needs `if __name__ == "__main__":`.
    Raises `InputError` when there is nothing to read, nothing usable, or something at `dest` already.
    """
    options = options or PrepareOptions()
    recipe, target = options.recipe, Path(dest).expanduser()
    check_destination(target)
    label_of, without_label = choose_labels(options.labels)
    opened = open_source(source)
    described = {**dataclasses.asdict(recipe), "labels": options.labels, "max_images": options.max_images}
    report = Report(str(opened.path), opened.kind, str(target), described, other_files=opened.other_files)
    total = min(opened.count, options.max_images or opened.count) if opened.count is not None else options.max_images
    with open_writer(target) as write, show_progress(f"Preparing {opened.path.name}", total) as advance:
        collector = Collector(write, report, label_of, without_label, opened.classes)
        for outcome in outcomes(opened, options):
            collector.take(outcome)
            advance(1)
        collector.finish()
    report.warnings += size_warning(report.shape or (0, 0, 0))
    write_json(report.path, dataclasses.asdict(report))
    return report


def size_warning(shape: Shape) -> list[str]:
    """One line when no network can have this size, naming the nearest that one can."""
    from openstylegan.networks.resolution import is_possible, nearest_possible

    height, width = shape[1:]
    if is_possible(height, width):
        return []
    sizes = " or ".join(f"--width {w} --height {h}" for h, w in nearest_possible(height, width))
    return [f"{width} x {height} is no base of 4..7 pixels times a power of two, which networks need; consider {sizes}"]
