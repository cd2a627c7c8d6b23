"""Networks by URL, from a server on this machine that can fail in every way a server on the web can."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from openstylegan.errors import InputError
from openstylegan.interop.download import cache_place, download
from openstylegan.web import DownloadOptions, SafeRedirects, is_url

CONTENT = b"\x80\x04" + bytes(range(256)) * 12_000 + b"."
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = DownloadOptions(timeout_seconds=5, attempts=3, backoff_seconds=0.01, show_progress=False)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how to fail. `server.seen` lists (path, range) of all requests."""

    def do_GET(self) -> None:
        path, start = self.path.partition("?")[0], self.headers.get("Range", "")
        self.server.seen.append((path, start))  # type: ignore[attr-defined]
        number = sum(p == path for p, _ in self.server.seen)  # type: ignore[attr-defined]
        getattr(self, path.strip("/").partition(".")[0])(start, number)

    def head(self, code: int, length: int | None, **headers: str) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, start: str, number: int) -> None:
        self.head(200, len(CONTENT))
        self.wfile.write(CONTENT)

    def cut(self, start: str, number: int) -> None:
        """The first answers end too early; the rest can be asked for by range."""
        at = int(start.removeprefix("bytes=").rstrip("-")) if start else 0
        extra = {"Content_Range": f"bytes {at}-{len(CONTENT) - 1}/{len(CONTENT)}"} if at else {}
        self.head(206 if at else 200, len(CONTENT) - at, ETag='"one"', **extra)
        self.wfile.write(CONTENT[at:] if number == 3 else CONTENT[at : at + 1_000_000])

    def changed(self, start: str, number: int) -> None:
        """Cut off, and then another version: the server sends the whole file although a part is asked for."""
        self.head(200, len(CONTENT), ETag=f'"{number}"')
        self.wfile.write(CONTENT if number > 1 else bytes(500_000))

    def liar(self, start: str, number: int) -> None:
        """Sends another part than was asked for, then behaves."""
        extra = {"Content_Range": f"bytes 0-9/{len(CONTENT)}"} if start else {}
        self.head(206 if start else 200, 10 if start else len(CONTENT), ETag='"one"', **extra)
        self.wfile.write(CONTENT[:10] if start else CONTENT[:500_000] if number == 1 else CONTENT)

    def busy(self, start: str, number: int) -> None:
        self.head(503, 0) if number < 3 else self.whole(start, number)

    def broken(self, start: str, number: int) -> None:
        self.head(500, 0)

    def missing(self, start: str, number: int) -> None:
        self.head(404, 0)

    def page(self, start: str, number: int) -> None:
        body = b"<!DOCTYPE html><html><body>Please log in</body></html>"
        self.head(200, len(body))
        self.wfile.write(body)

    def moved(self, start: str, number: int) -> None:
        self.head(302, 0, Location="/whole.pkl")

    def away(self, start: str, number: int) -> None:
        self.head(302, 0, Location="file:///etc/passwd")

    def endless(self, start: str, number: int) -> None:
        self.head(200, None)
        for _ in range(100):
            self.wfile.write(bytes(100_000))

    def large(self, start: str, number: int) -> None:
        self.head(200, 1 << 40)

    def silent(self, start: str, number: int) -> None:
        self.server.release.wait(5)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what the tests do."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.seen, running.release = [], threading.Event()  # type: ignore[attr-defined]
        running.url = f"http://127.0.0.1:{running.server_port}"  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.release.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def kept(tmp_path: Path) -> list[str]:
    """The files in the cache, without locks."""
    return sorted(p.name for p in (tmp_path / "cache" / "downloads").iterdir() if not p.name.endswith(".lock"))


def test_a_file_is_fetched_once(server: Any, tmp_path: Path) -> None:
    url = f"{server.url}/whole.pkl"
    first, second = download(url, options=QUICK), download(url, options=QUICK)
    assert first == second
    assert first.read_bytes() == CONTENT
    assert len(server.seen) == 1
    assert first.name == f"{hashlib.md5(url.encode()).hexdigest()}_whole.pkl"
    assert kept(tmp_path) == [first.name]


@pytest.mark.parametrize("name", ["cut", "changed", "liar", "busy", "moved"])
def test_a_connection_that_fails_is_taken_up_again(server: Any, name: str) -> None:
    assert download(f"{server.url}/{name}.pkl", options=QUICK).read_bytes() == CONTENT


def test_a_cut_connection_goes_on_where_it_was(server: Any) -> None:
    download(f"{server.url}/cut.pkl", options=QUICK)
    assert [start for _, start in server.seen] == ["", "bytes=1000000-", "bytes=2000000-"]


