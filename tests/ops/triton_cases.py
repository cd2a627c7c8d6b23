"""Run by test_triton.py in a process of its own: the Triton kernels under Triton's interpreter, on tensors of the CPU.

`TRITON_INTERPRET=1 python triton_cases.py PART` prints `{case: {what: relative error}}` as JSON; PYTHONPATH names the
project, its tests and this folder. The part "compiled" needs no interpreter: it compiles for a GPU what is started, and
prints facts of the code in place of errors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from helpers import golden, relative_error
from test_filtered_lrelu import CASES, orders, random, taps
from test_golden_ops import compare
from torch import Tensor

from openstylegan.ops import triton_filtered_lrelu, triton_found, triton_resample
from openstylegan.ops.bias_act import bias_act, bias_act_reference
from openstylegan.ops.filtered_lrelu import filtered_lrelu, filtered_lrelu_reference
from openstylegan.ops.paths import describe_paths, on_triton, reference_paths
from openstylegan.ops.upfirdn2d import setup_filter, upfirdn2d, upfirdn2d_reference

Errors = dict[str, float]
Op = Callable[..., Tensor]
USERS = ("triton_filtered_lrelu", "triton_resample", "triton_tail")
F4, F12 = setup_filter([1, 3, 3, 1]), setup_filter([1, 2, -1, 4, 5, 9, 7, 3, 2, 2, -1, 1])
RESAMPLINGS = {
    "4x4": (F4, {"padding": [2, 1, 2, 1]}),
    "4x4 up": (F4, {"up": 2, "padding": [2, 1, 2, 1], "gain": 4}),
    "4x4 down": (F4, {"down": 2, "padding": [1, 2, 3, -1], "flip_filter": True}),
    "3x4": (F4[:3], {"up": [3, 2], "down": [2, 1], "padding": [9, 12, -2, 14]}),
    "12": (F12, {"up": 2, "down": 3, "padding": [7, -1, 13, 6], "gain": 2.5}),
}
TAILS = {
    "linear": {"act": "linear", "clamp": 0.8},
    "relu": {"act": "relu", "gain": 1.7},
    "lrelu": {"act": "lrelu", "alpha": 0.3, "gain": 1.7, "clamp": 0.8},
}


@contextmanager
def large_blocks() -> Iterator[None]:
    """Fewer programs and longer vectors, which the interpreter computes faster."""
    with patch.object(triton_filtered_lrelu, "CHUNK", 64), patch.object(triton_resample, "BLOCK", 4096):
        yield


@contextmanager
def counted() -> Iterator[list[str]]:
    """The names of the kernels that are started meanwhile."""
    started: list[str] = []
    launch = triton_found.launch

    def noted(kernel: Any, *arguments: Any, **options: Any) -> None:
        started.append(kernel.fn.__name__)
        launch(kernel, *arguments, **options)

    with ExitStack() as patches:
        for module in USERS:
            patches.enter_context(patch(f"openstylegan.ops.{module}.launch", noted))
        yield started


def compared(op: Op, reference: Op, x: Tensor, b: Tensor, launches: int) -> Errors:
    """How far values and gradients to second order in float32 are from the reference in float64."""
    expected = orders(reference, x, b)
    with counted() as started:
        actual = orders(op, x.float(), b.float())
    assert len(started) == launches, started
    assert all(a.shape == e.shape and a.dtype == torch.float32 for a, e in zip(actual, expected, strict=True))
    names = ("y", "gx", "gb", "ggx", "ggb")
    return {name: relative_error(a, e.numpy(force=True)) for name, a, e in zip(names, actual, expected, strict=True)}


def lrelu_of(x: Tensor, b: Tensor, **options: Any) -> Tensor:
    return filtered_lrelu(x, b=b, **options)


def reference_lrelu_of(x: Tensor, b: Tensor, **options: Any) -> Tensor:
    return filtered_lrelu_reference(x, b=b, **options)


def lrelu() -> Iterator[tuple[str, Errors]]:
    """All filters and options; one of them in blocks as they are on a GPU."""
    for case, (up, down, options) in CASES.items():
        fu, fd = taps(up, 1), taps(down, 2)
        # Forward, gradient, and to second order a change along it and once more the gradient; composed, more kernels.
        launches = {"gain < 0": 17, "no filters": 5}.get(case, 4)
        # With one channel the only gradient of a bias may be next to zero, as that of "one rate".
        n, c = (2 if case == "T, crop" else 1), (1 if case.startswith("R") else 2)
        x, b = random(n, c, 17, 22), random(c, seed=1)
        with nullcontext() if case == "T, crop" else large_blocks():
            ops = (partial(of, fu=fu, fd=fd, **options) for of in (lrelu_of, reference_lrelu_of))
            yield case, compared(*ops, x, b, launches)


def layouts() -> Iterator[tuple[str, Errors]]:
    """Pictures and gradients that do not lie in planes, half precision (in units of its eps), and none at all."""
    up, down, options = CASES["T"]
    fu, fd = taps(up, 1), taps(down, 2)
    x, b = random(2, 2, 9, 8, seed=3).contiguous(memory_format=torch.channels_last)[:, :, 1:], random(2, seed=1)
    expected = filtered_lrelu_reference(x, fu, fd, b, **options)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        low, bias = x.to(dtype), b.to(dtype)
        assert on_triton(low) and not on_triton(x)
        assert not low.is_contiguous() and filtered_lrelu(low[:0], fu, fd, bias, **options).numel() == 0
        exact = filtered_lrelu_reference(low.double(), fu, fd, bias.double(), **options)
        y = filtered_lrelu(low, fu, fd, bias, **options)
        eps = torch.finfo(dtype).eps if dtype != torch.float32 else 1
        assert y.dtype == dtype and y.shape == expected.shape
        yield f"filtered_lrelu {dtype}", {"y": relative_error(y, exact) / eps}
        for name, op, reference in (
            ("upfirdn2d", lambda x, b: upfirdn2d(x, F4, up=2), lambda x, b: upfirdn2d_reference(x, F4, up=2)),
            ("bias_act", lambda x, b: bias_act(x, b, act="relu"), lambda x, b: bias_act_reference(x, b, act="relu")),
        ):
            whole = low.contiguous(memory_format=torch.channels_last).requires_grad_()
            with counted() as started:
                y = op(whole, bias)
                (gx,) = torch.autograd.grad(y.sum(), whole)
            assert len(started) == 2 and y.dtype == dtype
            assert y.is_contiguous(memory_format=torch.channels_last) and not y.is_contiguous()
            truth = low.detach().double().requires_grad_()
            exact = reference(truth, bias.double())
            (exact_gx,) = torch.autograd.grad(exact.sum(), truth)
            yield (
                f"{name} {dtype}",
                {"y": relative_error(y, exact.detach()) / eps, "gx": relative_error(gx, exact_gx) / eps},
            )


def scaled(x: Tensor, b: Tensor, op: Op, **options: Any) -> Tensor:
    """A resampling op with something for `b` to do."""
    return op(x * b[:, None, None], **options)


def resampling() -> Iterator[tuple[str, Errors]]:
    """`upfirdn2d`, a kernel for a 2-D filter and two for a 1-D one."""
    for case, (f, options) in RESAMPLINGS.items():
        passes = 1 if f.ndim == 2 else 2
        x, b = random(2, 3, 9, 8), random(3, seed=1)
        ops = (partial(scaled, op=op, f=f, **options) for op in (upfirdn2d, upfirdn2d_reference))
        yield case, compared(*ops, x, b, 4 * passes)


def tails() -> Iterator[tuple[str, Errors]]:
    """`bias_act` with all activations that have a kernel."""
    for case, options in TAILS.items():
        ops = (partial(op, **options) for op in (bias_act, bias_act_reference))
        yield case, compared(*ops, random(2, 3, 5, 4), random(3, seed=1), 4)


def recorded() -> Iterator[tuple[str, Errors]]:
    """Golden cases of the three ops, with their gradients; `compare` holds them to its tolerance."""
    for op, count in ((filtered_lrelu, (3, 4, 5)), (upfirdn2d, range(1, 9)), (bias_act, range(9))):
        file = f"ops_{op.__name__}"
        cases = golden(file)[1]["cases"]
        for number in count:
            with counted() as started, large_blocks():
                compare(op, file, cases[number], {name: name for name in ("x", "f", "fu", "fd", "b")})
            assert started
            yield f"{op.__name__} {number}", {}


def chosen() -> Iterator[tuple[str, Errors]]:
    """What is said of the paths; the reference in `reference_paths()` and where no kernel fits; NaN is not hidden."""
    said = dict(describe_paths())
    assert all("never timed" in said[op] for op in ("filtered_lrelu", "upfirdn2d", "bias_act"))
    assert "riton" not in said["conv2d_resample"]
    x = random(1, 2, 5, 5).float()
    with counted() as started, reference_paths():
        bias_act(x, act="relu")
        upfirdn2d(x, F4, padding=3)
        filtered_lrelu(x, F12, None, padding=12)
        assert all("reference_paths" in why for _, why in describe_paths())
    assert not started
    with counted() as started, patch.object(triton_filtered_lrelu, "MOST_TAPS", 11):
        bias_act(x, act="swish")
        bias_act(x.flatten(1), act="relu")
        assert not started
        filtered_lrelu(x, F12, None, padding=12)
    assert started == ["resample_kernel", "resample_kernel", "tail_kernel"]
    x[0, 0, 2, 2] = torch.nan
    for dtype in (torch.float32, torch.float16):
        with counted() as started:
            assert filtered_lrelu(x.to(dtype), F12, F12, up=2, down=2, padding=11, clamp=1).isnan().any()
            assert bias_act(x.to(dtype), act="lrelu", clamp=1).isnan().sum() == 1
        assert len(started) == 2
    yield "paths", {}


TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16", int: "i32", float: "fp32"}


def compiled() -> Iterator[tuple[str, Errors]]:
    """Every kernel with the arguments that the ops give it, compiled for capability 8.0 down to machine code."""
    import triton
    from triton.backends.compiler import GPUTarget

    made: dict[str, Errors] = {}

    def compile_it(kernel: Any, programs: int, *arguments: Any, num_warps: int = 4, **constants: Any) -> None:
        assert 0 < programs < 2**31
        types = [TYPES[a.dtype if isinstance(a, Tensor) else type(a)] for a in arguments]
        names = kernel.arg_names[: len(types)]
        assert kernel.arg_names == [*names, *constants]
        case = f"{kernel.fn.__name__} {types[0]} {constants}"
        if case in made:
            return
        signature = dict(zip(names, types, strict=True)) | dict.fromkeys(constants, "constexpr")
        source = triton.compiler.ASTSource(kernel, signature, constants)
        target = GPUTarget("cuda", 80, 32)
        code = triton.compile(source, target=target, options={"num_warps": num_warps})
        made[case] = {
            "machine code": len(code.asm["cubin"]),
            "shared memory": code.metadata.shared,
            "matrix products": code.asm["ptx"].count("mma.sync"),
        }

    import openstylegan.ops.triton_kernels as kernels

    with ExitStack() as patches:
        patches.enter_context(patch.object(triton_found, "interpreted", lambda: True))
        patches.enter_context(patch.object(triton_found, "_tried", lambda device: triton_found.Found(kernels, "")))
        for module in USERS:
            patches.enter_context(patch(f"openstylegan.ops.{module}.launch", compile_it))
        run_all_kernels()
    yield from made.items()


def run_all_kernels() -> None:
    """Starts every kernel, in float32 and in half precision."""
    for dtype, layout in ((torch.float32, torch.contiguous_format), (torch.bfloat16, torch.channels_last)):
        x = random(1, 2, 40, 40).to(dtype).contiguous(memory_format=layout).requires_grad_()
        bias_act(x, random(2), act="lrelu").sum().backward()
        upfirdn2d(x, F4, up=2)
        upfirdn2d(x, F12, padding=12)
        y = filtered_lrelu(x, F12, F12 if dtype == torch.float32 else F4, random(2).float(), up=2, down=2)
        if dtype == torch.float32:
            y.sum().backward()


PARTS = {"lrelu": (lrelu,), "others": (layouts, resampling, tails, recorded, chosen), "compiled": (compiled,)}

if __name__ == "__main__":
    print(json.dumps({f"{part.__name__}: {case}": e for part in PARTS[sys.argv[1]] for case, e in part()}))
