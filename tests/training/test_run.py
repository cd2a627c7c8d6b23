"""Runs as users start them: as a process, killed, stopped, resumed, on a full disk, with several processes."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import make_pictures

from openstylegan.training.checkpoint import checkpoints_of, latest_checkpoint, problem_of

SMALL = [
    "--batch=8", "--cbase=64", "--cmax=4", "--tick=0.016", "--snap=3", "--grid=2x1", "--metrics=none", "--seed=5",
    "--mirror=1", "--device=cpu", "--keep-checkpoints=3",
    "--set", "generator.network.options.z_dim=8", "--set", "generator.network.options.w_dim=8",
    "--set", "output.checkpoint_ticks=1", "--set", "output.tensorboard=false", "--set", "augment.options.kimg=0.05",
]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "openstylegan.cli.main", *arguments]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, out + err
    assert "Traceback" not in err, err
    return err


def new_run(pictures: Path, outdir: Path, kimg: float, *more: str) -> list[str]:
    return ["train", f"--data={pictures}", f"--outdir={outdir}", f"--kimg={kimg}", *SMALL, *more]


def run_of(outdir: Path) -> Path:
    return next(p for p in outdir.iterdir() if p.is_dir())


def wait_for_lines(outdir: Path, num: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        files = list(outdir.glob("*/stats.jsonl"))
        if files and len(files[0].read_text().splitlines()) >= num:
            return
        time.sleep(0.02)
    raise AssertionError(f"the run ended or stalled: {process.communicate()}")


def reproducible(stats: Path) -> list[dict[str, object]]:
    """The statistics that do not depend on the clock or the machine."""
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith(("Timing", "Resources", "timestamp"))} for line in lines]


def digests(run: Path) -> dict[str, str]:
    newest = checkpoints_of(run)[-1]
    manifest = json.loads((newest / "manifest.json").read_text())
    return {name: manifest[name]["sha256"] for name in ("networks.safetensors", "optimizers.safetensors")}


@pytest.fixture(scope="module")
def uninterrupted(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outdir = tmp_path_factory.mktemp("whole")
    finish(start(*new_run(pictures, outdir, 0.16)))
    return run_of(outdir)


def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(uninterrupted: Path, pictures: Path, tmp_path: Path) -> None:
    process = start(*new_run(pictures, tmp_path, 0.16))
    moments = random.Random(1)
    for lines in (2, 5):
        wait_for_lines(tmp_path, lines, process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
        process = start("train", f"--resume={run_of(tmp_path)}", "--device=cpu")
    finish(process)
    run = run_of(tmp_path)
    assert digests(run) == digests(uninterrupted)
    assert reproducible(run / "stats.jsonl") == reproducible(uninterrupted / "stats.jsonl")
    assert "resuming at kimg" in (run / "log.txt").read_text()


def test_the_run_folder_holds_what_users_know(uninterrupted: Path) -> None:
    names = {p.name for p in uninterrupted.iterdir()}
    expected = {
        "config.json", "environment.json", "stats.jsonl", "log.txt", "reals.png", "fakes_init.png", "fakes000000.png",
        "network-snapshot-000000.safetensors", "checkpoints", "report.html",
    }  # fmt: skip
    assert expected <= names
    assert uninterrupted.name == "00000-pictures-mirror-auto1-kimg0.16-batch8"
    assert len(checkpoints_of(uninterrupted)) == 3
    line = json.loads((uninterrupted / "stats.jsonl").read_text().splitlines()[-1])
    assert {"Loss/G/loss", "Loss/D/loss", "Loss/r1_penalty", "Loss/pl_penalty", "Loss/signs/real"} <= line.keys()
    assert line["Progress/kimg"]["mean"] == 0.16


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_being_asked_to_stop_leaves_a_checkpoint(pictures: Path, tmp_path: Path, number: int, code: int) -> None:
    process = start(*new_run(pictures, tmp_path, 50, "--set", "output.checkpoint_ticks=1000"))
    wait_for_lines(tmp_path, 3, process)
    process.send_signal(number)
    error = finish(process, code)
    assert "checkpoint" in error and error.count("\n") == 1
    run = run_of(tmp_path)
    newest = checkpoints_of(run)[-1]
    assert problem_of(newest) is None
    state = json.loads((newest / "state.json").read_text())
    assert state["counters"]["step"] > 1 and state["counters"]["cur_nimg"] % 8 == 0


def test_a_full_disk_leaves_the_last_good_checkpoint(pictures: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: snapshots and checkpoints are the largest files of a run."""
    process = start(*new_run(pictures, tmp_path, 50))
    wait_for_lines(tmp_path, 3, process)
    before = {p.name for p in checkpoints_of(run_of(tmp_path))}
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    error = finish(process, 2)
    assert "cannot write" in error and error.count("\n") == 1
    run = run_of(tmp_path)
    assert before and problem_of(latest_checkpoint(run, print)) is None
    assert list(run.rglob("*.tmp")) == []


def test_processes_started_by_the_command_stop_together(pictures: Path, tmp_path: Path) -> None:
    process = start(*new_run(pictures, tmp_path, 50, "--gpus=2", "--batch-gpu=4"))
    wait_for_lines(tmp_path, 3, process)
    process.send_signal(signal.SIGTERM)
    finish(process, 75)
    assert problem_of(checkpoints_of(run_of(tmp_path))[-1]) is None


def test_torchrun_trains(pictures: Path, tmp_path: Path) -> None:
    arguments = new_run(pictures, tmp_path, 0.032, "--gpus=2", "--batch-gpu=4")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "openstylegan.cli.main", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert problem_of(checkpoints_of(run_of(tmp_path))[-1]) is None
