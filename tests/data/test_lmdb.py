"""Multi-resolution LMDBs: each size equals the ZIP of that size; a build that is killed goes on; others' files."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from openstylegan.cli.main import main
from openstylegan.data import lmdb_writer
from openstylegan.data import prepare as preparing
from openstylegan.data.cache import open_cache
from openstylegan.data.dataset import open_dataset
from openstylegan.data.environment import environment
from openstylegan.data.lmdb_storage import Size, parse_sizes
from openstylegan.data.lmdb_writer import unfinished
from openstylegan.data.loader import BatchLoader
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.data.sources import open_source
from openstylegan.data.verify import verify
from openstylegan.errors import InputError
from openstylegan.files import read_json

lmdb = pytest.importorskip("lmdb")
SIZES = (Size(4, 4), Size(8, 8), Size(16, 16))


def jpeg(image, **options):
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture
def source(tmp_path, images, as_png, write_files):
    """20 pictures of 30 x 24 in two classes, and two bad ones between them."""
    files = {f"{'ab'[i % 2]}/{i:02d}.png": as_png(image) for i, image in enumerate(images(20, 3, 24, 30))}
    bad = {"a/05x.jpg": b"no picture", "b/11x.png": b""}
    return write_files(tmp_path / "source", {**files, **bad, "notes.txt": b"x"})


def keys(folder):
    with environment(folder).begin() as transaction:
        return {key.decode(): bytes(value) for key, value in transaction.cursor()}


@pytest.mark.parametrize(("channels", "mode"), [(3, "keep"), (1, "keep"), (4, "keep"), (3, "L")])
def test_each_size_is_the_zip_of_that_size(tmp_path, images, write_images, channels, mode):
    pictures = write_images(tmp_path / "source", images(5, channels, 24, 30), labels=[2, 0, 1, 1, 0])
    common = {"transform": "center-crop", "resize_filter": "bicubic", "mode": mode}
    prepare(pictures, tmp_path / "all.lmdb", PrepareOptions(sizes=SIZES, **common))
    for size in SIZES:
        prepare(pictures, tmp_path / f"{size}.zip", PrepareOptions(width=size.width, height=size.height, **common))
        ours, zipped = open_dataset(tmp_path / "all.lmdb" / str(size), use_labels=True), open_dataset(
            tmp_path / f"{size}.zip", use_labels=True
        )  # fmt: skip
        assert ours.names == zipped.names
        assert ours.content_hash == zipped.content_hash
        assert np.array_equal(ours.images(range(5)), zipped.images(range(5)))
        assert np.array_equal(ours.labels(range(5)), zipped.labels(range(5)))


def test_sizes_that_are_no_squares(tmp_path, images, write_images):
    pictures = write_images(tmp_path / "source", images(3, 3, 24, 30))
    prepare(pictures, tmp_path / "all.lmdb", PrepareOptions(sizes=(Size(16, 8), Size(8, 4))))
    prepare(pictures, tmp_path / "one.zip", PrepareOptions(width=16, height=8))
    dataset = open_dataset(tmp_path / "all.lmdb")
    assert dataset.image_shape == (3, 8, 16)
    assert dataset.at_lod(1).image_shape == (3, 4, 8)
    assert np.array_equal(dataset.images([2]), open_dataset(tmp_path / "one.zip").images([2]))
    assert "16x8-00002" in keys(tmp_path / "all.lmdb")
    assert open_dataset(tmp_path / "all.lmdb" / "8x4").image_shape == (3, 4, 8)
    wide = PrepareOptions(sizes=(Size(8, 4),), transform="center-crop-wide")
    assert prepare(pictures, tmp_path / "wide.lmdb", wide).sizes == ["8"], "a band on a black square"


def test_layout_and_report(tmp_path, source):
    report = prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES, labels="folders"))
    found = keys(tmp_path / "faces.lmdb")
    assert found.pop("length") == b"20"
    assert json.loads(found.pop("dataset.json"))["classes"] == ["a", "b"]
    assert len(found.pop("names").split(b"\n")) == 20
    assert sorted(found) == sorted(f"{size}-{n:05d}" for size in SIZES for n in range(20))
    assert Image.open(io.BytesIO(found["8-00019"])).size == (8, 8)
    told = read_json(tmp_path / "faces.lmdb.report.json")
    assert (told["pictures"], told["shape"], told["sizes"]) == (20, [3, 16, 16], ["4", "8", "16"])
    assert [entry["file"] for entry in told["skipped"]] == ["a/05x.jpg", "b/11x.png"]
    hashes = [open_dataset(tmp_path / "faces.lmdb" / str(size)).content_hash for size in SIZES]
    assert told["hashes"] == hashes
    assert open_dataset(tmp_path / "faces.lmdb").content_hash == report.content_hash == told["content_hash"]
    assert sorted(path.name for path in (tmp_path / "faces.lmdb").iterdir()) == ["data.mdb"]


def test_the_same_for_any_number_of_workers(tmp_path, source):
    for workers in (1, 2):
        prepare(source, tmp_path / f"{workers}.lmdb", PrepareOptions(sizes=SIZES, workers=workers))
    assert keys(tmp_path / "1.lmdb") == keys(tmp_path / "2.lmdb")


class Killed(BaseException):
    """What stands for a kill in the process."""


@pytest.mark.parametrize("after", [1, 7, 13, 21])
def test_a_build_that_is_stopped_goes_on(tmp_path, source, monkeypatch, after):
    options = PrepareOptions(sizes=SIZES, labels="folders")
    whole = prepare(source, tmp_path / "whole.lmdb", options)
    monkeypatch.setattr(lmdb_writer, "COMMIT_SECONDS", 0.0)
    real, seen = preparing.outcomes, []

    def stopping(*arguments):
        for outcome in real(*arguments):
            if len(seen) == after:
                raise Killed
            seen.append(outcome[0].name)
            yield outcome

    monkeypatch.setattr(preparing, "outcomes", stopping)
    with pytest.raises(Killed):
        prepare(source, tmp_path / "part.lmdb", options)
    assert unfinished(tmp_path / "part.lmdb").is_dir() and not (tmp_path / "part.lmdb").exists()
    prepared = []
    monkeypatch.setattr(preparing, "outcomes", real)
    monkeypatch.setattr(
        preparing, "prepare_record", lambda record, **rest: prepared.append(record) or made(record, rest)
    )
    report = prepare(source, tmp_path / "part.lmdb", options)
    assert len(prepared) == 22 - after, "what was there is not made again"
    assert keys(tmp_path / "part.lmdb") == keys(tmp_path / "whole.lmdb")
    assert (report.skipped, report.hashes, report.classes) == (whole.skipped, whole.hashes, whole.classes)
    assert not unfinished(tmp_path / "part.lmdb").exists()


def made(record, rest):
    from openstylegan.data.transform import prepare_record

    return prepare_record(record, **rest)


SLOW = """
import contextlib, sys, time
from openstylegan.data import lmdb_writer
from openstylegan.data.lmdb_storage import Size
from openstylegan.data.prepare import PrepareOptions, prepare

