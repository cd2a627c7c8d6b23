"""The viewer's page in headless Chromium. Where there is none, these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsing import Served, Shelf, find_chromium, serving, until

READ_PICTURE = """() => {
  const canvas = document.getElementById("picture");
  const { width, height, dataset } = canvas;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const zoom = Number(dataset.zoom);
  let [top, left, bottom, right] = [height, width, 0, 0];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (pixels[y * width + x]) {
    [top, left, bottom, right] = [Math.min(top, y), Math.min(left, x), Math.max(bottom, y + 1), Math.max(right, x + 1)];
  }
  const rows = [];
  let squares = Number.isInteger(zoom) && (right - left) % zoom === 0 && (bottom - top) % zoom === 0;
  for (let y = top; y < bottom; y += zoom) {
    const row = [];
    for (let x = left; x < right; x += zoom) {
      const colour = pixels[y * width + x];
      row.push(colour);
      const corners = [[0, zoom - 1], [zoom - 1, 0], [zoom - 1, zoom - 1]];
      squares &&= corners.every(([dx, dy]) => pixels[(y + dy) * width + x + dx] === colour);
    }
    rows.push(row);
  }
  return { rows, squares };
}"""
"""Each pixel of the shown picture once, as 0xAABBGGRR, and whether each is drawn as a whole square."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
    path = find_chromium()
    if path is None:
        pytest.skip("the page's tests need Chromium: apt-get install chromium, or name it in OPENSTYLEGAN_CHROMIUM")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def served(shelf: Shelf) -> Iterator[Served]:
    with serving([shelf.run, shelf.moving, shelf.broken]) as server:
        yield server


class Desk:
    """A page that is open, and what it did besides."""

    def __init__(self, page: Any, url: str):
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, fragment: str = "") -> Desk:
        """Loads the page and waits for the picture."""
        self.page.goto(self.url + fragment)
        return self.settled()

    def settled(self) -> Desk:
        """Waits until the picture of the present state is there, in full."""
        return self.when("document.getElementById('picture').dataset.busy === 'false'")

    def when(self, true: str) -> Desk:
        """Waits until an expression of the page is true."""
        until(lambda: self.page.evaluate(true))
        return self

    def unfold(self, *names: str) -> Desk:
        """Opens sections of the panel."""
        for name in names:
            self.page.evaluate("name => { document.getElementById(`s-${name}`).open = true; }", name)
        return self

    def enter(self, label: str, value: str) -> Desk:
        """Types into the number field with this label, and waits for the picture."""
        field = self.page.locator(f'input[type="number"][aria-label="{label}"]')
        field.fill(value)
        self.page.wait_for_timeout(30)
        return self

    def press(self, *keys: str) -> Desk:
        """Presses keys while the picture has the focus."""
        self.page.locator("#picture").focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.page.wait_for_timeout(50)
        return self

    def picture(self) -> np.ndarray:
        """What the canvas shows, each pixel of the picture once: uint8 [H, W, 4], alpha 0 where nothing is."""
        read = self.page.evaluate(READ_PICTURE)
        assert read["squares"], "the picture is not drawn in whole squares"
        return np.array(read["rows"], "<u4").view(np.uint8).reshape(len(read["rows"]), -1, 4)


@pytest.fixture
def desks(browser: Any) -> Iterator[Callable[..., Desk]]:
    """Makes pages; afterwards none may have complained or asked for anything from elsewhere."""
    contexts, made = [], []

    def make(url: str, **options: Any) -> Desk:
        context = browser.new_context(
            **{"viewport": {"width": 1100, "height": 700}, "accept_downloads": True, **options}
        )
        contexts.append(context)
        made.append(Desk(context.new_page(), url))
        return made[-1]

    yield make
    for context in contexts:
        context.close()
    for desk in made:
        assert desk.complaints == []
        own = urlsplit(desk.url).netloc
        assert {urlsplit(url).netloc for url in desk.requests if not url.startswith(("blob:", "data:"))} <= {own}


@pytest.fixture
def desk(desks: Callable[..., Desk], served: Served) -> Desk:
    """A page of the shelf, open at its first network."""
    return desks(served.url).open()


@pytest.fixture
def downloads(tmp_path: Path) -> Callable[[Any, Callable[[], None]], Path]:
    """What a click saves."""

    def save(page: Any, act: Callable[[], None]) -> Path:
        with page.expect_download() as found:
            act()
        path = tmp_path / found.value.suggested_filename
        found.value.save_as(path)
        return path

    return save
