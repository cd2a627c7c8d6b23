"""`filtered_lrelu` by its fast paths against the plain reference: values and gradients to second order, all filters."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from pathlib import Path

import pytest
import torch
from helpers import relative_error
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.files import CACHE_VARIABLE
from openstylegan.ops import filtered_lrelu_compiled as compiled
from openstylegan.ops import filtered_lrelu_products as products
from openstylegan.ops import native as native_module
from openstylegan.ops.banded import blocks, down_matrix, up_matrix
from openstylegan.ops.filtered_lrelu import filtered_lrelu, filtered_lrelu_reference
from openstylegan.ops.gradients import no_weight_gradients
from openstylegan.ops.native import Native, native
from openstylegan.ops.upfirdn2d import upfirdn2d_reference


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mirrored(height: int, width: int) -> Tensor:
    taps = random(height, width, seed=5)
    return taps + taps.flip(1)


CASES = {
    "T": (12, 12, {"up": 2, "down": 2, "padding": [9, 8, 9, 8], "clamp": 0.9}),
    "T, up 4": (24, 12, {"up": 4, "down": 2, "padding": [-6, -9, -6, -9], "clamp": 256}),
    "T, back": (12, 24, {"up": 2, "down": 4, "padding": [30, 21, 25, 17], "slope": 0.1}),
    "T, crop": (12, 12, {"up": 2, "down": 2, "padding": [-5, 3, 2, -7], "gain": 3.0}),
    "R": (12, (12, 12), {"up": 2, "down": 2, "padding": [11, 10, 11, 10], "clamp": 0.9}),
    "R, up 4": (24, (12, 12), {"up": 4, "down": 2, "padding": [-2, -5, -1, -3]}),
    "R, flip": (7, (5, 8), {"up": 3, "down": 3, "padding": [11, 10, 3, 10], "flip_filter": True}),
    "not mirrored": (6, "5x7", {"up": 2, "down": 2, "padding": [6, 2, 3, 4], "clamp": 2}),
    "one rate": (7, (4, 6), {"padding": [3, 6, 5, 4]}),
    "up only": (8, None, {"up": 2, "padding": [3, 6, 5, 4], "flip_filter": True}),
    "down only": (None, 6, {"down": 2, "padding": [3, 6, 5, 4]}),
    "linear": (8, 6, {"up": 2, "down": 2, "padding": 8, "slope": 1.0, "gain": 1.0}),
    "beyond": (4, 4, {"up": 2, "down": 2, "padding": [30, 0, 0, 60], "slope": -0.5}),
    "2-D up": ("6x6", 6, {"up": 2, "down": 2, "padding": 6}),
    "gain < 0": (6, 6, {"up": 2, "down": 2, "padding": 6, "gain": -1.5, "clamp": 1.0}),
    "no filters": (None, None, {"clamp": 0.9}),
}
"""(up filter, down filter, options): taps of a separable filter, sides of a mirrored 2-D one or of any."""


def taps(of: int | tuple[int, int] | str | None, seed: int) -> Tensor | None:
    if of is None:
        return None
    if isinstance(of, tuple):
        return mirrored(*of)
    return random(of, seed=seed) if isinstance(of, int) else random(*map(int, of.split("x")), seed=seed)


def orders(op: Callable[..., Tensor], x: Tensor, b: Tensor) -> list[Tensor]:
    """The output, its gradients and those of the gradient's squared length."""
    x, b = x.detach().clone().requires_grad_(), b.detach().clone().requires_grad_()
    y = op(x, b)
    total = (y.square() * random(*y.shape, seed=99).to(y.dtype)).sum()
    gx, gb = torch.autograd.grad(total, [x, b], create_graph=True)
    return [y, gx, gb, *torch.autograd.grad(gx.square().sum() + gb.square().sum(), [x, b])]


