"""Labels from dataset.json, CSV and folder names: right, or one line that names the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openstylegan.data.labels import Labels, arrange, class_names, folder_classes, parse_csv, parse_dataset_json
from openstylegan.errors import InputError


def parse(labels) -> dict | None:
    return parse_dataset_json(json.dumps({"labels": labels}).encode(), "dataset.json")


def test_classes_vectors_and_null():
    assert parse([["a.png", 3], ["b\\c.png", 0]]) == {"a.png": 3, "b/c.png": 0}
    assert parse([["a.png", [1, 0.5]]]) == {"a.png": [1.0, 0.5]}
    assert parse([["a.png", 2.0]]) == {"a.png": 2}
    assert parse(None) is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a.png", -1]], "class from 0.*a.png, got -1"),
        ([["a.png", 0.5]], "a.png, got 0.5"),
        ([["a.png", True]], "a.png, got True"),
        ([["a.png", "cat"]], "a.png, got cat"),
        ([["a.png", None]], "a.png, got None"),
        ([["a.png", []]], r"a.png, got \[\]"),
        ([["a.png", [1, "x"]]], "a.png"),
        ([["a.png", float("nan")]], "a.png, got nan"),
        ([["a.png", [1, float("inf")]]], "a.png"),
        ([["a.png", 10**9]], "a.png, got 1000000000"),
        ([["a.png", 10**400]], "a.png"),
        ([["a.png", 1], ["b.png", [1.0]]], "one kind.*a class for a.png, 1 numbers for b.png"),
        ([["a.png", [1, 2]], ["b.png", [1]]], "one kind.*2 numbers for a.png, 1 numbers for b.png"),
        ([["a.png", 1], ["a.png", 2]], "two labels"),
        ([["a.png"]], r"expected \[file, label\]"),
        ([[1, 1]], r"expected \[file, label\]"),
        ({"a.png": 1}, "to be a list"),
    ],
)
def test_bad_labels_are_named(labels, message):
    with pytest.raises(InputError, match=message) as raised:
        parse(labels)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b'{"label": []}', b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_label_file(data):
    with pytest.raises(InputError, match=r"dataset\.json"):
        parse_dataset_json(data, "dataset.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values | st.lists(st.tuples(st.text(max_size=4), values), max_size=5))
def test_any_json_is_labels_or_an_error(labels):
    try:
        parsed = parse(labels)
    except InputError:
        return
    assert parsed is None or all(isinstance(v, int | list) for v in parsed.values())
    if parsed:
        rows = arrange(parsed, sorted(parsed), "x").rows(np.arange(len(parsed))[:2]) if max_class(parsed) < 1000 else 0
        assert np.isfinite(rows).all()


def max_class(labels: dict) -> int:
    return max((v for v in labels.values() if isinstance(v, int)), default=0)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5))
def test_mutated_label_files_fail_cleanly(changes):
    data = bytearray(json.dumps({"labels": [[f"00000/img{i:08d}.png", i % 3] for i in range(5)]}).encode())
    for at, value in changes:
        data[at % len(data)] = value
    try:
        parsed = parse_dataset_json(bytes(data), "x")
    except InputError:
        return
    assert parsed is None or all(isinstance(v, int) for v in parsed.values())


def test_one_hot_is_as_wide_as_the_largest_class_of_the_whole_set():
    labels = arrange({"a": 1, "b": 6, "c": 0}, ["a", "b", "c"], "x")
    assert labels.dim == 7
    assert np.array_equal(labels.rows(np.array([1, 0])), np.eye(7, dtype=np.float32)[[6, 1]])


def test_vectors_as_they_are():
    labels = arrange({"a": [0.5, -2.0], "b": [1.0, 3.0]}, ["b", "a"], "x")
    assert labels.dim == 2
    assert np.array_equal(labels.rows(np.array([1])), np.array([[0.5, -2]], np.float32))


def test_none_have_width_0():
    assert Labels().dim == 0
    assert Labels().rows(np.arange(3)).shape == (3, 0)


def test_missing_labels_are_counted():
    with pytest.raises(InputError, match=r"2 of 3 have none \(first: b\)"):
        arrange({"a": 1}, ["a", "b", "c"], "x")


def test_folders_as_classes():
    labels, classes = folder_classes(["dog/1.png", "cat/a/2.png", "cat/3.png"])
    assert labels == {"dog/1.png": 1, "cat/a/2.png": 0, "cat/3.png": 0}
    assert classes == ["cat", "dog"]
    with pytest.raises(InputError, match=r"got loose\.png"):
        folder_classes(["cat/1.png", "loose.png"])


def test_csv():
    assert parse_csv("file,class\na.png,3\n\nb.png, 0\n", "x") == {"a.png": 3, "b.png": 0}
    assert parse_csv("a.png,0.5,1\nb.png,2,3\n", "x") == {"a.png": [0.5, 1.0], "b.png": [2.0, 3.0]}
    assert parse_csv("a.png,cat\nb.png,dog\n", "x") == {"a.png": "cat", "b.png": "dog"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got none"),
        ("file,label\n", "got none"),
        ("a.png\n", "expected lines of file,label"),
        ("a.png,1\na.png,2\n", "names a file twice"),
        ("a.png,1\nb.png,dog\n", "b.png, got dog"),
        ("a.png,-1\n", "a.png, got -1"),
        ("a.png,1\nb.png,1,2\n", "one kind"),
        ("a.png,nan,1\n", "a.png"),
        ("a.png,\nb.png,dog\n", "a.png"),
    ],
)
def test_bad_csv(text, message):
    with pytest.raises(InputError, match=message):
        parse_csv(text, "labels.csv")


def test_class_names():
    assert class_names(b'{"labels": [], "classes": ["a", "b"]}') == ["a", "b"]
    assert class_names(b'{"labels": [], "classes": [1]}') == []
    assert class_names(b'{"labels": []}') == []
