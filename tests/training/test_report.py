"""report.html: complete, closed to the outside, inert whatever a run's texts are, quick, and small."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import statistics
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import write_run

from openstylegan.errors import InputError
from openstylegan.images import write_png
from openstylegan.training import report_pictures
from openstylegan.training.report import file_size, write_report
from openstylegan.training.report_headline import rough_time
from openstylegan.training.report_pictures import MAX_BYTES, MAX_GRIDS, crop_of, encode, evenly_spaced

BAD = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'"


class Page(HTMLParser):
    """What a browser would see of a page: elements with their attributes, the text of each kind of element."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img", "input", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.stack:
            assert self.stack.pop() == tag, f"</{tag}> closes another element"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.stack[-1] if self.stack else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element `tag`."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its report."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "00003-shapes-32-auto")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    """The report of `run`."""
    return Page((run / "report.html").read_text())


def test_the_page_shows_everything_of_the_run(page: Page) -> None:
    titles = "".join(page.texts["h3"])
    for title in (
        "fd_efflite0",
        "pr_efflite0_recall",
        "Loss",
        "Discriminator scores",
        "Augmentation",
        "Memory",
        "Speed",
    ):
        assert title in titles
    tiles = dict(zip(page.texts["span"], page.texts["b"], strict=False))
    assert tiles["Progress"] == "80%"
    cells = page.texts["td"]
    assert "openstylegan train --data 'my shapes.zip' --outdir runs" in cells
    assert "2.13.0+cpu" in cells and "/data/shapes-32.zip" in cells
    assert any("tick 159" in text for text in page.texts["pre"])
    assert any("2 skipped steps" in text for text in page.texts["li"])
    assert "2000 generated, 1615 real pictures, efficientnet-lite0" in page.texts["summary"]
    assert any("sampling.noise_mode random" in text for text in page.texts["details"])
    assert page.stack == [], "every element is closed"


