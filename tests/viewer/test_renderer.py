"""Who is drawn for next, and what is broken off; the quality of pictures."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from openstylegan.viewer.encoding import LADDER, LOSSLESS, Pace, encode, format_for, smaller
from openstylegan.viewer.renderer import Renderer, Wish


class Log:
    """What happened, in order, and a gate that drawing waits at."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.gate, self.at_gate = threading.Event(), threading.Event()
        self.failed: list[Exception] = []

    def wish(self, name: str, subject: str = "a", waits: bool = False) -> Wish:
        def draw(check: Callable[[], None]) -> None:
            self.events.append(f"begin {name}")
            if waits:
                self.at_gate.set()
                self.gate.wait(10)
            check()
            self.events.append(f"end {name}")

        return Wish(draw, subject, lambda: self.events.append(f"drop {name}"))

    def settle(self, renderer: Renderer) -> list[str]:
        """All events, once nothing is left to be done."""
        done = threading.Event()
        renderer.ask("settle", Wish(lambda check: done.set()))
        assert done.wait(10)
        return self.events


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def renderer(log: Log) -> Iterator[Renderer]:
    made = Renderer(log.failed.append)
    yield made
    made.stop()


def test_a_newer_wish_takes_the_place_of_the_one_that_waits(log: Log, renderer: Renderer) -> None:
    renderer.ask("page", log.wish("1", waits=True))
    assert log.at_gate.wait(10)
    for name in ("2", "3", "4"):
        renderer.ask("page", log.wish(name))
    log.gate.set()
    assert log.settle(renderer) == ["begin 1", "drop 2", "drop 3", "end 1", "begin 4", "end 4"]


def test_another_subject_breaks_off_what_is_drawn(log: Log, renderer: Renderer) -> None:
    renderer.ask("page", log.wish("1", "picture", waits=True))
    assert log.at_gate.wait(10)
    renderer.ask("page", log.wish("2", "layer"))
    log.gate.set()
    assert log.settle(renderer) == ["begin 1", "drop 1", "begin 2", "end 2"]


def test_clients_take_turns(log: Log, renderer: Renderer) -> None:
    renderer.ask("a", log.wish("a1", waits=True))
    assert log.at_gate.wait(10)
    for name in ("a2", "b1", "c1", "a3", "b2"):
        renderer.ask(name[0], log.wish(name))
    log.gate.set()
    drawn = [event[4:] for event in log.settle(renderer) if event.startswith("end")]
    assert drawn == ["a1", "a3", "b2", "c1"]


def test_who_leaves_is_forgotten(log: Log, renderer: Renderer) -> None:
    renderer.ask("a", log.wish("a1", waits=True))
    assert log.at_gate.wait(10)
    renderer.ask("a", log.wish("a2"))
    renderer.ask("b", log.wish("b1"))
    renderer.forget("a")
    log.gate.set()
    assert log.settle(renderer) == ["begin a1", "drop a2", "drop a1", "begin b1", "end b1"]


def test_it_goes_on_after_a_failure(log: Log, renderer: Renderer) -> None:
    def fail(check: Callable[[], None]) -> None:
        raise RuntimeError("nonsense")

    renderer.ask("a", Wish(fail, None, lambda: log.events.append("drop")))
    renderer.ask("b", log.wish("b1"))
    assert log.settle(renderer) == ["drop", "begin b1", "end b1"]
    assert [str(error) for error in log.failed] == ["nonsense"]


def test_stopping_drops_what_waits(log: Log) -> None:
    renderer = Renderer(log.failed.append)
    renderer.ask("a", log.wish("a1", waits=True))
    assert log.at_gate.wait(10)
    renderer.ask("b", log.wish("b1"))
    threading.Timer(0.05, log.gate.set).start()
    start = time.monotonic()
    renderer.stop()
    assert log.events == ["begin a1", "drop b1", "drop a1"] and time.monotonic() - start < 5


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_formats_hold_what_they_are_given(channels: int) -> None:
    image = np.random.RandomState(0).randint(0, 256, (24, 32, channels), np.uint8)
    lossless = np.asarray(Image.open(io.BytesIO(encode(image, LOSSLESS))))
    assert (lossless.reshape(image.shape) == image).all()
    flat = np.full((24, 32, channels), 200, np.uint8)
    for quality in LADDER[1:]:
        own = format_for(quality, channels)
        back = Image.open(io.BytesIO(encode(flat, own)))
        assert back.size == (32, 24) and (back.mode in ("RGBA", "LA")) == (channels in (2, 4))
        assert np.abs(np.asarray(back.convert("L")).astype(int) - 200).max() <= 4


def test_pictures_are_made_smaller_by_the_mean_of_blocks() -> None:
    image = np.arange(16 * 18 * 3, dtype=np.int64).reshape(16, 18, 3) % 251
    small, factor = smaller(image.astype(np.uint8), 4)
    assert factor == 4 and small.shape == (4, 4, 3)
    assert small[1, 2, 0] == round(image[4:8, 8:12, 0].mean())
    for width in (0, 9, 100):
        assert smaller(image.astype(np.uint8), width)[1] == 1


def test_quality_follows_what_pictures_cost() -> None:
    pace = Pace()
    assert pace.quality(100 * 100).lossless and not Pace().quality(1024 * 1024).lossless
    for _ in range(2):
        pace.note(500)
    pace.note(50)
    assert pace.quality(100 * 100).lossless  # now and then is not always
    found = []
    for _ in range(40):
        pace.note(500)
        found.append(pace.quality(100 * 100))
    assert found[-1] == LADDER[-1] and set(found) == set(LADDER)
    assert pace.quality(64 * 64).lossless
    for _ in range(200):
        pace.note(5)
    assert pace.quality(100 * 100).lossless
