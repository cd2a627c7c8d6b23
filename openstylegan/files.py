"""The one file layer: every write of a run is all there or not there at all.

A file is written under a temporary name in its own folder, flushed, fsynced, renamed, and the folder is fsynced, so a
crash at any moment leaves either the old file or the new one. Folders are published the same way. Reading never
executes anything.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openstylegan.errors import InputError

CACHE_VARIABLE = "OPENSTYLEGAN_CACHE_DIR"


def fsync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable (a no-op where folders cannot be opened)."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fsync_file(path: Path) -> None:
    """Flushes the file's data to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turns a full disk, a missing permission or a missing folder into one line that says what to do."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "no space left on the disk; free some space and run the command again",
            errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
            errno.EACCES: "no permission to write there; choose another folder",
            errno.EPERM: "no permission to write there; choose another folder",
            errno.EEXIST: "a file is where a folder must be; choose another name",
            errno.ENOTDIR: "a file is where a folder must be; choose another name",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.EFBIG: "the file would be larger than is allowed here; raise the limit or choose another folder",
        }
        if error.errno in reasons:
            raise InputError(f"cannot write {path}: {reasons[error.errno]}") from error
        raise


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is fsynced and renamed to `path`, on error removed."""
    target = Path(path)
    with clear_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            fsync_file(temporary)
            os.replace(temporary, target)
            fsync_folder(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def one_at_a_time(target: Path) -> Iterator[None]:
    """Holds other processes and threads that want to make `target` back. The system lets go when the process dies.

    Where the system, or that of the disk, has no such locks, several make the file each for itself; the last one's
    stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "wb") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        except (ImportError, OSError):
            yield
            return
        try:
            for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
                left.unlink(missing_ok=True)  # of a process that was killed, since nobody else is making this file
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open too


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; on success all of it is fsynced and it is renamed to `path`.

    Raises `InputError` when `path` exists already (a published folder is never changed).
    """
    target = Path(path)
    if target.exists():
        raise InputError(f"expected a new folder, but {target} exists already; remove it or choose another name")
    with clear_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            for file in sorted(temporary.rglob("*")):
                fsync_folder(file) if file.is_dir() else fsync_file(file)
            fsync_folder(temporary)
            os.rename(temporary, target)
            fsync_folder(target.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _umask() -> int:
    """The process's umask; `mkstemp` ignores it, and a snapshot should be as readable as any other file."""
    current = os.umask(0o022)
    os.umask(current)
    return current


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 `text` atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as JSON, indented by 2, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_line(path: str | os.PathLike[str], text: str) -> None:
    """Appends one line and flushes it to the disk. A crash can lose the line's tail, never an earlier line."""
    with clear_write_errors(Path(path)), open(path, "a", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file. Raises `InputError` when it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"expected a JSON file at {path}, but there is none") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"expected JSON in {path}, but it cannot be read as such ({error})") from error


def read_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The objects of a JSONL file; a torn last line (from a crash while appending) is left out. Missing file: empty."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
    return found


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(*parts: str) -> Path:
    """The folder for what can be made or fetched again: `$OPENSTYLEGAN_CACHE_DIR`, else `~/.cache/openstylegan`."""
    root = os.environ.get(CACHE_VARIABLE)
    folder = Path(root) if root else Path.home() / ".cache" / "openstylegan"
    folder = folder.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
