"""Pickles that want memory or time: nested, repeated, endless, or larger than they look."""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable

import torch
from interop.hostile_opcodes import call, integer, legacy, legacy_storage, literal, named, raw, tensor_of, text


def repeat(rng: random.Random, body: bytes, low: int = 1_000, high: int = 300_000) -> bytes:
    return body * rng.randrange(low, high)


def deep(rng: random.Random) -> bytes:
    count = rng.randrange(300, 200_000)
    opening, closing = rng.choice(
        ((b"]", b"a"), (b"(", b"t"), (b"", b"\x85"), (b"}N", b"s"), (b"(", b"l"), (b"(N", b"d"))
    )
    return opening * count + b"N" + closing * count + b"."


def laughs(rng: random.Random) -> bytes:
    """Each container holds the one before it several times."""
    build = rng.choice((b"](h%be", b"(h%bt", b"(h%bl"))
    body = b"](K\x01K\x02e\x94"
    for n in range(rng.randrange(30, 200)):
        body += build.replace(b"h%b", b"h" + bytes([n]) + b"h" + bytes([n]) + b"h" + bytes([n])) + b"\x94"
    return body + b"."


def cycle(rng: random.Random) -> bytes:
    return rng.choice((b"]\x94h\x00a.", b"}\x94K\x01h\x00s.", b"]\x94(h\x00t\x94a.", b"(]\x94h\x00\x85\x94at."))


def memo_bomb(rng: random.Random) -> bytes:
    kinds = (b"N\x94", b"]\x94", b"Nr" + struct.pack("<I", rng.randrange(1 << 32)), b"\x8f\x94", b"Np9999999\n")
    return repeat(rng, rng.choice(kinds), 100_000, 1_200_000) + b"."


def stack_bomb(rng: random.Random) -> bytes:
    return rng.choice((b"", b"]", b"K\x01")) + repeat(rng, rng.choice((b"(", b"]", b"}", b"\x8f", b"N", b"2"))) + b"."


def set_bomb(rng: random.Random) -> bytes:
    """A large list made into a set again and again."""
    many = b"](" + b"".join(b"J" + struct.pack("<i", n) for n in range(20_000)) + b"e\x94"
    kind = rng.choice((b"set", b"frozenset", b"list", b"bytes", b"dict"))
    return many + b"0" + (b"cbuiltins\n" + kind + b"\nh\x00\x85R0") * rng.randrange(1_000, 100_000) + b"N."


def key_bomb(rng: random.Random) -> bytes:
    """Keys whose hash takes for ever, or overflows the stack."""
    body = b")\x94"
    if rng.random() < 0.5:
        body += b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86\x94" for n in range(60))
    else:
        body += b"\x85" * rng.randrange(1_000, 300_000)
    return rng.choice((b"}" + body + b"Ns.", b"\x8f(" + body + b"\x90.", b"(" + body + b"\x91."))


def huge_size(rng: random.Random) -> bytes:
    size = rng.choice((1 << 20, 1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1))
    wide = struct.pack("<Q", size)
    narrow = struct.pack("<I", min(size, (1 << 32) - 1))
    codes = (
        b"\x8e" + wide,
        b"\x8d" + wide,
        b"\x96" + wide,
        b"\x95" + wide,
        b"B" + narrow,
        b"X" + narrow,
        b"T" + narrow,
    )
    return rng.choice((*codes, b"\x8b" + narrow)) + bytes(100) + b"."


def wide_text(rng: random.Random) -> bytes:
    """Text that is four times as wide in memory as in the file, decoded many times."""
    value = ("a" * rng.randrange(1_000, 50_000) + "\U0001f600").encode()
    return repeat(rng, b"X" + struct.pack("<I", len(value)) + value, 50, 400) + b"."


def encode_bomb(rng: random.Random) -> bytes:
    body = text("a" * 100_000) + b"\x94" + text("latin1") + b"\x94"
    return body + repeat(rng, b"c_codecs\nencode\nh\x00h\x01\x86R", 1_000, 20_000) + b"."


def long_line(rng: random.Random) -> bytes:
    code = rng.choice((b"I", b"L", b"F", b"S'", b"V", b"c", b"i", b"p", b"g", b"P"))
    return code + b"9" * rng.randrange(1_000, 2_000_000) + rng.choice((b"", b"\n", b"L\n", b"'\n")) + b"."


