"""TFRecord folders without TensorFlow: framing, sums, protobuf and labels, and damage of each."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openstylegan.data.sources import open_source
from openstylegan.data.sources.crc32c import crc32c, crc32c_bytewise, masked
from openstylegan.data.sources.tfrecord import parse_example, positions
from openstylegan.errors import InputError


def number(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(field: int, data: bytes) -> bytes:
    return number(field << 3 | 2) + number(len(data)) + data


def feature(name: bytes, value: bytes) -> bytes:
    return message(1, message(1, name) + message(2, value))


def example(picture: np.ndarray, packed: bool = True, shape=None) -> bytes:
    """A serialized Example of uint8 [C, H, W]."""
    sides = picture.shape if shape is None else shape
    numbers = message(1, b"".join(map(number, sides))) if packed else b"".join(b"\x08" + number(n) for n in sides)
    return message(
        1, feature(b"shape", message(3, numbers)) + feature(b"data", message(1, message(1, picture.tobytes())))
    )


def record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    sums = [struct.pack("<I", masked(crc(part))) for crc, part in ((crc32c_bytewise, head), (crc32c, data))]
    return head + sums[0] + data + sums[1]


PICTURES = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "ffhq"
    path.mkdir()
    for level in (2, 3, 10):
        side = min(2**level, 8)
        (path / f"ffhq-r{level:02d}.tfrecords").write_bytes(
            b"".join(record(example(p[:, :side, :side].copy())) for p in PICTURES)
        )
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_an_example(packed):
    assert np.array_equal(parse_example(example(PICTURES[0], packed)), PICTURES[0].transpose(1, 2, 0))


def test_protobuf_agrees():
    """The hand-written messages are what Google's own library understands."""
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    for name, kind, label in (("BytesList", 12, 3), ("Int64List", 3, 3)):
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=label)
    entry = file.message_type.add(name="Feature")
    entry.field.add(name="bytes_list", number=1, type=11, label=1, type_name=".t.BytesList")
    entry.field.add(name="int64_list", number=3, type=11, label=1, type_name=".t.Int64List")
    features = file.message_type.add(name="Features")
    pair = features.nested_type.add(name="FeatureEntry")
    pair.options.map_entry = True
    pair.field.add(name="key", number=1, type=9, label=1)
    pair.field.add(name="value", number=2, type=11, label=1, type_name=".t.Feature")
    features.field.add(name="feature", number=1, type=11, label=3, type_name=".t.Features.FeatureEntry")
    whole = file.message_type.add(name="Example")
    whole.field.add(name="features", number=1, type=11, label=1, type_name=".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))()
    made.features.feature["shape"].int64_list.value.extend([3, 8, 8])
    made.features.feature["data"].bytes_list.value.append(PICTURES[1].tobytes())
    assert np.array_equal(parse_example(made.SerializeToString()), PICTURES[1].transpose(1, 2, 0))


def test_the_highest_resolution_is_read(folder):
    source = open_source(folder)
    assert source.kind == "TFRecord"
    assert source.path.name == "ffhq-r10.tfrecords"
    assert source.other_files == ["ffhq-r02.tfrecords", "ffhq-r03.tfrecords"]
    records = list(source.records)
    assert np.array_equal(np.stack([r.data.load() for r in records]), PICTURES.transpose(0, 2, 3, 1))
    assert [r.label for r in records] == [None] * 5


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.eye(4, dtype=np.float32)[[3, 0, 1, 1, 2]], [3, 0, 1, 1, 2]),
        (np.array([3, 0, 1, 1, 2]), [3, 0, 1, 1, 2]),
        (np.full((5, 2), 0.5, np.float32), [[0.5, 0.5]] * 5),
    ],
)
def test_labels_beside_it(folder, labels, expected):
    with open(folder / "ffhq-rxx.labels", "wb") as file:
        np.save(file, labels)
    assert [r.label for r in open_source(folder).records] == expected


def test_a_label_file_with_objects_is_refused(folder):
    with open(folder / "ffhq-rxx.labels", "wb") as file:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"ffhq-rxx\.labels"):
        list(open_source(folder).records)


def test_a_damaged_record_is_one_bad_record(folder):
    path = folder / "ffhq-r10.tfrecords"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    results = []
    for entry in open_source(folder).records:
        try:
            entry.data.load()
            results.append("")
        except InputError as error:
            results.append(str(error))
    assert results == ["", "", "the record does not match its checksum", "", ""]


def test_a_cut_file_ends_with_a_reason(folder):
    path = folder / "ffhq-r10.tfrecords"
    path.write_bytes(path.read_bytes()[:-30])
    *whole, last = positions(path)
    assert len(whole) == 4
    with pytest.raises(InputError, match="cut off at byte"):
        last.load()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no features"),
        (message(1, b""), "features shape and data"),
        (example(PICTURES[0], shape=(3, 8, 9)), "expected 216 bytes of pixels in the record, got 192"),
        (example(PICTURES[0], shape=(8, 8)), r"shape \[C, H, W\]"),
        (example(PICTURES[0], shape=(5, 8, 8)), r"shape \[C, H, W\]"),
        (example(PICTURES[0], shape=(1, 2**40, 2**40)), r"shape \[C, H, W\]"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "no valid protobuf"),
        (b"\x0b", "no valid protobuf"),
    ],
)
def test_bad_records(data, message):
    with pytest.raises(InputError, match=message):
        parse_example(data)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=3), st.integers(0, 300))
def test_mutated_records_fail_cleanly(changes, cut):
    data = bytearray(example(PICTURES[0]))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        pixels = parse_example(bytes(data[: len(data) - cut] if cut < 150 else data))
    except (InputError, UnicodeDecodeError):
        return
    assert pixels.size <= 1000


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3))
def test_mutated_files_fail_cleanly(tmp_path, changes):
    data = bytearray(b"".join(record(example(p)) for p in PICTURES[:2]))
    for at, value in changes:
        data[at % len(data)] = value
    path = tmp_path / "x-r03.tfrecords"
    path.write_bytes(data)
    for entry in open_source(tmp_path).records:
        try:
            assert np.asarray(entry.data.load()).nbytes <= 1000
        except InputError:
            continue
