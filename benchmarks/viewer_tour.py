"""Films a tour of the viewer: twenty seconds of dragging, layers, spectra, differences and a watched run.

    python benchmarks/viewer_tour.py RUN NETWORK --dest docs/pictures/viewer.webp

RUN is a run folder with snapshots and grids, NETWORK a StyleGAN3. A headless Chromium does what a hand would, and a
picture of the page is taken a few times a second.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from viewing import chromium, viewing

from openstylegan.files import write_bytes

SIZE = (960, 600)
LENGTH_S = 20.0
QUALITIES = (70, 55, 40, 25)
MOST_BYTES = 2_000_000
CURSOR = """() => {
  const dot = document.createElement("div");
  Object.assign(dot.style, {
    position: "fixed", width: "18px", height: "18px", margin: "-9px", borderRadius: "50%", pointerEvents: "none",
    background: "rgb(255 255 255 / .55)", boxShadow: "0 0 0 1.5px rgb(0 0 0 / .6)", zIndex: 99, left: "-50px",
  });
  document.body.append(dot);
  document.addEventListener("pointermove", (event) => {
    dot.style.left = `${event.clientX}px`;
    dot.style.top = `${event.clientY}px`;
  }, true);
}"""


class Tour:
    """A page that is used and filmed: `frames` are (seconds, picture)."""

    def __init__(self, page: Any):
        self.page = page
        self.frames: list[tuple[float, Image.Image]] = []
        self.at = (SIZE[0] * 0.3, SIZE[1] * 0.5)

    def look(self) -> None:
        """One more frame."""
        data = self.page.screenshot(type="jpeg", quality=95)
        self.frames.append((time.monotonic(), Image.open(io.BytesIO(data)).convert("RGB")))

    def wait(self, seconds: float) -> None:
        """Films while time goes by."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()

    def glide(self, x: float, y: float, seconds: float = 0.5) -> None:
        """Moves the pointer evenly."""
        (x0, y0), start = self.at, time.monotonic()
        while (share := min((time.monotonic() - start) / seconds, 1.0)) < 1.0:
            eased = 0.5 - 0.5 * math.cos(math.pi * share)
            self.page.mouse.move(x0 + (x - x0) * eased, y0 + (y - y0) * eased)
            self.look()
        self.page.mouse.move(x, y)
        self.at = (x, y)

    def point(self, target: Any) -> None:
        """Moves the pointer to the middle of an element."""
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        self.glide(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def click(self, target: Any) -> None:
        """Moves to an element and presses it."""
        self.point(target)
        self.page.mouse.down()
        self.page.mouse.up()
        self.look()

    def drag(self, places: list[tuple[float, float]], seconds: float) -> None:
        """Drags along `places`, in pixels."""
        self.glide(*places[0], 0.4)
        self.page.mouse.down()
        for place in places[1:]:
            self.glide(*place, seconds / (len(places) - 1))
        self.page.mouse.up()

    def slide(self, label: str, share: float, seconds: float = 0.8) -> None:
        """Drags a slider to a share of its length."""
        slider = self.page.locator(f'input[type="range"][aria-label="{label}"]')
        slider.scroll_into_view_if_needed()
        box, now = slider.bounding_box(), slider.evaluate("(e) => (e.value - e.min) / (e.max - e.min)")
        y = box["y"] + box["height"] / 2
        ends = [box["x"] + 8 + (box["width"] - 16) * part for part in (now, share)]
        self.drag([(ends[0], y), (ends[1], y)], seconds)

    def only(self, *sections: str) -> None:
        """Opens these sections of the panel and closes the others."""
        self.page.evaluate(
            "names => { for (const s of document.querySelectorAll('#panel > details')) "
            "s.open = names.includes(s.id.slice(2)); }",
            list(sections),
        )


def latents(tour: Tour) -> None:
    """Over the seed plane, truncation, style mixing."""
    tour.only("latent", "truncate", "mix")
    tour.drag([(500, 300), (230, 340), (60, 240)], 2.2)
    tour.slide("ψ", 0.5)
    boxes = tour.page.locator("#s-mix .boxes label")
    for n in (2, 3):
        tour.click(boxes.nth(n))
    tour.wait(0.4)


def inside(tour: Tour) -> None:
    """Layers and spectra."""
    tour.only("layers")
    layers = tour.page.locator("#s-layers .list .pick")
    for n in (layers.count() // 2, layers.count() - 3):
        tour.click(layers.nth(n))
        tour.wait(0.4)
    tour.page.keyboard.press("o")
    tour.click(tour.page.get_by_label("Spectrum beside it"))
    tour.wait(0.9)
    tour.page.keyboard.press("f")


def compared(tour: Tour) -> None:
    """The difference to a pinned state."""
    tour.only("compare", "latent")
    tour.click(tour.page.get_by_role("button", name="Pin this state"))
    tour.click(tour.page.get_by_role("button", name="Difference", exact=True))
    tour.drag([(120, 300), (460, 340)], 1.4)
    tour.page.keyboard.press("p")


def moved(tour: Tour) -> None:
    """A StyleGAN3, turned and moved."""
    tour.only("network", "transform")
    tour.click(tour.page.locator("#s-network .tree > .pick").first)
    tour.wait(0.5)
    tour.slide("Right", 0.62)
    tour.slide("Turns", 0.58)


def watched(tour: Tour) -> None:
    """A run: its grids over time and its curves."""
    tour.click(tour.page.locator("#views button").nth(1))
    tour.wait(1.2)
    tour.slide("Grid over time", 0.0, 0.6)
    tour.slide("Grid over time", 1.0, 1.0)
    tour.glide(480, 300, 0.2)
    for _ in range(6):
        tour.page.mouse.wheel(0, 70)
        tour.look()
    tour.wait(0.8)


CHAPTERS: tuple[Callable[[Tour], None], ...] = (latents, inside, compared, moved, watched)


def film(frames: list[tuple[float, Image.Image]], quality: int) -> bytes:
    """Frames as an animated WebP of `LENGTH_S`, each shown for its share of the time it took to film."""
    times = [at for at, _ in frames] + [frames[-1][0] + 0.8]
    pace = LENGTH_S / (times[-1] - times[0])
    durations = [max(round(1000 * pace * (b - a)), 20) for a, b in pairwise(times)]
    buffer, (first, *rest) = io.BytesIO(), [picture for _, picture in frames]
    first.save(
        buffer, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=quality, method=4,
        minimize_size=True,
    )  # fmt: skip
    return buffer.getvalue()


def thinned(frames: list[tuple[float, Image.Image]], least: float = 0.09) -> list[tuple[float, Image.Image]]:
    """Frames at least `least` seconds apart."""
    kept = frames[:1]
    for at, picture in frames[1:]:
        if at - kept[-1][0] >= least:
            kept.append((at, picture))
    return kept


def main() -> int:
    """Films the tour in the best quality that is small enough; exits with 1 when none is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("network", type=Path)
    parser.add_argument("--dest", type=Path, default=Path("viewer.webp"))
    arguments = parser.parse_args()
    names = [os.fspath(arguments.run), os.fspath(arguments.network)]
    with chromium() as browser, viewing(*names) as viewer:
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="dark")
        page.goto(viewer.url)
        page.locator("#picture[data-busy=false]").wait_for()
        page.locator(".tree details .pick").nth(1).click()
        page.wait_for_timeout(1500)
        page.evaluate(CURSOR)
        tour = Tour(page)
        for chapter in CHAPTERS:
            chapter(tour)
    frames = thinned(tour.frames)
    print(f"{len(frames)} frames in {frames[-1][0] - frames[0][0]:.1f} s")
    for quality in QUALITIES:
        data = film(frames, quality)
        print(f"quality {quality}: {len(data) / 1e6:.2f} MB")
        if len(data) <= MOST_BYTES:
            write_bytes(arguments.dest, data)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
