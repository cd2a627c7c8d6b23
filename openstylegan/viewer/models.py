"""The list of networks that may be opened: what was named on the command line, and the runs below a folder.

Nothing else is ever opened: a page names a network by an id of this list, never by a path. The list is made from names
and dates of files; none of them is read for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from openstylegan.errors import InputError
from openstylegan.interop.loading import FOREIGN_PATTERN, URL_AS_PATH
from openstylegan.snapshot import PATTERN
from openstylegan.training.run_folder import STATS_FILE, is_run_folder
from openstylegan.viewer.messages import ModelEntry, Models, RunEntry
from openstylegan.web import is_url, shown

DEEPEST, MOST_RUNS = 4, 500
"""How far below a folder runs are looked for, and how many are listed."""


def id_of(place: str) -> str:
    """A short name for a path or URL, the same in every session."""
    return hashlib.blake2b(place.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def snapshots_in(folder: Path) -> list[Path]:
    """The network files of a run folder: numbered ones newest first, then the others."""
    found = [p for pattern in (PATTERN, FOREIGN_PATTERN) for p in folder.glob(pattern) if p.is_file()]
    return sorted(found, key=lambda p: (-(-1 if (kimg := kimg_of(p)) is None else kimg), p.name))


def kimg_of(path: Path) -> int | None:
    """The number in the name of a snapshot."""
    match = re.fullmatch(r"network-snapshot-(\d+)", path.stem)
    return int(match[1]) if match else None


def is_run(folder: Path) -> bool:
    """Whether a folder is one of a run, ours or of NVIDIA's programs."""
    return is_run_folder(folder) or (folder / "training_options.json").is_file() or bool(snapshots_in(folder))


def runs_below(folder: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """The run folders at and below `folder`, no link followed; nothing is looked for inside a run."""
    if is_run(folder):
        yield folder
        return
    try:
        inner = sorted(e.path for e in os.scandir(folder) if e.is_dir(follow_symlinks=False) and e.name[:1] != ".")
    except OSError:
        return
    for path in inner if depth else ():
        yield from runs_below(Path(path), depth - 1)


class ModelList:
    """What may be opened. `named`: files, run folders, folders of runs and URLs; `browse`: a folder of runs.

    Raises `InputError` for a name that stands for nothing.
    """

    def __init__(self, named: Sequence[str | os.PathLike[str]] = (), browse: Path | None = None):
        self.files: list[str] = []
        self.folders: list[Path] = []
        self.errors: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.run_places: dict[str, Path] = {}
        for name in named:
            self.add(URL_AS_PATH.sub(r"\1://", os.fspath(name), count=1))
        if browse is not None and not browse.is_dir():
            raise InputError(f"expected a folder to browse at {browse}, but there is none; check --browse")
        self.folders += [] if browse is None else [browse.resolve()]
        self.now = self.refresh()

    def add(self, name: str) -> None:
        """Takes a name of the command line in."""
        path = Path(name)
        if is_url(name):
            self.files.append(name)
        elif path.is_dir():
            self.folders.append(path.resolve())
        elif path.is_file():
            self.files.append(os.fspath(path.resolve()))
        else:
            raise InputError(f"expected a network file, a run folder or a URL, got '{name}'; nothing is there")

    def refresh(self) -> Models:
        """Looks at the folders again, and gives the list."""
        files = tuple(self.entry(place, "url" if is_url(place) else "file") for place in self.files)
        folders = dict.fromkeys(run for folder in self.folders for run in runs_below(folder))
        runs = sorted(map(self.run_entry, folders), key=lambda run: -run.modified)
        self.now = Models(files=files, runs=tuple(runs[:MOST_RUNS]))
        return self.now

    def run_entry(self, folder: Path) -> RunEntry:
        """A run and its snapshots, as they are now."""
        models = tuple(self.entry(os.fspath(path), "snapshot") for path in snapshots_in(folder))
        watchable = (folder / STATS_FILE).is_file() or any(folder.glob("fakes*.png"))
        key = id_of(os.fspath(folder))
        self.run_places[key] = folder
        modified = max([model.modified for model in models] + [modified_of(folder / STATS_FILE)])
        return RunEntry(key, folder.name, os.fspath(folder), models, watchable, modified)

    def entry(self, place: str, kind: str) -> ModelEntry:
        """A network of the list."""
        key = id_of(place)
        self.places[key] = place
        error = self.errors.get(key, "")
        if kind == "url":
            seen = self.shown_place(key)
            return ModelEntry(key, seen.rpartition("/")[2], seen, "url", error=error)
        path = Path(place)
        size = path.stat().st_size if path.is_file() else 0
        name = path.stem if kind == "snapshot" else path.name
        entry: Callable[..., ModelEntry] = ModelEntry
        return entry(key, name, place, kind, kimg_of(path), size, modified_of(path), error)

    def place(self, model: str) -> str:
        """The path or URL of an id. Raises `InputError` for what is not on the list."""
        if model not in self.places:
            raise InputError(f"expected a network of the list, got '{model}'; refresh the list")
        return self.places[model]

    def shown_place(self, model: str) -> str:
        """The place of an id as people may see it: of a URL, without what may be a key. Raises `InputError`."""
        place = self.place(model)
        return shown(place) if is_url(place) else place

    def run_folder(self, run: str) -> Path:
        """The folder of a run's id. Raises `InputError`."""
        if run not in self.run_places:
            raise InputError(f"expected a run of the list, got '{run}'; refresh the list")
        return self.run_places[run]

    def first_run(self) -> str | None:
        """The run to watch at once: the first run folder that was named, if there is something to watch."""
        named = [id_of(os.fspath(folder)) for folder in self.folders]
        return next((key for key in named for run in self.now.runs if run.id == key and run.watchable), None)

    def first(self) -> str | None:
        """The network to open at once: the first file named, else the newest snapshot of the newest run."""
        entries = [*self.now.files[:1], *(model for run in self.now.runs for model in run.models[:1])]
        return entries[0].id if entries else None


def modified_of(path: Path) -> float:
    """When a file was changed, in seconds since 1970; 0 when there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
