"""The table of sources: each found by what it is; folders, ZIPs and LMDBs read in the originals' order."""

from __future__ import annotations

import sys

import pytest

from openstylegan.data.sources import SOURCES, open_source
from openstylegan.errors import InputError


def load(record):
    return record.data if isinstance(record.data, bytes) else record.data.load()


def test_folders_are_sorted_by_component_and_zips_by_string(tmp_path, write_files):
    files = {"a/1.png": b"1", "a.b/2.png": b"2", "a/readme.txt": b"x", "B.jpg": b"3"}
    labels = [["a/1.png", 1], ["a.b/2.png", 0]]
    folder = open_source(write_files(tmp_path / "set", files, labels))
    records = list(folder.records)
    assert [r.name for r in records] == ["B.jpg", "a/1.png", "a.b/2.png"]
    assert [load(r) for r in records] == [b"3", b"1", b"2"]
    assert [r.label for r in records] == [None, 1, 0]
    assert (folder.count, folder.other_files) == (3, ["a/readme.txt"])
    archive = open_source(write_files(tmp_path / "set.zip", files, labels))
    assert [r.name for r in archive.records] == ["B.jpg", "a.b/2.png", "a/1.png"]
    assert (archive.kind, archive.count, archive.other_files) == ("ZIP", 3, ["a/readme.txt"])


def test_a_zip_needs_no_ending(tmp_path, write_files):
    path = write_files(tmp_path / "set.zip", {"a.png": b"1"}).rename(tmp_path / "set.bin")
    assert [r.name for r in open_source(path).records] == ["a.png"]


def test_a_damaged_zip_entry_is_one_bad_record(tmp_path, write_files):
    path = write_files(tmp_path / "set.zip", {"a.jpg": b"a" * 300, "b.jpg": b"b" * 300})
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    first, second = open_source(path).records
    with pytest.raises(InputError, match=r"a\.jpg.*checksum"):
        load(first)
    assert load(second) == b"b" * 300


def test_a_file_that_vanished_is_one_bad_record(tmp_path, write_files):
    source = open_source(write_files(tmp_path / "set", {"a.jpg": b"a", "b.jpg": b"b"}))
    (tmp_path / "set" / "a.jpg").unlink()
    first, second = source.records
    with pytest.raises(InputError, match="cannot be read"):
        load(first)
    assert load(second) == b"b"


@pytest.mark.parametrize("name", ["bedroom_train_lmdb", "renamed"])
def test_lmdb(tmp_path, images, as_png, name):
    lmdb = pytest.importorskip("lmdb")
    files = {b"b" * 40: as_png(images(1)[0]), b"a" * 40: b"no picture"}
    with lmdb.open(str(tmp_path / name), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for key, value in files.items():
            transaction.put(key, value)
    source = open_source(tmp_path / name)
    records = list(source.records)
    assert (source.kind, source.count) == ("LMDB", 2)
    assert [(r.name, load(r)) for r in records] == [(k.decode(), files[k]) for k in sorted(files)]


def test_bad_lmdb(tmp_path, monkeypatch):
    (tmp_path / "x_lmdb").mkdir()
    with pytest.raises(InputError, match=r"expected data\.mdb"):
        open_source(tmp_path / "x_lmdb")
    (tmp_path / "x_lmdb" / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="expected an LMDB"):
        open_source(tmp_path / "x_lmdb")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(InputError, match=r"pip install openstylegan\[lmdb\]"):
        open_source(tmp_path / "x_lmdb")


@pytest.mark.parametrize("name", ["x.bin", "x.gz", "x.tar.gz"])
def test_what_is_none_of_these(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match="expected one of multi-resolution LMDB, LSUN LMDB folder, TFRecord folder"):
        open_source(tmp_path / name)
    with pytest.raises(InputError, match="nothing is there"):
        open_source(tmp_path / "missing")


def test_a_path_that_is_missing_matches_nothing(tmp_path):
    assert [name for name, (matches, _) in SOURCES.items() if matches(tmp_path / "missing")] == []
