"""The list of networks, and those in memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from viewing import write_tiny

from openstylegan.errors import InputError
from openstylegan.viewer.models import ModelList, id_of
from openstylegan.viewer.opened import MOST_OPEN, OpenNetworks


def run_folder(place: Path, *names: str, modified: float = 0.0) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    for name in names:
        (place / name).write_bytes(b"x")
        os.utime(place / name, (modified, modified))
    return place


def test_runs_are_found_newest_first_and_their_snapshots_too(tmp_path: Path) -> None:
    snapshots = [f"network-snapshot-{n}.safetensors" for n in ("000000", "000200", "000100", "best")]
    run_folder(tmp_path / "a" / "00000-old", *snapshots, modified=1000)
    run_folder(tmp_path / "a" / "b" / "00001-new", "network-snapshot-000400.pkl", modified=2000)
    run_folder(tmp_path / ".hidden" / "00002-x", "network-snapshot-000400.pkl")
    run_folder(tmp_path / "1" / "2" / "3" / "4" / "00003-deep", "network-snapshot-000400.pkl")
    run_folder(tmp_path / "a" / "00000-old" / "inner", "network-snapshot-000400.pkl")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "1" / "2" / "3")
    models = ModelList((), tmp_path)
    assert [run.name for run in models.now.runs] == ["00001-new", "00000-old"]
    assert [entry.kimg for entry in models.now.runs[1].models] == [200, 100, 0, None]
    assert models.first() == models.now.runs[0].models[0].id
    assert models.first_run() is None
    run_folder(tmp_path / "c", "network-snapshot-000001.safetensors", "stats.jsonl", modified=3000)
    assert [run.name for run in models.refresh().runs] == ["c", "00001-new", "00000-old"]
    assert models.now.runs[0].watchable and not models.now.runs[1].watchable


def test_names_of_the_command_line(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "one.safetensors")
    run = run_folder(tmp_path / "runs" / "00000-run", "network-snapshot-000001.safetensors", "stats.jsonl")
    url = "https://example.org/nets/ffhq.pkl?key=secret#sha256=" + "0" * 64
    models = ModelList([file, url, run])
    assert [(entry.kind, entry.name) for entry in models.now.files] == [
        ("file", "one.safetensors"),
        ("url", "ffhq.pkl"),
    ]
    assert "secret" not in models.now.files[1].place and models.place(models.now.files[1].id) == url
    assert models.first_run() == models.now.runs[0].id
    assert models.run_folder(models.first_run() or "") == run
    with pytest.raises(InputError, match="nothing is there"):
        ModelList([tmp_path / "none.pkl"])
    with pytest.raises(InputError, match="--browse"):
        ModelList((), tmp_path / "none")


def test_ids_stay_and_nothing_else_is_known(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "one.safetensors")
    assert ModelList([file]).now.files[0].id == ModelList([file]).now.files[0].id == id_of(str(file.resolve()))
    for wrong in ("", str(file), "one.safetensors", id_of("else")):
        with pytest.raises(InputError, match="of the list"):
            ModelList([file]).place(wrong)


def test_no_file_is_read_to_make_the_list(tmp_path: Path) -> None:
    run_folder(tmp_path / "00000-run", "network-snapshot-000001.safetensors", "stats.jsonl")
    read: list[str] = []

    def note(event: str, arguments: Any) -> None:
        if event == "open" and watching and str(tmp_path) in str(arguments[0]):
            read.append(str(arguments[0]))

    watching = True
    sys.addaudithook(note)
    ModelList((), tmp_path).refresh()
    watching = False
    assert read == []


def test_few_networks_are_kept_and_changed_files_are_read_again(tmp_path: Path) -> None:
    files = [write_tiny(tmp_path / f"{n}.safetensors", seed=n) for n in range(3)]
    models = ModelList(files)
    networks, ids = OpenNetworks(models, torch.device("cpu")), [entry.id for entry in models.now.files]
    opened = [networks.open(model) for model in ids]
    assert list(networks.kept) == ids[-MOST_OPEN:] and networks.found(ids[0]) is None
    assert networks.open(ids[2]) is opened[2]
    write_tiny(files[2], seed=7)
    os.utime(files[2], (1, 1))
    assert networks.found(ids[2]) is None
    again = networks.open(ids[2])
    assert again is not opened[2] and again.modified == 1
    files[0].unlink()
    files[2].unlink()
    assert networks.open(ids[2]) is again  # a run removes its old snapshots
    with pytest.raises(InputError, match="no such file"):
        networks.open(ids[0])
    assert "no such file" in models.refresh().files[0].error
