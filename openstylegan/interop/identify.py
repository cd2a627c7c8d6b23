"""Names a file for what it is, by its first bytes and its structure: never by its name, never by running anything.

    kind = identify("ffhq.pkl")             # Kind(name="html", sentence="an HTML page (a failed download?)")
    raise wrong_kind(kind, "ffhq.pkl")      # expected a network, got an HTML page (a failed download?): ffhq.pkl

The names a reader of networks asks for: "snapshot" (ours), "pickle", "torch-zip", "torch-legacy". All others say what
the user has in hand.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openstylegan.data.sources.crc32c import crc32c_bytewise, masked
from openstylegan.errors import InputError, printable
from openstylegan.interop.zip_directory import read_directory

HEAD_BYTES = 4096
TAIL_BYTES = 64
LONGEST_HEADER = 8 << 20
OLDEST_BINARY_PICKLE, NEWEST_PICKLE = 2, 5
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LEGACY_MARK = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""How the older layout of torch.save begins: a pickle of its magic number."""


@dataclass(frozen=True)
class Kind:
    """What a file is: `name` for programs, `sentence` (a noun phrase) for the user."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Sample:
    """What is looked at: the first and last bytes, the size, and the path for those who need more."""

    path: Path
    size: int
    head: bytes
    tail: bytes


Check = Callable[[Sample], Kind | None]


def identify(path: str | os.PathLike[str]) -> Kind:
    """What is at `path`. Raises `InputError` when there is nothing, or nothing that may be read."""
    place = Path(path)
    if place.is_dir():
        return Kind("folder", "a folder")
    if not place.exists():
        raise InputError(f"expected a file at {place}, but there is none; check the path")
    if not place.is_file():
        return Kind("device", "a device or a pipe")
    try:
        return identify_sample(take_sample(place))
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error


def take_sample(path: Path) -> Sample:
    """The ends of a file."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return Sample(path, size, head, file.read(TAIL_BYTES))


def identify_sample(sample: Sample) -> Kind:
    """The first kind whose check says so."""
    for check in CHECKS:
        found = check(sample)
        if found is not None:
            return found
    return Kind("unknown", f"a file of an unknown kind (it begins with {sample.head[:4].hex(' ')})")


def wrong_kind(kind: Kind, path: str | os.PathLike[str], expected: str = "a network") -> InputError:
    """The error for a file that is not what was `expected`."""
    return InputError(f"expected {expected}, got {kind.sentence}: {printable(os.fspath(path), 400)}")


def empty(sample: Sample) -> Kind | None:
    """Nothing at all, or nothing but zeros, as a download that was cut off may leave."""
    if not sample.size:
        return Kind("empty", "an empty file")
    if not sample.head.strip(b"\0") and not sample.tail.strip(b"\0"):
        return Kind("zeros", "a file of zeros (a failed download?)")
    return None


def by_first_bytes(sample: Sample) -> Kind | None:
    """The kinds that begin with a mark of their own."""
    for offset, mark, name, sentence in MARKS:
        if sample.head[offset : offset + len(mark)] == mark:
            return Kind(name, sentence)
    return None


def web_page(sample: Sample) -> Kind | None:
    """What a web server sends instead of a file."""
    start = sample.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")):
        return Kind("html", "an HTML page (a failed download?)")
    if start.startswith((b"<?xml", b"<error>")):
        return Kind("xml", "an XML page (a failed download?)")
    return None


def git_lfs(sample: Sample) -> Kind | None:
    """What stands in a Git repository for a large file."""
    if sample.head.startswith(b"version https://git-lfs"):
        return Kind("git-lfs", "a Git LFS pointer (run `git lfs pull` to get the file itself)")
    return None


