"""Which way an op is computed: the plain reference, or a faster path where one fits.

Every public op asks `fast(x)`, which is so on the CPU; three ask `on_triton(x)` too, for CUDA devices. The reference is
used elsewhere (where no faster path has been measured) and inside `reference_paths()`, which serves comparisons and the
self-test of the doctor, and inside `exportable_paths()`, which serves exports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from openstylegan.ops import triton_found
from openstylegan.ops.amx_found import LIBRARY, available, halves_available
from openstylegan.ops.native import PARTS, native

_REFERENCE: ContextVar[bool] = ContextVar("openstylegan_reference_paths", default=False)
_EXPORTABLE: ContextVar[bool] = ContextVar("openstylegan_exportable_paths", default=False)


@contextmanager
def reference_paths() -> Iterator[None]:
    """Inside, every op of this thread is computed by its plain reference."""
    token = _REFERENCE.set(True)
    try:
        yield
    finally:
        _REFERENCE.reset(token)


@contextmanager
def exportable_paths() -> Iterator[None]:
    """Inside, `reference_paths()`, and of an op's forms the one whose graph is the same for every batch size."""
    token = _EXPORTABLE.set(True)
    try:
        with reference_paths():
            yield
    finally:
        _EXPORTABLE.reset(token)


def exportable() -> bool:
    """Whether `exportable_paths()` is active: modulated convolutions are then unfused, whatever is asked."""
    return _EXPORTABLE.get()


def fast(x: Tensor) -> bool:
    """Whether the op on `x` may take a faster path."""
    return x.device.type == "cpu" and not _REFERENCE.get()


def on_triton(x: Tensor) -> bool:
    """Whether the op on `x` may take a Triton kernel."""
    return not _REFERENCE.get() and triton_found.usable(x)


def readable(*tensors: Tensor | None) -> bool:
    """Whether compiled code can work on the tensors: numbers in the CPU's memory, neither shapes without numbers (as
    PyTorch's fake tensors, by which costs are predicted) nor what is being traced."""
    plain = all(t is None or (type(t) in (Tensor, nn.Parameter) and t.device.type == "cpu") for t in tensors)
    return plain and not torch.compiler.is_compiling()


def describe_paths(device: str = "cpu") -> list[tuple[str, str]]:
    """(op, which path it takes on `device` and why), for people to read."""
    paths = [*_CPU_PATHS, ("filtered_lrelu", _filtered_lrelu()), ("compiled code", _compiled())]
    if _REFERENCE.get():
        return [(op, "plain PyTorch: reference_paths() is active") for op, _ in paths]
    if torch.device(device).type == "cpu" and not triton_found.interpreted():
        return paths
    return [(op, _by_triton(op, device, why)) for op, why in paths]


def _by_triton(op: str, device: str, on_cpu: str) -> str:
    """The path of an op on `device` where Triton's kernels are asked for first."""
    on_host = torch.device(device).type == "cpu"
    other = on_cpu if on_host else f"plain PyTorch: no faster path has been measured on {device}"
    if op not in _TRITON_PATHS:
        return other
    kernels, why = triton_found.found(torch.device(device))
    if kernels is None:
        return f"{other}; no Triton kernel: {why}"
    return f"{_TRITON_PATHS[op]} ({why}; checked under Triton's interpreter, never timed); what it cannot do: {other}"


def _filtered_lrelu() -> str:
    """The form that `filtered_lrelu` takes; asking makes the compiled one where it can be made."""
    library, why = native()
    products = "products with blocks of banded matrices, a piece of the picture at a time in the cache"
    if library is None:
        return f"{products} ({why})"
    pixels = "channels-last float32 pictures" + (" and, in half precision, bfloat16 ones" if halves_available() else "")
    return (
        f"one pass over each plane in float32 and bfloat16, {why}; while sampling one pass over {pixels}; in float64 "
        f"and float16 {products}"
    )


def _compiled() -> str:
    """Of each library how it came, or why it did not."""
    others = [f"{part}: {native(part).why}" for part in PARTS if part != LIBRARY]
    return "; ".join([*others, f"{LIBRARY}: {available() or native(LIBRARY).why}"])


_TRITON_PATHS = {
    "filtered_lrelu": "one Triton kernel in float32, float16 and bfloat16, to second order",
    "upfirdn2d": "one Triton kernel for each filter in float32, float16 and bfloat16; its gradient is the same op",
    "bias_act": "one Triton kernel each way in float32, float16 and bfloat16 (linear, relu, lrelu)",
}
_CPU_PATHS = (
    (
        "upfirdn2d",
        "one channels-last depthwise convolution, or where there is a compiler one pass (separable filters, float32 "
        "and bfloat16); its gradient is the same op, to any order",
    ),
    (
        "bias_act",
        "one pass where there is a compiler (float32, bfloat16), else in-place after one; only the output is kept for "
        "the gradient (linear, relu, lrelu)",
    ),
    ("conv2d_resample", "transposed convolutions as interleaved stride-1 convolutions (oneDNN's own are slower)"),
    ("conv2d 3x3", "Winograd F(2x2, 3x3) in float32 from 256 channels, else oneDNN's direct channels-last convolution"),
    (
        "bfloat16 layers",
        "on the matrix units (AMX) of processors that have them, given a compiler: style, convolution and tail "
        "in one pass, and the gradients; multiples of 32 channels. Else oneDNN's convolutions",
    ),
    (
        "conv2d gradients",
        "to any order by the same fast products; PyTorch's stock second order takes 2-7 times as long",
    ),
    ("modulated_conv2d", "input and output scaled around one shared convolution; weights folded for a batch of one"),
    (
        "modulated_conv2d_sg3",
        "the same on contiguous planes; where there is a compiler, 3x3 in float32 by Winograd F(4x4, 3x3) from 64 "
        "channels, and while sampling 1x1 in float32 and all on matrix units channels-last",
    ),
    (
        "batch norm, spectral norm",
        "in training, where there is a compiler, a norm and its activation in two passes each way, a weight over its "
        "spectral norm in three (float32, bfloat16)",
    ),
)