def advance(count):
    print("one", flush=True)
    time.sleep(0.02)

lmdb_writer.COMMIT_SECONDS = 0.03
options = PrepareOptions(sizes=(Size(4, 4), Size(8, 8)))
prepare(sys.argv[1], sys.argv[2], options, lambda *_: contextlib.nullcontext(advance))
"""


def test_kill_9_at_any_moment(tmp_path, source):
    """Killed three times, each time a little later; nothing is lost or doubled."""
    options = PrepareOptions(sizes=SIZES[:2])
    prepare(source, tmp_path / "whole.lmdb", options)
    for lines in (3, 9, 17):
        command = [sys.executable, "-c", SLOW, str(source), str(tmp_path / "part.lmdb")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            for _ in range(lines):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
    assert unfinished(tmp_path / "part.lmdb").is_dir()
    prepare(source, tmp_path / "part.lmdb", options)
    assert keys(tmp_path / "part.lmdb") == keys(tmp_path / "whole.lmdb")


def test_going_on_with_something_else_is_refused(tmp_path, source, monkeypatch):
    monkeypatch.setattr(lmdb_writer.LmdbWriter, "publish", lambda self: self.commit())
    prepare(source, tmp_path / "x.lmdb", PrepareOptions(sizes=SIZES))
    monkeypatch.undo()
    for changes, told in (
        ({"resize_filter": "box"}, "resize_filter: lanczos then, box now"),
        ({"max_images": 3}, "max"),
    ):
        with pytest.raises(InputError, match=told):
            prepare(source, tmp_path / "x.lmdb", PrepareOptions(sizes=SIZES, **changes))
    (source / "a" / "04.png").unlink()
    with pytest.raises(InputError, match=r"expected a/04.png in .* as before, got a/05x.jpg; delete"):
        prepare(source, tmp_path / "x.lmdb", PrepareOptions(sizes=SIZES))


def test_two_builds_of_one_do_not_mix(tmp_path, source):
    writer = lmdb_writer.LmdbWriter(tmp_path / "x.lmdb", SIZES, {})
    code = "import sys; from pathlib import Path; from openstylegan.data.lmdb_writer import LmdbWriter"
    command = [sys.executable, "-c", f"{code}; LmdbWriter(Path(sys.argv[1]), [], {{}})", str(tmp_path / "x.lmdb")]
    other = subprocess.run(command, capture_output=True, text=True)
    writer.close()
    assert "another process is writing" in other.stderr


def test_nothing_usable_leaves_nothing(tmp_path, write_files):
    bad = write_files(tmp_path / "bad", {"a.png": b"x"})
    with pytest.raises(InputError, match="none of 1 could be used"):
        prepare(bad, tmp_path / "x.lmdb", PrepareOptions(sizes=SIZES))
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_reading_by_size(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES, labels="folders"))
    dataset = open_dataset(tmp_path / "faces.lmdb", use_labels=True, xflip=True, max_size=6, seed=2)
    shapes = [dataset.at_lod(lod).image_shape[1:] for lod in (0, 0.5, 1, 1.9, 2, 3.5)]
    assert shapes == [(16, 16), (16, 16), (8, 8), (8, 8), (4, 4), (4, 4)]
    small = dataset.at_lod(2)
    assert (len(small), small.names_of(range(12))) == (12, dataset.names_of(range(12)))
    assert np.array_equal(small.labels(range(12)), dataset.labels(range(12)))
    assert np.array_equal(small.images([7]), small.images([1])[..., ::-1]), "mirrored alike"
    assert open_dataset(tmp_path / "faces.lmdb", resolution=8).image_shape == (3, 8, 8)
    assert dataset.name == "faces-16"


def test_a_level_that_is_not_stored_comes_from_the_next_larger(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=(Size(8, 8), Size(32, 32))))
    dataset = open_dataset(tmp_path / "faces.lmdb")
    assert [dataset.at_lod(lod).image_shape[1] for lod in range(5)] == [32, 32, 8, 8, 8]


def test_batches_at_a_level(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES, labels="folders"))
    dataset = open_dataset(tmp_path / "faces.lmdb", use_labels=True)
    with BatchLoader(dataset, seed=1, workers=2) as loader, BatchLoader(dataset, seed=1, workers=0) as plain:
        for step, lod in enumerate((2.0, 2.0, 1.99, 1.0, 0.0)):
            images, labels = loader.fetch(4 * step, slice(None), 4, lod)
            items = loader.items(4 * step, slice(None), 4)
            assert np.array_equal(images.numpy(), dataset.at_lod(lod).images(items))
            assert np.array_equal(labels.numpy(), plain.fetch(4 * step, slice(None), 4)[1].numpy())


def test_raw_caches_of_all_sizes(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES))
    plain, cached = open_dataset(tmp_path / "faces.lmdb"), open_dataset(tmp_path / "faces.lmdb", cache=True)
    for lod in (0, 1, 2):
        assert cached.at_lod(lod).raw_cache is not None
        assert np.array_equal(cached.at_lod(lod).images(range(20)), plain.at_lod(lod).images(range(20)))
    assert cached.content_hash == plain.content_hash


def original_lmdb(folder, pictures, sizes=(8, 16)):
    """As style-based-gan-pytorch's preparation writes it: JPEG, no names."""
    with lmdb.open(str(folder), map_size=1 << 24) as theirs, theirs.begin(write=True) as transaction:
        for n, picture in enumerate(pictures):
            for size in sizes:
                small = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
                transaction.put(f"{size}-{n:05d}".encode(), jpeg(np.asarray(small), quality=100))
        transaction.put(b"length", str(len(pictures)).encode())
    return folder


