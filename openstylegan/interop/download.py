"""Networks by URL: fetched once, kept in the cache folder, all there or not there at all.

    path = download("https://example.org/ffhq.pkl#sha256=...")

The file goes to `$OPENSTYLEGAN_CACHE_DIR/downloads/<md5 of the URL>_<name>`, else under `$DNNLIB_CACHE_DIR`, where
users of the originals have theirs, else under `~/.cache/openstylegan`. Of several processes that want one file, one
fetches it and the others wait. A connection that breaks is taken up where it broke when the server allows it.

Differs from the originals: the SHA-256 is checked when it is given; a page of HTML is not taken for a network; plain
HTTP is never fallen back to; and a limit on the size holds while the file arrives.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from openstylegan.errors import InputError
from openstylegan.files import CACHE_VARIABLE, cache_folder, one_at_a_time, sha256_file
from openstylegan.interop.identify import identify, wrong_kind
from openstylegan.web import DownloadOptions, check_hash, fetch, shown

ORIGINAL_CACHE_VARIABLE = "DNNLIB_CACHE_DIR"
NOT_A_NETWORK = frozenset({"html", "xml", "git-lfs", "empty", "zeros"})


def download(url: str, *, sha256: str | None = None, options: DownloadOptions = DownloadOptions()) -> Path:
    """The file at `url`, from the cache folder when it was fetched before.

    `url` may end in `#sha256=` and 64 hexadecimal digits; `sha256` is another way to say it. Raises `InputError`, one
    line, when it can't be fetched, is not what the hash says, or is a web page instead of a file.
    """
    address, expected = split_hash(url, sha256)
    if address.lower().startswith("file:"):
        return local_file(address, expected)
    target = cache_place(address)
    if is_ready(target, expected):
        return target
    with one_at_a_time(target):
        if not is_ready(target, expected):
            fetch(address, target, lambda path: check_network(path, shown(address), expected), options)
    return target


def split_hash(url: str, sha256: str | None) -> tuple[str, str | None]:
    """`url` without its fragment, and the SHA-256 that either of the two says. Raises `InputError`."""
    address, _, fragment = url.partition("#")
    named = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
    for digest in (named, sha256):
        if digest is not None and not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise InputError(f"expected 64 hexadecimal digits of SHA-256 for {shown(address)}, got '{digest[:80]}'")
    if named and sha256 and named.lower() != sha256.lower():
        raise InputError(f"expected one SHA-256 for {shown(address)}, got two that differ; remove the wrong one")
    if "@" in urlsplit(address).netloc:
        raise InputError(f"expected an address without a user name, got one for {shown(address)}; fetch it another way")
    if any(c <= " " or c == "\x7f" for c in address) or not (urlsplit(address).hostname or address[:5] == "file:"):
        raise InputError(f"expected an address such as https://HOST/network.pkl, got {shown(address)}")
    return address, (named or sha256 or "").lower() or None


def local_file(address: str, expected: str | None) -> Path:
    """The file that a `file:` address names; it is not copied."""
    path = Path(urllib.request.url2pathname(urlsplit(address).path))
    if not path.is_file():
        raise InputError(f"expected a file at {path}, but there is none; check the address")
    check_hash(path, expected, shown(address))
    return path


def cache_place(address: str) -> Path:
    """Where the file of `address` is kept."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(address).path).rpartition("/")[2])[-100:] or "file"
    key = hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()
    original = os.environ.get(ORIGINAL_CACHE_VARIABLE)
    if original and not os.environ.get(CACHE_VARIABLE):
        return Path(original) / "downloads" / f"{key}_{name}"
    return cache_folder("downloads") / f"{key}_{name}"


def is_ready(target: Path, expected: str | None) -> bool:
    """Whether the cache has the file, and it is the one that was asked for."""
    return target.is_file() and (expected is None or sha256_file(target) == expected)


def check_network(path: Path, name: str, expected: str | None) -> None:
    """Raises `InputError` when what was fetched is no network at all, or not the expected one."""
    kind = identify(path)
    if kind.name in NOT_A_NETWORK:
        raise wrong_kind(kind, name)
    check_hash(path, expected, name)
