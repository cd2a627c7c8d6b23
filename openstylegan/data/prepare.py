"""The dataset tool: any source of pictures to a ZIP, a folder or an LMDB of PNGs of one shape with a `dataset.json`.

A picture that cannot be used is skipped and told, with the file, the reason and what was done, in a report beside the
destination (`NAME.report.json`). The result depends on the source and the options only, not on the workers. An LMDB may
hold several sizes; each is made of the original picture and equal to what a ZIP of that width and height holds.

Differs from StyleGAN2-ADA (arXiv 2006.06676): any size and 1 to 4 channels; pictures unlike the first are skipped, not
fatal, unless they are the greater part; an existing destination is never overwritten.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from openstylegan.data.collect import LABELS_FROM_SOURCE, Collector, Labelling, choose_labels
from openstylegan.data.lmdb_storage import Size, parse_size
from openstylegan.data.lmdb_writer import LmdbWriter
from openstylegan.data.progress import Advance, silent
from openstylegan.data.report import Report
from openstylegan.data.resample import RESIZE_FILTERS, compile_resampler
from openstylegan.data.shapes import Shape
from openstylegan.data.sources import Source, open_source
from openstylegan.data.transform import ENCODERS, TRANSFORMS, Outcome, Recipe, crashed, prepare_record
from openstylegan.data.workers import ordered_map, processes
from openstylegan.data.writer import check_destination, open_writer
from openstylegan.errors import InputError
from openstylegan.files import write_json
from openstylegan.registry import lookup

MODES = ("keep", "L", "RGB", "RGBA")
FORMATS = ("auto", "zip", "folder", "lmdb")
MAX_SIDE = 1 << 16
COMPILE_FROM = 500
"""From so many pictures on, compiling the resampler takes less time than it saves."""
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
    format: str = "auto"
    sizes: tuple[Size, ...] = ()

    @property
    def recipes(self) -> list[Recipe]:
        """What to make of a picture: the one recipe, or one a size, smallest first. Raises `InputError`."""
        if not self.sizes:
            return [self.recipe]
        if self.width is not None or self.height is not None:
            raise InputError("--width and --height have no effect beside --sizes; leave them out")
        ordered = sorted(self.sizes, key=lambda size: size.width * size.height)
        recipes = [dataclasses.replace(self, sizes=(), width=s.width, height=s.height).recipe for s in ordered]
        made = [size_made(recipe) for recipe in recipes]
        if len(set(made)) < len(made):
            raise InputError(f"expected every size once, got {', '.join(map(str, made))}")
        return recipes

    def format_for(self, dest: Path) -> str:
        """What is written to `dest`: zip, folder or lmdb. Raises `InputError` where options contradict it."""
        lookup(dict.fromkeys(FORMATS), self.format, "format")
        ending = dest.suffix.lower().lstrip(".")
        by_name = ending if ending in ("zip", "lmdb") else "folder"
        wanted = by_name if self.format == "auto" else self.format
        if (wanted == "zip") != (by_name == "zip"):
            raise InputError(
                f"expected --dest to end in .zip for a ZIP and only then, got {dest} for --format {wanted}"
            )
        if wanted == "lmdb" and not self.sizes:
            raise InputError("an LMDB needs --sizes, such as --sizes 8,16,32,64,128; give them")
        if wanted != "lmdb" and self.sizes:
            raise InputError(f"--sizes needs --format lmdb, got {wanted}; give --width and --height for one size")
        return wanted

    @property
    def recipe(self) -> Recipe:
        """What the workers need of it. Raises `InputError` when the options contradict each other."""
        lookup(TRANSFORMS, self.transform, "transform")
        lookup(RESIZE_FILTERS, self.resize_filter, "resize filter")
        lookup(ENCODERS, self.encoder, "encoder")
        lookup(dict.fromkeys(MODES), self.mode, "mode")
        for name, value in (("width", self.width), ("height", self.height)):
            if value is not None and not 1 <= value <= MAX_SIDE:
                raise InputError(f"expected --{name} from 1 to {MAX_SIDE}, got {value}")
        if self.max_images is not None and self.max_images < 1:
            raise InputError(f"expected --max-images from 1 on, got {self.max_images}")
        if self.transform != "none" and (self.width is None or self.height is None):
            raise InputError(f"--transform {self.transform} needs --width and --height; give both")
        if self.transform == "center-crop-wide" and (self.height or 0) > (self.width or 0):
            raise InputError(f"center-crop-wide needs a height of at most the width, got {self.width} x {self.height}")
        return Recipe(self.transform, self.width, self.height, self.resize_filter, self.mode, self.encoder)


def size_made(recipe: Recipe) -> Size:
    """The size of the pictures that a recipe makes, which has both sides."""
    width, height = recipe.size
    return Size(width, width if recipe.transform == "center-crop-wide" else height)


def outcomes(source: Source, options: PrepareOptions, known: Iterable[Outcome] = ()) -> Iterator[tuple[Outcome, bool]]:
    """The source's records prepared, in order, and whether they were known: prepared before, by an earlier run.

    Raises `InputError` when the source is not what it was then.
    """
    records = itertools.islice(source.records, options.max_images)
    for outcome in known:
        record = next(records, None)
        if record is None or (record.index, record.name) != (outcome.index, outcome.name):
            found = "nothing" if record is None else record.name
            raise InputError(f"expected {outcome.name} in {source.path} as before, got {found}; delete what was begun")
        yield outcome, True
    many = source.count is None or source.count >= COMPILE_FROM
    resampler = compile_resampler() if many else ""
    work = functools.partial(prepare_record, recipes=options.recipes, resampler=resampler)
    for outcome in ordered_map(work, records, options.workers, processes, crashed):
        yield outcome, False


def no_progress(_: str, __: int | None) -> AbstractContextManager[Advance]:
    """Shows nothing."""
    return nullcontext(silent)


def prepare(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: PrepareOptions | None = None,
    show_progress: ShowProgress = no_progress,
) -> Report:
    """Reads the pictures at `source`, writes them to `dest`, a new ZIP, folder or LMDB, and a report beside.

    What `dest` becomes is in `options.format`, or told by its ending.
    With `workers` > 1 processes are spawned, so a script that calls this needs `if __name__ == "__main__":`.
    Raises `InputError` when there is nothing to read, nothing usable, or something at `dest` already.
    """
    options = options or PrepareOptions()
    recipes, target = options.recipes, Path(dest).expanduser()
    kind = options.format_for(target)
    check_destination(target)
    labelling = choose_labels(options.labels)
    opened = open_source(source)
    described = {**dataclasses.asdict(recipes[-1]), "labels": options.labels, "max_images": options.max_images}
    report = Report(str(opened.path), opened.kind, str(target), described, other_files=opened.other_files)
    report.sizes = [str(size_made(recipe)) for recipe in recipes if options.sizes]
    total = min(opened.count, options.max_images or opened.count) if opened.count is not None else options.max_images
    with show_progress(f"Preparing {opened.path.name}", total) as advance:
        if kind == "lmdb":
            fill_lmdb(target, opened, options, (report, labelling), advance)
        else:
            with open_writer(target) as write:
                collector = Collector(write, report, labelling, opened.classes)
                for outcome, _ in outcomes(opened, options):
                    collector.take(outcome)
                    advance(1)
                collector.finish()
    report.warnings += size_warning(report.shape or (0, 0, 0))
    write_json(report.path, dataclasses.asdict(report))
    return report


def fill_lmdb(
    dest: Path, source: Source, options: PrepareOptions, telling: tuple[Report, Labelling], advance: Advance
) -> None:
    """Writes the LMDB at `dest`, or goes on with one that was begun. Raises `InputError`."""
    report, labelling = telling
    sizes = [size for text in report.sizes if (size := parse_size(text)) is not None]
    recipe = {**report.options, "sizes": report.sizes, "source": str(source.path.resolve()), "kind": source.kind}
    with contextlib.closing(LmdbWriter(dest, sizes, recipe)) as writer:
        collector = Collector(writer.write, report, labelling, source.classes, len(sizes))
        for outcome, known in outcomes(source, options, writer.replayed()):
            written = collector.take(outcome)
            if not known:
                writer.note(outcome, written)
            advance(1)
        collector.finish()
        writer.publish()


def size_warning(shape: Shape) -> list[str]:
    """One line when no network can have this size, naming the nearest that one can."""
    from openstylegan.networks.resolution import is_possible, nearest_possible

    height, width = shape[1:]
    if is_possible(height, width):
        return []
    sizes = " or ".join(f"--width {w} --height {h}" for h, w in nearest_possible(height, width))
    return [f"{width} x {height} is no base of 4..7 pixels times a power of two, which networks need; consider {sizes}"]
