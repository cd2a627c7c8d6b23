"""`openstylegan.load`: networks from a file of ours or of another program, a run folder, or a URL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from openstylegan import snapshot
from openstylegan.errors import InputError
from openstylegan.files import sha256_file
from openstylegan.interop.contents import rebuild_all
from openstylegan.interop.download import download
from openstylegan.interop.identify import identify
from openstylegan.interop.reading import SNAPSHOT, read_contents
from openstylegan.snapshot import Networks
from openstylegan.web import is_url

FOREIGN_PATTERN, FOREIGN_FINAL = "network-snapshot-*.pkl", "network-final.pkl"
URL_AS_PATH = re.compile(r"(https?):/(?!/)", re.IGNORECASE)
"""How `https://` comes out of `pathlib`, which command lines use."""


def load(location: str | os.PathLike[str], sha256: str | None = None) -> Networks:
    """The networks at a path or URL, on the CPU, in eval mode, without gradients. Raises `InputError`.

    A path is a file of ours, a pickle of NVIDIA's or Projected GAN's PyTorch programs, a TensorFlow pickle of
    StyleGAN2, a `.pt` of rosinality's, or a run folder (its newest network). Nothing in a file is run. `about` says
    what else was in it: for files of other programs "source", "augment_p", "training_set_kwargs" where there are some,
    and "unread", what was not carried over. `sha256` is checked when given.
    """
    path = find_network(location, sha256)
    if identify(path).name == SNAPSHOT:
        return snapshot.load(path)
    return rebuild_all(read_contents(path))


def find_network(location: str | os.PathLike[str], sha256: str | None = None) -> Path:
    """The file that a path, a run folder or a URL means; what a URL names is fetched first. Raises `InputError`."""
    text = URL_AS_PATH.sub(r"\1://", os.fspath(location), count=1)
    if is_url(text) or text.lower().startswith("file:"):
        return download(text, sha256=sha256)
    path = newest_of(Path(text)) if Path(text).is_dir() else Path(text)
    if not path.is_file():
        raise InputError(f"expected a network at {path}, but there is no such file; check the path")
    found = None if sha256 is None else sha256_file(path)
    if sha256 is not None and found != sha256.lower():
        raise InputError(f"expected SHA-256 {sha256} of {path}, got {found}; it is another file, or was damaged")
    return path


def snapshots_of(folder: Path) -> list[Path]:
    """All networks of a run folder by their kimg: ours, else those of other programs, `network-final.pkl` last.

    Raises `InputError` when there are none.
    """
    own = numbered(folder.glob(snapshot.PATTERN))
    found = own or [*numbered(folder.glob(FOREIGN_PATTERN)), *folder.glob(FOREIGN_FINAL)]
    if not found:
        raise InputError(f"expected a run folder with {snapshot.PATTERN} or {FOREIGN_PATTERN}, found none in {folder}")
    return found


def numbered(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that end in a number, by it."""
    digits = {path: path.stem.rsplit("-", 1)[1] for path in paths}
    return sorted((path for path, text in digits.items() if text.isdigit()), key=lambda path: int(digits[path]))


def newest_of(folder: Path) -> Path:
    """The newest network of a run folder: ours, else those of NVIDIA's programs. Raises `InputError`."""
    if not any(folder.glob(snapshot.PATTERN)):
        foreign = numbered(folder.glob(FOREIGN_PATTERN))
        if foreign:
            return foreign[-1]
    return snapshot.find_snapshot(folder)
