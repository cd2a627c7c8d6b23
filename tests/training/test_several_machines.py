"""Two machines, as two network namespaces with a cable between them: a dead process, a cut cable, and going on.

Needs root and `ip`, and is skipped where namespaces cannot be made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from runs import make_pictures, small_config
from safetensors.numpy import load_file

from openstylegan import config as configuration
from openstylegan.training.checkpoint import latest_checkpoint

PORT = 29517
ADDRESSES = ("10.213.77.1", "10.213.77.2")
TRAIN = """
import sys
from openstylegan.cli.main import main
from openstylegan.config import TrainConfig, load
from openstylegan.errors import ProcessFailed
from openstylegan.training.run import train
if sys.argv[1] == "resume":
    sys.exit(main(["train", "--resume", sys.argv[2], "--device", "cpu"]))
try:
    train(load(TrainConfig, sys.argv[2]), sys.argv[3], device="cpu")
except ProcessFailed as error:
    sys.exit(f"openstylegan: {error}")
"""
TALK = """
import time, torch, torch.distributed as dist
from openstylegan.training.launch import run_processes
def talk(_):
    print("together", flush=True)
    while True:
        dist.all_reduce(torch.ones(1))
        time.sleep(0.05)
run_processes(talk, None, 1, "cpu")
"""


class Host(NamedTuple):
    """A network namespace: its name, and its end of the cable."""

    name: str
    cable: str

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """A command in it, in a process group of its own."""
        hidden = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GLOO_SOCKET_IFNAME")
        inherited = {k: v for k, v in os.environ.items() if k not in hidden}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            env={**inherited, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    pair = tuple(Host(f"osg{os.getpid()}{end}", f"osg{os.getpid() % 100000}{end}") for end in "ab")
    try:
        for host in pair:
            ip("netns", "add", host.name)
            ip("-n", host.name, "link", "set", "lo", "up")
        ip("link", "add", pair[0].cable, "type", "veth", "peer", "name", pair[1].cable)
        for host, address in zip(pair, ADDRESSES, strict=True):
            ip("link", "set", host.cable, "netns", host.name)
            ip("-n", host.name, "addr", "add", f"{address}/24", "dev", host.cable)
            ip("-n", host.name, "link", "set", host.cable, "up")
    except subprocess.CalledProcessError as error:
        clear(pair)
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    yield pair
    clear(pair)


def clear(pair: tuple[Host, ...]) -> None:
    for host in pair:
        subprocess.run(["ip", "netns", "del", host.name], capture_output=True)


def torchrun(host: Host, node: int, *arguments: str) -> subprocess.Popen[str]:
    """One machine's torchrun, as docs/several-machines.md has it."""
    places = [f"--master-addr={ADDRESSES[0]}", f"--master-port={PORT}"]
    words = ["--nnodes=2", f"--node-rank={node}", "--nproc-per-node=1", *places]
    return host.start(sys.executable, "-m", "torch.distributed.run", *words, *arguments)


def ended(process: subprocess.Popen[str], seconds: float) -> str:
    """What a command wrote, once it has ended; it must within so many seconds."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"still running after {seconds} s; so far: {error.stdout}") from None


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration of 12 light steps, a checkpoint every 3, and what each process runs."""
    folder = tmp_path_factory.mktemp("job")
    pictures = make_pictures(folder / "pictures.zip")
    phases = [{"name": f"{p}main", "player": p, "terms": [{"name": f"logistic_{p.lower()}"}]} for p in "GD"]
    plain = {"phases": phases, "augment": {"name": "none"}}
    changes = {"schedule.options.batch_gpu": 4, "total_kimg": 0.096, "output.kimg_per_tick": 0.024, **plain}
    configuration.save(folder / "config.json", small_config(pictures, **changes))
    (folder / "train.py").write_text(TRAIN)
    (folder / "talk.py").write_text(TALK)
    return folder


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Everything that a test has started; what still runs when it ends is killed, with all below it."""
    found: list[subprocess.Popen[str]] = []
    yield found
    for process in found:
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            for one in (psutil.Process(process.pid), *below):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()


def by_hand(host: Host, rank: int, port: int, *arguments: str) -> subprocess.Popen[str]:
    """One machine's only process, started without torchrun, as SLURM's srun starts processes."""
    places = {"MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": "0"}
    return host.start(sys.executable, *arguments, WORLD_SIZE="2", LOCAL_WORLD_SIZE="1", **places)


def train(hosts: tuple[Host, Host], job: Path, started: list, *arguments: str) -> list[subprocess.Popen[str]]:
    new = [torchrun(host, n, str(job / "train.py"), *arguments) for n, host in enumerate(hosts)]
    started += new
    return new


def the_run(outdir: Path) -> Path:
    (folder,) = outdir.iterdir()
    return folder


def workers_below(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a torchrun has started."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [child.pid for child in below if "-u" in child.cmdline()]


def longest() -> float:
    """Seconds in which everything must have ended: 10, and more where processes wait for the processor."""
    return 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_dead_process_ends_the_run_everywhere_and_it_goes_on_exactly(hosts, job, started, tmp_path) -> None:
    words = [str(job / "train.py"), "new", str(job / "config.json")]
    started += [by_hand(host, n, PORT + 1, *words, str(tmp_path / "whole")) for n, host in enumerate(hosts)]
    for process in started:
        assert ended(process, 120) is not None and process.returncode == 0
    disturbed = train(hosts, job, started, *words[1:], str(tmp_path / "part"))
    wait_for(
        lambda: (tmp_path / "part").is_dir() and len(list((tmp_path / "part").glob("*/checkpoints/[!.]*"))) > 1, 120
    )
    (victim,) = workers_below(disturbed[1])
    os.kill(victim, signal.SIGKILL)
    killed_at = time.monotonic()
    first, second = (ended(process, 90) for process in disturbed)
    assert time.monotonic() - killed_at < longest()
    assert "process 1 (on " in first and ADDRESSES[1] in first and "has died" in first
    assert "rank      : 1" in second, "torchrun's own account"
    folder = the_run(tmp_path / "part")
    stopped_at = latest_checkpoint(folder, print).name
    for process in train(hosts, job, started, "resume", str(folder)):
        assert "finished" in ended(process, 120)
    last = latest_checkpoint(the_run(tmp_path / "whole"), print)
    assert latest_checkpoint(folder, print).name == last.name != stopped_at
    for name in ("networks.safetensors", "optimizers.safetensors"):
        ours, theirs = load_file(latest_checkpoint(folder, print) / name), load_file(last / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if ours[key].tobytes() != theirs[key].tobytes()] == []


def test_a_cut_cable_ends_both_sides(hosts, job, started) -> None:
    started += [by_hand(host, n, PORT + 2, str(job / "talk.py")) for n, host in enumerate(hosts)]
    for process in started:
        while (line := process.stdout.readline()) != "together\n":
            assert line, "it ended"
    time.sleep(1)
    ip("-n", hosts[1].name, "link", "set", hosts[1].cable, "down")
    cut_at = time.monotonic()
    try:
        first, second = (ended(process, 90) for process in started)
    finally:
        ip("-n", hosts[1].name, "link", "set", hosts[1].cable, "up")
    assert time.monotonic() - cut_at < longest()
    assert "process 1 (on " in first and "has been silent for 6 s" in first
    assert "process 0 (at " in second and "has been silent for 6 s" in second
    assert all(process.returncode == 1 for process in started)
