"""`openstylegan train`: every family trains from the command line; beginning with another network; what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from helpers import relative_error
from PIL import Image
from runs import make_pictures

from openstylegan.cli.main import main
from openstylegan.files import sha256_file
from openstylegan.snapshot import load

SMALL = [
    "--cbase=64", "--cmax=4", "--kimg=0.016", "--tick=0.008", "--grid=2x1", "--metrics=none", "--device=cpu",
    "--set", "generator.network.options.z_dim=8", "--set", "generator.network.options.w_dim=8",
    "--set", "output.tensorboard=false",
]  # fmt: skip
ALIAS_FREE = ["--set", "generator.network.options.num_layers=5", "--aug=noaug"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def train(outdir: Path, pictures: Path, *arguments: str) -> Path:
    """Two steps of a run; its folder."""
    assert main(["train", f"--outdir={outdir}", f"--data={pictures}", *SMALL, *arguments]) == 0
    return max(p for p in outdir.iterdir() if p.is_dir())


@pytest.mark.parametrize(
    ("arguments", "name", "terms"),
    [
        (["--batch=8"], "pictures-auto1-kimg0.016-batch8", 4),
        (["--cfg=cifar", "--batch=8", "--aug=noaug"], "pictures-cifar-kimg0.016-batch8-noaug", 3),
        (["--cfg=paper256", "--batch=8", "--cond=1", "--mirror=1"],
         "pictures-cond-mirror-paper256-kimg0.016-batch8", 4),
        (["--cfg=stylegan2", "--gpus=1", "--batch=8", "--gamma=1"], "stylegan2-pictures-gpus1-batch8-gamma1", 4),
        (["--cfg=stylegan3-t", "--gpus=1", "--batch=8", "--gamma=0.5", "--desc=x", *ALIAS_FREE],
         "stylegan3-t-pictures-gpus1-batch8-gamma0.5-x", 3),
        (["--cfg=stylegan3-r", "--gpus=1", "--batch=8", "--batch-gpu=4", "--gamma=0.5", "--cond=1", *ALIAS_FREE],
         "stylegan3-r-pictures-gpus1-batch8-gamma0.5", 3),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)  # fmt: skip
def test_every_family_trains(pictures: Path, tmp_path: Path, arguments: list[str], name: str, terms: int) -> None:
    run = train(tmp_path, pictures, *arguments)
    assert run.name == f"00000-{name}"
    config = json.loads((run / "config.json").read_text())
    assert sum(len(phase["terms"]) for phase in config["phases"]) == terms
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert lines[-1]["Progress/kimg"]["mean"] == 0.016
    for name in ("Loss/G/loss", "Loss/D/loss", "Loss/r1_penalty"):
        assert math.isfinite(lines[-1][name]["mean"])
    assert load(run).G_ema.z_dim == 8


def test_one_name_of_two_families_says_which_it_took(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    arguments = ["train", f"--data={pictures}", "--cfg=stylegan2", "-n"]
    assert main([*arguments, "--gpus=1", "--batch=8", "--gamma=1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ema"]["rampup"] == 0.05
    assert "as in stylegan3" in err and "--family=stylegan2-ada" in err and err.count("\n") == 1
    assert main([*arguments, "--gamma=1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ema"]["rampup"] is None
    assert "as in stylegan2-ada" in err
    assert main([*arguments, "--gpus=1", "--batch=8", "--gamma=1", "--family=stylegan2-ada"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ema"]["rampup"] is None and err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cfg=stylegan3-t"], "needs --gpus, --batch, --gamma"),
        (["--cfg=stylegan3-t", "--gpus=1", "--batch=8"], "needs --gamma"),
        (["--cfg=stylegan3-t", "--gpus=1", "--batch=8", "--gamma=1", "--subset=3"], "--subset is not an option"),
        (["--cfg=stylegan3-t", "--gpus=1", "--batch=8", "--gamma=-1"], "--gamma: expected a number from 0"),
        (["--cfg=stylegan3-t", "--gpus=1", "--batch=2", "--gamma=1"], "--mbstd-group"),
        (["--cfg=stylegan3-t", "--gpus=1", "--batch=8", "--gamma=1", "--metrics=fid6k"], "metric"),
        (["--cfg=paper256", "--map-depth=2"], "--map-depth is not an option of --cfg=paper256"),
        (["--family=stylegan3"], "no configuration 'auto'"),
        (["--fp32=1", "--precision=bfloat16"], "--precision=bfloat16 has no effect with --fp32"),
        (["--resume=ffhq265"], "did you mean 'ffhq256'"),
        (["--init-from=nothing.pkl"], "there is none"),
        (["--tick-seconds=0"], "--tick-seconds: expected more than 0"),
        (["--metric-images=5"], "--metric-images has no effect without --metrics"),
        (["--metric-images=0", "--metrics=fd_efflite0"], "--metric-images: expected at least 1"),
        (["--allow-download"], "--allow-download has no effect without --metrics"),
        (["--metrics=fid50k_full", "--weights=inception=FILE"], "expected SHA-256"),
        (["--metrics=fid50k_full", "--weights=incepton=FILE"], "did you mean 'inception'"),
        (["-n", "--set", "augment.name=adaa"], "did you mean 'ada'"),
        (["--resume=FILE", "--init-from=FILE"], "--resume or --init-from"),
    ],
)
def test_refusals(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    file = tmp_path / "a.pkl"
    file.touch()
    named = [a.replace("FILE", str(file)) for a in arguments]
    assert main(["train", f"--data={pictures}", f"--outdir={tmp_path / 'out'}", *named]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


class Distance(torch.nn.Module):
    """Takes what NVIDIA's VGG16 file takes; its features are the picture."""

    def forward(self, img: torch.Tensor, resize_images: bool = True, return_lpips: bool = False) -> torch.Tensor:
        return img.flatten(1)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_metric_in_training_takes_the_user_s_weights(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "mine.pt"
    torch.jit.script(Distance()).save(str(file))
    weights = f"--weights=vgg16={file}#sha256={sha256_file(file)}"
    small = [a for a in SMALL if not a.startswith("--metrics")]
    measured = ["--batch=8", "--metrics=ppl2_wend", "--metric-images=4", weights]
    assert main(["train", f"--outdir={tmp_path / 'runs'}", f"--data={pictures}", *small, *measured]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "metric-ppl2_wend.jsonl").read_text().splitlines()[0])["results"]["ppl2_wend"] > 0
    assert main(["train", f"--resume={run}"]) == 2
    assert "the weights vgg16.pt are not on this machine" in capsys.readouterr().err
    assert main(["train", f"--resume={run}", weights]) == 0