def zip_file(sample: Sample) -> Kind | None:
    """A ZIP file, by the names in it."""
    if sample.head[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
        return None
    try:
        with open(sample.path, "rb") as file:
            names = [entry.name for entry in read_directory(file, sample.size)]
    except (InputError, struct.error):
        return Kind("zip-truncated", "a ZIP or .pt file without its end (a download that was cut off?)")
    return zip_of(names)


def zip_of(names: list[str]) -> Kind:
    """What a ZIP file with these entries is."""
    if not names:
        return Kind("zip-empty", "an empty ZIP file")
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return Kind("torchscript", "a TorchScript program")
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return Kind("torch-zip", "a PyTorch file")
    if "model.weights.h5" in names:
        return Kind("keras", "a Keras model")
    if all(name.endswith(".npy") for name in names):
        return Kind("npz", "an .npz file of NumPy arrays")
    pictures = sum(name.lower().endswith(PICTURE_ENDINGS) for name in names)
    if pictures:
        return Kind("zip-pictures", f"a ZIP file of {pictures} pictures (a dataset?)")
    return Kind("zip", f"a ZIP file of {len(names)} entries, the first named {printable(names[0])}")


def safetensors(sample: Sample) -> Kind | None:
    """A safetensors file: the length of a JSON header, then the header. Ours says so in its metadata."""
    if sample.size < 10 or sample.head[8:9] != b"{":
        return None
    length = int.from_bytes(sample.head[:8], "little")
    if length > sample.size - 8:
        plausible = length < LONGEST_HEADER and sample.head[8:10] == b'{"'
        return Kind("safetensors-truncated", "a safetensors file that is cut off") if plausible else None
    if length > LONGEST_HEADER:
        return None
    with open(sample.path, "rb") as file:
        file.seek(8)
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return safetensors_of(header, sample.size - 8 - length) if isinstance(header, dict) else None


def safetensors_of(header: dict[str, object], data_bytes: int) -> Kind:
    """What a safetensors file with this header is."""
    metadata = header.get("__metadata__")
    places = [entry.get("data_offsets") for entry in header.values() if isinstance(entry, dict)]
    ends = [p[1] for p in places if isinstance(p, list) and len(p) == 2 and isinstance(p[1], int)]
    if max(ends, default=0) > data_bytes:
        return Kind("safetensors-truncated", "a safetensors file that is cut off")
    if isinstance(metadata, dict) and "openstylegan" in metadata:
        return Kind("snapshot", "a network snapshot of OpenStyleGAN")
    return Kind("safetensors", "a safetensors file of another program")


def pickled(sample: Sample) -> Kind | None:
    """A pickle, whole or cut off. A PyTorch file of the older layout is a row of pickles."""
    if sample.head.startswith(LEGACY_MARK):
        return Kind("torch-legacy", "a PyTorch file in the older layout")
    ends = sample.tail.endswith(b".")
    if len(sample.head) > 1 and sample.head[0] == 0x80 and OLDEST_BINARY_PICKLE <= sample.head[1] <= NEWEST_PICKLE:
        protocol = f"a pickle (protocol {sample.head[1]})"
        return Kind("pickle", protocol) if ends else Kind("pickle-truncated", f"{protocol} that is cut off")
    old = sample.head.startswith((b"(dp", b"(lp", b"(cp", b"}q", b"]q", b"(c", b"(i", b"ccopy_reg\n", b"cdnnlib"))
    return Kind("pickle", "a pickle (protocol 0 or 1)") if old and ends else None


def protocol_buffer(sample: Sample) -> Kind | None:
    """ONNX and TensorFlow's saved models: a small version number as field 1, then a message or a text."""
    head = sample.head
    if len(head) < 4 or head[0] != 0x08 or head[1] > 0x20:
        return None
    if head[1] == 1 and head[2] == 0x12 and sample.size > 64 and b"serve" in head + sample.tail:
        return Kind("saved-model", "a TensorFlow SavedModel")
    producers = (b"pytorch", b"tf2onnx", b"onnx", b"keras2onnx", b"skl2onnx", b"OpenStyleGAN")
    known = any(producer in head[:64] for producer in producers)
    return Kind("onnx", "an ONNX model") if known or (head[1] >= 3 and head[2] in (0x12, 0x3A, 0x42)) else None


def tensorflow(sample: Sample) -> Kind | None:
    """Checkpoints (a sorted table with a mark at its end) and records."""
    if sample.tail.endswith(bytes.fromhex("57fb808b247547db")):
        return Kind("tensorflow-checkpoint", "a TensorFlow checkpoint (only its pickles of networks are read)")
    if sample.head.startswith(b"model_checkpoint_path:"):
        return Kind("tensorflow-checkpoint", "the list of TensorFlow checkpoints of a folder")
    if len(sample.head) > 16 and is_record(sample):
        return Kind("tfrecord", "a TFRecord file (a dataset?)")
    return None


def is_record(sample: Sample) -> bool:
    """Whether the file begins as a TFRecord does: a length, and the sum of the length."""
    length = int.from_bytes(sample.head[:8], "little")
    if not 0 < length <= sample.size - 16:
        return False
    return masked(crc32c_bytewise(sample.head[:8])) == int.from_bytes(sample.head[8:12], "little")


def text(sample: Sample) -> Kind | None:
    """Anything one can read."""
    cut = sample.head if sample.size <= HEAD_BYTES else sample.head[:-4]
    try:
        decoded = cut.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if any(c < " " and c not in "\t\r\n\f" for c in decoded):
        return None
    if decoded.lstrip()[:1] in ("{", "["):
        return Kind("json", "a JSON file")
    first = (decoded.strip().splitlines() or [""])[0]
    return Kind("text", f"a text file that begins with '{printable(first, 40)}'")


# Offset, mark, name, sentence.
MARKS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "png", "a PNG picture"),
    (0, b"\xff\xd8\xff", "jpeg", "a JPEG picture"),
    (0, b"GIF8", "gif", "a GIF picture"),
    (8, b"WEBP", "webp", "a WebP picture"),
    (0, b"II*\0", "tiff", "a TIFF picture"),
    (0, b"MM\0*", "tiff", "a TIFF picture"),
    (4, b"ftyp", "mp4", "an MP4 video"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5", "an HDF5 file (Keras weights?)"),
    (0, b"\x93NUMPY", "npy", "an .npy file of a NumPy array"),
    (0, b"\x1f\x8b", "gzip", "a gzip file (unpack it first)"),
    (0, b"BZh", "bzip2", "a bzip2 file (unpack it first)"),
    (0, b"\xfd7zXZ\0", "xz", "an xz file (unpack it first)"),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "a Zstandard file (unpack it first)"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "a 7-Zip file (unpack it first)"),
    (0, b"Rar!", "rar", "a RAR file (unpack it first)"),
    (257, b"ustar", "tar", "a tar file (unpack it first)"),
    (0, b"%PDF", "pdf", "a PDF document"),
    (0, b"\x7fELF", "program", "a program"),
    (0, b"MZ", "program", "a program"),
    (0, b"GGUF", "gguf", "a GGUF file (a language model)"),
)
CHECKS: tuple[Check, ...] = (
    empty,
    pickled,
    safetensors,
    zip_file,
    by_first_bytes,
    web_page,
    git_lfs,
    tensorflow,
    protocol_buffer,
    text,
)
