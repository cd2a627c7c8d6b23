"""Layers: their names, their values, and what of them is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_generator
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.viewer.display import describe, histogram, picture_of
from openstylegan.viewer.layers import layers_of, value_of
from openstylegan.viewer.session import Session
from openstylegan.viewer.spectrum import colour_map, coloured, log_spectrum
from openstylegan.viewer.state import View


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(tiny_generator())


def test_names_of_stylegan2(session: Session) -> None:
    names = [entry.name for entry in session.layers()]
    assert names[:4] == ["b4.conv1", "b4.torgb", "b4:0", "b4:1"]
    assert names[4:9] == ["b8.conv0", "b8.conv1", "b8.torgb", "b8:0", "b8:1"]
    assert names[-1] == "output" and len(names) == 15
    assert session.layers()[4].shape == (4, 8, 8) and session.layers()[4].dtype == "float32"


def test_names_of_stylegan3() -> None:
    G = tiny_generator("stylegan3", img_resolution=32, channel_base=256, channel_max=8, num_layers=5, margin_size=3)
    names = [entry.name for entry in Session(G).layers()]
    own = [name for name, _ in G.synthesis.named_children()]
    assert names == [*own, "output"] and names[0] == "input" and names[1].startswith("L0_")


class Odd(nn.Module):
    """Parts that are used twice, give volumes, and give things that are no pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.volume, self.flat, self.last = nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity()
        self.calls = 0

    def forward(self, x: Tensor) -> tuple[Tensor, list[int], Tensor]:
        x = self.twice(self.twice(x) + 1)
        self.volume(torch.stack([x, 3 * x], 2))
        self.flat(x.flatten(1))
        self.calls += 1
        return self.last(x), [1], x * 2


def test_repeated_names_volumes_and_several_results() -> None:
    odd, x = Odd(), torch.ones(1, 2, 3, 4)
    parts = {name or "output": part for name, part in odd.named_modules()}
    entries = layers_of(parts, lambda: odd(x))
    assert [entry.name for entry in entries] == ["twice", "twice_2", "volume", "last", "output:0", "output:1"]
    assert all(entry.shape == (2, 3, 4) for entry in entries)
    values = {name: float(value_of(parts, name, lambda: odd(x)).mean()) for name in ("twice", "twice_2", "volume")}
    assert values == {"twice": 1.0, "twice_2": 2.0, "volume": 4.0}
    assert odd.calls == 1  # by layers_of only: what is after the wanted layer is not computed
    assert not any(part._forward_hooks for part in odd.modules())
    with pytest.raises(InputError, match="no layer 'twise'; did you mean 'twice'"):
        value_of(parts, "twise", lambda: odd(x))


def test_a_layer_is_what_the_part_gives(session: Session) -> None:
    seen: list[Tensor] = []
    hook = session.G.synthesis.b8.conv1.register_forward_hook(lambda *a: seen.append(a[2].clone()))
    shown = session.render(View(x=2.0, mode="layer", layer="b8.conv1")).shown
    hook.remove()
    layer = seen[0][0]
    assert shown.all.mean == pytest.approx(float(layer.mean()), abs=1e-6)
    assert shown.all.std == pytest.approx(float(layer.std(correction=0)), rel=1e-5)
    assert shown.all.max == pytest.approx(float(layer.abs().max()), rel=1e-6)
    assert shown.selected.mean == pytest.approx(float(layer[:3].mean()), abs=1e-6)


LAYER = torch.linspace(-1.5, 1.5, 5 * 6 * 4).reshape(5, 6, 4)


def bytes_of(values: np.ndarray) -> np.ndarray:
    return np.clip(values * 127.5 + 128, 0, 255).astype(np.uint8)


def test_channels_gain_and_normalization() -> None:
    values = LAYER.numpy()
    view = View(mode="layer", channel=1)
    assert (picture_of(LAYER, view).numpy() == bytes_of(values[1:4])).all()
    assert (picture_of(LAYER, View(mode="layer", channel=99)).numpy() == bytes_of(values[2:5])).all()
    assert (picture_of(LAYER, View(mode="layer", channel=4, rgb=False)).numpy() == bytes_of(values[4:])).all()
    louder = picture_of(LAYER, View(mode="layer", scale_db=-20.0)).numpy()
    assert np.abs(louder.astype(int) - bytes_of(values[:3] / 10)).max() <= 1
    normal = picture_of(LAYER, View(mode="layer", normalize=True)).numpy()
    largest = np.abs(values[:3]).max((1, 2), keepdims=True)
    assert np.abs(normal.astype(int) - bytes_of(values[:3] / largest)).max() <= 1
    assert (picture_of(torch.zeros(5, 6, 4), View(mode="layer", normalize=True)) == 128).all()
    shown = describe("a", LAYER, View(mode="layer", channel=99))
    assert (shown.channel, shown.channels, shown.shape) == (2, 3, (5, 6, 4))


def test_histogram_counts_what_is_finite() -> None:
    layer = LAYER.clone()
    layer[0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    shown = describe("a", layer, View(mode="layer"))
    assert shown.not_finite == 2 and sum(shown.histogram.counts) == layer.numel() - 2
    finite = layer[layer.isfinite()].numpy()
    expected = np.histogram(finite, 64, (shown.histogram.low, shown.histogram.high))[0]
    assert np.abs(expected - np.array(shown.histogram.counts)).sum() <= 4  # float32 against float64 at the bins' edges
    assert sum(histogram(torch.full((7,), 2.0)).counts) == 7
    assert describe("a", torch.full((3, 2, 2), float("nan")), View(mode="layer")).all.max == 0


def test_the_spectrum_by_its_formula() -> None:
    x = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(0))
    signal = x.double().numpy()
    signal = signal - signal.mean((1, 2), keepdims=True)
    signal = signal * np.kaiser(8, 5.0)[:, None] * np.kaiser(12, 5.0)
    power = (np.abs(np.fft.fftn(signal, axes=(1, 2))) ** 2).sum(0)
    expected = 10 * np.log10(np.roll(power / power.mean(), (4, 6), (0, 1)))
    assert np.allclose(log_spectrum(x, 5.0).numpy(), expected, atol=1e-6)
    assert (log_spectrum(torch.ones(2, 4, 4)) == 0).all()


def test_colours_of_the_spectrum() -> None:
    db = torch.tensor([[-200.0, -50.0, 0.0], [10.0, 50.0, 200.0]])
    table = colour_map()
    assert table.shape == (1024, 3) and table[0].tolist() == [68, 1, 84] and table[-1].tolist() == [253, 231, 36]
    colours = coloured(db, 50.0)
    index = [0, 0, 512, 614, 1023, 1023]
    assert torch.equal(colours.flatten(1).T, table[index])
    colormaps = pytest.importorskip("matplotlib").colormaps
    expected = colormaps["viridis"].resampled(1024)(np.arange(1024), bytes=True)[:, :3]
    assert (table.numpy() == expected).all()


def test_all_channels_or_the_shown_ones_make_the_spectrum() -> None:
    x = torch.randn(6, 8, 8, generator=torch.Generator().manual_seed(1))
    both = [picture_of(x, View(mode="layer", fft=True, fft_all=every))[:, :, 8:] for every in (True, False)]
    assert torch.equal(both[0], coloured(log_spectrum(x), 50.0))
    assert torch.equal(both[1], coloured(log_spectrum(x[:3]), 50.0))
    assert not torch.equal(*both)
