"""Files of torch.save, both layouts: what torch wrote comes out, with its types, strides and shared memory."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from interop.hostile_opcodes import legacy, legacy_storage, literal, storage_id, tensor_of
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.interop.torch_files import read_pt
from openstylegan.interop.unpickle import read_pickle

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


def content() -> dict[str, Tensor]:
    torch.manual_seed(0)
    base = torch.randn(100)
    views = {
        "whole": base,
        "transposed": base[10:40].view(5, 6).t(),
        "strided": base[3::7],
        "repeated": torch.randn(3, 1).expand(3, 4),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(3.5),
    }
    return views | {str(dtype): (torch.randn(7) * 10).to(dtype) for dtype in DTYPES}


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[object], Path]:
    def write(value: object) -> Path:
        torch.save(value, tmp_path / "file.pt", _use_new_zipfile_serialization=request.param)
        return tmp_path / "file.pt"

    return write


def test_tensors_come_out_as_they_went_in(save: Callable[[object], Path]) -> None:
    values = content()
    found = read_pt(save(values))
    assert list(found) == list(values)
    for name, tensor in values.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype and found[name].stride() == tensor.stride()
    found["whole"].zero_()
    assert not found["transposed"].any()  # one memory, as before


def test_state_dicts_keep_what_they_say_of_versions(save: Callable[[object], Path]) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    found = read_pt(save({"g_ema": module.state_dict()}))["g_ema"]
    assert found._metadata["1"] == {"version": 2}
    module.load_state_dict(found)


def test_a_whole_module_is_a_record(save: Callable[[object], Path]) -> None:
    found = read_pt(save(torch.nn.Linear(2, 3)))
    assert (found.module, found.name) == ("torch.nn.modules.linear", "Linear")
    assert found.state["_parameters"]["weight"].shape == (3, 2)


def test_every_cut_is_noticed(save: Callable[[object], Path]) -> None:
    path = save({"w": torch.arange(5.0), "n": 3})
    data = path.read_bytes()
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"file\.pt"):
            read_pt(path)


def test_data_of_the_other_byte_order(tmp_path: Path) -> None:
    values = torch.tensor([1.5, -2.0, 3e5])
    path = tmp_path / "file.pt"
    torch.save(values, path)
    parts = {}
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    other = "big" if sys.byteorder == "little" else "little"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in parts.items():
            data = other.encode() if name.endswith("/byteorder") else data
            file.writestr(name, values.numpy().byteswap().tobytes() if name.endswith("data/0") else data)
    assert torch.equal(read_pt(path), values)


def test_old_files_without_zip_of_the_other_byte_order() -> None:
    system = literal({"little_endian": sys.byteorder != "little"})
    order = ">" if sys.byteorder == "little" else "<"
    body = tensor_of(storage_id("0", 2), 0, (2,), (1,))
    data = legacy(body, system, literal(["0"]), struct.pack(f"{order}q2f", 2, 1.5, -2.0))
    found = read_pickle(b"\x80\x04ctorch.storage\n_load_from_bytes\n" + literal((data,)) + b"R.")
    assert found.tolist() == [1.5, -2.0]


def rewritten(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], **options: int) -> None:
    """The ZIP file at `path` with changed entries."""
    with zipfile.ZipFile(path) as file:
        parts = [change(name, file.read(name)) for name in file.namelist()]
    with zipfile.ZipFile(path, "w", **options) as file:
        for part in parts:
            if part is not None:
                file.writestr(*part)


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    torch.save({"w": torch.arange(1000.0)}, tmp_path / "file.pt")
    return tmp_path / "file.pt"


def test_compressed_entries_are_refused(zipped: Path) -> None:
    rewritten(zipped, lambda name, data: (name, data), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed or encrypted"):
        read_pt(zipped)


def test_a_missing_storage_and_one_of_another_size(zipped: Path) -> None:
    good = zipped.read_bytes()
    rewritten(zipped, lambda name, data: None if name.endswith("data/0") else (name, data))
    with pytest.raises(InputError, match="lacks the entry .*data/0"):
        read_pt(zipped)
    zipped.write_bytes(good)
    rewritten(zipped, lambda name, data: (name, data[:-4] if name.endswith("data/0") else data))
    with pytest.raises(InputError, match="larger than the rest"):
        read_pt(zipped)
    zipped.write_bytes(good)
    rewritten(zipped, lambda name, data: (name, data + b"more" if name.endswith("data/0") else data))
    with pytest.raises(InputError, match="4004 bytes for a tensor of 4000"):
        read_pt(zipped)


def test_overlapping_entries_are_refused(zipped: Path) -> None:
    data = bytearray(zipped.read_bytes())
    first = data.find(b"PK\x01\x02")
    second = data.find(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    zipped.write_bytes(data)
    with pytest.raises(InputError, match="overlapping entries"):
        read_pt(zipped)


def test_two_pickles_and_none(zipped: Path) -> None:
    good = zipped.read_bytes()
    rewritten(zipped, lambda name, data: (name.replace("version", "x/data.pkl"), data))
    with pytest.raises(InputError, match="instead of one"):
        read_pt(zipped)
    zipped.write_bytes(good)
    rewritten(zipped, lambda name, data: None if name.endswith("data.pkl") else (name, data))
    with pytest.raises(InputError, match=r"with 0 entries data\.pkl"):
        read_pt(zipped)


def test_programs_are_refused(zipped: Path) -> None:
    rewritten(zipped, lambda name, data: (name.replace("version", "constants.pkl"), data))
    with pytest.raises(InputError, match="TorchScript program"):
        read_pt(zipped)


@pytest.mark.parametrize(
    ("offset", "size", "stride", "message"),
    [
        (0, (9,), (1,), "beyond its memory"),
        (1, (8,), (1,), "beyond its memory"),
        (0, (2, 2), (7, 1), "beyond its memory"),
        (0, (1 << 20, 1 << 20), (0, 0), "far more tensors"),
        (-1, (2,), (1,), "impossible contents"),
        (0, (4,), (-1,), "impossible contents"),
        (0, (4,), (1, 1), "impossible contents"),
        (0, (1,) * 40, (1,) * 40, "impossible contents"),
    ],
)
def test_views_stay_inside_their_storage(offset: int, size: tuple, stride: tuple, message: str) -> None:
    storage = b"ctorch.storage\n_load_from_bytes\n" + literal((legacy_storage(8),)) + b"R"
    with pytest.raises(InputError, match=message):
        read_pickle(b"\x80\x02" + tensor_of(storage, offset, size, stride) + b".")


@pytest.mark.parametrize("declared", [1, 3, 1 << 40, 1 << 62])
def test_storages_have_the_size_they_say(declared: int) -> None:
    body = b"ctorch.storage\n_load_from_bytes\n" + literal((legacy_storage(2, declared),)) + b"R."
    with pytest.raises(InputError):
        read_pickle(b"\x80\x02" + body)


def test_files_in_files_in_files_are_refused() -> None:
    inner = pickle.dumps(torch.zeros(2), 2)[2:-1]
    body = legacy(inner)
    with pytest.raises(InputError):
        read_pickle(b"\x80\x02ctorch.storage\n_load_from_bytes\n" + literal((body,)) + b"R.")


def test_a_checkpoint_of_the_kind_users_have(tmp_path: Path) -> None:
    """State dicts, an optimizer's state with integer keys, and the command line's arguments."""
    import argparse

    module = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    out = io.BytesIO()
    value = {"g_ema": module.state_dict(), "g_optim": optimizer.state_dict(), "args": argparse.Namespace(size=64)}
    torch.save(value, out)
    (tmp_path / "010000.pt").write_bytes(out.getvalue())
    found = read_pt(tmp_path / "010000.pt")
    assert torch.equal(found["g_optim"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert found["args"].state == {"size": 64}
