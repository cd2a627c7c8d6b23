"""A page and the server over a real connection."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("starlette")

from viewing import Running, running, write_tiny
from websockets.exceptions import ConnectionClosed

from openstylegan.cli.main import main
from openstylegan.interop.loading import load
from openstylegan.sampling.generate import generate
from openstylegan.viewer.session import Session
from openstylegan.viewer.state import View


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("networks")
    write_tiny(place / "one.safetensors", augment_p=0.25, cur_nimg=12_000)
    for n in (0, 4, 8):
        write_tiny(place / "runs" / "00000-run" / f"network-snapshot-{n:06d}.safetensors", seed=n)
    write_tiny(place / "secret" / "hidden.safetensors")
    (place / "runs" / "00000-run" / "network-snapshot-000009.pkl").write_bytes(b"cposix\nsystem\n(S'touch pwned'\ntR.")
    (place / "runs" / "00000-run" / "stats.jsonl").write_text("")
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with running([folder / "one.safetensors"], folder / "runs", folder / "captures") as found:
        yield found


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_hello_lists_what_was_named_and_nothing_else(server: Running, folder: Path) -> None:
    with server.page() as page:
        models = page.hello["models"]
        assert [entry["name"] for entry in models["files"]] == ["one.safetensors"]
        (run,) = models["runs"]
        assert [entry["name"] for entry in run["models"]] == [
            "network-snapshot-000009",
            "network-snapshot-000008",
            "network-snapshot-000004",
            "network-snapshot-000000",
        ]
        assert [entry["kimg"] for entry in run["models"]] == [9, 8, 4, 0]
        assert page.hello["first"] == models["files"][0]["id"] and page.hello["saves"]
        assert "secret" not in json.dumps(page.hello)


def test_a_network_is_described(server: Running) -> None:
    with server.page() as page:
        told = page.ask("open", "network", number=7, model=page.hello["first"])
        assert told["id"] == 7 and told["image_shape"] == [3, 16, 16] and told["num_ws"] == 6
        assert told["about"]["images seen"] == "12,000" and told["about"]["augmentation p"] == "0.25"
        assert (told["truncates"], told["transforms"], told["noise"], told["classes"]) == (True, False, True, 0)
        assert any("movement" in part for part in told["parts"]) and told["layers"][-1]["name"] == "output"


def test_a_view_is_the_picture_of_generate(server: Running, folder: Path) -> None:
    with server.page() as page:
        header, data = page.draw(5, x=3.0, psi=0.5)
        expected = generate(folder / "one.safetensors", [3], trunc=0.5)[0]
        assert (pixels(data) == expected).all() and header.full and header.mime == "image/png"
        assert set(header.ms) == {"mapping", "synthesis", "display", "encode", "queue"} and header.shown is not None
        header, data = page.draw(6, x=3.0, mode="layer", layer="b8.conv1", fft=True)
        assert (header.width, header.height, header.spectrum) == (16, 8, True)


def test_a_snapshot_that_is_not_open_is_opened(server: Running, folder: Path) -> None:
    with server.page() as page:
        model = page.hello["models"]["runs"][0]["models"][1]["id"]
        page.send("view", 3, view={"model": model, "x": 2.0})
        header, data = page.picture(3)
        assert header.model == model
        assert [text["type"] for text in page.texts] == ["hello", "progress", "network"]
        file = folder / "runs" / "00000-run" / "network-snapshot-000008.safetensors"
        assert (pixels(data) == generate(file, [2])[0]).all()


def test_a_broken_network_is_one_line_and_is_remembered(server: Running, folder: Path) -> None:
    with server.page() as page:
        model = page.hello["models"]["runs"][0]["models"][0]["id"]
        told = page.ask("open", "network", number=2, model=model)
        assert told["type"] == "error" and told["id"] == 2 and "\n" not in told["message"]
        run = page.ask("models", "models", number=3)["runs"][0]
        assert run["models"][0]["error"] == told["message"]
        assert not (folder / "pwned").exists() and not Path("pwned").exists()


@pytest.mark.parametrize("model", ["", "nonsense", "../secret/hidden.safetensors", "file:///etc/passwd", "\x00"])
def test_only_ids_of_the_list_are_opened(server: Running, folder: Path, model: str) -> None:
    opened: list[str] = []

    def note(event: str, arguments: Any) -> None:
        if watching and event == "open" and isinstance(arguments[0], str):
            opened.append(arguments[0])

    watching = True
    sys.addaudithook(note)
    with server.page() as page:
        for number, kind in enumerate(("open", "directions")):
            told = page.ask(kind, "network", number=number, model=model)
            assert "of the list" in told["message"]
        for kind in ("view", "pin"):
            assert "of the list" in page.ask(kind, "pinned", number=5, view={"model": model})["message"]
        told = page.ask("capture", "done", number=6, kind="command", view={"model": model})
        assert "of the list" in told["message"]
        assert "of the list" in page.ask("watch", "watched", number=7, run=model)["message"]
        assert "watched run" in page.ask("grid", "done", number=8, run=model, name="../one.safetensors")["message"]
    watching = False
    assert [path for path in opened if "secret" in path or "passwd" in path] == []


def test_pinning_and_differences(server: Running) -> None:
    with server.page() as page:
        model = page.hello["first"]
        assert page.ask("pin", "pinned", number=2, view={"model": model, "x": 1.0})["view"]["x"] == 1.0
        header, data = page.draw(3, x=1.0, difference="image")
        assert (pixels(data) == 128).all() and header.w_distance == (0.0,) * 6
        assert page.ask("unpin", "pinned", number=4)["view"] is None
        header, _ = page.draw(5, x=1.0, difference="image")
        assert header.notes == ("difference: nothing is pinned",) and header.w_distance is None
    with server.page() as page:
        assert page.draw(1, x=1.0, difference="w")[0].notes  # another page's pin is its own


def test_directions(server: Running) -> None:
    with server.page() as page:
        model = page.hello["first"]
        told = page.ask("directions", "directions", number=2, model=model, kind="sefa", layers=[0, 1])
        assert len(told["scales"]) == 8 and told["layers"] == [0, 1] and sum(told["shares"]) == pytest.approx(1)
        offset = {"kind": "sefa", "index": 1, "amount": 3.0, "layers": [0, 1]}
        assert page.draw(3, x=1.0, offsets=[offset])[1] != page.draw(4, x=1.0)[1]
        told = page.ask("directions", "directions", number=5, model=model, kind="pca", layers=[0])
        assert "expected no layers" in told["message"]


def test_captures(server: Running, folder: Path, tmp_path: Path) -> None:
    with server.page() as page:
        view = {"model": page.hello["first"], "x": 12.0, "psi": 0.7, "cutoff": 3, "noise_mode": "none"}
        page.send("capture", 3, kind="png", view=view)
        header, data = page.picture(3)
        done = page.text("done")
        assert header.kind == "capture" and done["path"] == str(folder / "captures" / "00000.png")
        assert Path(done["path"]).read_bytes() == data
        told = page.ask("capture", "done", number=4, kind="command", view=view)
        assert told["left_out"] == [] and told["path"].endswith("00001.txt")
        words = told["text"].replace("--outdir=out", f"--outdir={tmp_path}").split()
        assert words[0] == "openstylegan" and main([*words[1:], "--device=cpu"]) == 0
        assert (np.asarray(Image.open(tmp_path / "seed0012.png")) == pixels(data)).all()
        told = page.ask("capture", "done", number=5, kind="json", view=view)
        assert json.loads(told["text"])["x"] == 12.0
        told = page.ask("capture", "done", number=6, kind="png")
        assert "expected a view" in told["message"]


def test_films(server: Running) -> None:
    with server.page() as page:
        views = [{"model": page.hello["first"], "x": x} for x in (0.0, 2.0, 3.0)]
        page.send("capture", 3, kind="video", views=views, frames=4, fps=10, format="webp")
        header, data = page.picture(3)
        film = Image.open(io.BytesIO(data))
        assert (header.format, film.n_frames, film.size) == ("webp", 9, (16, 16))
        assert page.text("done")["kind"] == "video"
        steps = [text["done"] for text in page.texts if text["type"] == "progress" and text["id"] == 3]
        assert steps == sorted(steps)
        page.send("capture", 4, kind="video", views=views, frames=1000, fps=10, format="gif")
        time.sleep(0.2)
        assert page.draw(5, x=1.0)[0].full  # a film leaves its turn to others
        assert page.ask("cancel", "done", number=4) == {"type": "error", "id": 4, "message": "cancelled"}
        other = {**views[0], "mode": "layer", "layer": "b8.conv1"}
        for wrong, text in (([views[0]], "at least 2 views"), ([views[0], other], "one network, mode and layer")):
            told = page.ask("capture", "done", number=6, kind="video", views=wrong)
            assert text in told["message"]


WRONG = (
    "",
    "null",
    "[]",
    "{",
    '{"type": 3}',
    '{"type": "nonsense"}',
    '{"type": "view", "id": -1}',
    '{"type": "view", "id": 1, "view": {"x": 1e999}}',
    '{"type": "view", "id": 1, "view": {"x": NaN}}',
    '{"type": "view", "id": 1, "view": {"mix_seed": 4294967296}}',
    '{"type": "view", "id": 1, "view": {"psi": "1"}}',
    '{"type": "view", "id": 1, "view": {"nonsense": 1}}',
    '{"type": "view", "id": 1, "view": {"mix_layers": [-1]}}',
    '{"type": "capture", "id": 1, "kind": "video", "frames": 0}',
    "[" * 100_000,
    "\ud800".encode("utf-8", "surrogatepass"),
    b"\x00\xff",
)


def test_messages_that_cannot_be_read(server: Running) -> None:
    with server.page() as page:
        for text in WRONG:
            page.socket.send(text)
            told = page.text("error")
            assert told["message"].startswith("a message cannot be read") and "\n" not in told["message"]
        assert page.draw(9, x=1.0)[0].id == 9
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(30):
                page.socket.send("nonsense")
                page.receive()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_a_body_of_ten_megabytes_closes_the_connection_only(server: Running) -> None:
    with server.page() as page:
        with pytest.raises(ConnectionClosed) as closed:
            page.socket.send("x" * 10_000_000)
            page.receive()
        # The server may hang up before the rest of the body is sent; its reason is then lost on the way.
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    with server.page() as page:
        assert page.draw(1, x=1.0)[0].id == 1


def test_two_hundred_views_at_once_give_the_newest(server: Running) -> None:
    with server.page() as page:
        model = page.hello["first"]
        for number in range(1, 201):
            page.send("view", number, view={"model": model, "x": number / 7})
        _header, data = page.picture(200)
        session = Session(load(server.hub.models.place(model)).G_ema)
        assert (pixels(data) == session.render(View(x=200 / 7)).image).all()
        numbers = [picture.id for picture, _ in page.pictures]
        assert numbers == sorted(numbers) and len(numbers) < 150


def test_many_pages_are_all_served(server: Running) -> None:
    found: list[int] = []

    def visit(number: int) -> None:
        with server.page() as page:
            for k in range(25):
                page.send("view", k, view={"model": page.hello["first"], "x": number + k / 25})
            found.append(page.picture(24)[0].id)

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [24] * 8


def test_a_page_that_never_acknowledges_is_slowed_not_stopped(server: Running) -> None:
    with server.page() as page:
        page.acknowledges = False
        for number in range(1, 6):
            assert page.draw(number, x=float(number))[0].id == number


def test_a_large_fast_picture_is_made_smaller_and_follows_in_full(server: Running) -> None:
    with server.page() as page:
        header, _ = page.draw(1, x=1.0, width=4)
        assert (header.width, header.scale, header.full) == (8, 2, False)
        header, _data = page.picture(1)
        assert (header.width, header.full) == (16, True)
        assert page.draw(2, x=2.0, width=4, quality="full")[0].full


def test_a_page_that_leaves_ends_what_it_asked_for(server: Running) -> None:
    with server.page() as page:
        views = [{"model": page.hello["first"], "x": x} for x in (0.0, 2.0)]
        page.send("capture", 4, kind="video", views=views, frames=1000, format="gif")
        page.text("progress")
        assert any(thread.name == "viewer work" for thread in threading.enumerate())
    deadline = time.monotonic() + 20
    while any(thread.name == "viewer work" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the film goes on without its page"
        time.sleep(0.02)
    with server.page() as page:
        assert page.draw(1, x=1.0)[0].id == 1