@pytest.mark.parametrize(("minutes", "share", "ahead"), [(None, "50%", "20m 00s to go"), (10.0, "83%", "1m 40s to go")])
def test_how_far_a_run_is_by_images_or_by_the_clock(
    tmp_path: Path, minutes: float | None, share: str, ahead: str
) -> None:
    stats = {"Progress/kimg": 12.0, "Timing/sec_per_kimg": 100.0, "Timing/total_sec": 500.0}
    line = {name: {"num": 1, "mean": mean, "std": 0.0} for name, mean in stats.items()}
    (tmp_path / "stats.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "config.json").write_text(json.dumps({"total_kimg": 24.0, "max_minutes": minutes}))
    page = Page(write_report(tmp_path).read_text())
    tiles = dict(zip(page.texts["span"], page.texts["b"], strict=False))
    assert tiles["Progress"] == share
    assert f"8m 20s so far, {ahead}" in page.texts["small"]


def test_what_differs_from_the_preset_is_marked(page: Page) -> None:
    text = " ".join(page.texts["span"])
    assert "preset: 10.0" in text and "preset: 25000.0" in text
    assert len([a for a in page.all("tr") if a.get("class") == "changed"]) == 2


def test_the_grids_are_pictures_inside_the_page_oldest_first(page: Page, run: Path) -> None:
    labels = [a["data-label"] for a in page.all("li") if "data-label" in a]
    assert labels[0] == "before training" and labels[-1] == "160 kimg" and len(labels) <= MAX_GRIDS
    images = page.all("img")
    assert len(images) == len(labels) + 1
    for image in images:
        kind, _, data = image["src"].partition(";base64,")
        assert kind in ("data:image/webp", "data:image/jpeg")
        assert len(base64.b64decode(data)) > 500
        assert (int(image["width"]), int(image["height"])) == (320, 192)


def test_links_lead_to_files_of_the_run(page: Page, run: Path) -> None:
    links = [a["href"] for a in page.all("a")]
    assert "stats.jsonl" in links and "checkpoints/" in links and "fakes_init.png" in links
    assert all((run / link).exists() for link in links)


def test_the_page_asks_for_nothing_from_outside(run: Path, page: Page) -> None:
    text = (run / "report.html").read_text()
    sources = [v for _, a in page.elements for k, v in a.items() if k in ("src", "href", "srcset", "action", "data")]
    assert all(not re.match(r"(?i)[a-z]+:|//", s) or s.startswith("data:image/") for s in sources)
    assert not page.all("link") and not page.all("iframe")
    assert "@import" not in text and "url(" not in text and "fetch(" not in text
    assert set(re.findall(r"https?://[^\"'\s]+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_policy_allows_only_the_pages_own_script(run: Path, page: Page) -> None:
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    scripts = re.findall(r"<script>(.*?)</script>", (run / "report.html").read_text(), re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_texts_of_a_run_are_inert(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "<script>alert(0)<", num_ticks=4, num_grids=2)
    config = json.loads((folder / "config.json").read_text())
    config["data"]["path"], config["preset"], config[BAD] = f"x{BAD.replace('/', '')}", BAD, [BAD, {BAD: BAD}]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preset.json").write_text(json.dumps({"seed": BAD, "preset": [BAD]}))
    (folder / "environment.json").write_text(json.dumps({BAD: BAD, "command": ["a", BAD]}))
    (folder / "log.txt").write_text(BAD + "\n</pre></details>" + BAD)
    (folder / BAD.replace("/", "")).touch()
    stat = {"num": 1, "mean": 1.0, "std": 0.0}
    line = {"Progress/kimg": stat | {"mean": 9.0}, BAD: stat, f"Health/{BAD}": stat, f"Gradients/{BAD}": stat}
    with open(folder / "stats.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    metric = {"results": {BAD: 1.0}, "kimg": 3, "protocol": {BAD: BAD}}
    (folder / "metric-bad.jsonl").write_text(json.dumps(metric) + "\n")
    page = Page(write_report(folder).read_text())
    scripts = page.all("script")
    assert [s for s in scripts if s.get("type") != "application/json"] == [{}]
    assert all(name in ("class", "src", "width", "height", "alt") for image in page.all("img") for name in image)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for block in page.texts["script"][:-1]:
        json.loads(block)
    assert page.stack == []


@pytest.mark.parametrize(
    "kept", [(), ("log.txt",), ("config.json",), ("stats.jsonl",), ("reals.png", "fakes_init.png")]
)
def test_missing_files_only_leave_their_part_out(tmp_path: Path, kept: tuple[str, ...]) -> None:
    folder = write_run(tmp_path / "run", num_ticks=3, num_grids=1)
    for path in folder.iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()
    page = Page(write_report(folder).read_text())
    assert page.stack == [] and page.all("h1")
    assert bool(page.all("img")) == ("reals.png" in kept)


def test_damaged_files_only_leave_their_part_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", num_ticks=3, num_grids=3)
    picture = (folder / "fakes000002.png").read_bytes()
    (folder / "fakes000002.png").write_bytes(picture[: len(picture) // 2])
    (folder / "fakes000001.png").write_bytes(b"")
    for name in ("config.json", "environment.json", "preset.json", "grid.json"):
        (folder / name).write_text('{"torn": ')
    (folder / "metric-fd_efflite0.jsonl").write_text('[1]\n{"results": 3}\n{"results": {"a": "b"}, "kimg": 1}\nnull\n')
    page = Page(write_report(folder).read_text())
    assert [a["data-label"] for a in page.all("li") if "data-label" in a] == ["before training", "3 kimg"]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run folder"):
        write_report(tmp_path / "none")


def test_only_new_pictures_are_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run", num_ticks=8, num_grids=8)
    write_report(folder)
    encoded: list[tuple[int, int]] = []
    monkeypatch.setattr(report_pictures, "encode", lambda image: encoded.append(image.size) or encode(image))
    write_report(folder)
    assert encoded == []
    os.utime(folder / "fakes000003.png")
    write_png(folder / "fakes000009.png", np.zeros((192, 320, 3), np.uint8))
    write_report(folder)
    assert len(encoded) == 2, "the changed one and the new one"


def test_small_pictures_no_longer_shown_are_removed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", num_ticks=30, num_grids=5)
    write_report(folder)
    for kimg in range(31, 51):
        write_png(folder / f"fakes{kimg:06d}.png", np.zeros((6, 10, 3), np.uint8))
    (folder / "thumbnails" / "mine.txt").touch()
    write_report(folder)
    names = {path.name for path in (folder / "thumbnails").iterdir()}
    assert len(names) <= MAX_GRIDS + 2 and "mine.txt" in names


def test_the_choice_of_grids_only_ever_adds_the_newest() -> None:
    before: set[int] = set()
    for count in range(1, 400):
        chosen = evenly_spaced(range(count))
        assert len(chosen) <= MAX_GRIDS and chosen[0] == 0 and chosen[-1] == count - 1
        assert set(chosen) <= before | {count - 1}
        assert len(chosen) == count or len(chosen) >= MAX_GRIDS // 2
        gaps = np.diff(chosen[:-1])
        assert len(set(gaps.tolist())) <= 1, "evenly spaced but for the newest"
        before = set(chosen)


def test_no_picture_is_larger_than_its_share_of_the_page() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (640, 960, 3), np.uint8)
    assert len(encode(Image.fromarray(noise))) <= MAX_BYTES
    assert (MAX_GRIDS + 1) * MAX_BYTES * 4 / 3 < 3_000_000


def test_large_grids_are_cut_to_cells_that_can_be_seen() -> None:
    large = crop_of((32 * 128, 32 * 128), {"columns": 32, "rows": 32})
    assert large.part == (12, 8) and large.box == (0, 0, 12 * 128, 8 * 128) and large.size == (960, 640)
    assert crop_of((7 * 1024, 4 * 1024), {"columns": 7, "rows": 4}).part is None
    small = crop_of((32 * 32, 32 * 32), {"columns": 32, "rows": 32})
    assert small.part == (16, 10) and small.size == (512, 320), "small pictures are not shrunk"
    unknown = crop_of((4096, 4096), {})
    assert unknown.part is None and unknown.size == (640, 640)


def test_grey_and_transparent_grids_are_shown(tmp_path: Path) -> None:
    for channels in (1, 2, 3, 4):
        folder = tmp_path / str(channels)
        folder.mkdir()
        write_png(folder / "fakes_init.png", np.full((64, 96, channels), 128, np.uint8))
        assert len(Page(write_report(folder).read_text()).all("img")) == 1


def test_without_webp_pictures_are_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_pictures.features, "check", lambda name: False)
    write_png(tmp_path / "fakes_init.png", np.full((64, 96, 4), 128, np.uint8))
    assert "data:image/jpeg;base64," in write_report(tmp_path).read_text()


def test_the_report_of_500_ticks_is_quick_and_small(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", num_ticks=500, num_grids=12)
    write_report(folder)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        target = write_report(folder)
        seconds.append(time.process_time() - start)
    assert statistics.median(seconds) < 0.3, "about 0.08 s on one quiet core"
    assert target.stat().st_size < 1_500_000


def test_only_the_report_and_the_small_pictures_are_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", num_ticks=3, num_grids=1)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    write_report(folder)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    new = {path.relative_to(folder).parts[0] for path in after.keys() - before.keys()}
    assert new == {"report.html", "thumbnails"}


def test_sizes_and_times_in_words(tmp_path: Path) -> None:
    for size, text in ((0, "0 bytes"), (999, "999 bytes"), (24_100, "24.1 kB"), (5_000_000, "5 MB")):
        path = tmp_path / "file"
        path.write_bytes(b"\0" * size)
        assert file_size(path) == text
    assert [rough_time(s) for s in (59, 3599, 3600, 90_000)] == ["59s", "59m 59s", "1h 00m", "1d 01h"]
