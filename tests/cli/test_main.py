"""The command line: what is refused, each in one clear line, with nothing lost and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from runs import make_pictures

from openstylegan.cli.main import main, with_flag_values
from openstylegan.cli.train import parse_grid, parse_metrics, parse_settings
from openstylegan.errors import InputError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(list(arguments)) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("openstylegan: "), error
    return error


def test_flags_with_values() -> None:
    assert with_flag_values(["train", "--mirror", "1", "--cond=0", "--fp32", "--data", "x"]) == [
        "train", "--mirror=true", "--cond=false", "--fp32", "--data", "x",
    ]  # fmt: skip


def test_unknown_options_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--gamma" in refused(capsys, "train", "--gama=3")
    assert "train" in refused(capsys, "trian")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=DATA", "--outdir=OUT", "--batch=7", "--gpus=2"], "multiple of 2"),
        (["--data=DATA", "--outdir=OUT", "--batch=8", "--batch-gpu=3"], "divisible"),
        (["--data=DATA", "--outdir=OUT", "--aug=fixed"], "strength"),
        (["--data=DATA", "--outdir=OUT", "--p=0.3"], "no effect"),
        (["--data=DATA", "--outdir=OUT", "--subset=1000"], "1 to 24"),
        (["--data=DATA", "--outdir=OUT", "--cfg=paper128"], "paper"),
        (["--data=DATA", "--outdir=OUT", "--gamma=lots"], "gamma"),
        (["--data=DATA", "--outdir=OUT", "--metrics=fid5k"], "metric"),
        (["--data=DATA", "--outdir=OUT", "--grid=8"], "columns x rows"),
        (["--data=DATA", "--outdir=OUT", "--snap=0"], "at least 1"),
        (["--data=DATA", "--outdir=OUT", "--set", "ema.halflife=3"], "did you mean"),
        (["--data=DATA", "--outdir=OUT", "--set", "nothing"], "NAME=VALUE"),
        (["--data=DATA", "--outdir=OUT", "--nobench", "--device=cpu"], "without a GPU"),
        (["--data=DATA"], "--outdir"),
        (["--outdir=OUT"], "--data"),
        (["--data=MISSING", "--outdir=OUT"], "--data"),
        (["--data=EMPTY", "--outdir=OUT"], "--data"),
        (["--data=MIXED", "--outdir=OUT"], "--data"),
        (["--data=DATA", "--outdir=OUT", "--resume=MISSING"], "snapshot"),
        (["--data=DATA", "--outdir=OUT", "--device=cuda"], "CUDA"),
    ],
)
def test_train_refuses(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    empty, mixed = tmp_path / "empty", tmp_path / "mixed"
    empty.mkdir()
    mixed.mkdir()
    for n, size in enumerate(((16, 16), (16, 32))):
        Image.new("RGB", size).save(mixed / f"{n}.png")
    words = {
        "DATA": str(pictures), "OUT": str(tmp_path / "out"), "MISSING": str(tmp_path / "none"), "EMPTY": str(empty),
        "MIXED": str(mixed),
    }  # fmt: skip
    named = [a.partition("=") for a in arguments]
    filled = [f"{name}={words[value]}" if value in words else name + equals + value for name, equals, value in named]
    error = refused(capsys, "train", *filled)
    assert message in error
    assert not list((tmp_path / "out").glob("*")), "nothing is left behind"


def test_dry_run_prints_everything_and_makes_nothing(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    arguments = ["train", f"--data={pictures}", f"--outdir={tmp_path / 'out'}", "--cond", "1", "--gamma=5", "-n"]
    assert main([*arguments, "--set", "ema.half_life_kimg=7"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert config["data"]["use_labels"] is True
    assert config["phases"][3]["terms"][0]["options"]["gamma"] == 5
    assert config["ema"]["half_life_kimg"] == 7
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "grid"),
    [([], [8, 8]), (["--grid=20x3"], [20, 3]), (["--cfg=msg-stylegan"], [8, 8]), (["--cfg=demo"], [12, 8])],
)
def test_what_a_processor_draws_before_the_first_step_is_a_few_pictures(
    capsys: pytest.CaptureFixture[str], pictures: Path, options: list[str], grid: list[int]
) -> None:
    assert main(["train", f"--data={pictures}", "--outdir=out", "--device=cpu", *options, "-n"]) == 0
    assert json.loads(capsys.readouterr().out)["output"]["grid"] == grid


def test_grids_fill_a_screen_where_a_gpu_draws_them(
    capsys: pytest.CaptureFixture[str], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openstylegan.cli.train.on_gpu", lambda asked: True)
    assert main(["train", f"--data={pictures}", "--outdir=out", "-n"]) == 0
    assert json.loads(capsys.readouterr().out)["output"]["grid"] is None


def test_labels_that_are_not_there_are_missed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for n in range(3):
        Image.new("RGB", (16, 16), (n, 0, 0)).save(folder / f"{n}.png")
    assert "--cond" in refused(capsys, "train", f"--data={folder}", f"--outdir={tmp_path / 'o'}", "--cond=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network=none.safetensors", "--outdir=o", "--seeds=1"], "expected a network"),
        (["--outdir=o"], "--network"),
        (["--network=x", "--outdir=o"], "--seeds"),
        (["--network=x", "--outdir=o", "--seeds=1", "cats", "dogs"], "expected options only, got cats dogs"),
        (["--network=x", "--outdir=o", "--seeds=1", "--noise-mode=loud"], "noise"),
    ],
)
def test_generate_refuses(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert message in refused(capsys, "generate", *arguments)


def test_the_demo_refuses_before_it_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--minutes: expected a number above 0" in refused(
        capsys, "demo", f"--outdir={tmp_path / 'o'}", "--minutes=0"
    )
    assert not (tmp_path / "o").exists()


def test_small_parsers() -> None:
    assert parse_grid("8X4") == (8, 4) and parse_grid(None) is None
    assert parse_metrics("none") == parse_metrics("") == ()
    assert parse_metrics("a, b") == ("a", "b")
    assert parse_settings(("a.b=[1, 2]", "c=text")) == {"a.b": [1, 2], "c": "text"}
    with pytest.raises(InputError, match="columns x rows"):
        parse_grid("0x4")


def test_a_closed_pipe_is_not_an_error() -> None:
    code = "import sys; from openstylegan.cli.main import main; sys.exit(main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
