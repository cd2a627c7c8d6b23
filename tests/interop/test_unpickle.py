"""The reader of foreign pickles: what Python's `pickle` writes is what comes out, and nothing in a file is called."""

from __future__ import annotations

import argparse
import collections
import math
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openstylegan.errors import InputError
from openstylegan.interop.limits import Limits
from openstylegan.interop.unpickle import Instance, Reference, UnsafeFile, read_pickle, read_pickle_file

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 2000), 1 << 2000),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(),
)
KEYS = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()))
MEMBERS = st.one_of(st.integers(), st.text())
VALUES = st.recursive(
    st.one_of(SCALARS, st.sets(MEMBERS), st.frozensets(MEMBERS), st.binary().map(bytearray)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(KEYS, inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.lists(st.tuples(KEYS, inner), max_size=5).map(collections.OrderedDict),
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=150)
@given(VALUES, st.sampled_from(PROTOCOLS))
@example({"a": [1, (2.5, b"x" * 300, "\U0001f600\ud800")], 3: {4}, (1, "b"): frozenset([5])}, 4)
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    found = read_pickle(pickle.dumps(value, protocol))
    assert found == value
    assert type(found) is type(value)


def assert_value_or_input_error(data: bytes) -> None:
    """Reads `data`; any error but an `InputError` of one line fails the test."""
    message = ""
    try:
        read_pickle(data)
    except InputError as error:
        message = str(error)
    assert message.isprintable()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_value_or_an_input_error(data: bytes) -> None:
    assert_value_or_input_error(data + b".")
    assert_value_or_input_error(b"\x80\x04" + data + b".")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_pickles_end_in_a_value_or_an_input_error(data: st.DataObject) -> None:
    content = {"w": torch.arange(6.0), "a": np.arange(3), "o": collections.OrderedDict(x={1, 2}), "n": np.float64(2)}
    good = bytearray(pickle.dumps(content, data.draw(st.sampled_from(PROTOCOLS))))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    assert_value_or_input_error(bytes(good))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("code", ["b1", "i1", "u2", "i4", "<i8", ">f4", "f8", "f2", "c8", "c16", "S5", "U3"])
def test_arrays(protocol: int, code: str) -> None:
    generator = np.random.default_rng(0)
    for shape in ((), (0,), (3,), (2, 3, 4)):
        whole = np.asarray(generator.random(shape) * 100).astype(code)
        for array in (whole, np.asfortranarray(whole)):
            found = read_pickle(pickle.dumps([array, array], protocol))
            assert found[0] is found[1]
            assert found[0].dtype == array.dtype
            assert np.array_equal(found[0], array)
            assert (found[0].flags.writeable and found[0].flags.owndata) or found[0].base.flags.owndata


def test_numbers_of_numpy() -> None:
    values = [np.float32(1.5), np.float64(math.pi), np.int64(-3), np.bool_(True)]
    found = read_pickle(pickle.dumps(values))
    assert found == values
    assert [type(v) for v in found] == [type(v) for v in values]


def test_old_and_new_names_of_numpy() -> None:
    data = pickle.dumps(np.arange(5), 2)
    old, new = b"numpy.core.multiarray", b"numpy._core.multiarray"
    for text in (data.replace(new, old), data.replace(old, new).replace(old, new)):
        assert np.array_equal(read_pickle(text), np.arange(5))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tensors(protocol: int) -> None:
    base = torch.randn(4, 6)
    values = {
        "base": base,
        "view": base[1:, ::2].t(),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "index": torch.arange(3),
        "none": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
    }
    found = read_pickle(pickle.dumps(values, protocol))
    for name, tensor in values.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype and found[name].stride() == tensor.stride()
        assert not found[name].requires_grad and type(found[name]) is torch.Tensor


def test_tensors_have_memory_of_their_own() -> None:
    """They can be changed, and the file's bytes stay as they are."""
    data = pickle.dumps(torch.zeros(1000))
    before = bytes(data)
    read_pickle(data).fill_(7)
    assert data == before


def test_classes_become_inert_records() -> None:
    name = b"training.networks"
    data = b"\x80\x04c" + name + b"\nG\n(K\x01t\x81}(X\x01\x00\x00\x00aK\x02ub."
    record = read_pickle(data)
    assert isinstance(record, Instance)
    assert (record.module, record.name, record.args, record.state) == ("training.networks", "G", (1,), {"a": 2})
    assert not record.called
    called = read_pickle(b"\x80\x04ctraining.networks\nmake\nK\x05\x85R.")
    assert called.called and called.args == (5,)
    assert read_pickle(b"\x80\x04ctorch.nn.modules.linear\nLinear\n.") == Reference("torch.nn.modules.linear", "Linear")


def test_a_namespace_is_a_record() -> None:
    record = read_pickle(pickle.dumps(argparse.Namespace(size=256)))
    assert (record.module, record.name, record.state) == ("argparse", "Namespace", {"size": 256})


def test_subclasses_of_dict_and_list() -> None:
    easy = b"cdnnlib.util\nEasyDict\n)\x81X\x01\x00\x00\x00aK\x01s."
    assert read_pickle(b"\x80\x02" + easy) == {"a": 1}
    record = read_pickle(b"\x80\x02cdnnlib.util\nTable\n)\x81(X\x01\x00\x00\x00aK\x01u.")
    assert record.items == {"a": 1}
    record = read_pickle(b"\x80\x02cdnnlib.util\nRow\n)\x81(K\x01K\x02e.")
    assert record.items == [1, 2]


def test_objects_of_protocol_0() -> None:
    """copyreg._reconstructor, as protocols 0 and 1 write objects and subclasses of dict."""
    start = b"ccopy_reg\n_reconstructor\n(ctraining.networks\nG\nc__builtin__\n"
    assert read_pickle(start + b"object\nNtR(dS'a'\nI1\nsb.").state == {"a": 1}
    easy = b"ccopy_reg\n_reconstructor\n(cdnnlib.util\nEasyDict\nc__builtin__\ndict\n(dS'a'\nI1\nstR."
    assert read_pickle(easy) == {"a": 1}


def test_strings_of_python_2() -> None:
    assert read_pickle(b"(S'abc\\xe9'\nU\x02\xe9aT\x01\x00\x00\x00bI01\nL7L\nF2.5\nt.") == (
        "abcé",
        "éa",
        "b",
        True,
        7,
        2.5,
    )


def test_arrays_of_python_2() -> None:
    """There an array's bytes are a string."""
    values = np.arange(3000, dtype=np.float32)
    raw = values.tobytes()
    head = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M\xb8\x0b\x85"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    found = read_pickle(head + kind + b"\x89T" + struct.pack("<I", len(raw)) + raw + b"tb.")
    assert np.array_equal(found, values)


def test_long_bytes_are_views_of_the_file() -> None:
    data = pickle.dumps([b"x" * 100_000, bytearray(b"y" * 100_000)], 5)
    first, second = read_pickle(data)
    assert isinstance(first, memoryview) and first.readonly and first == b"x" * 100_000
    assert isinstance(second, memoryview) and second == b"y" * 100_000


def test_persistent_ids_are_asked_for() -> None:
    assert read_pickle(b"\x80\x02X\x01\x00\x00\x00aQ.", persistent=lambda name: name * 2) == "aa"
    assert read_pickle(b"Pab\n.", persistent=lambda name: name * 2) == "abab"
    with pytest.raises(InputError, match="persistent id"):
        read_pickle(b"Pab\n.")


@pytest.mark.parametrize("name", ["os system", "builtins eval", "builtins getattr", "subprocess Popen", "torch load"])
def test_calls_are_refused_with_their_name(name: str, tmp_path: Path) -> None:
    module, function = name.split()
    data = f"c{module}\n{function}\n(S'x'\ntR.".encode()
    for body in (data, b"(lp0\n" + data[:-1] + b"a."):
        with pytest.raises(UnsafeFile, match=f"asks to call {module}.{function}; nothing was run"):
            read_pickle(body)
    with pytest.raises(UnsafeFile, match=f"names {module}.{function}"):
        read_pickle(f"c{module}\n{function}\n.".encode())
    path = tmp_path / "evil.pkl"
    path.write_bytes(data)
    with pytest.raises(UnsafeFile, match=r"evil\.pkl asks to call"):
        read_pickle_file(path)


def test_names_cannot_break_the_line() -> None:
    with pytest.raises(UnsafeFile) as error:
        read_pickle(b"\x80\x04\x8c\x07os\x1b[31m\x8c\x04sy\nm\x93)R.")
    assert str(error.value).isprintable()


def test_what_networks_hold_can_be_widened() -> None:
    data = b"cmine\nNet\n)\x81."
    with pytest.raises(UnsafeFile):
        read_pickle(data)
    assert read_pickle(data, limits=Limits(records=lambda module, name: module == "mine")).name == "Net"


def test_cycles_are_refused() -> None:
    for data in (
        b"]\x94h\x00a.",
        b"}\x94K\x01h\x00s.",
        b"ctorch.nn\nM\n)\x81\x94h\x00b.",
        b"ctorch.nn\nM\n)\x81\x94h\x00a.",
    ):
        with pytest.raises(InputError, match="contains itself"):
            read_pickle(data)


def test_shared_objects_stay_shared() -> None:
    inner = [1]
    found = read_pickle(pickle.dumps([inner, inner, (inner,)]))
    assert found[0] is found[1] is found[2][0]


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ({"opcodes": 50}, list(range(100)), "more than 50 instructions"),
        ({"memo_entries": 5}, [[] for _ in range(10)], "more than 5 objects"),
        ({"depth": 3}, [[[[1]]]], "deeper than 3 levels"),
        ({"unfolded_items": 20}, list(range(30)), "unfolds to far more"),
        ({"text_bytes": 10}, "a" * 11, "a text of more than"),
        ({"integer_bytes": 4}, 1 << 40, "an integer of 6 bytes"),
        ({"file_bytes": 10}, "a" * 11, "is larger than"),
        ({"extra_bytes": 0}, [[] for _ in range(100)], "far more memory"),
    ],
)
def test_limits_hold(limit: dict[str, int], value: Any, message: str) -> None:
    data = pickle.dumps(value)
    read_pickle(data)
    with pytest.raises(InputError, match=message):
        read_pickle(data, limits=replace(Limits(), **limit))


def test_what_follows_the_end_is_not_dropped() -> None:
    with pytest.raises(InputError, match="goes on for 3 bytes"):
        read_pickle(pickle.dumps(1) + b"abc")


def test_every_cut_is_noticed() -> None:
    data = pickle.dumps({"w": torch.zeros(3), "a": np.zeros(3), "t": ("x", 2.5, None)})
    for size in range(len(data)):
        with pytest.raises(InputError):
            read_pickle(data[:size])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is none"):
        read_pickle_file(tmp_path / "nothing.pkl")


def test_every_instruction_of_the_language_is_known() -> None:
    import pickletools

    from openstylegan.interop.instructions import INSTRUCTIONS, STOP

    assert {bytes(op.code, "latin-1") for op in pickletools.opcodes} == {*INSTRUCTIONS, bytes([STOP])}