def test_what_goes_on_must_be_there_and_be_the_same(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    run = train(tmp_path / "runs", pictures, "--batch=8", "--build-only")
    for arguments, message in (
        ([f"--resume={tmp_path / 'none'}"], "a network snapshot or a run folder at"),
        ([f"--resume={tmp_path}"], "found none in"),
        ([f"--resume={run}", f"--data={tmp_path}"], "--data: expected"),
        ([f"--resume={run}", f"--outdir={tmp_path}"], "--outdir: expected"),
    ):
        capsys.readouterr()
        assert main(["train", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    damaged = next((run / "checkpoints").iterdir()) / "networks.safetensors"
    damaged.write_bytes(b"")
    assert main(["train", f"--resume={run}", f"--data={pictures}", f"--outdir={tmp_path / 'runs'}"]) == 2
    assert "is not used" in capsys.readouterr().err and "is not used" in (run / "log.txt").read_text()


def test_labels_are_missed_before_the_batch_is_looked_at(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    """The order of StyleGAN3's checks: ranges, data, labels, batch and processes, metrics."""
    wrong = ["--cfg=stylegan3-t", "--gpus=2", "--gamma=1", "--metrics=fid6k"]
    plain = tmp_path / "plain"
    plain.mkdir()
    for n in range(2):
        Image.new("RGB", (16, 16), (n, 0, 0)).save(plain / f"{n}.png")
    for data, more, message in (
        (tmp_path / "none", ["--batch=9", "--cond=1", "--seed=-1"], "--seed"),
        (tmp_path / "none", ["--batch=9", "--cond=1"], "--data"),
        (plain, ["--batch=9", "--cond=1"], "--cond"),
        (plain, ["--batch=9"], "multiple of 2"),
        (plain, ["--batch=8"], "metric"),
    ):
        main(["train", f"--data={data}", f"--outdir={tmp_path / 'out'}", *wrong, *more])
        assert message in capsys.readouterr().err


def test_beginning_with_a_run_of_another_resolution(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    first = train(tmp_path / "runs", pictures, "--batch=8", "--aug=noaug")
    larger = make_pictures(tmp_path / "larger.zip", size=(32, 32))
    capsys.readouterr()
    second = train(tmp_path / "runs", larger, "--batch=8", "--aug=noaug", f"--init-from={first}")
    out = capsys.readouterr().out
    assert second.name == "00001-larger-auto1-kimg0.016-batch8-noaug-initfrom"
    rows = {tuple(line.split()[:3]) for line in out.splitlines()}
    assert {("D", "b32", "0"), ("D", "b8", "5"), ("D", "b4", "6")} <= rows
    assert "synthesis.b32" in out and f"weights from {first}" in out
    assert f"weights from {first}" in (second / "log.txt").read_text()
    snapshot = sorted(first.glob("network-snapshot-*.safetensors"))[0]
    third = train(tmp_path / "runs", pictures, "--batch=8", "--aug=noaug", f"--resume={snapshot}")
    out = capsys.readouterr().out
    assert third.name.endswith("-resumecustom")
    (line,) = [line for line in out.splitlines() if line.startswith("a new run begins")]
    assert "--resume=RUN_FOLDER goes on" in line and "--init-from=FILE" in line


def test_a_run_goes_on_without_the_file_it_began_with(pictures: Path, tmp_path: Path) -> None:
    first = train(tmp_path / "runs", pictures, "--batch=8", "--aug=noaug")
    moved = sorted(first.glob("network-snapshot-*.safetensors"))[-1].rename(tmp_path / "start.safetensors")
    second = train(tmp_path / "runs", pictures, "--batch=8", "--aug=noaug", f"--resume={moved}")
    moved.unlink()
    assert main(["train", f"--resume={second}", "--device=cpu"]) == 0


def test_two_processes_begin_with_the_same_weights_as_one(pictures: Path, tmp_path: Path) -> None:
    """Only the main process reads the file."""
    first = train(tmp_path / "runs", pictures, "--batch=8", "--aug=noaug")
    recipe = ["--batch=8", "--batch-gpu=4", "--aug=noaug", "--cond=1", "--seed=1", f"--init-from={first}"]
    weights = [
        load(train(tmp_path / f"runs{gpus}", pictures, *recipe, f"--gpus={gpus}", "--cfg=cifar")).G_ema.state_dict()
        for gpus in (1, 2)
    ]
    begun = load(first).G_ema.state_dict()
    for name, value in weights[0].items():
        assert relative_error(weights[1][name], value) < 1e-4, name
    moved = float((weights[0]["synthesis.b16.conv1.weight"] - begun["synthesis.b16.conv1.weight"]).abs().max())
    assert 0 < moved < 0.02, "two steps away from the weights of the file, not from random ones"


def test_a_controlled_run_logs_what_the_controller_adds(pictures: Path, tmp_path: Path) -> None:
    run = train(tmp_path, pictures, "--batch=8", "--aug=noaug", "--bmc=both", "--bmc-mean=-0.5", "--bmc-noise=image")
    assert run.name == "00000-pictures-auto1-kimg0.016-batch8-noaug-bmc-both"
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    assert all(last[f"Loss/{player}/bmc"]["std"] > 0 for player in "GD")


def test_a_run_grows_and_its_network_says_how_far(pictures: Path, tmp_path: Path) -> None:
    """12 pictures at 8 px, then the first step at 16 px, where nothing of the new size is seen yet."""
    arguments = ["--cfg=stylegan1", "--batch=4", "--phase=4", "--mixing=1"]
    run = train(tmp_path, pictures, *arguments)
    assert run.name == "00000-stylegan1-pictures-wgan-gp-mixing"
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [round(1000 * line["Progress/kimg"]["mean"]) for line in lines] == [4, 12, 16]
    assert all(math.isfinite(lines[-1][name]["mean"]) for name in ("Loss/G/loss", "Loss/D/loss", "Loss/D/reg"))
    with Image.open(run / "fakes_init.png") as before, Image.open(run / "fakes000000.png") as after:
        assert (before.size, after.size) == ((16, 8), (32, 16))
    G = load(run).G_ema
    assert G.num_ws_in_use == 3
    again = train(tmp_path, pictures, "--cfg=stylegan1", "--batch=4", f"--ckpt={run}", "--init-size=16", "--loss=r1")
    assert json.loads((again / "config.json").read_text())["schedule"]["options"]["fade_first"] is True
    assert load(again).G_ema.num_ws_in_use == 3
