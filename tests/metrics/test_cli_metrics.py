"""`openstylegan metrics`: a small network measured through the command line, and every refusal in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from measuring import Pooled
from runs import make_pictures, small_config

from openstylegan.cli.main import main
from openstylegan.cli.measuring_progress import MeasuringProgress
from openstylegan.config import Component, to_dict, with_overrides
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


def test_all_networks_of_a_run_are_measured_in_their_order(
    network: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"network-snapshot-{kimg:06d}.safetensors" for kimg in (900, 10, 1000000)] + [
        "network-snapshot-best.safetensors"
    ]
    for name in names:
        (tmp_path / name).write_bytes(network.read_bytes())
    arguments = ("--data", pictures, "--metrics", "fd_efflite0", "--num-generated", 8, "--verbose", "0")
    code, out, _ = run(capsys, "--network", tmp_path, "--all", *arguments, "--outdir", tmp_path / "results")
    assert code == 0
    expected = [names[1], names[0], names[2]]
    assert [json.loads(line)["snapshot"] for line in out.splitlines()] == expected
    assert [r["snapshot"] for r in read_lines(tmp_path / "results" / "metric-fd_efflite0.jsonl")] == expected
    code, _, err = run(capsys, "--network", network, "--all", *arguments)
    assert code == 2 and "--all: expected the folder of a run" in err


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


def test_a_folder_that_cannot_be_is_refused_before_anything_is_measured(
    network: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openstylegan.training.launch.run_processes", lambda *args: pytest.fail("measured"))
    options = ("--network", network, "--data", pictures, "--metrics", "fd_efflite0", "--outdir", pictures)
    code, _, err = run(capsys, *options)
    assert (code, len(err.splitlines())) == (2, 1) and "a file is where a folder must be" in err


# ---- a run's own options


def snapshot_of(folder: Path, about: dict, kind: str = "stylegan2", c_dim: int = 3) -> Path:
    options = {"z_dim": 6, "c_dim": c_dim, "w_dim": 6, "img_resolution": 16, "img_channels": 3}
    widths = {"channel_base": 64, "channel_max": 4}
    options |= widths if kind == "stylegan3" else {"synthesis_kwargs": widths}
    folder.mkdir(exist_ok=True)
    path = folder / "network-snapshot-000001.safetensors"
    with torch.random.fork_rng():
        G = build(GENERATORS, kind, options, "generator")
    write_snapshot(path, {"G_ema": G}, {"G": Component(kind, options)}, about)
    return path


def protocol_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    code, out, err = run(capsys, *arguments, "--num-generated", 4, "--verbose=0")
    assert code == 0, err
    return json.loads(out)["protocol"]


def test_a_network_is_measured_with_the_data_of_its_run(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures, mirroring and labels, though nothing but the network is named; what is named goes before."""
    config = with_overrides(small_config(pictures), {"data.max_size": 5})
    path = snapshot_of(tmp_path / "run", {"config": to_dict(config)})
    found = protocol_of(capsys, "--network", path, "--metrics", "fid50k")
    assert (found["dataset"], found["num_real"], found["xflip"]) == ("pictures", 48, True)
    assert protocol_of(capsys, "--network", path, "--metrics", "fid50k", "--no-mirror")["num_real"] == 24
    others = make_pictures(tmp_path / "others.zip", 9)
    found = protocol_of(capsys, "--network", path, "--metrics", "fid50k", "--data", others)
    assert (found["dataset"], found["num_real"]) == ("others", 18)


@pytest.mark.parametrize("place", ["file", "folder"])
def test_the_options_of_a_foreign_run_are_looked_up(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    kwargs = {"class_name": "training.dataset.ImageFolderDataset", "path": str(pictures), "xflip": True}
    folder = tmp_path / "00000-pictures"
    path = snapshot_of(folder, {"training_set_kwargs": kwargs if place == "file" else None})
    code, _, err = run(capsys, "--network", path, "--metrics", "fid50k", "--num-generated", 4)
    assert (code, "give --data" in err) == ((2, True) if place == "folder" else (0, False))
    assert not list(folder.glob("metric-*"))
    stored = {"training_set_kwargs": kwargs if place == "folder" else None, "batch_size": 4}
    (folder / "training_options.json").write_text(json.dumps(stored))
    assert protocol_of(capsys, "--network", path, "--metrics", "fid50k")["num_real"] == 48
    assert len(read_lines(folder / "metric-fid50k.jsonl")) == 1


def test_data_are_found_from_the_folder_that_a_run_was_started_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pictures(tmp_path / "data.zip", 6)
    path = snapshot_of(tmp_path / "runs", {"config": to_dict(small_config(Path("data.zip")))})
    assert protocol_of(capsys, "--network", path, "--metrics", "fid50k")["num_real"] == 12


def test_networks_of_other_programs_are_measured(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[1] / "golden" / "pkl_sg3_t.pkl"
    protocol = protocol_of(capsys, "--network", path, "--metrics", "eqt50k_frac")
    assert (protocol["num_generated"], protocol["motion"]) == (4, "fraction")


def test_data_that_has_gone_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = snapshot_of(tmp_path, {"config": to_dict(small_config(tmp_path / "gone.zip"))})
    code, _, err = run(capsys, "--network", path, "--metrics", "fid50k")
    assert (code, "gone.zip, found none; give --data" in err) == (2, True)
    (tmp_path / "training_options.json").write_text("[]")
    code, _, err = run(capsys, "--network", snapshot_of(tmp_path, {}), "--metrics", "fid50k")
    assert (code, "expected training options as JSON" in err) == (2, True)


def test_a_network_without_classes_needs_no_data_for_metrics_of_the_generator(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = snapshot_of(tmp_path, {}, "stylegan3", c_dim=0)
    found = protocol_of(capsys, "--network", path, "--metrics", "eqt50k_int")
    assert (found["num_real"], found["group_size"]) == (0, 4)
    code, _, err = run(capsys, "--network", path, "--metrics", "fd_efflite0")
    assert (code, "give --data" in err) == (2, True)
    conditional = snapshot_of(tmp_path, {}, "stylegan3")
    code, _, err = run(capsys, "--network", conditional, "--metrics", "eqt50k_int")
    assert (code, "give --data" in err) == (2, True)
    assert protocol_of(capsys, "--network", conditional, "--metrics", "eqt50k_int", "--data", pictures)


def test_a_network_that_cannot_be_moved_is_refused(
    network: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "--network", network, "--metrics", "eqr50k", "--data", pictures)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "synthesis.input.transform (StyleGAN3)" in err


# ---- progress


def test_a_log_gets_a_line_at_every_tenth_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with MeasuringProgress(clock=lambda: now) as progress:
        for done in range(1, 41):
            progress(done, 40, "eqr50k")
            now += 100.0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "eqr50k: batch 4 of 40, 1:00:00 left"
    assert lines[-2:] == ["eqr50k: batch 36 of 40, 6:40 left", "eqr50k: batch 40 of 40"]


def test_a_terminal_gets_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with MeasuringProgress() as progress:
        progress(1, 2, "real pictures")
        progress(2, 2, "real pictures")
    shown = capsys.readouterr().err
    assert "real pictures" in shown
    assert "2/2" in shown


def test_importing_the_command_does_not_import_torch() -> None:
    code = "import sys, openstylegan.cli.metrics; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
