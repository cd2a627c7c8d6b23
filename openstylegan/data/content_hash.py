"""A dataset's content as one SHA-256: of the sorted file names, the files' bytes and the label file.

The hash is over `len(name):name:len(data):` and the data of each picture and of `dataset.json`, in string order of the
names. So a folder and a ZIP of the same files have the same hash, and neither file times nor the ZIP's layout count. It
is read once and then remembered in the cache folder under the path, sizes and times of the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from openstylegan.data.labels import LABEL_FILE
from openstylegan.data.storage import Storage
from openstylegan.errors import InputError
from openstylegan.files import cache_folder, read_json, sha256_bytes, write_json

VERSION = 1


def add_file(digest: hashlib._Hash, name: str, data: bytes) -> None:
    """Adds one file to a hash under way; the files must come in string order of their names."""
    encoded = name.encode("utf-8", "surrogateescape")
    digest.update(f"{len(encoded)}:".encode() + encoded + f":{len(data)}:".encode())
    digest.update(data)


def compute(storage: Storage, names: Sequence[str]) -> str:
    """The content hash of the pictures `names` and the label file, read now."""
    digest = hashlib.sha256()
    for name in sorted({*names, LABEL_FILE} & set(storage.names)):
        add_file(digest, name, storage.read(name))
    return digest.hexdigest()


def combined(hashes: Sequence[str]) -> str:
    """The hash of pictures at several sizes, smallest first: that of the only one, or SHA-256 of them all."""
    return hashes[0] if len(hashes) == 1 else sha256_bytes("".join(hashes).encode())


def memory_file(storage: Storage, names: Sequence[str]) -> Path:
    """Where the hash of these files, as they are now, is remembered."""
    key = [VERSION, str(storage.path.resolve()), storage.stamp(), len(names)]
    return cache_folder("datasets", "hashes") / f"{sha256_bytes(json.dumps(key).encode())}.json"


def remembered(storage: Storage, names: Sequence[str]) -> str | None:
    """The hash if these files were hashed before and have not changed since."""
    with contextlib.suppress(InputError, OSError):
        content = read_json(memory_file(storage, names))
        if isinstance(content, dict) and isinstance(content.get("sha256"), str):
            return content["sha256"]
    return None


def content_hash(storage: Storage, names: Sequence[str]) -> str:
    """The content hash, remembered or computed. A cache folder that cannot be written only costs time."""
    found = remembered(storage, names)
    if found is None:
        found = compute(storage, names)
        remember(storage, names, found)
    return found


def remember(storage: Storage, names: Sequence[str], found: str) -> None:
    """Notes the hash of the files as they are now."""
    content = {"sha256": found, "path": str(storage.path), "pictures": len(names)}
    with contextlib.suppress(InputError, OSError):
        write_json(memory_file(storage, names), content)
