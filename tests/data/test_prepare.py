"""The dataset tool whole: names, labels, bytes, reports; the same for any number of workers; bad pictures are told."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

from openstylegan.data.dataset import open_dataset
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.data.storage import open_storage
from openstylegan.errors import InputError
from openstylegan.files import read_json, sha256_file


@pytest.fixture
def source(tmp_path, images, as_png, write_files):
    """12 good pictures of 8 x 6, and one of every kind of bad one between them."""
    files = {f"{i:02d}.png": as_png(image) for i, image in enumerate(images(12))}
    whole = as_png(images(1, 3, 40, 40)[0])
    bad = {"03b.png": whole[:300], "05b.jpg": b"no picture", "07b.png": as_png(images(1, 3, 9, 6)[0]), "09b.png": b""}
    return write_files(tmp_path / "source", {**files, **bad, "notes.txt": b"x"})


def test_names_bytes_and_report(tmp_path, source, images):
    report = prepare(source, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        infos = archive.infolist()
    skipped = [4, 7, 10, 13]
    kept = [i for i in range(16) if i not in skipped]
    assert [info.filename for info in infos] == [f"00000/img{i:08d}.png" for i in kept] + ["dataset.json"]
    assert {(info.compress_type, info.date_time) for info in infos} == {(0, (1980, 1, 1, 0, 0, 0))}
    dataset = open_dataset(tmp_path / "out.zip")
    assert np.array_equal(dataset.images(range(12)), images(12).transpose(0, 3, 1, 2))
    assert json.loads(open_storage(tmp_path / "out.zip").read("dataset.json")) == {"labels": None}
    assert dataset.content_hash == report.content_hash
    told = read_json(tmp_path / "out.report.json")
    assert [entry["file"] for entry in told["skipped"]] == ["03b.png", "05b.jpg", "07b.png", "09b.png"]
    assert all(entry["reason"] and entry["action"] == "skipped" for entry in told["skipped"])
    assert "6 x 9 with 3 channels, not 6 x 8 with 3 channels like 00.png" in told["skipped"][2]["reason"]
    assert (told["pictures"], told["shape"], told["other_files"]) == (12, [3, 8, 6], ["notes.txt"])
    assert told["options"]["encoder"] == "stored"


def test_the_same_bytes_for_any_number_of_workers(tmp_path, source):
    options = {"width": 5, "height": 7}
    for workers in (1, 3):
        prepare(source, tmp_path / f"{workers}.zip", PrepareOptions(workers=workers, **options))
        prepare(source, tmp_path / f"folder{workers}", PrepareOptions(workers=workers, **options))
    assert sha256_file(tmp_path / "1.zip") == sha256_file(tmp_path / "3.zip")
    hashes = {open_dataset(tmp_path / name).content_hash for name in ("1.zip", "folder1", "folder3")}
    assert len(hashes) == 1


def test_the_bytes_are_pinned(tmp_path, write_files):
    """The ZIP as a whole is reproducible on any machine."""
    image = (np.arange(12 * 10 * 3) % 251).astype(np.uint8).reshape(12, 10, 3)
    from PIL import Image

    (tmp_path / "source").mkdir()
    Image.fromarray(image).save(tmp_path / "source" / "a.bmp")
    prepare(tmp_path / "source", tmp_path / "out.zip")
    assert sha256_file(tmp_path / "out.zip") == PINNED


PINNED = "805847d339071716044803604b703dd65b3830bd725320b6e1907c22ffe4ab02"


def labels_of(path):
    content = json.loads(open_storage(path).read("dataset.json"))
    return content["labels"] and [label for _, label in content["labels"]], content.get("classes")


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_labels_are_carried_over(tmp_path, images, write_images, name):
    source = write_images(tmp_path / name, images(4), labels=[2, 0, 1, 2])
    report = prepare(source, tmp_path / "out.zip")
    assert labels_of(tmp_path / "out.zip") == ([2, 0, 1, 2], None)
    assert report.label_kind == "classes"
    prepare(source, tmp_path / "none.zip", PrepareOptions(labels="none"))
    assert labels_of(tmp_path / "none.zip") == (None, None)


def test_vectors_and_class_names_are_carried_over(tmp_path, images, write_images):
    source = write_images(tmp_path / "set", images(2), labels=[[0.5, 1], [2, 3]])
    prepare(source, tmp_path / "out.zip")
    assert labels_of(tmp_path / "out.zip") == ([[0.5, 1.0], [2.0, 3.0]], None)
    named = write_images(tmp_path / "named", images(2), labels=[1, 0])
    content = read_json(named / "dataset.json")
    (named / "dataset.json").write_text(json.dumps({**content, "classes": ["cat", "dog"]}))
    prepare(named, tmp_path / "named.zip")
    assert labels_of(tmp_path / "named.zip") == ([1, 0], ["cat", "dog"])


def test_labels_from_folders(tmp_path, images, as_png, write_files):
    names = ["dog/1.png", "loose.png", "cat/1.png"]
    source = write_files(tmp_path / "set", dict(zip(names, map(as_png, images(3)), strict=True)))
    report = prepare(source, tmp_path / "out.zip", PrepareOptions(labels="folders"))
    assert labels_of(tmp_path / "out.zip") == ([0, 1], ["cat", "dog"])
    assert report.skipped == [{"file": "loose.png", "reason": "it lies in no folder", "action": "skipped"}]


def test_labels_from_csv(tmp_path, images, as_png, write_files):
    source = write_files(tmp_path / "set", {f"{i}.png": as_png(image) for i, image in enumerate(images(3))})
    (tmp_path / "labels.csv").write_text("file,class\n0.png,dog\n2.png,cat\n")
    report = prepare(source, tmp_path / "out.zip", PrepareOptions(labels=str(tmp_path / "labels.csv")))
    assert labels_of(tmp_path / "out.zip") == ([1, 0], ["cat", "dog"])
    assert [entry["file"] for entry in report.skipped] == ["1.png"]
    assert "no label in" in report.skipped[0]["reason"]


def test_names_in_a_csv_that_are_no_pictures_are_told(tmp_path, images, as_png, write_files):
    source = write_files(tmp_path / "in", {f"{n}.png": as_png(image) for n, image in enumerate(images(2))})
    labels = tmp_path / "labels.csv"
    labels.write_text("0.png,1\n1.png,0\nb/2.png,0\n3.png,0\n")
    report = prepare(source, tmp_path / "all.zip", PrepareOptions(labels=str(labels)))
    assert report.warnings[0] == f"2 names in {labels} are no pictures of {source}; the first: b/2.png"
    report = prepare(source, tmp_path / "one.zip", PrepareOptions(labels=str(labels), max_images=1))
    assert not any("no pictures" in warning for warning in report.warnings), "there may be some behind the first"


def test_some_labels_missing_in_the_source(tmp_path, images, write_files, as_png):
    files = {f"{i}.png": as_png(image) for i, image in enumerate(images(3))}
    source = write_files(tmp_path / "set", files, labels=[["0.png", 1]])
    report = prepare(source, tmp_path / "out.zip")
    assert labels_of(tmp_path / "out.zip") == (None, None)
    assert "2 of 3 pictures have no label" in report.warnings[0]


def test_conversions_are_counted(tmp_path, images, write_files):
    import io

    from PIL import Image

    files = {}
    for i, image in enumerate(images(3)):
        buffer = io.BytesIO()
        Image.fromarray(image).quantize(4).save(buffer, "PNG")
        files[f"{i}.png"] = buffer.getvalue()
    report = prepare(write_files(tmp_path / "set", files), tmp_path / "out.zip")
    assert report.converted == [
        {"file": "0.png", "reason": "mode P converted to RGB", "action": "converted", "count": 3}
    ]


def test_max_images_counts_inputs(tmp_path, source):
    report = prepare(source, tmp_path / "out.zip", PrepareOptions(max_images=6))
    assert (report.pictures, len(report.skipped)) == (5, 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_mode_makes_mixed_channels_alike(tmp_path, images, as_png, write_files, mode):
    files = {f"{c}.png": as_png(images(1, c)[0]) for c in (1, 2, 3, 4)}
    report = prepare(write_files(tmp_path / "set", files), tmp_path / "out.zip", PrepareOptions(mode=mode))
    assert (report.pictures, report.shape) == (4, (len(mode), 8, 6))


@pytest.mark.parametrize(("side", "warns"), [(8, False), (7, False), (9, True), (30, True)])
def test_sizes_no_network_has_are_told(tmp_path, images, write_images, side, warns):
    report = prepare(write_images(tmp_path / "set", images(1, 3, side, side)), tmp_path / "out.zip")
    assert bool(report.warnings) == warns
    assert all(re.search(r"consider --width \d+ --height \d+", warning) for warning in report.warnings)


def test_mostly_unlike_pictures_are_an_error(tmp_path, images, as_png, write_files):
    files = {f"{i}.png": as_png(images(1, 3, 8 + i, 8)[0]) for i in range(4)}
    with pytest.raises(InputError, match=r"3 of 4 differ from the first \(0\.png, 8 x 8 .*--width and --height"):
        prepare(write_files(tmp_path / "set", files), tmp_path / "out.zip")
    assert not list(tmp_path.glob("*out*")), "nothing is left behind"


def test_nothing_usable(tmp_path, write_files):
    source = write_files(tmp_path / "set", {"a.png": b"x", "b.png": b""})
    with pytest.raises(InputError, match=r"none of 2 could be used; the first: a\.png"):
        prepare(source, tmp_path / "out.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of 0 could be used"):
        prepare(tmp_path / "empty", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_nothing_is_overwritten(tmp_path, source):
    (tmp_path / "out.zip").write_bytes(b"precious")
    with pytest.raises(InputError, match="a file is there already"):
        prepare(source, tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == b"precious"
    with pytest.raises(InputError, match="holds files"):
        prepare(source, source)
    (tmp_path / "empty").mkdir()
    assert prepare(source, tmp_path / "empty").pictures == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "center-crop"}, "needs --width and --height"),
        ({"transform": "center-crop-wide", "width": 8, "height": 9}, "at most the width"),
        ({"transform": "centre-crop"}, "did you mean 'center-crop'"),
        ({"resize_filter": "lancos"}, "did you mean 'lanczos'"),
        ({"mode": "CMYK"}, "unknown mode 'CMYK'"),
        ({"encoder": "store"}, "did you mean 'stored'"),
        ({"width": 0}, "--width from 1"),
        ({"height": 100_000}, "--height from 1 to 65536"),
        ({"max_images": 0}, "--max-images from 1"),
        ({"labels": "missing.csv"}, "folders, none or a CSV file, got 'missing.csv'"),
    ],
)
def test_bad_options(tmp_path, source, options, message):
    with pytest.raises(InputError, match=message):
        prepare(source, tmp_path / "out.zip", PrepareOptions(**options))


def test_an_interruption_leaves_nothing(tmp_path, source):
    class Stop(BaseException):
        pass

    from contextlib import nullcontext

    def advance(_: int) -> None:
        raise Stop

    for dest in ("out.zip", "out"):
        with pytest.raises(Stop):
            prepare(source, tmp_path / dest, PrepareOptions(), lambda text, total: nullcontext(advance))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
