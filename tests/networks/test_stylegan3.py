"""StyleGAN3: published numbers of two small networks, the schedule's properties, what moving the input does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.base import set_precision
from openstylegan.networks.outline import WithoutInitialWeights
from openstylegan.networks.stylegan3 import StyleGAN3Generator
from openstylegan.networks.stylegan3_schedule import SynthesisOptions, make_schedule
from openstylegan.ops.paths import reference_paths

T = {"channel_base": 512, "channel_max": 16}
R = {"channel_base": 1024, "channel_max": 32, "conv_kernel": 1, "use_radial_filters": True}
CONFIGS = {"t": T, "r": R}

# Published statistics of whole batches (mean, standard deviation), and the values at [0, 0, 5, 7] and [1, -1, -3, -4].
PUBLISHED: dict[tuple[str, bool], dict[str, tuple[float, ...]]] = {
    ("t", False): {
        "input": (0.002266491, 0.408128, -0.7546974, 0.1379946),
        "0": (0.1896605, 0.3401394, 0.2604286, 0.1305549),
        "1": (0.2122466, 0.3845596, 1.6361972, 0.1134814),
        "2": (0.2567169, 0.5631219, -0.1554292, -0.1608836),
        "3": (0.2042169, 0.3823141, 0.5575897, -0.08068364),
        "5": (0.4828122, 0.7068956, 0.8209069, 1.5691943),
        "12": (0.2903814, 0.9591068, 2.7743332, -0.5240005),
        "13": (0.5188141, 1.139674, -0.0941356, 0.1990558),
        "14": (0.01803799, 0.6745993, -0.3864052, -0.4733762),
        "image": (0.004509497, 0.1686498),
    },
    ("t", True): {
        "input": (0.003408851, 0.4098518, 0.05118282, -0.02272545),
        "0": (0.1838116, 0.3385686, -0.05621356, 0.1677734),
        "1": (0.2050508, 0.3792933, 0.5045911, 0.3761373),
        "2": (0.2548148, 0.5421992, -0.2414223, -0.09806069),
        "3": (0.2133784, 0.4034819, 0.7468044, -0.05534333),
        "5": (0.4933550, 0.7068370, 0.06525879, 1.0346135),
        "12": (0.2840901, 0.9833600, 0.9927896, -0.4784556),
        "13": (0.5190079, 1.149756, -0.0447667, 0.6497644),
        "14": (0.02804575, 0.6541950, -0.1841722, 0.009380594),
        "image": (0.007011437, 0.1635488),
    },
    ("r", False): {
        "input": (0.003047604, 0.4075006, -0.1557691, 0.2657546),
        "0": (0.1933394, 0.345363, 0.1141633, -0.1790756),
        "1": (0.2049213, 0.3729864, -0.3278663, -0.2421259),
        "2": (0.2204525, 0.4474739, 2.0270810, -0.1012765),
        "3": (0.2206419, 0.407863, 1.5872259, -0.1017954),
        "5": (0.2907341, 0.6358933, 0.6865237, 0.2394001),
        "12": (0.7165134, 1.484115, 5.6024008, 1.6879442),
        "13": (1.303707, 2.543141, -2.1675775, 3.6171381),
        "14": (0.2697308, 0.4389531, 0.7603686, 0.7174445),
        "image": (0.0674327, 0.1097383),
    },
    ("r", True): {
        "input": (0.002753346, 0.4069729, -0.07839891, 0.2078168),
        "0": (0.192466, 0.3455225, -0.2113618, 0.8015113),
        "1": (0.202202, 0.3672737, 0.3047671, 0.8750900),
        "2": (0.218783, 0.440587, 1.7300020, 0.5628904),
        "3": (0.222126, 0.4107125, 0.3444764, 0.6853148),
        "5": (0.2889351, 0.6338285, 0.5377997, 0.1595712),
        "12": (0.7213089, 1.478201, 4.3369365, 1.5372339),
        "13": (1.284054, 2.538322, -2.2150230, 2.5064449),
        "14": (0.2755388, 0.4251896, 0.8034611, 0.002739765),
        "image": (0.0688847, 0.1062974),
    },
}
PIXELS: dict[tuple[str, bool], list[list[float]]] = {
    ("t", False): [
        [-0.14069776, 0.12551747, 0.04848503],
        [-0.11638883, 0.14561775, 0.07730245],
        [-0.07463417, 0.11230242, -0.16197234],
    ],
    ("t", True): [
        [-0.04742391, 0.07791483, 0.11155886],
        [-0.08690934, 0.42092645, 0.00809527],
        [-0.0573387, 0.1170008, 0.03859309],
    ],
    ("r", False): [
        [0.16769738, -0.11049379, 0.34366086],
        [0.10349095, -0.05057203, 0.19724172],
        [0.06958078, -0.06482179, 0.22037336],
    ],
    ("r", True): [
        [0.17855519, -0.12298764, 0.369298],
        [0.0444724, -0.02775307, 0.14992756],
        [0.00608039, 0.06249926, 0.04796468],
    ],
}
UPDATED = {
    "t": ([0.59956658, 0.61953181, 0.63955319], [-0.14070725, 0.12564744, 0.04852145]),
    "r": ([0.59956610, 0.61953676, 0.63954139], [0.16688931, -0.10986766, 0.34202886]),
}


def waves(name: str, k: int, shape: torch.Size) -> np.ndarray:
    """The published filling of the parameter at position `k` of the sorted names."""
    i = np.arange(math.prod(shape), dtype=np.float64)
    v = 10000 * np.sin(i + 1 + 1000 * k)
    v = 2 * (v - np.floor(v)) - 1
    if name.startswith("mapping."):
        v = 100 * v
    elif name.endswith(".bias") and "affine" not in name:
        v = 0.1 * v
    elif name.endswith("affine.bias") and ".input." not in name:
        v = 1 + 0.3 * v
    return v.reshape(shape)


def published_network(config: str) -> StyleGAN3Generator:
    network = StyleGAN3Generator(8, 0, 8, 32, 3, {"num_layers": 2}, **CONFIGS[config]).eval().requires_grad_(False)
    parameters = dict(network.named_parameters())
    assert len(parameters) == 67
    for k, name in enumerate(sorted(parameters)):
        parameters[name].copy_(torch.from_numpy(waves(name, k, parameters[name].shape)))
    fourier = network.synthesis.input
    fourier.freqs.copy_((1.5 * torch.sin(0.5 + 0.61 * torch.arange(fourier.freqs.numel()).double())).view(-1, 2))
    fourier.phases.copy_(0.5 * torch.sin(0.2 + 0.77 * torch.arange(len(fourier.phases)).double()))
    for j, layer in enumerate(network.synthesis.layers):
        layer.magnitude_ema.fill_(0.6 + 0.02 * j)
    network.mapping.w_avg.copy_(0.1 * torch.sin(1 + torch.arange(8.0)))
    return network


def latents() -> Tensor:
    i = torch.arange(8).double()
    return torch.stack([torch.sin(0.4 + 0.9 * i), torch.cos(0.1 + 1.7 * i)]).float()


def pose(degrees: float, x: float, y: float) -> Tensor:
    """The inverse of: turn by `degrees`, then move by (x, y) image widths."""
    a = math.radians(degrees)
    matrix = [[math.cos(a), math.sin(a), x], [-math.sin(a), math.cos(a), y], [0, 0, 1]]
    return torch.tensor(matrix, dtype=torch.float64).inverse().float()


def close(actual: Tensor, expected: list[float], tolerance: float = 2e-5) -> bool:
    return bool((actual.flatten() - torch.tensor(expected)).abs().max() < tolerance)


def test_published_w():
    network = published_network("t")
    ws = network.mapping(latents())
    assert close(
        ws[0, 0],
        [1.1900069, 0.86201185, -0.5296233, 1.3540093, 2.374753, 0.40203717, -0.05155548, -0.08600867],
    )
    assert close(
        ws[1, 0],
        [1.2762883, 0.4121058, -0.44082725, 1.2193806, 2.0429096, 0.31855604, -0.07139844, -0.03549764],
    )
    assert close(
        network.mapping(latents(), None, 0.5)[1, 3],
        [0.6802177, 0.25151777, -0.21335763, 0.5718502, 0.9735086, 0.14530724, -0.00284989, 0.0317191],
    )


@pytest.mark.parametrize(("config", "rotated"), PUBLISHED)
def test_published_features_and_images(config, rotated):
    network = published_network(config)
    if rotated:
        network.synthesis.input.transform.copy_(pose(20, 0.1, -0.05))
    seen: dict[str, Tensor] = {}
    network.synthesis.input.register_forward_hook(lambda module, args, x: seen.update(input=x))
    for i, layer in enumerate(network.synthesis.layers):
        layer.register_forward_hook(lambda module, args, x, i=i: seen.update({str(i): x}))
    seen["image"] = network(latents())
    for name, numbers in PUBLISHED[config, rotated].items():
        x = seen[name]
        found = torch.stack([x.double().mean(), x.double().std(correction=0), x[0, 0, 5, 7], x[1, -1, -3, -4]])
        assert close(found[: len(numbers)], list(numbers), 5e-5), (name, found)
    pixels = (seen["image"][0, :, 3, 5], seen["image"][1, :, 20, 11], seen["image"][1, :, 31, 31])
    for pixel, expected in zip(pixels, PIXELS[config, rotated], strict=True):
        assert close(pixel, expected)


@pytest.mark.parametrize("config", UPDATED)
def test_published_update_of_statistics(config):
    network, (expected, pixel) = published_network(config), UPDATED[config]
    image = network(latents(), update_emas=True)
    assert close(torch.stack([layer.magnitude_ema for layer in network.synthesis.layers[:3]]), expected, 2e-7)
    assert close(image[0, :, 3, 5], pixel)
    assert close(network.mapping.w_avg[:3], [0.08644507, 0.09202199, 0.01311334], 1e-6)


def test_without_asking_no_statistics_move():
    network = published_network("t").train()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(latents())
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())


class TestSchedule:
    @pytest.mark.parametrize(("config", "side", "expected"), [("t", 256, 27_946_821), ("r", 256, 18_291_075)])
    def test_published_number_of_parameters(self, config, side, expected):
        options = {"channel_base": 65536, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True}
        with WithoutInitialWeights():
            network = StyleGAN3Generator(512, 0, 512, side, 3, **(options if config == "r" else {}))
        assert sum(p.numel() for p in network.synthesis.parameters()) == expected
        assert sum(b.numel() for b in network.buffers()) == (2456 if config == "t" else 5576)

    @pytest.mark.parametrize("side", [4, 6, 8, 14, 16, 20, 24, 28, 64, 96, 128, 1024, 2048])
    @pytest.mark.parametrize("options", [{}, {"conv_kernel": 1}, {"num_layers": 6, "margin_size": 3, "filter_size": 4}])
    def test_every_layer_ends_at_its_size(self, side, options):
        plans = make_schedule(side, 3, SynthesisOptions(**options))
        for before, plan in zip([plans[0], *plans], plans, strict=False):
            assert before.after == plan.before
            assert plan.before.rate * plan.up == plan.after.rate * plan.down == plan.tmp_rate
            size = (plan.before.size + plan.conv_kernel - 1) * plan.up + sum(plan.padding)
            size = (size - (plan.up_taps - 1) - (plan.down_taps - 1) + plan.down - 1) // plan.down
            assert size == plan.after.size
            assert plan.after.cutoff + plan.after.half_width >= plan.after.rate / 2
        assert (plans[-1].after.size, plans[-1].after.rate) == (side, side)
        assert [p.is_critically_sampled for p in plans] == [False] * (len(plans) - 3) + [True] * 3

    def test_published_rows(self):
        t, r = (make_schedule(1024, 3, SynthesisOptions(**o)) for o in ({}, {"conv_kernel": 1}))
        assert t[10].name == "L10_1044_81"
        assert (t[10].up, t[10].up_taps, t[10].padding, r[10].padding) == (4, 24, (-6, -9), (-2, -5))
        assert (t[13].padding, r[13].padding) == ((-11, -12), (-9, -10))
        assert [p.low_precision_allowed for p in t].index(True) == 5

    def test_sides_that_are_no_powers_of_two_have_rates_that_divide_them(self):
        for side, lowest in ((20, 10), (24, 12), (28, 14), (80, 10)):
            rates = [plan.after.rate for plan in make_schedule(side, 3, SynthesisOptions())]
            assert rates[0] == lowest
            assert all(side % rate == 0 for rate in rates)

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"num_layers": 2}, "num_layers"),
            ({"num_critical": -1}, "num_critical"),
            ({"margin_size": -1}, "margin_size"),
            ({"first_cutoff": 9.0}, "first_cutoff"),
            ({"last_stopband_rel": 0.5}, "last_stopband_rel"),
            ({"magnitude_ema_beta": 1.5}, "magnitude_ema_beta"),
            ({"channel_base": 4}, "channel_base"),
            ({"first_cutoff": 20.0, "first_stopband": 21.0}, "img_resolution"),
            ({"filter_size": 3, "lrelu_upsampling": 3, "use_radial_filters": True}, "even"),
            ({"mapping_kwargs": {"embed_features": 3}}, "embed_features"),
        ],
    )
    def test_refuses(self, options, word):
        with pytest.raises(InputError, match=word):
            StyleGAN3Generator(8, 0, 8, 32, 3, **options)

    def test_refuses_rates_that_are_not_whole(self):
        with pytest.raises(InputError, match="whole sampling rates"):
            StyleGAN3Generator(8, 0, 8, 28, 3, first_cutoff=1.0, first_stopband=1.5)


class TestInput:
    def test_frequencies_fill_the_disc_evenly(self):
        torch.manual_seed(0)
        freqs = StyleGAN3Generator(8, 0, 8, 32, 3, channel_base=8192, channel_max=2000).synthesis.input.freqs
        radii = freqs.norm(dim=1).sort().values / 2
        assert radii[-1] <= 1
        uniform = ((torch.arange(len(radii)) + 0.5) / len(radii)).sqrt()
        assert (radii - uniform).abs().max() < 0.05

    @pytest.mark.parametrize("shift", [(0.25, -0.125), (0.03, 0.07)])
    def test_a_shifted_transform_shifts_the_sines(self, shift):
        fourier = published_network("t").synthesis.input
        w = torch.zeros(1, 8)
        before = fourier(w)
        fourier.transform.copy_(pose(0, *shift))
        after = fourier(w)
        x, y = (round(s * fourier.signal.rate) for s in shift)
        if (x, y) == (4, -2):  # whole pixels at rate 16: the same numbers elsewhere
            assert (after[:, :, :-2, 4:] - before[:, :, 2:, :-4]).abs().max() < 1e-5
        fourier.transform.copy_(pose(0, *shift) @ pose(0, *(-s for s in shift)))
        assert (fourier(w) - before).abs().max() < 1e-5

    def test_amplitudes_fall_where_a_transform_makes_frequencies_too_high(self):
        fourier = published_network("t").synthesis.input
        freqs = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [0.0, 8.0], [9.0, 9.0]]])
        assert close(fourier.amplitudes(freqs), [1.0, 1.0, 0.5, 0.0, 0.0], 1e-6)


def image_at(network: StyleGAN3Generator, ws: Tensor, transform: Tensor) -> Tensor:
    network.synthesis.input.transform.copy_(transform)
    return network.synthesis(ws)


class TestEquivariance:
    """An untrained network moves its picture with its input, up to what its filters leave of aliasing."""

    def random_network(self, **options: object) -> StyleGAN3Generator:
        torch.manual_seed(1)
        return StyleGAN3Generator(8, 0, 8, 64, 3, **(T | options)).eval().requires_grad_(False)

    @pytest.mark.parametrize("config", CONFIGS)
    def test_whole_pixels(self, config):
        network = self.random_network(**CONFIGS[config])
        ws = network.mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(2)))
        still = image_at(network, ws, torch.eye(3))
        moved = image_at(network, ws, pose(0, 6 / 64, -3 / 64))
        assert psnr(moved[:, :, :-3, 6:], still[:, :, 3:, :-6]) > 40
        assert psnr(moved[:, :, :-3, 6:], still[:, :, :-3, 6:]) < 30

    def test_a_third_of_a_pixel(self):
        network = self.random_network()
        ws = network.mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(2)))
        still = image_at(network, ws, torch.eye(3)).double()
        moved = image_at(network, ws, pose(0, 1 / 3 / 64, 0)).double()
        taps = torch.arange(-8, 9) - 1 / 3
        kernel = torch.sinc(taps) * torch.sinc(taps / 9)
        shifted = torch.nn.functional.conv1d(still.flatten(0, 2)[:, None], kernel.flip(0).double()[None, None])
        expected = shifted.view(*still.shape[:3], -1)
        assert psnr(moved[..., 8:-8], expected) > 40
        assert psnr(moved[..., 8:-8], expected) > psnr(still[..., 8:-8], expected) + 8

    def test_only_radial_filters_turn(self):
        """A quarter turn of the plane is exact for both; T's 3 x 3 kernels see the direction, R's do not."""
        scores = {}
        for config in CONFIGS:
            network = self.random_network(**CONFIGS[config])
            ws = network.mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(2)))
            still = image_at(network, ws, torch.eye(3))
            scores[config] = psnr(image_at(network, ws, pose(90, 0, 0)), still.rot90(1, (2, 3)))
        assert scores["r"] > 40
        assert scores["t"] < 25


def psnr(a: Tensor, b: Tensor) -> float:
    """In dB of the range [-1, 1], with the pictures brought to a standard deviation of 1/2."""
    error = (a.double() - b.double()).square().mean() / b.double().var() / 4
    return float(20 * math.log10(2) - 10 * torch.log10(error))


@pytest.mark.parametrize("config", CONFIGS)
def test_fast_paths_equal_their_references_to_second_order(config):
    torch.manual_seed(0)
    small = {"channel_base": 64, "channel_max": 8, "num_layers": 5, "margin_size": 3}
    network = StyleGAN3Generator(8, 0, 8, 16, 3, **(CONFIGS[config] | small)).double()
    ws = network.mapping(latents().double()).detach().requires_grad_(True)

    def orders() -> list[Tensor]:
        image = network.synthesis(ws)
        (slope,) = torch.autograd.grad((image * torch.cos(torch.arange(16.0))).sum(), ws, create_graph=True)
        return [image, slope, *torch.autograd.grad(slope.square().sum(), list(network.synthesis.parameters())[:20])]

    fast = orders()
    with reference_paths():
        plain = orders()
    for f, p in zip(fast, plain, strict=True):
        assert (f - p).abs().max() < 1e-8 * p.abs().max()


class TestPrecision:
    def test_low_precision_stays_near_and_out_of_the_first_layers(self):
        torch.manual_seed(0)
        network = StyleGAN3Generator(8, 0, 8, 64, 3, num_fp16_res=1, **T).eval().requires_grad_(False)
        z = torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
        single = network(z)
        allowed = sum(layer.low_precision_allowed for layer in network.synthesis.layers)
        assert 0 < allowed < len(network.synthesis.layers)
        assert set_precision(network, "bfloat16") == allowed
        low = network(z)
        assert low.dtype == torch.float32
        assert 0 < (low - single).abs().max() < 0.1 * single.abs().max()
        assert torch.equal(network.synthesis(network.mapping(z), force_fp32=True), single)

    def test_statistics_are_gathered_in_float32(self):
        network = published_network("t")
        set_precision(network, "bfloat16")
        network(latents(), update_emas=True)
        expected, _ = UPDATED["t"]
        assert close(torch.stack([layer.magnitude_ema for layer in network.synthesis.layers[:3]]), expected, 1e-4)
