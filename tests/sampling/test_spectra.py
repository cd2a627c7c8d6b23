"""Average spectra: the transform, the window, decibels and slices, and the command."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from measuring import small_generator
from PIL import Image
from runs import make_pictures
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import kaiser
from torch import Tensor

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.sampling.spectra import (
    PictureSource,
    Spectrum,
    average_spectrum,
    decibels,
    full_plane,
    gaussian,
    load_all,
    load_spectrum,
    mean_and_deviation,
    pictures_of_network,
    slices,
    window,
)
from openstylegan.sampling.spectra_plots import draw_heatmap, draw_slices
from openstylegan.snapshot import write_snapshot


def source_of(images: np.ndarray, batch: int = 3) -> PictureSource:
    def batches() -> Iterator[Tensor]:
        yield from torch.from_numpy(images).split(batch)

    return PictureSource(len(images), images.shape[2], batches)


def noise(num: int = 5, size: int = 12, channels: int = 3) -> np.ndarray:
    return np.random.RandomState(num + size).randint(0, 256, (num, channels, size, size)).astype(np.uint8)


@pytest.mark.parametrize(("size", "interp"), [(12, 4), (9, 3), (8, 1)])
def test_the_spectrum_is_the_mean_power_of_windowed_pictures(size: int, interp: int) -> None:
    images = noise(5, size)
    w = kaiser(size, 8.0)
    w = np.outer(w, w) / (w**2).sum()
    x = (images.astype(np.float64) - 100.0) / 50.0 * w
    expected = (np.abs(np.fft.fft2(x, (size * interp, size * interp))) ** 2).mean((0, 1))
    found = average_spectrum(source_of(images), 100.0, 50.0, interp=interp)
    assert found.image_size == size
    np.testing.assert_allclose(found.power, expected, rtol=1e-4, atol=1e-6 * expected.max())
    advanced: list[int] = []
    cut = average_spectrum(source_of(images, 1), 100.0, 50.0, interp=interp, advance=advanced.append)
    np.testing.assert_allclose(cut.power, found.power, rtol=1e-5)
    assert advanced == [1] * 5


@pytest.mark.parametrize("interp", [1, 4])
@pytest.mark.parametrize("beta", [0.0, 8.0])
def test_white_noise_of_unit_variance_lies_at_0_db(interp: int, beta: float) -> None:
    images = noise(60, 16)
    mean, std = mean_and_deviation(source_of(images))
    found = average_spectrum(source_of(images), mean, std, beta, interp)
    assert 10 * math.log10(found.power.mean()) == pytest.approx(0, abs=0.1)


def test_a_wave_is_where_its_frequency_is() -> None:
    """Five waves across and three up the picture."""
    y, x = np.mgrid[:32, :32] / 32
    images = (127.5 + 100 * np.cos(2 * np.pi * (5 * x + 3 * y)))[None, None].round().astype(np.uint8)
    db = decibels(average_spectrum(source_of(images), 127.5, 70.0))
    assert db.shape == (129, 129)
    peaks = {tuple((np.array(place) - 64) / 4) for place in np.argwhere(db > db.max() - 0.01)}
    assert peaks == {(3.0, 5.0), (-3.0, -5.0)}
    np.testing.assert_array_equal(db[0], db[-1])
    np.testing.assert_array_equal(db[:, 0], db[:, -1])


@pytest.mark.parametrize("side", [6, 7])
def test_half_a_plane_holds_the_whole(side: int) -> None:
    x = torch.randn(side, side, dtype=torch.float64)
    whole = torch.fft.fft2(x).abs().square()
    torch.testing.assert_close(full_plane(torch.fft.rfft2(x).abs().square(), side), whole)


def test_the_window_is_kaisers_with_unit_energy() -> None:
    w = window(20, 8.0)
    np.testing.assert_allclose((w / w.max()).numpy(), kaiser(20, 8.0) / kaiser(20, 8.0).max(), rtol=1e-6)
    assert float(w.square().sum()) == pytest.approx(1, rel=1e-12)


def test_moments_are_those_of_all_values() -> None:
    images = noise(7)
    assert mean_and_deviation(source_of(images)) == pytest.approx((images.mean(), images.std()), rel=1e-12)
    assert mean_and_deviation(source_of(np.full((2, 1, 4, 4), 7, np.uint8))) == (7.0, 0.0)


def test_smoothing_is_gaussian_with_the_nearest_value_beyond_the_edge() -> None:
    grid = np.random.RandomState(0).randn(30, 33)
    for sigma in (0.6, 2.5):
        np.testing.assert_allclose(gaussian(grid, sigma), gaussian_filter(grid, sigma, mode="nearest"), atol=1e-12)
    spectrum = Spectrum(np.exp(np.random.RandomState(1).randn(32, 32)), 8)
    np.testing.assert_allclose(decibels(spectrum, 1.25), gaussian_filter(decibels(spectrum), 5.0, mode="nearest"))


def test_slices_run_from_the_middle_to_the_edge_and_to_the_corner() -> None:
    power = np.fft.ifftshift(np.exp(np.random.RandomState(0).randn(16, 16)))
    straight, diagonal = slices(Spectrum(power, 4))
    db = 10 * np.log10(np.fft.fftshift(power))
    np.testing.assert_allclose(straight.db[:-1], db[8, 8:])
    assert straight.db[-1] == pytest.approx(db[8, 0])
    np.testing.assert_allclose(diagonal.db[:-1], np.diagonal(db)[8:])
    np.testing.assert_allclose(straight.frequency, np.arange(9) / 4)
    np.testing.assert_allclose(diagonal.frequency, np.arange(9) / 4 * math.sqrt(2))


def test_pictures_of_a_network_are_those_of_their_seeds() -> None:
    source = pictures_of_network(small_generator("stylegan2"), 5, seed=10, batch=2)
    whole = torch.cat(list(source.batches()))
    assert (whole.shape, whole.dtype, source.size) == ((5, 3, 32, 32), torch.uint8, 32)
    later = torch.cat(list(pictures_of_network(small_generator("stylegan2"), 2, seed=12, batch=2).batches()))
    assert int((later.int() - whole[2:4].int()).abs().max()) <= 1
    z = np.random.RandomState(10)
    first = z.randn(1, 6), np.eye(2)[[z.randint(2)]]
    G = small_generator("stylegan2")
    image = G.synthesis(G.mapping(*map(torch.from_numpy, first)), noise_mode="none")  # noise strengths are still zero
    expected = (image * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    assert int((expected.int() - whole[:1].int()).abs().max()) <= 1
    with pytest.raises(InputError, match="at least 1 picture"):
        pictures_of_network(small_generator(), 0)


# ---- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["spectra", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_from_pictures_to_drawings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, found = make_pictures(tmp_path / "pictures.zip", 6), tmp_path / "data.npz"
    code, out, _ = run(capsys, "stats", "--source", data)
    assert code == 0
    mean, std = (float(word.partition("=")[2]) for word in out.split())
    assert out.startswith("--mean=") and 100 < mean < 160 and 30 < std < 90
    assert run(capsys, "calc", "--source", data, "--dest", found, *out.split())[0] == 0
    with np.load(found) as file:
        assert file["spectrum"].shape == (64, 64)
        assert file["image_size"] == 16
    network = tmp_path / "network-snapshot-000001.safetensors"
    options = {"z_dim": 6, "c_dim": 2, "w_dim": 6, "img_resolution": 32, "img_channels": 3}
    options["synthesis_kwargs"] = {"channel_base": 128, "channel_max": 4}
    write_snapshot(network, {"G_ema": small_generator("stylegan2")}, {"G": Component("stylegan2", options)}, {})
    other = tmp_path / "network.npz"
    code, _, _ = run(capsys, "calc", "--source", network, "--num", 3, "--dest", other, *out.split(), "--interp=2")
    assert code == 0
    assert load_spectrum(other).power.shape == (64, 64)
    for arguments, name, size in (
        (("heatmap", found), "data-heatmap.png", (600, 480)),
        (("slices", found, found, "--dpi", 50), "data-slices.png", (600, 230)),
        (("slices", other, "--save", tmp_path / "x.png"), "x.png", (1200, 460)),
    ):
        assert run(capsys, *arguments)[:2] == (0, f"{tmp_path / name}\n")
        with Image.open(tmp_path / name) as image:
            assert image.size == size
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 50


def test_a_part_of_a_dataset_is_chosen_by_a_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_pictures(tmp_path / "pictures.zip", 12)
    outputs = [run(capsys, "stats", "--source", data, "--num", 4, "--seed", seed)[1] for seed in (0, 0, 1)]
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("stats", "--source", "{data}", "--num", 13), "at most 12 pictures"),
        (("stats", "--source", "{folder}/none.zip"), "none.zip"),
        (("stats", "--source", "{folder}/none.pkl"), "expected --num"),
        (("calc", "--source", "{data}", "--dest", "{folder}/x.npz", "--mean=1", "--std=0"), "--std above 0"),
        (("calc", "--source", "{data}", "--dest", "{folder}/x.png", "--mean=1", "--std=1"), "ends in .npz"),
        (("heatmap", "{data}"), "an .npz file of `spectra calc`"),
        (("slices",), "at least one file"),
        (("slices", "{folder}/a.npz", "{folder}/b.npz"), "pictures of one size, got 4, 8"),
        (("stats", "--source", "{wide}"), "expected square pictures"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple, text: str
) -> None:
    data = make_pictures(tmp_path / "pictures.zip", 12)
    wide = make_pictures(tmp_path / "wide.zip", 2, (8, 16))
    for name, size in (("a", 4), ("b", 8)):
        Spectrum(np.ones((8, 8)), size).save(tmp_path / f"{name}.npz")
    words = [str(word).format(data=data, folder=tmp_path, wide=wide) for word in arguments]
    code, out, err = run(capsys, *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert text in err


def test_a_constant_picture_can_be_drawn(tmp_path: Path) -> None:
    flat = average_spectrum(source_of(np.full((2, 1, 8, 8), 7, np.uint8)), 7.0, 1.0)
    assert decibels(flat).max() == -300
    draw_heatmap(flat, tmp_path / "flat.png")
    draw_slices([flat], ["flat"], tmp_path / "lines.png")
    assert (tmp_path / "flat.png").stat().st_size > 1000


def test_drawing_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"openstylegan\[plots\]"):
        draw_heatmap(Spectrum(np.ones((8, 8)), 4), tmp_path / "x.png")


def test_other_files_are_no_spectra(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", spectrum=np.ones((6, 6)), image_size=4)
    with pytest.raises(InputError, match="a multiple of 4"):
        load_spectrum(tmp_path / "odd.npz")
    assert load_all([]) == []