def test_the_originals_lmdb_is_read(tmp_path, images):
    folder = original_lmdb(tmp_path / "theirs", images(4, 3, 20, 20))
    dataset = open_dataset(folder, xflip=True)
    assert (len(dataset), dataset.image_shape, dataset.names[3]) == (8, (3, 16, 16), "00000003.jpg")
    assert dataset.at_lod(1).image_shape == (3, 8, 8)
    decoded = np.asarray(Image.open(io.BytesIO(keys(folder)["8-00002"])))
    assert np.array_equal(open_dataset(folder / "8").images([2])[0].transpose(1, 2, 0), decoded)
    report = prepare(folder, tmp_path / "again.zip")
    assert (report.kind, report.pictures, report.shape) == ("multi-resolution LMDB", 4, (3, 16, 16))


def test_a_size_as_a_source_keeps_labels(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES, labels="folders"))
    for path, side in ((tmp_path / "faces.lmdb", 16), (tmp_path / "faces.lmdb" / "8", 8)):
        report = prepare(path, tmp_path / f"{side}.zip")
        assert (report.shape, report.classes, report.pictures) == ((3, side, side), ["a", "b"], 20)


def test_verify(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES, labels="folders"))
    found = verify(tmp_path / "faces.lmdb", 2)
    assert (found.problems, found.pictures, found.shape) == ([], 20, (3, 16, 16))
    assert found.content_hash == open_dataset(tmp_path / "faces.lmdb").content_hash
    assert found.class_counts == {"0": 10, "1": 10}
    assert verify(tmp_path / "faces.lmdb" / "8").shape == (3, 8, 8)


