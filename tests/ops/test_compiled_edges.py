"""Compiled code at its edges: sizes, types and layouts that nobody draws with, which must not be computed otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.ops import amx
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.filtered_lrelu import filtered_lrelu
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.ops.gradients import correlate
from openstylegan.ops.lowpass import design_lowpass
from openstylegan.ops.modulated_conv2d import modulated_conv2d, modulated_conv2d_bias_act
from openstylegan.ops.native import SWITCH, find_compiler, native
from openstylegan.ops.norm_act import Act, norm_act
from openstylegan.ops.norm_act import usable as norm_act_usable
from openstylegan.ops.paths import reference_paths
from openstylegan.ops.phases import transposed_kernels_gradient
from openstylegan.ops.upfirdn2d import setup_filter
from openstylegan.ops.upsampled_conv import upsampled_conv2d, upsampled_conv2d_reference

on_matrix_units = pytest.mark.skipif(bool(amx.available()), reason=f"no matrix units: {amx.available()}")


def pictures(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


def near(got: Tensor, want: Tensor, limit: float) -> bool:
    """Whether the largest difference is at most `limit` times the largest value; NaN is not near."""
    assert got.shape == want.shape
    return bool((got.double() - want.double()).abs().max() <= limit * want.double().abs().max())


@on_matrix_units
@pytest.mark.parametrize("padding", [3, 4, 6])
@pytest.mark.parametrize("width", [7, 12, 25])
def test_more_padding_than_the_kernel_spans(padding: int, width: int) -> None:
    torch.manual_seed(0)
    x, w = pictures(2, 32, 6, width, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3).bfloat16()
    for stride in (1, 2):
        want = F.conv2d(x.double(), w.double(), stride=stride, padding=padding)
        assert near(amx.correlate(x, w, stride, (padding, padding)), want, 2**-8)


@pytest.mark.parametrize("side", [1, 2])
def test_a_kernel_larger_than_the_picture_is_refused(side: int) -> None:
    x, w = pictures(1, 32, side, side, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3)
    with torch.no_grad(), pytest.raises((InputError, RuntimeError), match=r"[Kk]ernel"):
        modulated_conv2d(x, w, torch.randn(1, 32))


@on_matrix_units
def test_a_picture_without_pixels_is_scattered_to() -> None:
    gy, w = pictures(1, 32, 2, 4, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3)
    assert amx.scatter(gy, w, 1, (2, 1), (0, 4)).shape == (1, 32, 0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (8, 1), (1, 8), (1, 1, 1, 1), (2, 1, 1, 8), (1, 32, 8, 8)])
def test_noise_that_is_broadcast(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, w, styles = pictures(2, 32, 8, 8, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3), torch.randn(2, 32)
    noise = torch.randn(shape)
    with torch.no_grad():
        y = modulated_conv2d_bias_act(x, w, styles, noise, padding=1, act="lrelu")
        with reference_paths():
            want = modulated_conv2d_bias_act(x, w, styles, noise, padding=1, act="lrelu")
    assert near(y, want, 2**-6)


@pytest.mark.parametrize("shape", [(9, 9), (3, 1, 8, 8), (7, 8)])
def test_noise_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    x, w = pictures(2, 32, 8, 8, dtype=torch.bfloat16), torch.randn(32, 32, 3, 3)
    with torch.no_grad(), pytest.raises(RuntimeError, match="size"):
        modulated_conv2d_bias_act(x, w, torch.randn(2, 32), torch.randn(shape), padding=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_another_default_type_changes_nothing(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, w, styles = pictures(2, 32, 9, 9, dtype=dtype), torch.randn(32, 32, 3, 3), torch.randn(2, 32)
    b, up, down = torch.randn(32), design_lowpass(12, 2, 4, 16), design_lowpass(12, 2, 4, 16)

    def draw() -> list[Tensor]:
        with torch.no_grad():
            layer = modulated_conv2d_bias_act(x, w, styles, padding=1, demodulate=False, act="lrelu")
            return [layer, filtered_lrelu(x, up, down, b, 2, 2, 10)]

    want = draw()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert all(torch.equal(a, b) for a, b in zip(draw(), want, strict=True))
    finally:
        torch.set_default_dtype(before)


@pytest.mark.skipif(native("fastgan").loaded is None, reason="no C++ compiler")
def test_second_order_of_a_norm_of_planes() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 16, 12, 12), torch.randn(16), torch.randn(16)
    act = Act(gated=False, slope=0.2)

    def second_order(norm: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Tensor:
        given = x.to(dtype).requires_grad_()
        (first,) = torch.autograd.grad(norm(given).pow(3).sum(), given, create_graph=True)
        return torch.autograd.grad(first.square().sum(), given)[0]

    assert norm_act_usable(x, weight)
    got = second_order(lambda t: norm_act(t, weight, bias, 1e-5, act)[0], torch.float32)
    in_double = (None, None, weight.double(), bias.double(), True, 0.0, 1e-5)
    assert near(got, second_order(lambda t: act(F.batch_norm(t, *in_double)), torch.float64), 1e-4)


def test_second_order_of_an_enlarging_convolution_with_channels_last_weights() -> None:
    torch.manual_seed(0)
    w = pictures(16, 16, 3, 3)
    x, v = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 8, 8)

    def second_order(convolve: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        given = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(convolve(given, w).pow(2), given, v, create_graph=True)
        return torch.autograd.grad(first.square().sum(), given)[0]

    assert near(second_order(upsampled_conv2d), second_order(upsampled_conv2d_reference), 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bias_is_trained_beside_frozen_weights(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, w = pictures(2, 32, 8, 8, dtype=dtype), torch.randn(32, 32, 3, 3).to(dtype)
    b, v = torch.randn(32, dtype=dtype, requires_grad=True), torch.randn(2, 32, 16, 16).to(dtype)
    (gb,) = torch.autograd.grad(upsampled_conv2d(x, w, b), b, v)
    assert near(gb, v.double().sum([0, 2, 3]), 2**-7)


@on_matrix_units
def test_what_is_derived_for_one_op_is_not_taken_by_another() -> None:
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(32, 32, 3, 3), requires_grad=False)
    x = pictures(2, 32, 8, 8, dtype=torch.bfloat16)
    f = setup_filter([1, 3, 3, 1])
    with torch.no_grad():
        want = conv2d_resample(x, w, f, up=2, padding=1, flip_weight=False)
        with FrozenWeights():
            upsampled_conv2d(x, w)
            assert torch.equal(conv2d_resample(x, w, f, up=2, padding=1, flip_weight=False), want)


def test_taps_beside_each_other_in_another_order() -> None:
    torch.manual_seed(0)
    g = torch.randn(3, 2, 4, 4)
    turned = torch.randn(3, 4, 2, 4).transpose(1, 2)
    apart = torch.randn(4, 96).as_strided((3, 2, 4, 4), (32, 16, 96, 1))
    for given in (g, turned, apart):
        want = transposed_kernels_gradient(given.double())
        assert near(transposed_kernels_gradient(given), want, 1e-6)


@pytest.mark.parametrize("width", [1, 2])
def test_results_that_are_one_pixel_wide(width: int) -> None:
    torch.manual_seed(0)
    x, w = pictures(2, 16, 40, width, dtype=torch.bfloat16), torch.randn(31, 16, 3, 3).bfloat16()
    want = F.conv2d(x.double(), w.double(), stride=2, padding=1)
    assert near(correlate(x, w, stride=2, padding=(1, 1)), want, 2**-7)


WITHOUT_THREADS = """
#include "vectors.h"
#include <cerrno>
#include <pthread.h>

typedef void *Work(void *);
extern "C" int pthread_create(pthread_t *, const pthread_attr_t *, Work *, void *) noexcept { return EAGAIN; }

int main() {
    std::vector<int> times(10);
    in_threads(10, 4, [&](int begin, int end) { for (int k = begin; k < end; k++) times[k]++; });
    return times == std::vector<int>(10, 1) ? 0 : 1;
}
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="replaces a function of glibc")
@pytest.mark.skipif(find_compiler() is None or os.environ.get(SWITCH) == "0", reason="no C++ compiler, or switched off")
def test_the_work_is_done_where_no_thread_can_be_had(tmp_path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    source, program = tmp_path / "without.cpp", tmp_path / "without"
    source.write_text(WITHOUT_THREADS, encoding="utf-8")
    headers = str(Path(amx.__file__).parent)
    subprocess.run([compiler, "-std=c++17", "-pthread", "-I", headers, str(source), "-o", str(program)], check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0