@pytest.mark.parametrize(
    ("name", "message", "requests"),
    [
        ("missing", "answered 404 Not Found; check the address", 1),
        ("broken", "answered 500 Internal Server Error; tried 3 times", 3),
        ("page", "expected a network, got an HTML page", 1),
        ("away", "Redirection to url 'file:///etc/passwd' is not allowed", 1),
        ("large", "expected at most 1 MB from", 1),
        ("endless", "expected at most 1 MB from", 1),
    ],
)
def test_what_cannot_be_had_ends_in_one_line(
    server: Any, tmp_path: Path, name: str, message: str, requests: int
) -> None:
    with pytest.raises(InputError) as error:
        download(f"{server.url}/{name}.pkl?key=secret", options=replace(QUICK, max_bytes=1 << 20))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert len(server.seen) == requests
    assert kept(tmp_path) == []


def test_a_server_that_says_nothing_times_out(server: Any) -> None:
    with pytest.raises(InputError, match=r"(?i)time"):
        download(f"{server.url}/silent.pkl", options=replace(QUICK, timeout_seconds=0.1, attempts=2))
    assert len(server.seen) == 2


def test_no_server_and_no_such_name(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(InputError, match="refused; tried 3 times"):
            download(f"http://127.0.0.1:{port}/x.pkl", options=QUICK)

    def offline(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(InputError, match="no server nowhere.test was found; is this machine offline"):
        download("http://nowhere.test/x.pkl", options=QUICK)


def test_https_is_never_left() -> None:
    request = urllib.request.Request("https://host/a.pkl")
    redirects = SafeRedirects()
    with pytest.raises(InputError, match="sends on to http://host/a.pkl, which is not followed"):
        redirects.redirect_request(request, None, 302, "", Message(), "http://host/a.pkl")
    followed = redirects.redirect_request(request, None, 302, "", Message(), "https://other/a.pkl")
    assert followed.full_url == "https://other/a.pkl"


def test_the_hash_is_checked(server: Any, tmp_path: Path) -> None:
    url = f"{server.url}/whole.pkl"
    with pytest.raises(InputError, match=f"expected SHA-256 {'0' * 64} from .* got {SHA256}"):
        download(f"{url}#sha256={'0' * 64}", options=QUICK)
    assert kept(tmp_path) == []
    path = download(f"{url}#sha256={SHA256.upper()}", options=QUICK)
    assert download(url, sha256=SHA256, options=QUICK) == path
    path.write_bytes(b"damaged since")
    assert download(url, sha256=SHA256, options=QUICK).read_bytes() == CONTENT


NO_ADDRESSES = [
    "http:///x.pkl",
    "https://name:word@host/x.pkl",
    "https://host/a b",
    "https://host/x#sha256=12",
    f"https://h/x#sha256={'a' * 64}",
]


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputError):
        download(url, sha256="b" * 64, options=QUICK)


def test_the_cache_of_the_originals_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENSTYLEGAN_CACHE_DIR", raising=False)
    monkeypatch.setenv("DNNLIB_CACHE_DIR", str(tmp_path))
    url = "https://example.invalid/nets/ffhq.pkl"
    place = tmp_path / "downloads" / f"{hashlib.md5(url.encode()).hexdigest()}_ffhq.pkl"
    assert cache_place(url) == place
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    assert download(url) == place
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "own"))
    assert cache_place(url) == tmp_path / "own" / "downloads" / place.name


def test_a_name_cannot_leave_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path))
    for url in ("https://h/..%2F..%2Fevil", "https://h/%2e%2e", "https://h/", "https://h/a/../%00\n"):
        assert cache_place(url).parent == tmp_path / "downloads"
        assert cache_place(url).name.isascii()


def test_files_by_url(tmp_path: Path) -> None:
    path = tmp_path / "my net.pkl"
    path.write_bytes(CONTENT)
    assert download(path.as_uri(), sha256=SHA256) == path
    with pytest.raises(InputError, match="expected SHA-256"):
        download(path.as_uri(), sha256="0" * 64)
    with pytest.raises(InputError, match="there is none"):
        download((tmp_path / "other.pkl").as_uri())


def test_what_is_an_address() -> None:
    assert is_url("https://host/x.pkl")
    assert is_url("HTTP://host/x.pkl")
    assert not is_url("runs/00000/network-snapshot-000100.safetensors")


def fetch_in_process(url: str, folder: str, results: Any) -> None:
    os.environ["OPENSTYLEGAN_CACHE_DIR"] = folder
    results.put(hashlib.sha256(download(url, options=QUICK).read_bytes()).hexdigest())


def test_two_processes_fetch_a_file_once(server: Any, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    arguments = (f"{server.url}/whole.pkl", str(tmp_path / "cache"), results)
    processes = [context.Process(target=fetch_in_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert found == [SHA256] * 4
    assert len(server.seen) == 1
    assert len(kept(tmp_path)) == 1


def test_what_a_killed_process_left_is_removed(server: Any, tmp_path: Path) -> None:
    url = f"{server.url}/whole.pkl"
    place = cache_place(url)
    (place.parent / f".{place.name}.abc.tmp").write_bytes(b"half")
    download(url, options=QUICK)
    assert kept(tmp_path) == [place.name]


def test_progress_is_shown_on_the_error_output(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    download(f"{server.url}/whole.pkl", options=replace(QUICK, show_progress=True))
    shown = capsys.readouterr()
    assert "downloaded whole.pkl" in shown.err
    assert not shown.out
