"""Moving pictures: every frame is there, for as long as it should be, and none is held longer than needed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openstylegan.errors import InputError
from openstylegan.sampling import film
from openstylegan.sampling.film import check_film, write_film


def frame(n: int, height: int = 33, width: int = 41) -> np.ndarray:
    """A ramp with a white line that falls."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, :, 0] = np.arange(width) * 5
    picture[5 + n] = 255
    return picture


def frames(num: int) -> Iterator[np.ndarray]:
    return (frame(n) for n in range(num))


def decoded(path: Path) -> list[np.ndarray]:
    """The frames of a GIF or WebP."""
    with Image.open(path) as image:
        found = []
        for n in range(getattr(image, "n_frames", 1)):
            image.seek(n)
            found.append(np.array(image.convert("RGB")))
        return found


def shown_for(path: Path) -> list[int]:
    """How long each frame is shown, in ms."""
    with Image.open(path) as image:
        found = []
        for n in range(image.n_frames):
            image.seek(n)
            image.load()
            found.append(image.info["duration"])
        assert image.info["loop"] == 0
        return found


def test_mp4(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write_film(tmp_path / "a.mp4", frames(20), 20, fps=30)
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == 30
        found = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    assert len(found) == 20 and found[0].shape == (34, 42, 3), "odd sides are made even"
    for n in (0, 9, 19):
        assert np.abs(found[n][:33, :41].astype(int) - frame(n)).mean() < 6


def test_the_bit_rate_counts(tmp_path: Path) -> None:
    pytest.importorskip("av")
    noise = [np.random.RandomState(n).randint(0, 256, (64, 64, 3), np.uint8) for n in range(12)]
    sizes = {}
    for rate in (50_000, 5_000_000):
        write_film(tmp_path / "a.mp4", iter(noise), 12, bit_rate=rate)
        sizes[rate] = (tmp_path / "a.mp4").stat().st_size
    assert sizes[5_000_000] > 2 * sizes[50_000]


def test_gif(tmp_path: Path) -> None:
    write_film(tmp_path / "a.gif", frames(20), 20, fps=30)
    found = decoded(tmp_path / "a.gif")
    assert [np.array_equal(f, frame(n)) for n, f in enumerate(found)] == [True] * 20
    times = shown_for(tmp_path / "a.gif")
    assert set(times) == {30, 40} and abs(sum(times) - 20_000 / 30) <= 10


def test_webp(tmp_path: Path) -> None:
    write_film(tmp_path / "a.webp", frames(20), 20)
    found = decoded(tmp_path / "a.webp")
    assert len(found) == 20
    assert max(np.abs(f.astype(int) - frame(n)).mean() for n, f in enumerate(found)) < 6
    times = shown_for(tmp_path / "a.webp")
    assert set(times) == {16, 17} and abs(sum(times) - 20_000 / 60) <= 1


@pytest.mark.parametrize("ending", [".gif", ".webp", ".mp4"])
def test_one_frame_is_enough(ending: str, tmp_path: Path) -> None:
    if ending == ".mp4":
        pytest.importorskip("av")
    write_film(tmp_path / f"a{ending}", frames(1), 1)
    assert (tmp_path / f"a{ending}").stat().st_size > 50


@pytest.mark.parametrize("ending", [".gif", ".webp", ".mp4"])
def test_frames_are_not_held(ending: str, tmp_path: Path) -> None:
    if ending == ".mp4":
        pytest.importorskip("av")
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def drawn() -> Iterator[np.ndarray]:
        nonlocal most
        for n in range(8):
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            picture = frame(n)
            alive.append(weakref.ref(picture))
            yield picture

    write_film(tmp_path / f"a{ending}", drawn(), 8)
    assert most <= 2


@pytest.mark.parametrize("ending", [".gif", ".webp", ".mp4"])
def test_a_film_that_breaks_off_leaves_nothing(ending: str, tmp_path: Path) -> None:
    if ending == ".mp4":
        pytest.importorskip("av")

    def broken() -> Iterator[np.ndarray]:
        yield frame(0)
        yield frame(1)
        raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        write_film(tmp_path / f"a{ending}", broken(), 5)
    assert not list(tmp_path.iterdir())


def test_frames_a_second() -> None:
    assert [check_film(name) for name in ("a.gif", "a.webp", "A.WEBP")] == [50, 60, 60]
    assert check_film("a.gif", 25) == 25


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [("a.avi", None, r"ends in \.mp4, \.gif, \.webp"), ("a.gif", 60, "1 to 50"), ("a.webp", 0, "1 to 1000")],
)
def test_what_cannot_be_written_is_refused(name: str, fps: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_film(name, fps)


def test_without_pyav_an_mp4_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'openstylegan\[video\]'"):
        check_film("a.mp4")
    assert check_film("a.gif") == 50