def damaged(tmp_path, source, change):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES))
    with (
        lmdb.open(str(tmp_path / "faces.lmdb"), map_size=1 << 26) as made_by_hand,
        made_by_hand.begin(write=True) as txn,
    ):
        change(txn)
    (tmp_path / "faces.lmdb" / "lock.mdb").unlink()
    return tmp_path / "faces.lmdb"


def test_verify_names_what_is_wrong_at_which_size(tmp_path, source):
    def change(transaction):
        transaction.put(b"8-00003", transaction.get(b"8-00003")[:-30] + b"x" * 30)
        transaction.delete(b"4-00007")
        transaction.put(b"16-00001", transaction.get(b"8-00001"))

    found = verify(damaged(tmp_path, source, change))
    assert [problem["file"] for problem in found.problems] == [
        "4/00000/img00000008.png",
        "8/00000/img00000004.png",
        "16/00000/img00000001.png",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda txn: txn.delete(b"4-00007"), "4-00007 is not there"),
        (lambda txn: txn.delete(b"length"), "without length"),
        (lambda txn: txn.put(b"length", b"many"), "expected a number of pictures"),
        (lambda txn: txn.put(b"length", b"21"), "expected names of 21 pictures"),
        (lambda txn: txn.put(b"16-00001", txn.get(b"8-00001")), "to be like the first"),
        (lambda txn: txn.put(b"16-00001", b""), "the file is empty"),
    ],
)
def test_bad_lmdbs_in_one_line(tmp_path, source, change, told):
    with pytest.raises(InputError, match=told):
        open_dataset(damaged(tmp_path, source, change))


def test_one_that_is_cut_off_does_not_end_the_process(tmp_path, source):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES))
    data = tmp_path / "faces.lmdb" / "data.mdb"
    for keep, told in ((data.stat().st_size - 5000, "it was cut off"), (100, "cannot be read"), (0, "cannot be read")):
        os.truncate(data, keep)
        with pytest.raises(InputError, match=told):
            open_dataset(tmp_path / "faces.lmdb")
    with pytest.raises(InputError, match="one of the sizes 4, 8, 16 .* got '64'"):
        prepare(source, tmp_path / "y.lmdb", PrepareOptions(sizes=SIZES))
        open_dataset(tmp_path / "y.lmdb" / "64")