def buffers(rng: random.Random) -> bytes:
    return rng.choice(
        (b"\x97.", b"\x97\x98.", b"\x98.", b"\x82\x01.", b"\x83\x01\x02.", b"\x84\x01\x02\x03\x04.", b"P1\n.")
    )


def large_array(rng: random.Random) -> bytes:
    """An array that says it is far larger than its bytes."""
    shape = rng.choice(((1 << 40,), (1 << 20, 1 << 20), (1 << 62, 4), (-1,), (0, 1 << 39, 1 << 39), (1,) * 70))
    code = rng.choice(("f8", "S99999", "U4", "V8", "M8[s]", "i4,f8"))
    dtype = named("numpy", "dtype") + literal((code, False, True)) + b"R"
    array = named("numpy.core.multiarray", "_reconstruct") + b"(" + named("numpy", "ndarray")
    state = integer(1) + literal(shape) + dtype + b"\x89" + raw(bytes(8))
    return array + literal((0,)) + raw(b"b") + b"tR(" + state + b"tb."


def large_tensor(rng: random.Random) -> bytes:
    """Views that reach beyond their storage, or show one number as a great many."""
    storage = call("torch.storage", "_load_from_bytes", legacy_storage(8))
    sizes = (
        ((1 << 20, 1 << 20), (0, 0)),
        ((9,), (1,)),
        ((2, 2), (7, 1)),
        ((4,), (-1,)),
        ((8,), (1 << 62,)),
        ((3,), (1, 1)),
    )
    size, stride = rng.choice(sizes)
    return tensor_of(storage, rng.choice((0, 1, -1, 1 << 62)) if size == (9,) else 0, size, stride) + b"."


def many_views(rng: random.Random) -> bytes:
    """One storage, shown whole by thousands of tensors."""
    storage = call("torch.storage", "_load_from_bytes", legacy_storage(100_000)) + b"\x940"
    view = tensor_of(b"h\x00", 0, (100_000,), (1,))
    return storage + b"](" + view * rng.randrange(3_000, 20_000) + b"e."


def many_storages(rng: random.Random) -> bytes:
    """The same bytes read as a file again and again."""
    body = raw(legacy_storage(100_000)) + b"\x940"
    return body + b"](" + b"ctorch.storage\n_load_from_bytes\nh\x00\x85R" * rng.randrange(2_000, 20_000) + b"e."


def declared_storage(rng: random.Random) -> bytes:
    declared = rng.choice((3, 1 << 20, 1 << 40, 1 << 62, -1))
    return call("torch.storage", "_load_from_bytes", legacy_storage(2, declared)) + b"."


def nested_files(rng: random.Random) -> bytes:
    """Files inside files inside files."""
    body = legacy_storage()
    for _ in range(rng.randrange(2, 60)):
        body = legacy(call("torch.storage", "_load_from_bytes", body))
    return call("torch.storage", "_load_from_bytes", body) + b"."


def soup(rng: random.Random) -> bytes:
    """Random instructions."""
    codes = b"(.0123INFGJKLMSTUVX]aelt)}dsuqprghjcioRb\x81\x85\x86\x87\x88\x89\x8a\x8c\x8e\x8f\x90\x91\x92\x93\x94\x95"
    return bytes(
        rng.choice(codes) if rng.random() < 0.8 else rng.randrange(256) for _ in range(rng.randrange(5, 3_000))
    )


def cut(rng: random.Random) -> bytes:
    """A good pickle without its end."""
    good = pickle.dumps(
        {"G_ema": torch.zeros(50), "about": [1.5, "x", b"y", (None, {1, 2})]}, rng.choice((0, 1, 2, 3, 4, 5))
    )
    return good[: rng.randrange(1, len(good) - 2)]


BOMBS: tuple[Callable[[random.Random], bytes], ...] = (
    deep,
    laughs,
    cycle,
    memo_bomb,
    stack_bomb,
    set_bomb,
    key_bomb,
    huge_size,
    wide_text,
    encode_bomb,
    long_line,
    buffers,
    large_array,
    large_tensor,
    many_views,
    many_storages,
    declared_storage,
    nested_files,
    soup,
    cut,
)
