"""The Triton kernels: under Triton's interpreter against the reference, and compiled for a GPU that is not here.

`TRITON_INTERPRET` has to be set before triton is imported, so triton_cases.py runs in processes of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from openstylegan.ops import triton_found
from openstylegan.ops.native import SWITCH
from openstylegan.ops.paths import describe_paths
from openstylegan.ops.triton_found import INTERPRETER, Found, found, usable

CASES = Path(__file__).with_name("triton_cases.py")
ROOT = CASES.parents[2]
LARGEST_SHARED = 99 * 1024
"""Bytes of shared memory that a program may take on the smallest GPUs that are supported (capability 8.6)."""
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def run_cases(part: str, folder: Path, **environment: str) -> dict[str, dict[str, float]]:
    """What triton_cases.py prints of one part."""
    env = {k: v for k, v in os.environ.items() if k not in (INTERPRETER, SWITCH)}
    paths = os.pathsep.join(map(str, [ROOT, CASES.parents[1], CASES.parent, *sys.path]))
    env |= {"TRITON_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **environment}
    command = [sys.executable, str(CASES), part]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_triton
@pytest.mark.parametrize("part", ["lrelu", "others"])
def test_equals_the_reference(part: str, tmp_path: Path) -> None:
    results = run_cases(part, tmp_path, **{INTERPRETER: "1"})
    assert len(results) >= 16
    for case, errors in results.items():
        # Half precision in units of its eps.
        tolerance = 2 if case.endswith("float16") else 1e-5
        assert all(error <= tolerance for error in errors.values()), (case, errors)


@needs_triton
def test_compiles_for_a_gpu(tmp_path: Path) -> None:
    results = run_cases("compiled", tmp_path)
    for kernel in ("filtered_lrelu_kernel", "resample_kernel", "tail_kernel", "bend_kernel"):
        facts = [facts for case, facts in results.items() if kernel in case]
        assert len(facts) >= 2, kernel
        assert all(f["machine code"] > 0 and f["shared memory"] <= LARGEST_SHARED for f in facts), kernel
        # Tensor cores compute the filters of the one, nothing in the others is a matrix product.
        assert all((f["matrix products"] > 0) == (kernel == "filtered_lrelu_kernel") for f in facts), kernel


def test_the_cpu_does_without_triton() -> None:
    code = (
        "import sys, torch; from openstylegan.ops.filtered_lrelu import filtered_lrelu; "
        "from openstylegan.ops.paths import describe_paths; f = torch.ones(4); "
        "filtered_lrelu(torch.ones(1, 1, 8, 8, requires_grad=True), f, f, up=2).sum().backward(); "
        "describe_paths(); print('triton' in sys.modules)"
    )
    env = {k: v for k, v in os.environ.items() if k != INTERPRETER} | {SWITCH: "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_where_there_are_no_kernels_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INTERPRETER, raising=False)
    monkeypatch.delenv(SWITCH, raising=False)
    tried = triton_found._tried.__wrapped__
    x = torch.zeros(1)
    assert not usable(x)
    assert not usable(x.to("meta"))
    assert found(torch.device("cpu")).why == "they need CUDA, or TRITON_INTERPRET=1"
    assert found(torch.device("mps")) == Found(None, "none for mps")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert found(torch.device("cuda")) == Found(None, "no CUDA here")
    said = dict(describe_paths("cuda"))
    assert said["filtered_lrelu"].startswith("plain PyTorch: no faster path has been measured on cuda")
    assert said["filtered_lrelu"].endswith("no Triton kernel: no CUDA here")
    monkeypatch.setenv(SWITCH, "0")
    assert tried("cuda:0") == Found(None, f"{SWITCH}=0")
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tried("cuda:0") == Found(None, "triton is not installed")


def test_old_gpus_and_failures_take_the_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    tried = triton_found._tried.__wrapped__
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert tried("cuda:0") == Found(None, "the GPU is older than compute capability 8.0")

    def broken(device: torch.device) -> Found:
        raise RuntimeError("no C compiler,\nalas")

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(triton_found, "_probed", broken)
    with pytest.warns(UserWarning, match="plain PyTorch forms: triton failed: no C compiler, alas"):
        assert tried("cuda:0") == Found(None, "triton failed: no C compiler, alas")


def test_on_cuda_the_kernels_are_said_never_to_have_been_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_found, "found", lambda device: Found(triton_found, "triton 3.7.1"))
    said = dict(describe_paths("cuda:0"))
    for op in ("filtered_lrelu", "upfirdn2d", "bias_act"):
        assert "one Triton kernel" in said[op]
        assert "triton 3.7.1; checked under Triton's interpreter, never timed" in said[op]
    assert said["conv2d_resample"].startswith("plain PyTorch")