@pytest.fixture(params=["products", "compiled"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which form computes: without a compiler, or with one."""
    if request.param == "products":
        monkeypatch.setattr(compiled, "usable", lambda x: False)
    elif native().loaded is None:
        pytest.skip(f"no compiled form: {native().why}")
    return request.param


@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case: str, form: str) -> None:
    check_case(case)


@pytest.mark.parametrize("case", CASES)
def test_small_pieces_equal_the_reference(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "usable", lambda x: False)
    for name in ("BAND_ROWS", "RADIAL_BAND_ROWS", "COLUMNS"):
        monkeypatch.setattr(products, name, 5)
    monkeypatch.setattr(products, "PIECE", 1000)
    products._plan.cache_clear()
    check_case(case)
    products._plan.cache_clear()


def check_case(case: str) -> None:
    up, down, options = CASES[case]
    fu, fd = taps(up, 1), taps(down, 2)
    x, b = random(2, 5, 17, 22), random(5, seed=1)
    expected = orders(lambda x, b: filtered_lrelu_reference(x, fu, fd, b, **options), x, b)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        actual = orders(lambda x, b: filtered_lrelu(x, fu, fd, b, **options), x.to(dtype), b.to(dtype))
        for k, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert a.dtype == dtype
            assert a.shape == e.shape
            assert relative_error(a, e.numpy(force=True)) <= tolerance, (dtype, k)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["T", "R"])
def test_low_precision_rounds_once(case: str, dtype: torch.dtype, form: str) -> None:
    up, down, options = CASES[case]
    fu, fd = taps(up, 1), taps(down, 2)
    x, b = random(2, 5, 17, 22).to(dtype), random(5, seed=1).to(dtype)
    actual = filtered_lrelu(x, fu, fd, b, **options)
    assert actual.dtype == dtype
    expected = filtered_lrelu_reference(x.double(), fu, fd, b.double(), **options)
    assert relative_error(actual, expected) <= torch.finfo(dtype).eps
    actual_gx, expected_gx = (
        torch.autograd.grad(filtered_lrelu(t, fu, fd, b.to(t), **options).sum(), t)[0]
        for t in (x.requires_grad_(), x.detach().double().requires_grad_())
    )
    assert actual_gx.dtype == dtype
    assert relative_error(actual_gx, expected_gx) <= torch.finfo(dtype).eps


def test_any_layout_and_without_gradients(form: str) -> None:
    fu, fd, options = random(12), mirrored(12, 12), {"up": 2, "down": 2, "padding": 11}
    x = random(2, 3, 9, 8).contiguous(memory_format=torch.channels_last)[:, :, 1:]
    expected = filtered_lrelu_reference(x, fu, fd, None, **options)
    before = x.clone()
    with torch.no_grad():
        assert relative_error(filtered_lrelu(x, fu, fd, None, **options), expected) <= 1e-13
        assert relative_error(filtered_lrelu(x.float(), fu, fd, None, **options), expected) <= 1e-6
    assert torch.equal(x, before)
    assert filtered_lrelu(x[:0], fu, fd, None, **options).shape == (0, *expected.shape[1:])


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    fu, options = random(12), {"up": 2, "down": 2, "padding": 11}
    x, b = random(2, 3, 9, 8), random(3, seed=1).requires_grad_()
    filtered_lrelu(x, fu, fu, b, **options).sum().backward()
    assert b.grad is not None
    with no_weight_gradients():
        (gx,) = torch.autograd.grad(filtered_lrelu(x.requires_grad_(), fu, fu, b, **options).sum(), x)
    assert gx.shape == x.shape


def test_a_clamp_that_cannot_be_reached_costs_no_pass() -> None:
    fu, fd = random(12), random(12, seed=1)
    x = random(1, 2, 9, 8)
    setting = products.Setting(2, 2, (9, 8, 9, 8), sqrt(2), 0.2, None, False)
    made = products.plan(x, fu, fd, setting)
    high = upfirdn2d_reference(x, fu, up=2, padding=[9, 8, 9, 8], gain=4)
    assert float(high.abs().max()) * sqrt(2) <= float(x.abs().max()) * made.bound
    assert products._limit(x, made, setting._replace(clamp=1e6)) is None
    assert products._limit(x, made, setting._replace(clamp=1.0)) == 1.0
    assert products._limit(x * torch.nan, made, setting._replace(clamp=1e6)) == 1e6


def test_radial_filters_are_folded_though_rounded(form: str) -> None:
    taps = mirrored(6, 8)
    rounded = taps.clone()
    rounded[2, 3] += 2**-23 * taps.abs().max()
    assert products._pairs(taps, 0) == [(0, 7), (1, 6), (2, 5), (3, 4)]
    assert products._pairs(rounded, products.MIRRORED) == products._pairs(taps, 0)
    assert len(products._pairs(rounded, 0)) == len(products._pairs(random(6, 8), products.MIRRORED)) == 8
    x, options = random(1, 2, 9, 8), {"up": 2, "down": 2, "padding": 9}
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        actual = filtered_lrelu(x.to(dtype), random(6, seed=1), rounded, **options)
        assert relative_error(actual, filtered_lrelu_reference(x, random(6, seed=1), rounded, **options)) <= tolerance


@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("pad", [(4, 5), (-2, 9), (0, -3)])
def test_banded_matrices_are_the_filters(up: int, pad: tuple[int, int]) -> None:
    x, f = random(1, 1, 1, 13), random(5, seed=1)
    expected = upfirdn2d_reference(x, f[None], up=[up, 1], padding=[*pad, 0, 0], flip_filter=True)
    matrix = up_matrix(f, 13, up, pad)
    assert relative_error(matrix @ x.flatten(), expected.flatten()) <= 1e-13
    down = down_matrix(f, 13, up)
    expected = upfirdn2d_reference(x, f[None], down=[up, 1], flip_filter=True)
    assert relative_error(down @ x.flatten(), expected.flatten()) <= 1e-13
    whole = torch.zeros_like(matrix)
    for start, stop, first, last, block in blocks(matrix, 4, torch.float64):
        whole[start:stop, first:last] = block
    assert torch.equal(whole, matrix)


def test_errors_are_those_of_the_reference() -> None:
    f, x = random(12), random(1, 3, 4, 4)
    for arguments in (
        {"padding": 0},
        {"b": random(2), "padding": 12},
        {"up": 0},
        {"padding": 12, "down": 0},
        {"padding": [1, 2, 3]},
        {"padding": 12, "clamp": -1},
    ):
        options = {"fu": f, "fd": f, **arguments}
        with pytest.raises(InputError) as expected:
            filtered_lrelu_reference(x, **options)
        with pytest.raises(InputError) as found:
            filtered_lrelu(x, **options)
        if arguments != {"padding": 0}:
            assert str(found.value) == str(expected.value)


def compiles_again(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Native:
    """What `native` finds with an empty cache folder."""
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return native.__wrapped__()


def libraries(folder: Path) -> list[Path]:
    """What was left in the cache `folder`, but for the locks of those who made it."""
    return [path for path in (folder / "native").iterdir() if path.suffix != ".lock"]


def test_without_a_compiler_the_plain_form_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert compiles_again(monkeypatch, tmp_path) == Native(None, "no C++ compiler found")
    monkeypatch.setattr(compiled, "native", lambda: Native(None, "no C++ compiler found"))
    assert not compiled.usable(torch.zeros(1))
    x, f = random(1, 2, 9, 8), random(12, seed=1)
    options = {"up": 2, "down": 2, "padding": 11}
    expected = filtered_lrelu_reference(x, f, f, **options)
    assert relative_error(filtered_lrelu(x.float(), f, f, **options), expected) <= 1e-6


def test_a_compiler_that_fails_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken++"
    broken.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'x.cpp: error: no luck' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.warns(UserWarning, match=r"plain PyTorch forms: .*broken.* failed: x.cpp: error: no luck"):
        assert compiles_again(monkeypatch, tmp_path).loaded is None
    assert not libraries(tmp_path)


def test_compiling_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(native_module.SWITCH, "0")
    assert compiles_again(monkeypatch, tmp_path) == Native(None, "OPENSTYLEGAN_COMPILE=0")


def test_compiled_code_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if native().loaded is None:
        pytest.skip(f"no compiled form: {native().why}")
    assert compiles_again(monkeypatch, tmp_path).loaded is not None
    (made,) = libraries(tmp_path)
    before = made.stat().st_mtime_ns
    assert compiles_again(monkeypatch, tmp_path).loaded is not None
    assert made.stat().st_mtime_ns == before


def test_threads_share_the_planes(form: str) -> None:
    x, f, options = random(1, 5, 9, 8).float(), random(12, seed=1), {"up": 2, "down": 2, "padding": 11}
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 8):
            torch.set_num_threads(count)
            results.append(filtered_lrelu(x, f, f, **options))
    finally:
        torch.set_num_threads(threads)
    assert all(relative_error(y, results[0]) <= 1e-6 for y in results)
