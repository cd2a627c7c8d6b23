"""The golden program itself: what it knows a file by, how it compares, what it prints and returns."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import kinds, runner
from golden.alterations import CPU, GOLDEN, copied, save, verdicts
from golden.check import Tolerance, compare_arrays
from golden.document import Document, read
from golden.kinds import KINDS, identify, unbuilt
from golden.runner import check_folder, golden_files, main, run

FILES = [path.name for path in golden_files(GOLDEN)]
DESCRIBED = [name for name in FILES if not name.endswith(".pkl")]


@pytest.mark.parametrize("name", FILES)
def test_this_package_meets_every_golden_file(name: str, tmp_path: Path) -> None:
    lines = list(check_folder(copied(tmp_path, name, *partners(name)), CPU))
    assert not [line for line in lines if line.verdict in ("FAIL", "NOT UNDERSTOOD")]
    assert [line for line in lines if line.file == name and line.verdict == "ok"]


def partners(name: str) -> list[str]:
    """The files without which another says nothing."""
    return ["metrics.npz"] if name == "metrics_values.json" else []


class TestKinds:
    @pytest.mark.parametrize("name", FILES)
    def test_known_by_content_whatever_it_is_called(self, name: str) -> None:
        document = read(GOLDEN / name, CPU)
        by_content = [kind.name for kind in KINDS if kind.looks(document)]
        assert by_content == [identify(document).name]
        assert identify(nameless(document)).name == by_content[0]

    @pytest.mark.parametrize("name", DESCRIBED)
    def test_known_by_its_description_or_its_name(self, name: str) -> None:
        document = read(GOLDEN / name, CPU)
        empty = {"what": document.what, "reference": document.reference}
        assert identify(Document(Path("x.npz"), {}, empty)).name == identify(document).name
        assert identify(Document(Path(name), {}, {"what": "?"})).name == identify(document).name

    def test_another_name_is_checked_all_the_same(self, tmp_path: Path) -> None:
        shutil.copy(GOLDEN / "ops_modconv_sg3.npz", tmp_path / "a.npz")
        lines = list(check_folder(tmp_path, CPU))
        assert {line.kind for line in lines} == {"ops_modconv_sg3"}
        assert verdicts(lines) == {"ok"}

    def test_kinds_for_later_are_listed_and_do_not_fail(
        self, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = unbuilt("later", "A GAN of tomorrow: ", "later_", "its networks")
        for module in (kinds, runner):
            monkeypatch.setattr(module, "KINDS", (*KINDS, later))
        what = "A GAN of tomorrow: generator"
        save(tmp_path / "recorded.npz", {"out/w": np.zeros(3, np.float32)}, {"what": what, "options": {"any": 1}})
        lines, code = run(tmp_path, CPU)
        assert [(line.kind, line.verdict) for line in lines] == [("later", "not built yet")]
        assert code == 0
        assert "1 with something not built yet" in capsys.readouterr().out

    def test_pickles_are_told_apart_without_being_loaded(self, tmp_path: Path) -> None:
        executed = tmp_path / "executed"
        (tmp_path / "foreign.pkl").write_bytes(pickle.dumps(Hostile(executed)))
        (tmp_path / "damaged.pkl").write_bytes(b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n.")
        copied(tmp_path, "tf_sg2_real.pkl", "tf_msg.pkl")
        lines = list(check_folder(tmp_path, CPU))
        found = {line.file: (line.kind, line.verdict) for line in lines}
        assert found["foreign.pkl"][1] == "NOT UNDERSTOOD" and found["damaged.pkl"][1] == "FAIL"
        assert found["tf_sg2_real.pkl"] == ("network_file", "ok")
        assert found["tf_msg.pkl"] == ("network_file", "ok")
        assert not executed.exists()


class Hostile:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def nameless(document: Document) -> Document:
    """The same content under a name and a description that say nothing."""
    meta = {**document.meta, "what": "?"}
    return Document(Path("x" + document.path.suffix), document.arrays, meta, pickled=document.pickled)


class TestTolerance:
    def test_never_asks_for_more_than_the_rounding_of_the_recording(self) -> None:
        strict = Tolerance(relative=1e-5)
        assert not compare_arrays("c", "y", [1.001, 2.0], [1.0, 2.0], strict).passed
        assert compare_arrays("c", "y", [1.001, 2.0], [1.0, 2.0], strict, noise=1e-3).passed
        assert not compare_arrays("c", "y", [1.003, 2.0], [1.0, 2.0], strict, noise=1e-3).passed

    def test_a_recording_of_zeros_must_be_met_exactly(self) -> None:
        assert not compare_arrays("c", "y", [1e-6], [0.0], Tolerance(relative=1e-5)).passed
        assert compare_arrays("c", "y", [0.0], [0.0], Tolerance(relative=1e-5)).passed

    def test_a_nan_on_either_side_fails(self) -> None:
        loose = Tolerance(relative=1.0, absolute=1.0)
        assert not compare_arrays("c", "y", [np.nan], [1.0], loose).passed
        assert not compare_arrays("c", "y", [1.0], [np.nan], loose).passed
        assert not compare_arrays("c", "y", [np.inf], [1.0], loose).passed


class TestCommand:
    def test_report_and_exit_code_of_a_good_folder(self, tmp_path: Path, capsys: Any) -> None:
        assert main([str(copied(tmp_path, "ops_modconv_sg3.npz", "seeds_to_z.json"))]) == 0
        out = capsys.readouterr().out.splitlines()
        assert len(out) == 5 + 7 + 1
        assert out[0].startswith("ok ")
        for word in ("ops_modconv_sg3.npz", "c00", "<= 1.00e-05 of max|ref|"):
            assert word in out[0]
        assert out[-1].startswith("2 golden files: 12 checks ok, 0 failed; 0 files not understood, 0 ")

    def test_a_mismatch_and_a_stranger_fail_the_command(self, tmp_path: Path) -> None:
        copied(tmp_path, "ops_modconv_sg3.npz")
        (tmp_path / "notes.md").write_text("not data")
        assert main([str(tmp_path)]) == 0
        np.savez(tmp_path / "random.npz", a=np.zeros(3))
        assert main([str(tmp_path)]) == 1

    def test_an_empty_folder_is_no_success(self, tmp_path: Path) -> None:
        assert main([str(tmp_path)]) == 1

    def test_a_folder_that_is_not_there(self, tmp_path: Path, capsys: Any) -> None:
        with pytest.raises(SystemExit) as stop:
            main([str(tmp_path / "nowhere")])
        assert stop.value.code == 2
        assert "nowhere" in capsys.readouterr().err.splitlines()[-1]

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_on_a_gpu(self) -> None:
        assert main([str(GOLDEN), "--device", "cuda"]) == 0

    def test_as_a_program(self, tmp_path: Path) -> None:
        copied(tmp_path, "ops_modconv_sg3.npz")
        np.savez(tmp_path / "random.npz", a=np.zeros(3))
        command = [sys.executable, str(GOLDEN / "run.py"), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == ""
        assert "NOT UNDERSTOOD  random.npz" in done.stdout
