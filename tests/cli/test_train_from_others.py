"""Runs that begin with networks of other programs: from a file, a URL, a published network's name."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import GOLDEN
from runs import make_pictures

from openstylegan.cli.main import main
from openstylegan.interop import load
from openstylegan.presets import stylegan2_ada

ADA, ROTATING = GOLDEN / "pkl_sg2ada_cond.pkl", GOLDEN / "pkl_sg3_r.pkl"
RECIPE = [
    "--batch=8", "--kimg=0.008", "--grid=2x1", "--metrics=none", "--device=cpu", "--cmax=16",
    "--set", "generator.network.options.z_dim=32", "--set", "generator.network.options.w_dim=32",
    "--set", "output.tensorboard=false",
]  # fmt: skip
LIKE_ADA = ["--cond=1", "--cbase=512"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 x 16 in three classes, as the networks were made for."""
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has the golden files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(GOLDEN))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def train(outdir: Path, data: Path, *arguments: str) -> Path:
    """A run of one step."""
    assert main(["train", f"--outdir={outdir}", f"--data={data}", *RECIPE, *arguments]) == 0
    return next(p for p in outdir.iterdir() if p.is_dir())


def table_of(run: Path) -> dict[str, list[int]]:
    """The table in a run's log: how many tensors of a part were copied, resized, new, left out."""
    lines = (run / "log.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line.startswith(("G, G_ema", "D "))]
    return {" ".join(row[:-4]): [int(n) for n in row[-4:]] for row in rows}


def distance(run: Path, file: Path, which: str = "G_ema") -> float:
    """How far the averaged generator of a run is from a generator in a file, relative to its weights."""
    own, theirs = load(run).G_ema.synthesis.state_dict(), getattr(load(file), which).synthesis.state_dict()
    name = next(n for n in theirs if n.endswith("8.conv1.weight") or ("L3_" in n and n.endswith(".weight")))
    return float((own[name] - theirs[name]).norm() / theirs[name].norm())


def test_a_file_of_stylegan2_ada(pictures: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pictures, *LIKE_ADA, f"--resume={ADA}")
    rows = table_of(run)
    assert {sum(row[1:]) for row in rows.values()} == {0}, "everything was copied"
    assert distance(run, ADA) < 0.02
    config = json.loads((run / "config.json").read_text())
    assert config["transfer_from"] == str(ADA)
    assert config["augment"]["options"]["kimg"] == 100 and config["ema"]["rampup"] is None
    assert run.name.endswith("-resumecustom")


def test_a_file_of_stylegan3(pictures: Path, tmp_path: Path) -> None:
    recipe = ["--cfg=stylegan3-r", "--gpus=1", "--gamma=1", "--cbase=256", "--cond=1"]
    run = train(tmp_path, pictures, *recipe, f"--resume={ROTATING}")
    assert {sum(row[1:]) for row in table_of(run).values()} == {0}
    assert distance(run, ROTATING) < 0.02
    config = json.loads((run / "config.json").read_text())
    assert config["blur"] == {"sigma_px": 0, "fade_kimg": 0}
    theirs, own = (load(place).G.synthesis.input for place in (ROTATING, run))
    assert torch.equal(own.freqs, theirs.freqs), "drawn at random once, so they come from the file"


def test_another_resolution_and_no_classes(pictures: Path, tmp_path: Path) -> None:
    larger = make_pictures(tmp_path / "larger.zip", size=(32, 32))
    run = train(tmp_path / "runs", larger, "--cbase=512", f"--init-from={ADA}")
    rows = table_of(run)
    assert rows["G, G_ema synthesis.b16"] == [16, 0, 0, 0]
    assert rows["G, G_ema synthesis.b32"] == [0, 0, 16, 0]
    assert rows["G, G_ema mapping"] == [4, 1, 0, 2]
    assert rows["D b16"] == [5, 0, 0, 2]
    assert rows["D mapping"] == [0, 0, 0, 18]
    config = json.loads((run / "config.json").read_text())
    assert config["augment"]["options"]["kimg"] == 500 and config["ema"]["rampup"] == 0.05


def test_widths_that_differ_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    outdir = tmp_path / "runs"
    recipe = [*RECIPE, "--cond=1", "--cbase=128", f"--resume={ADA}"]
    arguments = ["train", f"--outdir={outdir}", f"--data={pictures}", *recipe]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "does not fit" in error and "--init-from" in error and error.count("\n") == 1
    assert list(outdir.iterdir()) == [], "no run folder is left behind"


def test_a_url_and_a_name(pictures: Path, tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stylegan2_ada.SOURCES, "ffhq256", f"{web}/{ADA.name}")
    named = train(tmp_path / "named", pictures, *LIKE_ADA, "--resume=ffhq256")
    assert named.name.endswith("-resumeffhq256")
    assert json.loads((named / "config.json").read_text())["transfer_from"] == f"{web}/{ADA.name}"
    assert distance(named, ADA) < 0.02
    addressed = train(tmp_path / "addressed", pictures, *LIKE_ADA, f"--init-from={web}/{ADA.name}")
    assert addressed.name.endswith("-initfrom")
    assert distance(addressed, ADA, "G") < 0.02, "with ramp-up the average follows G from the first step on"
    assert len(list((tmp_path / "cache" / "downloads").glob("*.pkl"))) == 1, "fetched once"


def test_a_url_that_has_nothing(capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, web: str) -> None:
    outdir = tmp_path / "runs"
    arguments = ["train", f"--outdir={outdir}", f"--data={pictures}", *RECIPE, f"--resume={web}/nothing.pkl"]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()
    assert "nothing.pkl" in error[-1] and list(outdir.iterdir()) == []


def test_a_file_that_is_no_network(capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path) -> None:
    page = tmp_path / "network.pkl"
    page.write_text("<html><body>Not found</body></html>")
    arguments = ["train", f"--outdir={tmp_path / 'runs'}", f"--data={pictures}", *RECIPE, f"--init-from={page}"]
    assert main(arguments) == 2
    assert "HTML" in capsys.readouterr().err
