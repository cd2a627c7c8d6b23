"""The doctor: what it looks at, that its self-test notices wrong arithmetic, and how it says so."""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from openstylegan import doctor
from openstylegan.cli.doctor import doctor as command
from openstylegan.cli.doctor import show
from openstylegan.doctor import EXTRAS, Diagnosis, Finding, Section, examine

ROOT = Path(__file__).parents[1]


def by_name(findings: object) -> dict[str, Finding]:
    """Findings by their names."""
    return {finding.name: finding for finding in findings}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    """This machine's."""
    return examine()


def test_this_machine_passes(diagnosis: Diagnosis) -> None:
    tests = next(section for section in diagnosis.sections if section.title == "Self-test")
    assert diagnosis.ok
    assert {"cpu, float32", "cpu, bfloat16"} <= by_name(tests.findings).keys()
    assert all("largest difference" in finding.value for finding in tests.findings)


def test_every_part_is_looked_at(diagnosis: Diagnosis) -> None:
    found = {section.title: by_name(section.findings) for section in diagnosis.sections}
    assert found["Versions"]["torch"].value == torch.__version__
    assert found["Threads"]["torch threads"].value == str(torch.get_num_threads())
    assert found["Operations"], "which form of each operation is used"
    assert {"cpu", "memory"} <= found["Devices"].keys() and "cache" in found["Folders"]
    assert found["Precision"]["bfloat16 on the cpu"].value
    assert all(finding.advice for findings in found.values() for finding in findings.values() if finding.state != "ok")


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(doctor.self_tests())
    assert torch.equal(torch.rand(3), expected)


def with_float32_changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Makes the small generator's images go through `change`, unless its parameters are in float64."""
    make = doctor.small_generator

    def hook(synthesis: torch.nn.Module, _: object, images: torch.Tensor) -> torch.Tensor:
        return images if next(synthesis.parameters()).dtype == torch.float64 else change(images)

    def changed() -> torch.nn.Module:
        G = make()
        G.synthesis.register_forward_hook(hook)
        return G

    monkeypatch.setattr(doctor, "small_generator", changed)


def test_wrong_arithmetic_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_float32_changed(monkeypatch, lambda images: images * 1.001)
    found = by_name(doctor.self_tests())
    assert found["cpu, float32"].state == "failed" and "cannot be trusted" in found["cpu, float32"].advice
    assert found["cpu, bfloat16"].state == "ok", "within what bfloat16 can say"


def test_a_wrong_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(images: torch.Tensor) -> torch.Tensor:
        return images + 0.01 * (images - images.detach())

    with_float32_changed(monkeypatch, change)
    found = by_name(doctor.self_tests())["cpu, float32"]
    assert found.state == "failed" and re.search(r"e-0[67] \(images\), 1\.0e-02 \(gradient\)", found.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_results_that_are_not_finite_are_noticed(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    with_float32_changed(monkeypatch, lambda images: images * value)
    assert {finding.state for finding in doctor.self_tests()} == {"failed"}


def test_an_operation_that_stops_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("could not create a primitive\nand much more")

    with_float32_changed(monkeypatch, stop)
    found = by_name(doctor.self_tests())["cpu, float32"]
    assert found.state == "failed" and found.value == "stopped: could not create a primitive"


def test_the_optional_packages_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, distribution, _ in EXTRAS:
        names = [requirement.split(">")[0].split("=")[0] for requirement in project["optional-dependencies"][extra]]
        assert distribution in names


def test_a_missing_package_is_a_note_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "matplotlib":
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    found = by_name(doctor.packages())
    assert found["matplotlib"].state == "note"
    assert found["matplotlib"].advice == "pip install 'openstylegan[plots]' for curve.png"
    assert found["lmdb"] == Finding("lmdb", "1.2.3: datasets in LMDB")


def test_gpus_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    about = namedtuple("about", "name total_memory major minor")("Some GPU", 80e9, 9, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda n: about)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    found = by_name(doctor.devices())
    assert "gpu" not in found and found["cuda:1"].value == "Some GPU, 80.0 GB, capability 9.0"
    assert by_name(doctor.precision())["bfloat16 on the gpu"].value == "native"
    assert {"bias_act", "bias_act, cuda:0", "bias_act, cuda:1"} <= by_name(doctor.operations()).keys()


def test_without_a_gpu_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for version, text in (("12.4", "check the driver"), (None, "built for the CPU only")):
        monkeypatch.setattr(torch.version, "cuda", version)
        found = by_name(doctor.devices())["gpu"]
        assert (found.value, found.state) == ("none", "note") and text in found.advice


def test_too_many_threads_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "usable_cores", lambda: 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = by_name(doctor.threads())
    assert found["torch threads"].state == "note" and found["OMP_NUM_THREADS"].value == "7"


def test_a_full_disk_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path))
    (tmp_path / "file").write_bytes(b"\0" * 1_500_000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(100e9, 99e9, 1e9))
    found = by_name(doctor.folders())
    assert found["disk of the cache"].state == "note" and "1.0 GB free" in found["disk of the cache"].value
    assert found["cache"].value == f"{tmp_path}, 1 files, 1.5 MB (OPENSTYLEGAN_CACHE_DIR)"


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        ("flags : fpu avx2 avx512f amx_bf16 amx_tile avx512_bf16", "fast (AMX)"),
        ("flags : fpu avx2 avx512_bf16", "native (AVX512 or Arm)"),
        ("Features : asimd bf16", "native (AVX512 or Arm)"),
        ("flags : fpu avx2", "emulated"),
        ("", "emulated"),
    ],
)
def test_how_fast_bfloat16_is(monkeypatch: pytest.MonkeyPatch, flags: str, value: str) -> None:
    monkeypatch.setattr(doctor, "cpu_info", lambda: ["model name : A processor", flags])
    found = by_name(doctor.precision())["bfloat16 on the cpu"]
    assert found.value == value and (found.state == "note") == (value == "emulated")
    assert doctor.cpu_model() == "A processor"


def test_the_command_prints_a_table_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(self_test=False) == 0
    text = capsys.readouterr().out
    assert "glibc" in text or "left as it is" in text
    assert "Devices" in text and torch.__version__ in text and "ready" in text and "Self-test" not in text


def test_the_command_prints_json_and_exits_with_1_when_the_test_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TOLERANCE", 0.0)
    assert command(json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    states = {
        f["state"] for section in found["sections"] if section["title"] == "Self-test" for f in section["findings"]
    }
    assert "failed" in states


def test_the_table_shows_texts_as_they_are() -> None:
    console = Console(file=io.StringIO(), width=70, force_terminal=False)
    findings = [Finding("[b]name", "[red]value[/] " + "x" * 90), Finding("gpu", "none", "note", "do [this]")]
    show(Diagnosis([Section("[i]Title", findings), Section("S", [Finding("t", "v", "failed", "a")])]), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("[b]name", "[red]value[/]", "do [this]", "[i]Title", "failed"):
        assert part in text
    assert "self-test failed" in text.lower() and text.replace("\n", "").count("x") == 90
