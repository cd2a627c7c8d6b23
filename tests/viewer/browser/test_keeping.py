"""What the page keeps and survives: captures, films, states, a lost server, narrow windows, a run that is watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Served, Shelf, serving, until
from PIL import Image

from openstylegan.cli.main import main
from openstylegan.viewer.session import Session
from openstylegan.viewer.state import View, from_json

ALL_DRAWN = """() => [...document.querySelectorAll("#watch .chart canvas")].every((canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
})"""


@pytest.fixture(scope="module")
def moving(shelf: Shelf) -> Session:
    return Session(str(shelf.moving))


def test_a_picture_is_saved_lossless(desk: Any, moving: Session, downloads: Any) -> None:
    desk.enter("x", "5")
    path = downloads(desk.page, lambda: desk.press("s"))
    assert np.array_equal(np.asarray(Image.open(path)), moving.render(View(x=5.0)).image)


def test_a_state_goes_to_a_file_and_back(desk: Any, moving: Session, downloads: Any) -> None:
    desk.unfold("capture").enter("x", "5").enter("ψ", "0.25")
    path = downloads(desk.page, lambda: desk.page.get_by_role("button", name="State", exact=True).click())
    assert (view := from_json(path.read_text())).x == 5.0 and view.psi == 0.25
    desk.press("0").enter("ψ", "1").settled()
    desk.page.locator('#s-capture input[type="file"]').set_input_files(path)
    desk.when("document.querySelector('input[aria-label=x]').value === '5'")
    assert np.array_equal(desk.settled().picture()[:, :, :3], moving.render(view).image)
    desk.page.locator('#s-capture input[type="file"]').set_input_files(
        {"name": "no.json", "mimeType": "application/json", "buffer": b"[" * 100_000}
    )
    desk.when("document.getElementById('toast').textContent.includes('no state')")


def test_the_command_line_draws_the_picture(desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    desk.unfold("capture").enter("x", "7").enter("ψ", "0.5")
    desk.page.get_by_role("button", name="Command").click()
    desk.page.locator("#s-capture textarea").wait_for()
    words = shlex.split(desk.page.input_value("#s-capture textarea"))
    assert words[:2] == ["openstylegan", "generate"]
    monkeypatch.chdir(tmp_path)
    assert main(words[1:]) == 0
    made = np.asarray(Image.open(tmp_path / "out" / "seed0007.png").convert("RGB"))
    assert np.array_equal(desk.settled().picture()[:, :, :3], made)


def test_a_recorded_path_becomes_a_film(desk: Any, downloads: Any) -> None:
    page = desk.unfold("capture").page
    page.locator("#s-capture select").select_option("webp")
    page.get_by_role("button", name="Record").click()
    desk.enter("Speed in seeds a second", "5").press("Space")
    until(lambda: float(page.input_value('input[type="number"][aria-label="x"]')) > 4)
    desk.press("Space")
    film = Image.open(downloads(page, lambda: page.get_by_role("button", name="Stop and film").click()))
    assert film.size == (16, 16) and film.n_frames > 5  # type: ignore[attr-defined]


def test_keyframes_become_a_closed_film(desk: Any, downloads: Any) -> None:
    page = desk.unfold("capture").page
    page.locator("#s-capture select").select_option("webp")
    page.get_by_label("Frames from keyframe to keyframe").fill("4")
    for x in "123":
        desk.enter("x", x)
        page.get_by_role("button", name="Add").click()
    film = Image.open(downloads(page, lambda: page.get_by_role("button", name="Film them").click()))
    assert film.n_frames == 12  # type: ignore[attr-defined]


def test_a_lost_server_is_said_and_found_again(desks: Callable[..., Any], shelf: Shelf, moving: Session) -> None:
    with serving([shelf.moving]) as served:
        desk = desks(served.url).open()
        desk.enter("x", "3").settled()
        desk.press("p").unfold("compare").page.get_by_role("button", name="Unpin").wait_for()
        served.stop()
        desk.page.locator("#lost").wait_for()
        assert "The server is not there" in desk.page.inner_text("#lost")
        desk.enter("x", "4")
        served.start()
        desk.page.locator("#lost").wait_for(state="hidden")
        assert np.array_equal(desk.settled().picture()[:, :, :3], moving.render(View(x=4.0)).image)
        desk.press("d")
        expected = moving.render(View(x=4.0, difference="image"), moving.make_pin(View(x=3.0))).image
        assert np.array_equal(desk.settled().picture()[:, :, :3], expected)
        desk.page.close()  # before the server stops for good, of which the page would complain
        lost = [text for text in desk.complaints if "ERR_CONNECTION_REFUSED" in text or "WebSocket" in text]
        assert lost == desk.complaints
        desk.complaints.clear()


def test_a_wrong_token_shows_no_page(desks: Callable[..., Any], served: Served) -> None:
    page = desks(served.url).page
    assert page.request.get(served.url.replace("token=a", "token=b")).status == 403
    assert page.request.get(served.url.split("?")[0]).status == 403


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_the_switch(desks: Callable[..., Any], served: Served, scheme: str) -> None:
    desk = desks(served.url, color_scheme=scheme).open()
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert (desk.page.evaluate(ground) > 128) == (scheme == "light")
    desk.page.locator("#theme").click()
    assert desk.page.evaluate(ground) > 128
    desk.page.locator("#theme").click()
    assert desk.page.evaluate(ground) < 128
    desk.open()
    assert desk.page.evaluate(ground) < 128


def test_on_a_phone_the_panel_is_a_drawer(desks: Callable[..., Any], served: Served, moving: Session) -> None:
    desk = desks(served.url, viewport={"width": 380, "height": 720}, has_touch=True, device_scale_factor=2).open()
    assert not desk.page.locator("#panel").is_visible()
    desk.page.locator("#drawer").click()
    desk.page.get_by_role("button", name="Random").wait_for()
    desk.page.wait_for_timeout(300)
    picture, panel = (desk.page.locator(name).bounding_box() for name in ("#picture", "#panel"))
    assert picture["height"] > 150 and picture["y"] + picture["height"] <= panel["y"]
    wide = "[...document.querySelectorAll('#panel *')].filter((e) => e.getBoundingClientRect().right > 381).length"
    for section in desk.page.evaluate("[...document.querySelectorAll('#panel > details')].map((s) => s.id.slice(2))"):
        desk.unfold(section)
    assert desk.page.evaluate(wide) == 0
    assert desk.page.evaluate("document.documentElement.scrollWidth") == 380
    desk.enter("x", "2")
    assert np.array_equal(desk.settled().picture()[:, :, :3], moving.render(View(x=2.0)).image)
    desk.page.keyboard.press("Escape")
    desk.when("document.body.classList.contains('open') === false")


def test_a_run_is_watched_while_it_goes_on(desks: Callable[..., Any], shelf: Shelf, served: Served) -> None:
    desk = desks(served.url).open()
    desk.page.get_by_role("button", name="Watch this run").click()

    def tiles() -> str:
        return str(desk.page.inner_text("#watch .tiles"))

    until(lambda: "160" in tiles())
    assert {"State", "Images a second", "Augmentation p", "Time left"} <= set(tiles().splitlines())
    desk.when("document.querySelectorAll('.grid-picture')[0].dataset.name === 'fakes000160.png'")
    desk.when("document.querySelectorAll('.grid-picture')[1].dataset.name === 'reals.png'")
    titles = desk.page.locator("#watch .chart h3").all_inner_texts()
    assert {"Losses", "Scores of D", "Augmentation p"} <= set(titles)
    assert desk.page.evaluate(ALL_DRAWN)
    desk.page.get_by_label("Grid over time").fill("0")
    desk.when("document.querySelectorAll('.grid-picture')[0].dataset.name !== 'fakes000160.png'")
    lines = (shelf.run / "stats.jsonl").read_text().splitlines()
    line = json.loads(lines[-1])
    line["Progress/kimg"]["mean"] = 190.0
    with open(shelf.run / "stats.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    until(lambda: "190" in tiles(), 30)
    desk.page.get_by_role("button", name="Explore its newest snapshot").click()
    desk.when("document.getElementById('subtitle').textContent.includes('000160')").settled()
