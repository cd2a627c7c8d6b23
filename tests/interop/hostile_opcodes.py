"""Pickles written opcode by opcode, without Python's `pickle`."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if abs(value) < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def literal(value: object) -> bytes:
    """Opcodes for plain values."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return raw(value)
    if isinstance(value, bool) or value is None:
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, dict):
        return b"}(" + b"".join(literal(k) + literal(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(literal, value)) + b"e"
    assert isinstance(value, tuple)
    return b"(" + b"".join(map(literal, value)) + b"t"


def named(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def stack_named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(module: str, name: str, *args: object) -> bytes:
    return named(module, name) + literal(args) + b"R"


def legacy(body: bytes, system: bytes | None = None, keys: bytes = b"]", tail: bytes = b"") -> bytes:
    """A file of torch.save's older layout around opcodes of our choice."""
    magic = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
    parts = (magic, integer(1001), literal({"little_endian": True}) if system is None else system, body, keys)
    return b"".join(b"\x80\x02" + part + b"." for part in parts) + tail


def storage_id(key: str, numel: int, kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu") + integer(numel) + b"tQ"


def legacy_storage(numel: int = 2, declared: int | None = None) -> bytes:
    """A storage of `numel` floats that says it has `declared`."""
    said = numel if declared is None else declared
    return legacy(storage_id("0", said), keys=literal(["0"]), tail=struct.pack("<q", said) + bytes(4 * numel))


def tensor_of(storage: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    args = b"(" + storage + literal(offset) + literal(size) + literal(stride) + b"\x89}t"
    return named("torch._utils", "_rebuild_tensor_v2") + args + b"R"
