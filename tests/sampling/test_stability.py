"""The stability figure: what is compared with what, of networks that grow and of those that do not."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from tiny import tiny_generator

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.images import leaves
from openstylegan.networks.base import Generator
from openstylegan.sampling.stability import pictures_of, stability_of
from openstylegan.snapshot import write_snapshot

MSG = {"channel_base": 64, "channel_max": 4, "num_layers": 2}
GROWING = {"channels": [8, 6, 4], "num_layers": 2}
EPOCH = 1000


def write_run(folder: Path, name: str, options: dict, states: list[tuple[int, float, float]]) -> Path:
    """Snapshots after so many images, at a lod, with the last layers' biases at a value."""
    folder.mkdir()
    component = Component(name, {"z_dim": 8, "w_dim": 8, "img_resolution": 16, **options})
    for images, lod, value in states:
        G = tiny_generator(name, **options)
        G.set_lod(lod)
        with torch.no_grad():
            for key, tensor in G.named_parameters():
                if "torgb" in key or "to_rgb" in key:
                    tensor.fill_(value if key.endswith("bias") else 0.0)
        about = {"cur_nimg": images, "dataset": {"num_images": EPOCH}}
        path = folder / f"network-snapshot-{images // 1000:06d}.safetensors"
        write_snapshot(path, {"G_ema": G}, {"G": component}, about)
    return folder


def test_every_scale_is_compared_with_the_epoch_before(tmp_path: Path) -> None:
    states = [(1000, 0, -0.8), (2000, 0, -0.4), (3000, 0, 0.4), (4000, 0, 5.0)]
    run = write_run(tmp_path / "msg", "msg_stylegan", MSG, states)
    found = stability_of(run, num_latents=5)
    assert (found.name, found.spacing) == ("msg", 1.0)
    assert [curve.width for curve in found.curves] == [4, 8, 16]
    for curve in found.curves:
        assert curve.epochs == [2, 3, 4]
        # Biases of -0.8, -0.4, 0.4, 5 are greys of 0.1, 0.3, 0.7 and, clamped, 1.
        assert curve.mse == pytest.approx([0.2**2, 0.4**2, 0.3**2], rel=1e-5)
    apart = stability_of(run, epochs=2)
    assert apart.curves[0].epochs == [3] and apart.curves[0].mse == pytest.approx([0.6**2], rel=1e-5)
    assert stability_of(run, num_epoch_images=500).curves[0].epochs == [4, 6, 8]


def test_a_growing_run_has_one_size_at_a_time(tmp_path: Path) -> None:
    states = [(1000, 1, 0.0), (2000, 1, 0.2), (3000, 0.5, 0.4), (4000, 0, 0.8)]
    found = stability_of(write_run(tmp_path / "grown", "stylegan1", GROWING, states))
    assert {curve.width: curve.epochs for curve in found.curves} == {8: [2], 16: [4]}
    assert found.curves[0].mse == pytest.approx([0.1**2], rel=1e-5)
    assert found.curves[1].mse == pytest.approx([0.2**2], rel=1e-5)


def test_pictures_are_those_of_fixed_latents_and_classes_in_turn() -> None:
    G: Generator = tiny_generator("msg_stylegan", c_dim=2, **MSG)
    mine = pictures_of(G, 5, seed=3, batch=2)
    assert {width: tuple(p.shape) for width, p in mine.items()} == {s: (5, 3, s, s) for s in (4, 8, 16)}
    assert torch.equal(mine[16][:3], pictures_of(G, 3, seed=3, batch=3)[16])
    assert not torch.equal(mine[16], pictures_of(G, 5, seed=4)[16])
    assert leaves(G(torch.zeros(1, 8), torch.eye(2)[:1]))[-1].shape == (1, 3, 16, 16)


def test_the_figure_and_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    msg = write_run(tmp_path / "msg", "msg_stylegan", MSG, [(1000, 0, 0.0), (2000, 0, 0.2)])
    grown = write_run(tmp_path / "grown", "stylegan1", GROWING, [(1000, 1, 0.0), (2000, 1, 0.4)])
    assert main(["stability", str(msg), str(grown), "--output", str(tmp_path / "figure.png")]) == 0
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    table = list(csv.reader((tmp_path / "figure.csv").read_text().splitlines()))
    assert table[0] == ["run", "width", "epoch", "mse"]
    assert table[1:] == [*(["msg", str(s), "2.0000", "0.01"] for s in (4, 8, 16)), ["grown", "8", "2.0000", "0.04"]]
    assert "msg: snapshots 1 epochs apart; MSE at the end: 4 px 0.01" in capsys.readouterr().out


def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", "stylegan1", GROWING, [(1000, 1, 0.0), (1500, 1, 0.2)])
    with pytest.raises(InputError, match="1 epochs apart .* got 1 at such distances"):
        stability_of(run)
    with pytest.raises(InputError, match="at least 1 latent"):
        stability_of(run, num_latents=0)
    with pytest.raises(InputError, match="found none"):
        stability_of(tmp_path)
    pytest.importorskip("matplotlib")
    for words, message in ((["--output", "a.gif"], "ends in .png"), (["--output", "a.png"], "at least one run")):
        assert main(["stability", *([str(run)] if "png" in message else []), *words]) == 2
        assert message in capsys.readouterr().err
