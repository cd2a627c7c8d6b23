"""`filtered_lrelu` of channels-last pictures and the convolutions before it: values, and where not."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from openstylegan.networks.base import set_precision
from openstylegan.networks.stylegan3 import StyleGAN3Generator
from openstylegan.ops import alias_free_pixels
from openstylegan.ops import filtered_lrelu_pixels as pixels
from openstylegan.ops.amx_found import PIXELS, halves_available
from openstylegan.ops.filtered_lrelu import filtered_lrelu, filtered_lrelu_reference
from openstylegan.ops.filtered_lrelu_products import Setting
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.ops.lowpass import design_lowpass
from openstylegan.ops.modulated_conv2d import modulated_conv2d_sg3, modulated_conv2d_sg3_reference
from openstylegan.ops.native import Native, native
from openstylegan.ops.paths import reference_paths

here = pytest.mark.skipif(not halves_available(), reason="no matrix units, no half precision or no compiler for them")
compiled = pytest.mark.skipif(native(PIXELS).loaded is None, reason="no C++ compiler")
TYPES = [
    pytest.param(torch.float32, marks=compiled, id="float32"),
    pytest.param(torch.bfloat16, marks=here, id="bfloat16"),
]
ROUNDING = 2**-8
"""Of a bfloat16, relative."""
FLOAT_ERROR = 1e-6
"""Of float32: of the largest value, the sum of a few hundred products."""
UP_2, UP_4 = (design_lowpass(6 * up, 20.0, 24.0, 64.0 * up) for up in (2, 4))
DOWN = design_lowpass(12, 20.0, 24.0, 128.0)
RADIAL = design_lowpass(12, 20.0, 24.0, 128.0, radial=True)
CRITICAL = design_lowpass(12, 28.0, 18.0, 128.0, radial=True)
SHARP = design_lowpass(12, 30.0, 12.0, 128.0, radial=True)
FULL = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
CASES: dict[str, tuple[Tensor | None, Tensor | None, dict[str, Any]]] = {
    "T": (UP_2, DOWN, {"up": 2, "down": 2, "padding": [9, 8, 9, 8], "clamp": 256}),
    "T, up 4": (UP_4, DOWN, {"up": 4, "down": 2, "padding": [-6, -9, -6, -9], "clamp": 256}),
    "T, all clamped": (UP_2, DOWN, {"up": 2, "down": 2, "padding": [9, 8, 4, 3], "clamp": 0.7}),
    "T, far": (UP_2, DOWN, {"up": 2, "down": 2, "padding": [41, 8, 9, 60], "slope": -0.5, "gain": 3.0}),
    "R": (UP_2, RADIAL, {"up": 2, "down": 2, "padding": [11, 10, 12, 9], "clamp": 256}),
    "R, up 4": (UP_4, RADIAL, {"up": 4, "down": 2, "padding": [-2, -5, -1, -3]}),
    "R, critical": (UP_2, CRITICAL, {"up": 2, "down": 2, "padding": [11, 10, 11, 10], "slope": 1.5}),
    "R, sharp": (UP_4, SHARP, {"up": 4, "down": 2, "padding": [-2, -5, -1, -3]}),
    "of full rank": (UP_2, (FULL + FULL.flip(1)) / 144, {"up": 2, "down": 2, "padding": [11, 10, 12, 9]}),
    "flipped": (torch.arange(1.0, 13) / 39, DOWN, {"up": 2, "down": 2, "padding": 10, "flip_filter": True}),
    "not flipped": (torch.arange(1.0, 13) / 39, DOWN, {"up": 2, "down": 2, "padding": 10}),
}
"""(up filter, down filter, options)."""


def pictures(n: int, c: int, h: int, w: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Channels-last, with room between pixels that no one may read."""
    x = pixels.room(n, c, h, w, torch.empty(0, dtype=dtype))
    x.normal_(generator=torch.Generator().manual_seed(h))
    x[:, c:] = torch.nan
    return x[:, :c]


def reference(x: Tensor, case: str, b: Tensor | None) -> Tensor:
    fu, fd, options = CASES[case]
    return filtered_lrelu_reference(x.double(), fu, fd, None if b is None else b.double(), **options)


def computed(x: Tensor, case: str, b: Tensor | None) -> Tensor:
    """By the form that is tested."""
    fu, fd, options = CASES[case]
    with mock.patch.object(pixels, "forward", side_effect=pixels.forward) as used:
        y = filtered_lrelu(x, fu, fd, b, **options)
    assert used.called and y.dtype == x.dtype and y.stride(1) == 1
    return y


