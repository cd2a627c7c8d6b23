"""Every file is named for what it is, whatever it is called."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from openstylegan.data.sources.crc32c import crc32c, masked
from openstylegan.errors import InputError
from openstylegan.interop.identify import identify, wrong_kind
from openstylegan.tensors import write_tensors


def picture(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, form)
    return out.getvalue()


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"contents")
    return out.getvalue()


def saved(**options: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, out, **options)
    return out.getvalue()


def arrays() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


def record() -> bytes:
    length = struct.pack("<Q", 100)
    return length + struct.pack("<I", masked(crc32c(length))) + bytes(range(100)) + bytes(4)


SAFETENSORS = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "pickle": (lambda: pickle.dumps({"G": 1}, 4), "a pickle (protocol 4)"),
    "old pickle": (lambda: pickle.dumps({"G": 1}, 0), "a pickle (protocol 0 or 1)"),
    "cut pickle": (lambda: pickle.dumps({"G": 1})[:-1], "a pickle (protocol 4) that is cut off"),
    "torch zip": (saved, "a PyTorch file"),
    "cut torch zip": (lambda: saved()[:-30], "a ZIP or .pt file without its end (a download that was cut off?)"),
    "torch legacy": (lambda: saved(_use_new_zipfile_serialization=False), "a PyTorch file in the older layout"),
    "torch script": (lambda: zipped("n/data.pkl", "n/constants.pkl", "n/code/a.py"), "a TorchScript program"),
    "npz": (arrays, "an .npz file of NumPy arrays"),
    "dataset": (lambda: zipped("0/a.png", "0/b.PNG", "dataset.json"), "a ZIP file of 2 pictures (a dataset?)"),
    "keras": (lambda: zipped("config.json", "model.weights.h5"), "a Keras model"),
    "zip": (lambda: zipped("a.txt"), "a ZIP file of 1 entries, the first named a.txt"),
    "empty zip": (zipped, "an empty ZIP file"),
    "png": (lambda: picture("PNG"), "a PNG picture"),
    "jpeg": (lambda: picture("JPEG"), "a JPEG picture"),
    "webp": (lambda: picture("WEBP"), "a WebP picture"),
    "html": (lambda: b"\n <!DOCTYPE HTML><html>404</html>", "an HTML page (a failed download?)"),
    "xml": (lambda: b"<?xml version='1.0'?><Error/>", "an XML page (a failed download?)"),
    "lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "a Git LFS pointer (run `git lfs pull` to get the file itself)",
    ),
    "gzip": (lambda: gzip.compress(b"x"), "a gzip file (unpack it first)"),
    "bzip2": (lambda: bz2.compress(b"x"), "a bzip2 file (unpack it first)"),
    "xz": (lambda: lzma.compress(b"x"), "an xz file (unpack it first)"),
    "zstd": (lambda: bytes.fromhex("28b52ffd") + bytes(9), "a Zstandard file (unpack it first)"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file (Keras weights?)"),
    "onnx": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x051.9.0:" + bytes(99), "an ONNX model"),
    "saved model": (lambda: b"\x08\x01\x12\xff\x01" + bytes(99) + b"serve" + bytes(9), "a TensorFlow SavedModel"),
    "checkpoint": (
        lambda: b"\0\0\1" + bytes(99) + bytes.fromhex("57fb808b247547db"),
        "a TensorFlow checkpoint (only its pickles of networks are read)",
    ),
    "records": (record, "a TFRecord file (a dataset?)"),
    "safetensors": (
        lambda: len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS + bytes(8),
        "a safetensors file of another program",
    ),
    "cut safetensors": (
        lambda: len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS + bytes(7),
        "a safetensors file that is cut off",
    ),
    "cut header": (
        lambda: len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS[:30],
        "a safetensors file that is cut off",
    ),
    "empty": (lambda: b"", "an empty file"),
    "zeros": (lambda: bytes(5000), "a file of zeros (a failed download?)"),
    "json": (lambda: json.dumps({"a": 1}).encode(), "a JSON file"),
    "text": (lambda: b"Hello, world\nmore", "a text file that begins with 'Hello, world'"),
    "program": (lambda: b"\x7fELF" + bytes(99), "a program"),
    "noise": (lambda: bytes([200, 201, 3, 4] * 9), "a file of an unknown kind (it begins with c8 c9 03 04)"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_for_what_it_is(tmp_path: Path, name: str) -> None:
    make, sentence = FILES[name]
    path = tmp_path / "network.pkl"
    path.write_bytes(make())
    assert identify(path).sentence == sentence


def test_ours_and_others_safetensors(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", {"G/w": torch.zeros(3)}, {"format": 1})
    save_file({"w": torch.zeros(3)}, tmp_path / "b")
    assert identify(tmp_path / "a").name == "snapshot"
    assert identify(tmp_path / "b").name == "safetensors"


def test_names_for_readers(tmp_path: Path) -> None:
    for name, kind in (("torch zip", "torch-zip"), ("torch legacy", "torch-legacy"), ("pickle", "pickle")):
        (tmp_path / "x").write_bytes(FILES[name][0]())
        assert identify(tmp_path / "x").name == kind


def test_what_is_no_file(tmp_path: Path) -> None:
    assert identify(tmp_path).sentence == "a folder"
    assert identify("/dev/null").sentence == "a device or a pipe"
    os.mkfifo(tmp_path / "pipe")
    assert identify(tmp_path / "pipe").sentence == "a device or a pipe"  # and it does not wait for a writer
    with pytest.raises(InputError, match="there is none"):
        identify(tmp_path / "nothing")


def test_the_error_is_one_line_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b[31m.pkl"
    path.write_bytes(b"<html>")
    error = wrong_kind(identify(path), path)
    assert str(error).startswith("expected a network, got an HTML page (a failed download?): ")
    assert str(error).isprintable()


@pytest.mark.parametrize("name", FILES)
def test_no_first_bytes_break_it(tmp_path: Path, name: str) -> None:
    """Any part of any file, from one byte on, gets a name."""
    data = FILES[name][0]()
    for size in {*range(1, min(len(data), 40)), len(data) // 2, max(1, len(data) - 1)}:
        (tmp_path / "part").write_bytes(data[:size])
        assert identify(tmp_path / "part").sentence
