"""What the documents show works: the README's Python runs, every command and link in it exists."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from measuring import small_generator, small_sampler
from PIL import Image
from runs import make_pictures, small_config
from tiny import tiny_generator

from openstylegan.augment import AUGMENTS
from openstylegan.cli.main import COMMANDS
from openstylegan.cli.train import parse_settings
from openstylegan.config import Component, with_overrides
from openstylegan.losses import LOSS_TERMS, LossTerm
from openstylegan.metrics import METRICS
from openstylegan.metrics.evaluate import evaluate
from openstylegan.presets.projected_gan import Options, make_config
from openstylegan.registry import build
from openstylegan.snapshot import write_snapshot
from openstylegan.training.build import build_run
from openstylegan.training.loop import train_step

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_readme_s_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "(3, 64, 64, 3) torch.Size([2, 3, 64, 64])" in capsys.readouterr().out


def test_the_tools_page_s_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "z_dim": 8,
        "w_dim": 8,
        "img_resolution": 32,
        "synthesis_kwargs": {"channel_base": 128, "channel_max": 4},
    }
    monkeypatch.chdir(tmp_path)
    component = Component("stylegan2", options)
    write_snapshot("cats.safetensors", {"G_ema": tiny_generator(**options)}, {"G": component}, {})
    Image.new("RGB", (40, 50), "orange").save("tom.jpg")
    names: dict[str, object] = {}
    for code in blocks(ROOT / "docs" / "tools.md", "python"):
        exec(compile(code.replace("num_steps=300", "num_steps=3"), "tools.md", "exec"), names)
    assert names["pictures"].shape == (4, 32, 32, 3)  # type: ignore[attr-defined]
    assert names["table"].shape == (96, 128, 3)  # type: ignore[attr-defined]
    assert names["num_frames"] == 120 and Path("cats.webp").is_file()
    assert "tom " in capsys.readouterr().out


def test_the_readme_lists_every_command() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


def test_the_loss_term_of_the_guide_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(b for b in blocks(ROOT / "docs" / "extending.md", "python") if "class R2" in b)
    names: dict[str, type[LossTerm]] = {}
    exec(compile(code, "extending.md", "exec"), names)
    monkeypatch.setitem(LOSS_TERMS, "r2", names["R2"])
    config = small_config(make_pictures(tmp_path / "pictures.zip", num=12))
    terms = [{"name": "r1", "options": {"gamma": 1.0}}, {"name": "r2", "options": {}}]
    run = build_run(with_overrides(config, {"phases.3.terms": terms}), torch.device("cpu"))
    train_step(run)
    run.loader.close()
    penalty = run.state.stats.collect()["Loss/r2_penalty"]
    assert penalty["num"] == 8 and penalty["mean"] > 0


@pytest.mark.parametrize("page", ["projected-gan.md", "training.md"])
def test_another_augmentation_as_the_pages_set_it(page: str) -> None:
    (setting,) = re.findall(r"--set '(augment=[^']+)'", (ROOT / "docs" / page).read_text())
    config = make_config(Options(cfg="fastgan", gpus=1, batch=8), "pictures.zip", 64)
    augment = with_overrides(config, parse_settings((setting,))).augment
    assert isinstance(build(AUGMENTS, augment.name, augment.options, "augmentation"), AUGMENTS["ada"])


def test_the_metric_of_the_guide_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(b for b in blocks(ROOT / "docs" / "extending.md", "python") if "GeneratorMetric" in b)
    names: dict[str, Any] = {}
    exec(compile(code, "extending.md", "exec"), names)
    monkeypatch.setattr("openstylegan.metrics.evaluate.METRICS", {"noise_variance": names["NOISE_VARIANCE"]})
    found = []
    for kind in ("stylegan2", "stylegan3"):
        sample = small_sampler(kind)
        for name, parameter in sample.G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
        [record] = evaluate(["noise_variance"], sample, num_generated=6)
        found.append(record.results["noise_variance"])
    assert found[0] > 1e-3
    assert found[1] == 0.0


def test_the_python_of_the_metrics_page_runs() -> None:
    (code,) = blocks(ROOT / "docs" / "metrics.md", "python")
    networks = SimpleNamespace(G_ema=small_generator("stylegan3", c_dim=0))
    names: dict[str, Any] = {"networks": networks}
    exec(compile(code.replace("num_generated=100", "num_generated=4"), "metrics.md", "exec"), names)
    assert names["record"].protocol["num_generated"] == 4


def test_every_metric_has_its_line() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    listed = {name for line in page.splitlines() if line.startswith("|") for name in re.findall(r"`(\w+)`", line)}
    assert listed.intersection(METRICS) == set(METRICS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_files_named_in_documents_exist(path: Path) -> None:
    for name in re.findall(r"`((?:openstylegan|tests|docs|benchmarks|examples)/[\w/.-]+)`", path.read_text()):
        assert (ROOT / name).exists(), name