def close(y: Tensor, want: Tensor) -> bool:
    """Whether what one rounding of every value would do is hardly exceeded: at the worst value, and in the mean."""
    off = y.double() - want
    if y.dtype == torch.float32:
        return bool(off.abs().max() <= FLOAT_ERROR * want.abs().max())
    return bool(off.abs().max() <= 2 * ROUNDING * want.abs().max() and off.norm() <= ROUNDING * want.norm())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("shape", "threads"), [((2, 45, 17, 22), 1), ((1, 160, 21, 23), 3), ((1, 16, 13, 90), 2)])
def test_equals_the_reference(case: str, shape: tuple[int, int, int, int], threads: int, dtype: torch.dtype) -> None:
    x, b = pictures(*shape, dtype), torch.randn(shape[1], generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = computed(x, case, b)
    finally:
        torch.set_num_threads(before)
    want = reference(x, case, b)
    assert y.shape == want.shape
    assert close(y, want)
    assert close(computed(x, case, None), reference(x, case, None))


@pytest.mark.parametrize("dtype", TYPES)
def test_room_beyond_the_channels_is_zero_and_the_next_layer_reads_it_as_it_is(dtype: torch.dtype) -> None:
    y = computed(pictures(1, 45, 20, 20, dtype), "T", torch.ones(45))
    whole = pixels.pitch(y)
    assert whole == (48 if dtype == torch.float32 else 64)
    h, w = y.shape[2:]
    assert y.as_strided((h * w, whole), (whole, 1))[:, 45:].eq(0).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", ["T", "R", "R, up 4"])
def test_values_of_any_size(case: str, dtype: torch.dtype) -> None:
    x = pictures(4, 32, 12, 14, dtype)
    for k, scale in enumerate((2.0**-9, 2.0**-3, 2.0**5, 2.0**40)):
        x[k] *= scale
    y, want = computed(x, case, None), reference(x, case, None)
    assert all(close(y[k], want[k]) for k in range(4))
    alone = computed(x[:1].clone(memory_format=torch.preserve_format), case, None)
    assert alone.equal(y[:1])


@pytest.mark.parametrize("dtype", TYPES)
def test_what_is_no_number_stays_so_and_reaches_its_neighbours_only(dtype: torch.dtype) -> None:
    x = pictures(3, 40, 16, 16, dtype)
    x[0, 5, 8, 8], x[1, 39, 8, 8] = torch.nan, torch.inf
    y, want = computed(x, "T", None), reference(x, "T", None)
    assert y[0].isnan().equal(want[0].isnan())
    assert y[1].isfinite().all() == want[1].isfinite().all()
    assert close(y[2], want[2])
    assert y[0].isnan().any() and not y[0, 6].isnan().any()


def test_where_it_is_not_taken() -> None:
    x = pictures(2, 40, 12, 12)
    fu, fd, options = CASES["R"]
    assert fu is not None and fd is not None
    setting = Setting(2, 2, (11, 10, 12, 9), 1.0, 0.2, None, False)
    assert pixels.usable(x, fu, fd, setting) == halves_available()
    assert pixels.usable(x.float(), fu, fd, setting) == (native(PIXELS).loaded is not None)
    assert not pixels.usable(x.double(), fu, fd, setting)
    assert not pixels.usable(x.contiguous(), fu, fd, setting)
    assert not pixels.usable(x[:, :9], fu, fd, setting)
    assert not pixels.usable(x[:, :, ::2], fu, fd, setting)
    assert not pixels.usable(x, fu, fd[:10], setting)
    assert not pixels.usable(x, fu[:10], fd, setting)
    assert not pixels.usable(x, None, fd, setting)
    assert not pixels.usable(x, fu, fd, setting._replace(down=1))
    assert not pixels.usable(x, fu, fd, setting._replace(up=1))
    with FakeTensorMode() as mode:
        assert not pixels.usable(mode.from_tensor(x), fu, fd, setting)
        assert not alias_free_pixels.usable(mode.from_tensor(x), torch.empty(32, 40, 3, 3), 2)
    assert pixels.forward(x, None, fu, FULL, setting) is None, "not mirrored"
    with mock.patch.object(pixels, "forward", side_effect=AssertionError):
        filtered_lrelu(x.clone().requires_grad_(), fu, fd, **options)
        with reference_paths(), torch.no_grad():
            filtered_lrelu(x, fu, fd, **options)


def test_processors_without_it_take_the_other_forms() -> None:
    x, w, s = pictures(2, 40, 10, 10), torch.randn(48, 40, 3, 3), torch.rand(2, 40) + 0.5
    fu, fd, options = CASES["R"]
    with mock.patch.object(pixels, "halves_available", return_value=False):
        y = modulated_conv2d_sg3(x, w, s, padding=2)
        z = filtered_lrelu(x, fu, fd, **options)
    assert y.is_contiguous() and z.is_contiguous()
    assert close(z, reference(x, "R", None))


@here
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("planes", [True, False])
def test_modulated_convolutions(kernel: int, planes: bool) -> None:
    x, w, s = pictures(2, 45, 11, 13), torch.randn(91, 45, kernel, kernel), torch.rand(2, 45) + 0.5
    x = x.contiguous() if planes else x
    gain = torch.tensor(0.7)
    want = modulated_conv2d_sg3_reference(x.double(), w.double(), s.double(), True, kernel - 1, gain.double())
    with FrozenWeights():
        for weight in (w, torch.nn.Parameter(w, requires_grad=False)):
            y = modulated_conv2d_sg3(x, weight, s, True, kernel - 1, gain)
            assert pixels.pitch(y) == 96
            assert (y.double() - want).abs().max() <= 4 * ROUNDING * want.abs().max()


@compiled
@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("size", [(13, 11), (1, 1), (5, 1)])
def test_products_of_pixels_in_float32(planes: bool, size: tuple[int, int]) -> None:
    x, w, s = pictures(2, 45, *size, torch.float32), torch.randn(91, 45, 1, 1), torch.rand(2, 45) + 0.5
    x, gain = x.contiguous() if planes else x, torch.rand(45) + 0.5
    want = modulated_conv2d_sg3_reference(x.double(), w.double(), s.double(), True, 0, gain.double())
    with FrozenWeights():
        for weight in (w, torch.nn.Parameter(w, requires_grad=False)):
            y = modulated_conv2d_sg3(x, weight, s, True, 0, gain)
            assert y.stride(3) == 96 or size[1] == 1
            assert (y.double() - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel", [1, 3])
def test_gradients_take_planes(kernel: int, dtype: torch.dtype) -> None:
    x, w, s = pictures(1, 32, 8, 8, dtype), torch.randn(32, 32, kernel, kernel), torch.rand(1, 32).requires_grad_()
    with mock.patch.object(alias_free_pixels, "scaled_correlate", side_effect=AssertionError):
        assert modulated_conv2d_sg3(x.contiguous(), w, s, padding=kernel - 1).is_contiguous()


@pytest.mark.parametrize("options", [{}, {"conv_kernel": 1, "use_radial_filters": True}], ids=["T", "R"])
def test_a_generator_in_bfloat16(options: dict[str, Any]) -> None:
    torch.manual_seed(3)
    G = StyleGAN3Generator(
        img_resolution=32, channel_base=1024, channel_max=45, num_layers=4, num_fp16_res=2, **options
    ).requires_grad_(False)
    ws = G.mapping(torch.randn(2, 512), None)
    want = G.synthesis(ws)
    set_precision(G, "bfloat16")
    used = mock.patch.object(pixels, "forward", side_effect=pixels.forward)
    with FrozenWeights(), used as forward:
        y = G.synthesis(ws)
    assert forward.called
    assert y.is_contiguous() and F.mse_loss(y, want).sqrt() <= 8 * ROUNDING * want.square().mean().sqrt()
    assert y[:1].allclose(G.synthesis(ws[:1]), rtol=0, atol=4 * ROUNDING * float(want.abs().max()))


@compiled
def test_R_in_float32_is_what_it_is_without_compiler() -> None:
    torch.manual_seed(3)
    options = {"conv_kernel": 1, "use_radial_filters": True, "num_layers": 4}
    G = StyleGAN3Generator(img_resolution=32, channel_base=1024, channel_max=45, **options).requires_grad_(False)
    ws = G.mapping(torch.randn(2, 512), None)
    with mock.patch.object(pixels, "native", return_value=Native(None, "switched off")):
        want = G.synthesis(ws)
    with FrozenWeights(), mock.patch.object(pixels, "forward", wraps=pixels.forward) as forward:
        y = G.synthesis(ws)
    assert forward.call_count == 4
    assert y.is_contiguous() and y.allclose(want, rtol=0, atol=1e-5 * float(want.abs().max()))
    assert y[:1].allclose(G.synthesis(ws[:1]), rtol=0, atol=1e-5 * float(want.abs().max()))
