from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.augment import AUGMENT_PRESETS, AugmentPipe
from openstylegan.errors import InputError
from openstylegan.images import leaves
from openstylegan.ops.paths import reference_paths
from openstylegan.randomness import BatchStream, SampleStream, generator

presets = pytest.mark.parametrize("preset", AUGMENT_PRESETS)


def images(num: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(num, *shape, generator=generator(0, "images"), dtype=dtype)


def pipe(p: float = 1, **options: Any) -> AugmentPipe:
    made = AugmentPipe(**options)
    made.p.fill_(p)
    return made


class Recorder:
    """A stream that notes what is asked of it."""

    def __init__(self) -> None:
        self.stream, self.calls = BatchStream(generator(0, "recorded")), []

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        self.calls.append(("normal", *shape))
        return self.stream.normal(shape, dtype)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        self.calls.append(("uniform", *shape))
        return self.stream.uniform(shape, dtype)


def test_order_of_the_draws():
    for preset, p, expected in (
        ("bgc", 1.0, [("uniform", 5, 29), ("normal", 5, 12)]),
        ("cutout", 0.0, [("uniform", 5, 29), ("normal", 5, 12)]),
        ("bgcfnc", 0.1, [("uniform", 5, 29), ("normal", 5, 12), ("normal", 5, 3, 8, 8)]),
        ("bgcfnc", 0.0, [("uniform", 5, 29), ("normal", 5, 12)]),
    ):
        recorder = Recorder()
        pipe(p, preset=preset)(images(5, 3, 8, 8), recorder)
        assert recorder.calls == expected
    recorder = Recorder()
    pipe(0, preset="noise")(images(5, 3, 8, 8), recorder, debug_percentile=0.5)
    assert recorder.calls == [("normal", 5, 3, 8, 8)]


def test_switching_one_transform_on_leaves_the_others_draws():
    x = images(4, 3, 16, 16)
    few = pipe(preset="cutout")(x, SampleStream(0, "s", [], range(4)))
    more = pipe(preset="cutout", brightness=1)(x, SampleStream(0, "s", [], range(4)))
    assert torch.equal(few == 0, more == 0)


def test_buffers_are_those_of_the_original():
    state = AugmentPipe().state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == {"p": (), "Hz_geom": (12,), "Hz_fbank": (4, 43)}
    assert float(state["p"]) == 1


def test_the_filters_are_those_of_the_buffers():
    other = pipe(preset="bgcf")
    other.Hz_geom.mul_(1.1)
    x = images(2, 3, 12, 12)
    expected = pipe(preset="bgcf")(x, debug_percentile=0.5) * 1.1**4
    torch.testing.assert_close(other(x, debug_percentile=0.5), expected, rtol=1e-4, atol=1e-5)


@presets
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_the_cut_into_micro_batches_changes_nothing(preset: str, dtype: torch.dtype, tolerance: float):
    x, augment = images(12, 3, 24, 20, dtype=dtype), pipe(0.7, preset=preset)
    whole = augment(x, SampleStream(0, "cut", [3], range(12)))
    for cut in (3, 12):
        for m in range(cut):
            part = augment(x[m::cut], SampleStream(0, "cut", [3], range(m, 12, cut)))
            assert (part - whole[m::cut]).abs().max() <= tolerance * whole.abs().max()


@presets
def test_fast_is_the_reference(preset: str):
    x = images(6, 3, 20, 28, dtype=torch.float64).requires_grad_()
    results = []
    for path in (nullcontext, reference_paths):
        with path():
            y = pipe(0.8, preset=preset)(x, SampleStream(0, "both", [], range(6)))
        first = torch.autograd.grad((y**3).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad((first**2).sum(), x)[0]
        results.append((y.detach(), first.detach(), second))
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=0, atol=1e-10 * float(reference.abs().max()))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_gradients_to_second_order(channels: int):
    augment, x = AugmentPipe(preset="bgcfnc").double(), images(2, channels, 4, 5, dtype=torch.float64).requires_grad_()

    def augmented(x: Tensor) -> Tensor:
        return augment(x, SampleStream(5, "check", [], [0, 1]))

    assert torch.autograd.gradcheck(augmented, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(augmented, (x,), fast_mode=True)


def test_r1_through_the_pipe():
    """The penalty's gradient with respect to a discriminator's weights, by finite differences."""
    x, augment = images(3, 3, 8, 8, dtype=torch.float64), AugmentPipe(preset="bgcf").double()
    weight = images(1, 3, 8, 8, dtype=torch.float64).requires_grad_()

    def penalty(weight: Tensor) -> Tensor:
        reals = x.detach().requires_grad_()
        score = (augment(reals, SampleStream(1, "r1", [], range(3))) * weight).sum().square()
        return torch.autograd.grad(score, reals, create_graph=True)[0].square().sum()

    gradient = torch.autograd.grad(penalty(weight), weight)[0]
    step = torch.zeros_like(weight)
    step[0, 1, 3, 4] = 1e-5
    slope = (penalty(weight + step) - penalty(weight - step)) / 2e-5
    torch.testing.assert_close(slope, gradient[0, 1, 3, 4], rtol=1e-6, atol=0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (16, 16)], ids=str)
def test_any_channels_and_sizes(channels: int, size: tuple[int, int]):
    x = images(3, channels, *size)
    y = pipe(preset="bgcfnc")(x, SampleStream(0, "any", [], range(3)))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.isfinite().all()


def test_p_zero_only_resamples():
    x = images(3, 3, 16, 16)
    assert torch.equal(pipe(0, preset="color", imgfilter=1, noise=1, cutout=1)(x), x)
    y = pipe(0, preset="bgcfnc")(x)
    assert 0 < (y - x).abs().max() < 1e-4


def test_strong_p_is_certainty():
    x = images(200, 1, 4, 4)
    y = pipe(1.7, cutout=1)(x, SampleStream(0, "sure", [], range(200)))
    assert ((y == 0).flatten(1).any(1)).all()


def test_percentile_needs_no_p():
    x = images(2, 3, 16, 16)
    assert torch.equal(pipe(0, preset="bgc")(x, debug_percentile=0.3), pipe(1, preset="bgc")(x, debug_percentile=0.3))


def smooth_pictures(num: int, size: int) -> Tensor:
    """Pictures without fine detail that fade towards their edges, so that what is reflected there is dark."""
    coarse = images(num, 3, 6, 6, dtype=torch.float64)
    fade = (torch.linspace(0, torch.pi, size).double().sin() ** 2)[None]
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True) * fade * fade.T


