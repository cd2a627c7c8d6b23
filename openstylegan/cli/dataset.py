"""`openstylegan dataset`: prepare pictures for training, check a dataset, build its raw cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.data.report import Report
    from openstylegan.data.verify import Verification

MAX_LINES = 10
dataset = App(name="dataset", help="Prepare pictures for training: any source to a ZIP, folder or LMDB of PNGs.")


def default_workers() -> int:
    """One worker a core that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def num_workers(asked: int | None) -> int:
    """How many workers were asked for, or `default_workers()`. Raises `InputError`."""
    if asked is not None and asked < 1:
        raise InputError(f"--workers: expected at least 1, got {asked}")
    return default_workers() if asked is None else asked


@dataset.default
def prepare_command(
    *,
    source: Path,
    dest: Path,
    max_images: int | None = None,
    resize_filter: Literal["lanczos", "box", "bicubic", "bilinear", "hamming", "nearest"] = "lanczos",
    transform: Literal["none", "center-crop", "center-crop-wide"] = "none",
    width: int | None = None,
    height: int | None = None,
    mode: Literal["keep", "L", "RGB", "RGBA"] = "keep",
    labels: str = "source",
    encoder: Literal["stored", "deflate"] = "stored",
    format: Literal["auto", "zip", "folder", "lmdb"] = "auto",
    sizes: str | None = None,
    workers: int | None = None,
) -> None:
    """Reads pictures and writes a dataset: PNGs of one shape and dataset.json. Skips and reports what cannot be used.

    Parameters
    ----------
    source
        A folder, a ZIP, cifar-10-python.tar.gz, train-images-idx3-ubyte.gz, an LMDB folder (LSUN's, or of several
        sizes) or a TFRecord folder.
    dest
        A new .zip, or a new or empty folder. A report is written beside it.
    max_images
        Stop after this many inputs.
    resize_filter
        How pictures are resized.
    transform
        none: keep the frame; center-crop: the largest centred square; center-crop-wide: a centred band on black.
    width
        Width of the result in pixels; left out: as it is.
    height
        Height of the result in pixels; left out: as it is.
    mode
        Colour mode of the result: keep, L (grey), RGB or RGBA. Alpha is laid on white where the mode has none.
    labels
        source: those of the source's dataset.json; folders: the first folder's name as class; none; or a CSV file
        with lines of file,class or file,number,number,...
    encoder
        stored: PNG without compression, fastest to read; deflate: smaller, several times slower to read.
    format
        What to write: auto goes by the ending of dest (.zip, .lmdb, else a folder). An LMDB holds every picture at
        several sizes; when it is stopped, the same command goes on with it.
    sizes
        Sizes of an LMDB's pictures, such as 8,16,32 or 8-128 (doubling), or 64x32 (width x height). Each is made of the
        original picture as --width and --height make it.
    workers
        Processes to use; left out: one a core. The result does not depend on it.
    """
    from openstylegan.data.lmdb_storage import parse_sizes
    from openstylegan.data.prepare import PrepareOptions, prepare
    from openstylegan.data.progress import progress_line

    options = PrepareOptions(
        max_images=max_images,
        resize_filter=resize_filter,
        transform=transform,
        width=width,
        height=height,
        mode=mode,
        labels=labels,
        encoder=encoder,
        format=format,
        sizes=parse_sizes(sizes) if sizes is not None else (),
        workers=num_workers(workers),
    )
    print_report(prepare(source, dest, options, progress_line))


def print_report(report: Report) -> None:
    """What was done, in a few lines; the first skipped files by name."""
    from openstylegan.data.shapes import shape_in_words

    assert report.shape is not None, "a dataset that was written has a shape"
    labels = f", labels: {report.label_kind}" if report.label_kind else ", no labels"
    sizes = f" at {len(report.sizes)} sizes up to" if report.sizes else " of"
    print(f"Wrote {report.pictures:,} pictures{sizes} {shape_in_words(report.shape)}{labels} to {report.dest}")
    print(f"Content hash {report.content_hash}")
    for entry in report.converted:
        print(f"Converted {entry['count']:,}: {entry['reason']} (first: {entry['file']})")
    if report.other_files:
        print(f"Passed over {len(report.other_files):,} other files (first: {report.other_files[0]})")
    if report.skipped:
        print(f"Skipped {len(report.skipped):,} pictures, all listed in {report.path}:")
        print_files(report.skipped)
    for warning in report.warnings:
        print(f"Warning: {warning}")


def print_files(entries: list[dict[str, str]]) -> None:
    """The first files with their reasons."""
    for entry in entries[:MAX_LINES]:
        print(f"  {entry['file']}: {entry['reason']}")
    if len(entries) > MAX_LINES:
        print(f"  and {len(entries) - MAX_LINES:,} more")


@dataset.command(name="verify")
def verify_command(
    path: Path, *, workers: int | None = None, json: Annotated[Path | None, Parameter(name="--json")] = None
) -> None:
    """Decodes every picture and checks sizes, channels, labels and sums. Exit code 1 when something is wrong.

    Parameters
    ----------
    path
        A folder, a ZIP or an LMDB of pictures, or one size of an LMDB (faces.lmdb/64).
    workers
        Threads to use; left out: one a core.
    json
        Also write the findings to this file.
    """
    from openstylegan.data.progress import progress_line
    from openstylegan.data.verify import verify
    from openstylegan.files import write_json

    found = verify(path, num_workers(workers), progress_line)
    if json is not None:
        write_json(json, found.as_json())
    print_verification(found)
    if found.problems:
        raise SystemExit(1)


def print_verification(found: Verification) -> None:
    """The findings, problems last."""
    from openstylegan.data.shapes import shape_in_words

    shape = f" of {shape_in_words(found.shape)}" if found.shape else ""
    print(f"{found.pictures:,} pictures{shape} in {found.path}")
    if found.class_counts:
        print(f"{len(found.class_counts)} classes: " + ", ".join(f"{k}: {n:,}" for k, n in found.class_counts.items()))
    if found.content_hash:
        print(f"Content hash {found.content_hash}")
    for note in found.notes:
        print(f"Note: {note}")
    if found.problems:
        print(f"{len(found.problems):,} problems:")
        print_files(found.problems)
    else:
        print("No problems.")


@dataset.command(name="cache")
def cache_command(path: Path, *, workers: int | None = None) -> None:
    """Decodes a dataset once into the raw cache, from which training then reads several times as fast.

    Parameters
    ----------
    path
        A folder or a ZIP of pictures of one shape, or a size of an LMDB (faces.lmdb/64; left out: the largest).
    workers
        Threads to use; left out: one a core.
    """
    from openstylegan.data.cache import open_cache
    from openstylegan.data.dataset import open_dataset
    from openstylegan.data.progress import progress_line

    opened = open_dataset(path, cache=False).alone
    cache = open_cache(opened.stored_hash)
    if cache is None:
        with progress_line(f"Caching {opened.name}", len(opened)) as advance:
            cache = opened.build_raw_cache(num_workers(workers), advance)
    size = cache.count * cache.image_shape[0] * cache.image_shape[1] * cache.image_shape[2]
    print(f"{cache.count:,} pictures, {size / 2**20:,.0f} MiB in {cache.path}")
