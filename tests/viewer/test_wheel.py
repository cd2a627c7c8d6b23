"""What pip installs holds the viewer's page, whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

builders = pytest.importorskip("hatchling.builders.wheel")
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "openstylegan" / "viewer" / "page"
MOST_BYTES = 150_000
MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
"""What would read text as markup or code; the page never does."""


def test_the_wheel_holds_every_file_of_the_page(tmp_path: Path) -> None:
    (wheel,) = builders.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if "viewer/page/" in name}
    assert packed == {f"openstylegan/viewer/page/{path.name}": path.read_bytes() for path in PAGE.iterdir()}
    assert {"openstylegan/viewer/page/index.html", "openstylegan/viewer/page/main.js"} < set(packed)


def test_the_page_weighs_little_and_asks_for_nothing_from_elsewhere() -> None:
    files = {path.name: path.read_text() for path in PAGE.iterdir()}
    assert sum(len(text.encode()) for text in files.values()) <= MOST_BYTES
    for name, text in files.items():
        addresses = [word for word in text.split() if "://" in word and "www.w3.org/2000/svg" not in word]
        assert all("${scheme}" in word for word in addresses), (name, addresses)
        assert not any(word in text for word in MARKUP)
    assert "<script>" not in files["index.html"] and "style=" not in files["index.html"]
