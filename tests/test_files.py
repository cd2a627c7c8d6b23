"""The file layer: all of a file or none of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from openstylegan import files
from openstylegan.errors import InputError


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("crash")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_published_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("1")
        raise RuntimeError("crash")
    assert os.listdir(tmp_path) == []
    with files.atomic_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("1")
    assert (tmp_path / "out" / "x").read_text() == "1"
    with pytest.raises(InputError, match="exists already"), files.atomic_folder(tmp_path / "out"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_disk_says_becomes_one_line(tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match="cannot write") as caught, files.atomic_path(tmp_path / "a") as _:
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "x")
    plain = tmp_path / "b"
    plain.write_text("x")
    assert (tmp_path / "a").stat().st_mode == plain.stat().st_mode


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    files.append_line(path, '{"a": 1}')
    with open(path, "a") as file:
        file.write('{"a": ')
    assert files.read_lines(path) == [{"a": 1}]
    assert files.read_lines(tmp_path / "none") == []


def test_reading_json_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is none"):
        files.read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="expected JSON"):
        files.read_json(tmp_path / "bad.json")


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_file(tmp_path / "a") == files.sha256_bytes(b"abc") == known


def test_the_cache_folder_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert files.cache_folder("x", "y") == tmp_path / "cache" / "x" / "y"
    assert (tmp_path / "cache" / "x" / "y").is_dir()
