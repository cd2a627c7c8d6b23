"""Whether the Triton kernels can be used on a device, and why not. triton is imported by the first question about CUDA.

Nothing needs them: where they cannot be used, ops take their plain PyTorch form. `OPENSTYLEGAN_COMPILE=0` switches them
off as it does the C++. Under Triton's own `TRITON_INTERPRET=1` they run, slowly, on tensors of the CPU: so they are
tested where there is no GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from openstylegan.ops.native import SWITCH

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
INTERPRETER = "TRITON_INTERPRET"
CAPABILITY = (8, 0)
"""The oldest GPUs with TF32 and bfloat16."""


class Found(NamedTuple):
    """The module of kernels, or None; and where they came from, or why there are none, in a few words."""

    kernels: ModuleType | None
    why: str


def usable(x: Tensor) -> bool:
    """Whether the kernels can compute `x`: numbers on a device that has them, neither fake nor being traced."""
    if x.dtype not in DTYPES or type(x) not in (Tensor, nn.Parameter) or torch.compiler.is_compiling():
        return False
    return (x.is_cuda or interpreted()) and found(x.device).kernels is not None


def interpreted() -> bool:
    """Whether Triton's interpreter was asked for."""
    return os.environ.get(INTERPRETER) == "1"


def found(device: torch.device) -> Found:
    """The kernels for `device`, tried out once in a process."""
    if device.type not in ("cpu", "cuda"):
        return Found(None, f"none for {device.type}")
    if interpreted():
        return _tried("cpu")
    if device.type == "cpu":
        return Found(None, f"they need CUDA, or {INTERPRETER}=1")
    if torch.version.cuda is None or not torch.cuda.is_available():
        return Found(None, "no CUDA here")
    index = torch.cuda.current_device() if device.index is None else device.index
    return _tried(f"cuda:{index}")


@cache
def _tried(device: str) -> Found:
    """What `found` says, of a device that is there."""
    if os.environ.get(SWITCH) == "0":
        return Found(None, f"{SWITCH}=0")
    if importlib.util.find_spec("triton") is None:
        return Found(None, "triton is not installed")
    if device != "cpu" and torch.cuda.get_device_capability(device) < CAPABILITY:
        return Found(None, f"the GPU is older than compute capability {'.'.join(map(str, CAPABILITY))}")
    try:
        return _probed(torch.device(device))
    # Triton, the C compiler that it calls and the driver each have errors of their own; none may stop a run.
    except Exception as error:
        why = f"triton failed: {' '.join(str(error).split())[:200] or type(error).__name__}"
        warnings.warn(f"ops on {device} take their plain PyTorch forms: {why}", stacklevel=4)
        return Found(None, why)


def _probed(device: torch.device) -> Found:
    """The kernels, one of which gave what it should: so a compiler and a driver are there that fit."""
    kernels = importlib.import_module("openstylegan.ops.triton_kernels")
    version = importlib.import_module("triton").__version__
    x = torch.tensor([-1.0, 2.0, 9.0], device=device)
    z = torch.empty_like(x)
    numbers = (len(x), 1, 1, 0.5, 2.0, 5.0)
    launch(kernels.tail_kernel, 1, x, x, z, *numbers, HAS_BIAS=False, CHANNELS_LAST=False, WIDE=False, BLOCK=128)
    if z.tolist() != [-1.0, 4.0, 5.0]:
        raise RuntimeError(f"a first kernel gave {z.tolist()} instead of [-1.0, 4.0, 5.0]")
    return Found(kernels, f"triton {version}" + (f", {INTERPRETER}=1" if device.type == "cpu" else ""))


def kernels_for(x: Tensor) -> ModuleType:
    """The module of kernels, where `usable(x)`."""
    kernels = found(x.device).kernels
    assert kernels is not None
    return kernels


def launch(kernel: Any, programs: int, x: Tensor, *arguments: Any, num_warps: int = 4, **constants: Any) -> None:
    """Starts `programs` programs of `kernel` on the device of `x`, its first argument."""
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        kernel[(programs,)](x, *arguments, num_warps=num_warps, **constants)


def is_wide(tensors: Sequence[Tensor]) -> bool:
    """Whether positions in one of the tensors need 64 bits (a block's length is left as room)."""
    return any(t.numel() >= 2**31 - 2**16 for t in tensors)