@pytest.mark.parametrize("preset", ["blit", "geom", "bg", "color", "filter", "noise", "cutout"])
def test_all_resolutions_of_a_picture_get_the_same(preset: str):
    top = smooth_pictures(6, 64)
    scales = tuple(F.adaptive_avg_pool2d(top, s) for s in (16, 32)) + (top,)
    out = leaves(pipe(preset=preset)(scales, SampleStream(2, "scales", [], range(6))))
    assert isinstance(out, tuple)
    alone = pipe(preset=preset)(top, SampleStream(2, "scales", [], range(6)))
    assert torch.equal(out[-1], alone)
    for size, small, before in zip((16, 32), out, scales, strict=False):
        expected = F.adaptive_avg_pool2d(out[-1], size)
        error = (small - expected).flatten(1).square().mean(1).sqrt()
        change = (before - expected).flatten(1).square().mean(1).sqrt()
        assert error.max() < 0.12
        assert error.mean() < 0.35 * change.mean()


def test_whole_pixel_shifts_are_whole_at_the_largest_resolution():
    top = smooth_pictures(1, 32)
    small = F.adaptive_avg_pool2d(top, 8)
    out = leaves(pipe(xint=1)((small, top), debug_percentile=0.87))
    shift = round(0.74 * 0.125 * 32)
    torch.testing.assert_close(
        out[1][..., 12:20, 12:20], top[..., 12 - shift : 20 - shift, 12 - shift : 20 - shift], rtol=0, atol=1e-4
    )
    assert (out[0] - small).abs().max() > 0.1, "less than a pixel of the small picture, and yet moved"


def test_half_precision_comes_back_as_it_was():
    x = images(2, 3, 16, 16).half()
    y = pipe(preset="bgc")(x, SampleStream(0, "h", [], range(2)))
    assert y.dtype == torch.float16
    expected = pipe(preset="bgc")(x.float(), SampleStream(0, "h", [], range(2)))
    torch.testing.assert_close(y, expected.half())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "floating-point"),
        (torch.zeros(3, 8, 8), "N, C, H, W"),
        (torch.zeros(2, 0, 8, 8), "none of them 0"),
        ((torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4)), "smallest first"),
        ((torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 8, 8)), "same samples"),
    ],
)
def test_what_are_not_images(bad: Any, message: str):
    with pytest.raises(InputError, match=message):
        pipe(preset="bgc")(bad)


def test_which_path_is_taken():
    x, augment = images(1, 3, 8, 8).requires_grad_(), pipe(preset="bg")
    assert "_Apply" in type(augment(x, debug_percentile=0.6).grad_fn).__name__
    with reference_paths():
        assert "_Apply" not in type(augment(x, debug_percentile=0.6).grad_fn).__name__


def test_copies_are_their_own():
    first = pipe(0.5, preset="bgc")
    second = copy.deepcopy(first)
    second.p.fill_(0.9)
    assert float(first.p) == 0.5
    assert float(second.on_host("p")) == float(np.float32(0.9))


def test_what_it_prints():
    assert "xflip=1" in repr(AugmentPipe(preset="blit"))
    assert "noise" not in repr(AugmentPipe(preset="blit"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@presets
def test_cuda_gives_the_same_without_a_wait(preset: str):
    x = images(8, 3, 32, 32)
    expected = pipe(0.7, preset=preset)(x, SampleStream(0, "cuda", [], range(8)))
    augment, on_device = pipe(0.7, preset=preset).cuda(), x.cuda()
    stream = SampleStream(0, "cuda", [], range(8))
    augment(on_device, stream)
    torch.cuda.set_sync_debug_mode("error")
    try:
        actual = augment(on_device, SampleStream(0, "cuda", [], range(8)))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=1e-4)
