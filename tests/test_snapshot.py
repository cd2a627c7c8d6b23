"""Snapshots: what is written is what is loaded; anything else is refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import openstylegan
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.registry import build
from openstylegan.snapshot import load, write_snapshot

SIZE = {"img_resolution": 16, "img_channels": 3, "c_dim": 2}
G = Component("stylegan2", {"z_dim": 8, "w_dim": 8, "synthesis_kwargs": {"channel_base": 64, "channel_max": 4}, **SIZE})
D = Component("stylegan2", {"channel_base": 64, "channel_max": 4, **SIZE})


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    networks = {
        "G": build(GENERATORS, G.name, G.options, "generator"),
        "G_ema": build(GENERATORS, G.name, G.options, "generator"),
        "D": build(DISCRIMINATORS, D.name, D.options, "discriminator"),
    }
    path = tmp_path / "network-snapshot-000001.safetensors"
    write_snapshot(path, networks, {"G": G, "D": D}, {"cur_nimg": 1000})
    return path


def test_there_and_back(snapshot: Path) -> None:
    networks = load(snapshot)
    assert networks.G is not None and networks.D is not None
    assert networks.about["cur_nimg"] == 1000 and networks.config is None
    for module in (networks.G, networks.D, networks.G_ema):
        assert not module.training and not any(p.requires_grad for p in module.parameters())
    z, c = torch.randn(2, 8), torch.eye(2)
    image = networks.G_ema(z, c, noise_mode="const")
    assert image.shape == (2, 3, 16, 16)
    assert torch.equal(image, load(snapshot).G_ema(z, c, noise_mode="const"))
    assert not torch.equal(image, networks.G(z, c, noise_mode="const"))
    assert networks.D(image, c).shape == (2, 1)


def test_loading_leaves_the_global_generator_alone(snapshot: Path) -> None:
    torch.manual_seed(1)
    expected = torch.randn(2)
    torch.manual_seed(1)
    openstylegan.load(snapshot)
    assert torch.equal(torch.randn(2), expected)


def test_a_run_folder_means_its_newest_snapshot(snapshot: Path) -> None:
    newer = snapshot.with_name("network-snapshot-000020.safetensors")
    newer.write_bytes(snapshot.read_bytes())
    snapshot.with_name("network-snapshot-best.safetensors").write_bytes(snapshot.read_bytes())
    assert load(snapshot.parent).path == newer


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])


REFUSED = {
    "missing": (lambda p: p.unlink(), "no such file"),
    "cut": (damaged, "damaged"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps({"G_ema": 1})), "not a safetensors file"),
    "empty": (lambda p: p.write_bytes(b""), "damaged"),
    "foreign": (lambda p: save_file({"a": torch.zeros(1)}, p), "description"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused_in_one_line(snapshot: Path, kind: str) -> None:
    change, message = REFUSED[kind]
    change(snapshot)
    with pytest.raises(InputError, match=message) as caught:
        load(snapshot)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        load(tmp_path)
