"""Looking at networks through the page: what the canvas shows is what the session draws, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from browsing import Served, Shelf, until

from openstylegan.viewer.session import Session
from openstylegan.viewer.state import View


@pytest.fixture(scope="module")
def moving(shelf: Shelf) -> Session:
    return Session(str(shelf.moving))


@pytest.fixture(scope="module")
def newest(shelf: Shelf) -> Session:
    return Session(str(shelf.newest))


def assert_shows(desk: Any, session: Session, view: View, channels: int = 3) -> None:
    expected = session.render(view).image[:, :, :channels]
    assert np.array_equal(desk.settled().picture()[:, :, :channels], expected.repeat(3 // expected.shape[2], 2))


def open_newest(desk: Any) -> Any:
    desk.page.get_by_role("button", name="000160").click()
    desk.when("document.getElementById('subtitle').textContent.includes('000160')")
    return desk.settled()


def test_the_first_picture_is_that_of_seed_0(desk: Any, moving: Session) -> None:
    assert_shows(desk, moving, View())
    assert "seed 0 · 16 × 16" in desk.page.inner_text("#caption")
    assert "moving" in desk.page.inner_text("#title")


def test_dragging_the_picture_moves_over_the_plane(desk: Any, moving: Session) -> None:
    desk.page.mouse.move(400, 300)
    desk.page.mouse.down()
    desk.page.mouse.move(250, 300)
    desk.page.mouse.move(100, 375)
    desk.page.mouse.up()
    assert_shows(desk, moving, View(x=1.0, y=-0.25))
    assert "1.00, -0.25" in desk.page.inner_text("#caption")


def test_every_slider_is_what_it_says(desk: Any, moving: Session) -> None:
    desk.unfold("transform", "layers", "mix")
    desk.enter("ψ", "0.4").enter("Right", "0.125").enter("Turns", "0.05").enter("Gain, dB", "6")
    desk.page.locator("#s-mix .boxes input").nth(2).check()
    view = View(psi=0.4, translate_x=0.125, rotate=0.05, scale_db=6.0, mix_layers=(2,))
    assert_shows(desk, moving, view)


@pytest.mark.parametrize(("value", "message"), [("3", "expected −1 to 2"), ("", "expected a number")])
def test_a_number_out_of_range_is_marked_and_not_taken(desk: Any, moving: Session, value: str, message: str) -> None:
    desk.enter("ψ", value)
    field = desk.page.locator('input[type="number"][aria-label="ψ"]')
    assert field.get_attribute("aria-invalid") == "true" and field.get_attribute("title") == message
    assert_shows(desk, moving, View())
    field.blur()
    assert field.input_value() == "1" and field.get_attribute("aria-invalid") == "false"


def test_a_layer_and_its_channels(desk: Any, moving: Session) -> None:
    desk.unfold("layers")
    name = moving.layers()[2].name
    desk.page.locator(f'[data-layer="{name}"]').click()
    desk.page.get_by_label("3 channels as RGB").uncheck()
    desk.page.get_by_label("Normalise").check()
    desk.enter("Channel", "2")
    view = View(mode="layer", layer=name, rgb=False, normalize=True, channel=2)
    assert_shows(desk, moving, view)
    shown = moving.render(view).shown
    table = desk.page.inner_text("#s-layers table")
    assert f"{shown.all.std:.3g}" in table and f"{shown.selected.mean:.3g}" in table
    assert name in desk.page.inner_text("#s-layers .note")
    desk.page.keyboard.press("Escape")
    desk.page.get_by_role("button", name="The picture").click()
    assert_shows(desk, moving, View(rgb=False, normalize=True))


def test_the_spectrum_stands_beside_the_picture(desk: Any, moving: Session) -> None:
    desk.unfold("layers").page.get_by_label("Spectrum beside it").check()
    desk.enter("Range ± dB", "30").settled()
    frame = moving.render(View(fft=True, fft_range_db=30.0))
    assert frame.image.shape[1] == 2 * frame.image.shape[0]
    assert_shows(desk, moving, View(fft=True, fft_range_db=30.0))


def test_the_difference_to_a_pinned_state(desk: Any, moving: Session) -> None:
    desk.unfold("compare")
    desk.page.get_by_role("button", name="Pin this state").click()
    desk.page.get_by_role("button", name="Unpin").wait_for()
    desk.enter("x", "2")
    desk.page.get_by_role("button", name="Difference", exact=True).click()
    pin = moving.make_pin(View())
    expected = moving.render(View(x=2.0, difference="image"), pin).image
    assert np.array_equal(desk.settled().picture()[:, :, :3], expected)
    desk.page.get_by_role("button", name="Distance in w").click()
    assert "per index: largest" in until(lambda: desk.settled().page.inner_text("#s-compare .note"))
    desk.page.keyboard.down("b")
    desk.page.wait_for_timeout(100)
    assert_shows(desk, moving, View())
    desk.page.keyboard.up("b")
    desk.page.wait_for_timeout(100)
    assert_shows(desk, moving, View(x=2.0))


def test_directions_are_found_and_walked_along(desk: Any, moving: Session) -> None:
    desk.unfold("directions").page.locator("#s-directions button.primary").click()
    desk.page.locator("#s-directions .column .row").first.wait_for()
    desk.enter("Direction 2", "1.5").settled()
    from openstylegan.viewer.state import Offset

    kind = desk.page.input_value("#s-directions select")
    assert_shows(desk, moving, View(offsets=(Offset(kind, 1, 1.5),)))


def test_a_run_with_classes_and_snapshots(desk: Any, newest: Session, shelf: Shelf) -> None:
    open_newest(desk)
    assert_shows(desk, newest, View())
    desk.page.get_by_label("of each seed").uncheck()
    desk.page.get_by_label("Class", exact=True).fill("2")
    desk.page.wait_for_timeout(50)
    assert_shows(desk, newest, View(class_idx=2))
    desk.page.get_by_label("Snapshot of the run").fill("0")
    desk.when("document.getElementById('subtitle').textContent.includes('000128')")
    older = Session(str(shelf.run / "network-snapshot-000128.safetensors"))
    assert_shows(desk, older, View(class_idx=2))
    desk.press(".")
    desk.when("document.getElementById('subtitle').textContent.includes('000144')")


def test_what_a_network_has_not_cannot_be_reached(desk: Any) -> None:
    inert = "id => [...document.querySelectorAll(`#s-${id} > div > *`)].some((child) => child.inert)"
    assert desk.page.evaluate(inert, "noise") and not desk.page.evaluate(inert, "transform")
    open_newest(desk)
    assert desk.page.evaluate(inert, "transform") and not desk.page.evaluate(inert, "noise")
    assert "StyleGAN3" in desk.unfold("transform").page.inner_text("#s-transform")


def test_a_file_that_is_no_network_says_why_and_the_next_one_opens(desk: Any, moving: Session) -> None:
    desk.page.get_by_role("button", name="broken").click()
    desk.page.locator("#trouble").wait_for()
    assert "broken" in desk.page.inner_text("#trouble")
    desk.page.get_by_role("button", name="moving").click()
    desk.page.locator("#trouble").wait_for(state="hidden")
    assert_shows(desk, moving, View())


def test_a_picture_that_moves_by_itself(desk: Any) -> None:
    desk.press("Space")
    until(lambda: float(desk.page.input_value('input[type="number"][aria-label="x"]')) > 0.1)
    desk.press("Space")
    still = desk.settled().picture()
    desk.page.wait_for_timeout(200)
    assert np.array_equal(desk.settled().picture(), still)


def test_the_address_holds_the_state(desk: Any, desks: Callable[..., Any], moving: Session) -> None:
    desk.unfold("mix", "transform").enter("x", "3.25").enter("y", "1").enter("ψ", "0.5")
    desk.page.locator("#s-mix .boxes input").nth(1).check()
    desk.when("location.hash.includes('mix_layers=1')")
    other = desks(desk.page.evaluate("location.href")).open()
    view = View(x=3.25, y=1.0, psi=0.5, mix_layers=(1,))
    assert_shows(other, moving, view)
    other.page.evaluate("location.hash = '#x=7&psi=0.5'")
    other.page.wait_for_timeout(50)
    assert_shows(other, moving, View(x=7.0, psi=0.5))


HOSTILE = (
    "#x=NaN&y=1e999&psi=99&mode=evil&layer=" + "A" * 300,
    "#__proto__=1&constructor=2&toString=x&model=../../etc/passwd",
    "#offsets=sefa:-1:1:,pca:0:99:,%F0%9F:x&mix_layers=1.x.-2&class_idx=1.5&cutoff=-1",
    "#" + "x=1&" * 6000,
    "#x=<img src=x onerror=alert(1)>&layer=<script>alert(1)</script>",
)


@pytest.mark.parametrize("fragment", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_fragments_change_nothing(
    desks: Callable[..., Any], served: Served, moving: Session, fragment: str
) -> None:
    desk = desks(served.url).open(fragment)
    assert_shows(desk, moving, View())


def test_the_keyboard_reaches_everything(desk: Any, moving: Session) -> None:
    page = desk.page
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    desk.press("Shift+ArrowRight", "ArrowDown", "[")
    assert_shows(desk, moving, View(x=1.0, y=0.1, psi=0.9))
    desk.press("k")
    assert_shows(desk, moving, View(x=1.0, y=0.1, psi=0.9, mode="layer", layer=moving.layers()[-2].name))
    desk.press("o", "0", "]")
    assert page.input_value('input[type="number"][aria-label="ψ"]') == "1"
    page.wait_for_timeout(50)
    assert_shows(desk, moving, View())
    without = page.evaluate(
        "[...document.querySelectorAll('button, input, select, canvas[tabindex]')].filter((e) => !(e.ariaLabel || "
        "e.textContent.trim() || e.labels?.length || e.getAttribute('aria-label') || e.hidden)).map((e) => e.outerHTML)"
    )
    assert without == []
