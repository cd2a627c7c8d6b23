"""The ops against arrays recorded from the originals: outputs and first-order gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import golden, relative_error
from torch import Tensor

from openstylegan.ops.bias_act import bias_act, bias_act_reference
from openstylegan.ops.conv2d_resample import conv2d_resample, conv2d_resample_reference
from openstylegan.ops.filtered_lrelu import filtered_lrelu, filtered_lrelu_reference
from openstylegan.ops.modulated_conv2d import (
    modulated_conv2d,
    modulated_conv2d_reference,
    modulated_conv2d_sg3,
    modulated_conv2d_sg3_reference,
)
from openstylegan.ops.upfirdn2d import (
    downsample2d,
    filter2d,
    setup_filter,
    upfirdn2d,
    upfirdn2d_reference,
    upsample2d,
)

TOLERANCE = 1e-5
NOT_OPTIONS = {"key", "kernel", "bias", "filter", "op"}


def compare(op: Callable[..., Tensor], file: str, case: dict[str, Any], inputs: dict[str, str], **options: Any) -> None:
    """Runs `op` on the stored inputs (argument name -> array name) and compares y and every stored gradient."""
    arrays, _ = golden(file)
    key = case["key"]
    tensors = {
        argument: torch.from_numpy(arrays[f"{key}/{array}"])
        for argument, array in inputs.items()
        if f"{key}/{array}" in arrays
    }
    graded = {a: t for a, t in tensors.items() if f"{key}/g{inputs[a]}" in arrays}
    for tensor in graded.values():
        tensor.requires_grad_()
    options |= {k: v for k, v in case.items() if k not in NOT_OPTIONS}
    y = op(**tensors, **options)
    assert relative_error(y, arrays[f"{key}/y"]) <= TOLERANCE
    assert graded
    gradients = torch.autograd.grad(y, list(graded.values()), torch.from_numpy(arrays[f"{key}/gy"]))
    for argument, gradient in zip(graded, gradients, strict=True):
        assert relative_error(gradient, arrays[f"{key}/g{inputs[argument]}"]) <= TOLERANCE, argument


def cases(file: str) -> list:
    return [pytest.param(case, id=case["key"]) for case in golden(file)[1]["cases"]]


@pytest.mark.parametrize("case", cases("ops_upfirdn2d"))
def test_upfirdn2d(case: dict[str, Any]) -> None:
    if case["op"] == "setup_filter":
        options = {k: v for k, v in case.items() if k not in ("key", "op")}
        stored = golden("ops_upfirdn2d")[0][f"{case['key']}/f"]
        taps = setup_filter(**options)
        assert taps.dtype == torch.float32
        assert list(taps.shape) == list(stored.shape)
        assert relative_error(taps, stored) <= 1e-6
        return
    ops = {"upfirdn2d": upfirdn2d, "filter2d": filter2d, "upsample2d": upsample2d, "downsample2d": downsample2d}
    names = {"x": "x", "f": "f"}
    has_filter = f"{case['key']}/f" in golden("ops_upfirdn2d")[0]
    extra = {} if has_filter else {"f": None}
    compare(ops[case["op"]], "ops_upfirdn2d", case, names, **extra)
    if case["op"] == "upfirdn2d":
        compare(upfirdn2d_reference, "ops_upfirdn2d", case, names, **extra)


@pytest.mark.parametrize("op", [bias_act, bias_act_reference])
@pytest.mark.parametrize("case", cases("ops_bias_act"))
def test_bias_act(op: Callable[..., Tensor], case: dict[str, Any]) -> None:
    compare(op, "ops_bias_act", case, {"x": "x", "b": "b"})


@pytest.mark.parametrize("op", [conv2d_resample, conv2d_resample_reference])
@pytest.mark.parametrize("case", cases("ops_conv2d_resample"))
def test_conv2d_resample(op: Callable[..., Tensor], case: dict[str, Any]) -> None:
    compare(op, "ops_conv2d_resample", case, {"x": "x", "w": "w", "f": "f"})


@pytest.mark.parametrize("op", [modulated_conv2d, modulated_conv2d_reference])
@pytest.mark.parametrize("case", cases("ops_modconv_sg2"))
def test_modulated_conv2d(op: Callable[..., Tensor], case: dict[str, Any]) -> None:
    names = {"x": "x", "weight": "weight", "styles": "styles", "noise": "noise", "resample_filter": "f"}
    compare(op, "ops_modconv_sg2", case, names)
    other = case | {"fused_modconv": not case.get("fused_modconv", True)}
    compare(op, "ops_modconv_sg2", other, names)


@pytest.mark.parametrize("op", [modulated_conv2d_sg3, modulated_conv2d_sg3_reference])
@pytest.mark.parametrize("case", cases("ops_modconv_sg3"))
def test_modulated_conv2d_sg3(op: Callable[..., Tensor], case: dict[str, Any]) -> None:
    compare(op, "ops_modconv_sg3", case, {"x": "x", "w": "w", "s": "s", "input_gain": "input_gain"})


@pytest.mark.parametrize("op", [filtered_lrelu, filtered_lrelu_reference])
@pytest.mark.parametrize("case", cases("ops_filtered_lrelu"))
def test_filtered_lrelu(op: Callable[..., Tensor], case: dict[str, Any]) -> None:
    compare(op, "ops_filtered_lrelu", case, {"x": "x", "fu": "fu", "fd": "fd", "b": "b"})
