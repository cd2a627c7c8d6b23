"""`openstylegan metrics`: a small network measured through the command line, and every refusal in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from measuring import Pooled
from runs import make_pictures

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.files import read_lines
from openstylegan.networks import GENERATORS
from openstylegan.registry import build
from openstylegan.snapshot import write_snapshot


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of an untrained generator of 16 px and three classes, in a run folder."""
    folder = tmp_path_factory.mktemp("run")
    options = {
        "z_dim": 8,
        "c_dim": 3,
        "w_dim": 8,
        "img_resolution": 16,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": 1},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 4},
    }
    torch.manual_seed(0)
    G = build(GENERATORS, "stylegan2", options, "generator")
    (folder / "config.json").write_text("{}")
    path = folder / "network-snapshot-000002.safetensors"
    write_snapshot(path, {"G_ema": G}, {"G": Component("stylegan2", options)}, {"cur_nimg": 2345})
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


@pytest.fixture(autouse=True)
def fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small projection instead of EfficientNet, whose own tests are elsewhere; a cache of its own."""
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))

    def projection(name: str, *args: object) -> Pooled:
        return Pooled(name)

    monkeypatch.setattr("openstylegan.metrics.evaluate.load_extractor", projection)
    monkeypatch.setattr("openstylegan.metrics.evaluate.check_weights", lambda name, policy: None)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["metrics", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_network_is_measured(network: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--network", network, "--data", pictures, "--num-generated", 20, "--seed", 5)
    code, out, err = run(capsys, *options, "--metrics", "fd_efflite0,kd_efflite0", "--verbose", "0")
    assert (code, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert [first["metric"], second["metric"]] == ["fd_efflite0", "kd_efflite0"]
    assert first["protocol"]["num_real"] == 24
    assert first["protocol"]["num_generated"] == 20
    assert first["protocol"]["sampling"] == {"seed": 5, "truncation_psi": 1, "noise_mode": "random"}
    assert first["snapshot"] == network.name
    [line] = read_lines(network.parent / "metric-fd_efflite0.jsonl")
    assert line == first | {"kimg": 2}
    assert json.loads(run(capsys, *options, "--metrics", "fd_efflite0")[1])["results"] == first["results"]
    other = run(capsys, *options[:-1], 6, "--metrics", "fd_efflite0")[1]
    assert json.loads(other)["results"] != first["results"]


def test_a_run_folder_stands_for_its_newest_snapshot(
    network: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    arguments = ("--network", network.parent, "--data", pictures, "--metrics", "fd_efflite0", "--num-generated", 8)
    code, _, err = run(capsys, *arguments, "--outdir", folder)
    assert code == 0
    assert "generated pictures: batch 1 of 1" in err
    assert read_lines(folder / "metric-fd_efflite0.jsonl")[0]["snapshot"] == network.name


@pytest.mark.parametrize(
    ("metric", "flag", "num"),
    [("fd_efflite0", "--mirror", 24), ("fid50k", "--mirror", 48), ("fid50k", "--no-mirror", 24)],
)
def test_mirrored_pictures_count_where_the_metric_says(
    network: Path, pictures: Path, capsys: pytest.CaptureFixture[str], metric: str, flag: str, num: int
) -> None:
    _, out, _ = run(capsys, "--network", network, "--data", pictures, "--metrics", metric, "--num-generated", 4, flag)
    assert json.loads(out)["protocol"]["num_real"] == num


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"--metrics": "fid"}, "unknown metric 'fid'"),
        ({"--metrics": ","}, "at least one metric"),
        ({"--network": "nowhere.safetensors"}, "no such file"),
        ({"--data": "nowhere.zip"}, "nowhere.zip"),
        ({"--data": None}, "--data"),
        ({"--gpus": "0"}, "--gpus"),
        ({"--num-generated": "0"}, "--num-generated"),
        ({"--weights": "inception"}, "--weights: expected NAME=FILE"),
        ({"--weights": "incption=x.pt"}, "did you mean 'inception'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    network: Path, pictures: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str | None], text: str
) -> None:
    options: dict[str, object] = {"--network": network, "--data": pictures, "--metrics": "fd_efflite0"} | change
    code, out, err = run(capsys, *(word for pair in options.items() if pair[1] is not None for word in pair))
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("size", "channels", "text"), [((16, 32), 3, "expected pictures of 16 x 16"), ((16, 16), 1, "3 channels")]
)
def test_data_of_another_form_is_refused(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: tuple[int, int], channels: int, text: str
) -> None:
    data = make_pictures(tmp_path / "other.zip", 6, size, channels)
    code, _, err = run(capsys, "--network", network, "--data", data, "--metrics", "fd_efflite0")
    assert (code, len(err.splitlines())) == (2, 1)
    assert text in err


def test_importing_the_command_does_not_import_torch() -> None:
    code = "import sys, openstylegan.cli.metrics; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
