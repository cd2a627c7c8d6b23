"""Files from the web, all there or not there at all.

`Transfer` fetches one file in as many attempts as it takes: a connection that breaks is taken up where it broke when
the server allows it, a limit on the size holds while the file arrives, and plain HTTP is never fallen back to. Of
several processes that want one file, one fetches it (`files.one_at_a_time`) and the others wait.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openstylegan.errors import InputError, printable
from openstylegan.files import atomic_path, sha256_file

CHUNK_BYTES = 1 << 20
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
Show = Callable[[int, int | None], None]
"""Is told the bytes that have arrived, and of how many (None: not known)."""


@dataclass(frozen=True)
class DownloadOptions:
    """How a file is fetched. The wait before another attempt doubles from `backoff_seconds` on."""

    timeout_seconds: float = 30.0
    attempts: int = 5
    backoff_seconds: float = 0.5
    max_bytes: int = 16 << 30
    show_progress: bool = True


class Interrupted(Exception):
    """A connection that failed in a way that may pass; the text says how."""


def is_url(text: object) -> bool:
    """Whether `text` is the address of a file on the web."""
    return isinstance(text, str) and text.lower().startswith(("http://", "https://"))


def shown(url: str) -> str:
    """`url` for a message: without a password or a query, which may hold a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return printable(f"{parts.scheme}://{host}{parts.path}", 300)


def fetch(
    address: str, target: Path, check: Callable[[Path], object], options: DownloadOptions = DownloadOptions()
) -> None:
    """Fetches `address` to `target`, all or nothing: what `check` raises `InputError` for is not kept."""
    with atomic_path(target) as temporary:
        with shown_progress(re.sub("^[0-9a-f]{32}_", "", target.name), options.show_progress) as show:
            Transfer(address, temporary, options, show).run()
        check(temporary)


def check_hash(path: Path, expected: str | None, name: str) -> None:
    """Raises `InputError` when the file is not the expected one."""
    found = sha256_file(path) if expected is not None else None
    if found != expected:
        raise InputError(f"expected SHA-256 {expected} from {name}, got {found}; it is another file, or was damaged")


class Transfer:
    """One file on its way to `path`, in as many attempts as it takes."""

    def __init__(self, address: str, path: Path, options: DownloadOptions, show: Show):
        self.address, self.path, self.options, self.show = address, path, options, show
        self.received, self.version = 0, ""
        self.opener = make_opener()

    def run(self) -> None:
        """Fetches the file. Raises `InputError` when it cannot be had."""
        for attempt in range(1, self.options.attempts + 1):
            try:
                return self.attempt()
            except Interrupted as error:
                if attempt == self.options.attempts:
                    raise InputError(
                        f"cannot download {shown(self.address)} ({error}; tried {attempt} times); check the "
                        "connection, or fetch the file another way and give its path"
                    ) from error
                time.sleep(self.options.backoff_seconds * 2 ** (attempt - 1))
        raise AssertionError("at least one attempt")

    def attempt(self) -> None:
        """Fetches what is still missing."""
        timeout = self.options.timeout_seconds
        with translated_errors(self.address), self.opener.open(self.request(), timeout=timeout) as answer:
            total = self.begin(answer)
            with open(self.path, "r+b") as file:
                file.seek(self.received)
                file.truncate()
                self.receive(answer, file, total)
        if total is not None and self.received != total:
            raise Interrupted(f"the connection ended after {self.received} of {total} bytes")

    def request(self) -> urllib.request.Request:
        """The question to the server: the whole file, or the rest of it when it is still the same file."""
        headers = {"User-Agent": "openstylegan", "Accept-Encoding": "identity"}
        if self.received and self.version:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self.version}
        return urllib.request.Request(self.address, headers=headers)

    def begin(self, answer: Any) -> int | None:
        """Looks at the answer's head: where the bytes go, how many there are in all (None: not said)."""
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {self.received}-"):
            self.received, self.version = 0, ""
            raise Interrupted("the server sent another part of the file than was asked for")
        if answer.status != 206:
            self.received = 0
        entity = answer.headers.get("ETag", "")
        self.version = "" if entity.startswith("W/") else entity or answer.headers.get("Last-Modified", "")
        length = answer.headers.get("Content-Length", "")
        total = self.received + int(length) if length.isdigit() else None
        self.check_size(total or 0)
        self.show(self.received, total)
        return total

    def receive(self, answer: Any, file: Any, total: int | None) -> None:
        """Writes what arrives."""
        while chunk := answer.read(CHUNK_BYTES):
            self.check_size(self.received + len(chunk))
            file.write(chunk)
            self.received += len(chunk)
            self.show(self.received, total)

    def check_size(self, size: int) -> None:
        """Raises `InputError` when the file is larger than is wanted."""
        if size > self.options.max_bytes:
            raise InputError(
                f"expected at most {self.options.max_bytes >> 20} MB from {shown(self.address)}, but the file is larger"
            )


@contextlib.contextmanager
def shown_progress(name: str, wanted: bool) -> Iterator[Show]:
    """Shows a bar on the error output while the block runs, and one line when the file is there."""
    if not wanted:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("downloading {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
    console.print(f"downloaded {name}", highlight=False, markup=False)


@contextlib.contextmanager
def translated_errors(address: str) -> Iterator[None]:
    """Failures of the network as `Interrupted` when they may pass, else as one line for the user."""
    name = shown(address)
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            if error.code in RETRIED_STATUS:
                raise Interrupted(f"the server answered {error.code} {error.reason}") from error
            raise InputError(
                f"cannot download {name}: the server answered {error.code} {error.reason}; check the address"
            ) from error
    except urllib.error.URLError as error:
        raise unreachable(name, error.reason) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        raise Interrupted(" ".join(f"{type(error).__name__} {error}".split())) from error


def unreachable(name: str, reason: Any) -> Exception:
    """The error for a server that was not reached."""
    if isinstance(reason, socket.gaierror):
        host = urlsplit(name).hostname
        return InputError(f"cannot download {name}: no server {host} was found; is this machine offline?")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return InputError(f"cannot download {name}: its certificate is not valid ({reason.verify_message})")
    if isinstance(reason, OSError):
        return Interrupted(reason.strerror or str(reason) or type(reason).__name__)
    return InputError(f"cannot download {name}: {printable(str(reason), 200)}")


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address on the web, but never from HTTPS to an address without it."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The next request. Raises `InputError`."""
        allowed = ("https",) if req.full_url.lower().startswith("https:") else ("http", "https")
        if urlsplit(newurl).scheme.lower() not in allowed:
            raise InputError(f"{shown(req.full_url)} sends on to {shown(newurl)}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def make_opener() -> urllib.request.OpenerDirector:
    """What opens addresses: HTTP and HTTPS through the system's proxies, nothing else."""
    opener = urllib.request.OpenerDirector()
    handlers: list[Callable[[], urllib.request.BaseHandler]] = [
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
        SafeRedirects,
    ]
    for handler in handlers:
        opener.add_handler(handler())
    return opener
