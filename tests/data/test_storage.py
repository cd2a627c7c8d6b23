"""Folders and ZIPs by name: same bytes, from threads, other processes and after pickling; damage is named."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openstylegan.data.storage import FolderStorage, ZipStorage, open_storage
from openstylegan.errors import InputError

FILES = {
    "b/2.png": b"two" * 100,
    "a.png": b"\x89PNG\r\n\x1a\n" + b"one" * 50,
    "a/1.txt": b"",
    "ü.bin": os.urandom(3000),
}


@pytest.fixture(params=["folder", "stored.zip", "deflated.zip"])
def storage(request, tmp_path, write_files):
    method = zipfile.ZIP_DEFLATED if "deflated" in request.param else zipfile.ZIP_STORED
    return open_storage(write_files(tmp_path / request.param, FILES, method=method))


def test_names_are_sorted_strings_and_contents_whole(storage):
    assert storage.names == sorted(FILES)
    assert {name: storage.read(name) for name in storage.names} == FILES
    assert all(data.startswith(storage.head(name, 10)[:10]) for name, data in FILES.items())


def test_pickled_and_in_threads(storage):
    storage.read("a.png")
    again = pickle.loads(pickle.dumps(storage))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(again.read, ["a.png", "ü.bin"] * 50)) == [FILES["a.png"], FILES["ü.bin"]] * 50


def test_after_a_fork(storage):
    storage.read("a.png")
    child = os.fork()
    if child == 0:
        ok = all(storage.read(name) == FILES[name] for _ in range(20) for name in FILES)
        os._exit(0 if ok else 1)
    same = all(storage.read(name) == FILES[name] for _ in range(20) for name in FILES)
    assert same
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_stamp_changes_with_a_file(storage, tmp_path, write_files):
    before = storage.stamp()
    write_files(storage.path, {**FILES, "a.png": b"other and longer" * 9})
    assert open_storage(storage.path).stamp() != before


def test_close_and_read_again(storage):
    storage.read("a.png")
    storage.close()
    assert storage.read("a.png") == FILES["a.png"]


def test_a_file_that_vanished_is_named(tmp_path, write_files):
    storage = open_storage(write_files(tmp_path / "folder", FILES))
    (tmp_path / "folder" / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png.*No such file"):
        storage.read("a.png")


def test_damage_in_a_zip_is_named(tmp_path, write_files):
    path = write_files(tmp_path / "x.zip", {"note.jpg": b"content" * 100})
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"note\.jpg.*checksum"):
        open_storage(path).read("note.jpg")


def test_a_stored_png_is_summed_on_demand(tmp_path, write_files):
    path = write_files(tmp_path / "x.zip", {"a.png": b"\x89PNG\r\n\x1a\n" + b"content" * 100})
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    storage = open_storage(path)
    assert isinstance(storage, ZipStorage)
    storage.read("a.png")
    with pytest.raises(InputError, match=r"a\.png.*checksum"):
        storage.check("a.png")


def test_what_cannot_be_unpacked_is_named(tmp_path, write_files):
    path = write_files(tmp_path / "x.zip", FILES, method=zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match=r"b/2\.png.*method 12"):
        open_storage(path).read("b/2.png")


@pytest.mark.parametrize("name", ["missing", "missing.zip"])
def test_nothing_there(tmp_path, name):
    with pytest.raises(InputError, match="nothing is there"):
        open_storage(tmp_path / name)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(InputError, match="readable folder at .*gone"):
        FolderStorage(tmp_path / "gone")


def test_a_name_that_is_there_twice_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"y")
    with pytest.raises(InputError, match=r"a\.png is there twice"):
        open_storage(tmp_path / "x.zip")


def test_another_kind_of_file(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="another kind of file"):
        open_storage(tmp_path / "x.zip")


def test_a_false_size_claims_no_memory(tmp_path):
    """An entry of a few bytes that says it unpacks to 900 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", b"x" * 1000)
    data = bytearray(buffer.getvalue())
    central = data.rindex(b"PK\1\2")
    data[central + 24 : central + 28] = (900_000_000).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.bin"):
        open_storage(tmp_path / "x.zip").read("a.bin")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 400))
def test_mutated_zips_fail_cleanly(tmp_path, changes, cut):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", FILES["a.png"])
        archive.writestr("b.bin", b"b" * 40, zipfile.ZIP_DEFLATED)
    data = bytearray(buffer.getvalue())
    for at, value in changes:
        data[at % len(data)] = value
    path = tmp_path / "m.zip"
    path.write_bytes(data[: len(data) - cut] if cut < 200 else data)
    with contextlib.suppress(InputError):
        storage = open_storage(path)
        for name in storage.names:
            assert len(storage.read(name)) <= 10_000