def test_without_the_package(tmp_path, source, monkeypatch):
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES))
    monkeypatch.setitem(sys.modules, "lmdb", None)
    for act in (
        lambda: open_dataset(tmp_path / "faces.lmdb"),
        lambda: prepare(source, tmp_path / "more.lmdb", PrepareOptions(sizes=SIZES)),
        lambda: open_source(tmp_path / "faces.lmdb"),
    ):
        with pytest.raises(InputError, match=r"pip install openstylegan\[lmdb\]"):
            act()
    assert not unfinished(tmp_path / "more.lmdb").exists()


def test_a_full_disk_in_one_line(tmp_path, source, monkeypatch):
    def full(self, wanted):
        raise lmdb.DiskError("mdb_txn_commit: No space left on device")

    monkeypatch.setattr(lmdb_writer.LmdbWriter, "_make_room", full)
    with pytest.raises(InputError, match="No space left on device.*free some space and run the command again"):
        prepare(source, tmp_path / "x.lmdb", PrepareOptions(sizes=SIZES))


def test_it_grows_past_its_first_size(tmp_path, source, monkeypatch):
    monkeypatch.setattr(lmdb_writer, "FIRST_MAP_BYTES", 1 << 16)
    monkeypatch.setattr(lmdb_writer, "COMMIT_SECONDS", 0.0)
    prepare(source, tmp_path / "x.lmdb", PrepareOptions(sizes=(Size(64, 64),)))
    assert verify(tmp_path / "x.lmdb").problems == []
    assert (tmp_path / "x.lmdb" / "data.mdb").stat().st_size > 20 * 64 * 64 * 3


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("8,16", "8 16"), ("8-64", "8 16 32 64"), ("64x32, 8", "64x32 8"), ("8-8", "8"), ("4x2-16x8", "4x2 8x4 16x8")],
)
def test_sizes_as_typed(text, sizes):
    assert " ".join(map(str, parse_sizes(text))) == sizes


@pytest.mark.parametrize("text", ["", "0", "8,", "8-20", "16-8", "x8", "8x", "eight", "-8", "8-"])
def test_bad_sizes(text):
    with pytest.raises(InputError, match="expected sizes such as"):
        parse_sizes(text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dest": "x.lmdb"}, "an LMDB needs --sizes"),
        ({"dest": "x.zip", "sizes": "8"}, "--sizes needs --format lmdb, got zip"),
        ({"dest": "x", "sizes": "8"}, "--sizes needs --format lmdb, got folder"),
        ({"dest": "x.zip", "sizes": "8", "format": "lmdb"}, "to end in .zip for a ZIP and only then"),
        ({"dest": "x", "format": "zip"}, "to end in .zip for a ZIP and only then"),
        ({"dest": "x.lmdb", "sizes": "8,8"}, "every size once"),
        ({"dest": "x.lmdb", "sizes": "8", "width": "8"}, "--width and --height have no effect beside --sizes"),
    ],
)
def test_options_that_contradict_each_other(tmp_path, source, capsys, options, told):
    words = [
        word
        for name, value in {**options, "dest": str(tmp_path / options["dest"])}.items()
        for word in (f"--{name}", value)
    ]
    assert main(["dataset", "--source", str(source), *words]) == 2
    assert told in capsys.readouterr().err


def test_the_command(tmp_path, source, capsys):
    command = ["dataset", "--source", str(source), "--dest", str(tmp_path / "x"), "--format", "lmdb", "--sizes", "4-16"]
    assert main([*command, "--workers", "1"]) == 0
    assert "Wrote 20 pictures at 3 sizes up to 16 x 16 with 3 channels" in capsys.readouterr().out
    assert main(["dataset", "cache", str(tmp_path / "x" / "8")]) == 0
    assert open_cache(open_dataset(tmp_path / "x" / "8").content_hash) is not None
    assert main(["dataset", "verify", str(tmp_path / "x")]) == 0


def test_a_dataset_goes_to_other_processes(tmp_path, source):
    """Pickled, it leaves its map behind."""
    prepare(source, tmp_path / "faces.lmdb", PrepareOptions(sizes=SIZES))
    dataset = open_dataset(tmp_path / "faces.lmdb")
    again = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(again.images(range(20)), dataset.images(range(20)))
    assert again.at_lod(1).content_hash == dataset.at_lod(1).content_hash
