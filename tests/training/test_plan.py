"""The prediction of a run's cost: its parts are right, and it is near what a run takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from runs import make_pictures, small_config

from openstylegan.cli.main import main
from openstylegan.cli.plan import show
from openstylegan.config import TrainConfig
from openstylegan.training.build import build_run, make_networks, open_training_data, resolved
from openstylegan.training.meter import Machine, Meter
from openstylegan.training.plan import Plan, StepOnPaper, predict
from openstylegan.training.schedule import Stage

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def plan_of(config: TrainConfig) -> Plan:
    return predict(config, open_training_data(config), CPU)


@pytest.fixture(scope="module")
def small(pictures: Path) -> Plan:
    return plan_of(small_config(pictures))


def test_parameters_and_memory_are_those_of_the_run(pictures: Path, small: Plan) -> None:
    run = build_run(small_config(pictures), CPU)
    run.loader.close()
    for name, network in (("G", run.state.G), ("D", run.state.D)):
        assert sum(small.parameters[name].values()) == sum(p.numel() for p in network.parameters())
    assert small.parameters["G"].keys() == {"mapping", "synthesis.b4", "synthesis.b8", "synthesis.b16"}
    tensors = [t for m in (run.state.G, run.state.D, run.state.ema.module) for t in m.state_dict().values()]
    assert small.bytes_by_part["weights"] == sum(t.numel() * t.element_size() for t in tensors)
    moments = sum(8 * p.numel() + 4 for m in (run.state.G, run.state.D) for p in m.parameters())
    assert small.bytes_by_part["optimizers"] == moments
    assert small.process_bytes > small.peak_bytes + 100 * 2**20, "with the program and its libraries"
    assert sum(small.bytes_by_part.values()) == small.peak_bytes == max(p.peak_bytes for p in small.phases.values())


def test_phases_and_time_add_up(pictures: Path, small: Plan) -> None:
    assert {name: p.every for name, p in small.phases.items()} == {"Gmain": 1, "Greg": 2, "Dmain": 1, "Dreg": 2}
    step = sum(p.seconds / p.every for p in small.phases.values())
    assert small.seconds_per_kimg == pytest.approx(step * 1000 / 8)
    assert small.total_seconds == pytest.approx(small.seconds_per_kimg * small_config(pictures).total_kimg)
    assert small.augment_seconds_per_image > 0
    assert all(p.flops > 1e6 for p in small.phases.values())


def test_a_cut_needs_less_memory_for_the_same_arithmetic(pictures: Path) -> None:
    config = small_config(pictures)
    config = replace(config, phases=(config.phases[2],))
    found = []
    for batch_gpu in (32, 4):
        networks = make_networks(config, resolved(config, open_training_data(config)), CPU)
        step = StepOnPaper(config, networks, Stage(0, 32, batch_gpu), Machine(1e9, 1e9, 0), processes=1)
        found.append(step.run(plain=True))
    whole, cut = found
    assert cut.work["Dmain"].flops == pytest.approx(whole.work["Dmain"].flops, rel=0.01)
    assert cut.augmented["Dmain"] == whole.augmented["Dmain"] == 64
    rest = [s.peaks["Dmain"] - sum(s.fixed_bytes.values()) for s in found]
    assert rest[1] < rest[0] / 3


def test_arithmetic_and_memory_of_a_convolution_are_counted() -> None:
    machine = Machine(flops=1e9, bandwidth=1e9, overhead=0.0)
    x, w = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    with Meter(machine) as meter:
        y = torch.nn.functional.conv2d(x, w, padding=1)
        flops = 2 * y.numel() * 27
        assert meter.work.flops == flops and meter.work.seconds == pytest.approx(flops / 1e9)
        assert meter.live == meter.peak == 4 * y.numel()
        meter.start()
        z = y * 2
        assert meter.work.num_bytes == 8 * y.numel() and meter.work.seconds == pytest.approx(8 * y.numel() / 1e9)
        view = z[0]
        del y, z
        assert meter.live == 4 * 2 * view.numel() and meter.peak == 2 * meter.live


def test_the_command(pictures: Path, small: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["plan", f"--data={pictures}", "--batch=4", "--cbase=64", "--cmax=8", "--device=cpu"]
    assert main([*options, "--gpus=2", "--minutes=0.01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["batch_size"], found["batch_gpu"], found["processes"]) == (4, 2, 2)
    assert found["total_seconds"] == pytest.approx(0.6), "a run that ends by the clock is no longer"
    assert main([*options, "--outdir=x"]) == 2
    assert "no effect" in capsys.readouterr().err
    show(small, Console(width=100))
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("G mapping", "D b16", "Dreg", "GFLOP an image", "the process"))
