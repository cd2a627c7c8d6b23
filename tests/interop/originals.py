"""A small good file of every kind of file of networks that is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from helpers import GOLDEN

from openstylegan.config import Component
from openstylegan.interop.writing import write
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.registry import build
from openstylegan.snapshot import Networks, load, write_snapshot

SIZE = {"img_resolution": 8, "img_channels": 3, "c_dim": 0}
NARROW = {"channel_base": 64, "channel_max": 4}
G = Component("stylegan2", {"z_dim": 8, "w_dim": 8, "synthesis_kwargs": NARROW, **SIZE})
D = Component("stylegan2", {**NARROW, **SIZE})
GOLDEN_FILES = ("pkl_sg2ada_cond.pkl", "tf_sg2_configf.pkl")


def own_networks(path: Path) -> Networks:
    """Tiny networks of ours, written to `path` and loaded again."""
    made = {
        "G": build(GENERATORS, G.name, G.options, "generator"),
        "G_ema": build(GENERATORS, G.name, G.options, "generator"),
        "D": build(DISCRIMINATORS, D.name, D.options, "discriminator"),
    }
    write_snapshot(path, made, {"G": G, "D": D}, {"cur_nimg": 1000})
    return load(path)


def write_originals(folder: Path) -> list[Path]:
    """Writes them into `folder`: ours, a plain pickle, rosinality's by both layouts of torch.save, and golden ones."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    networks = own_networks(folder / "ours.safetensors")
    write(networks, folder / "plain.pkl")
    write(networks, folder / "rosinality.pt")
    content = torch.load(folder / "rosinality.pt", weights_only=True)
    torch.save(content, folder / "rosinality-legacy.pt", _use_new_zipfile_serialization=False)
    for name in GOLDEN_FILES:
        shutil.copyfile(GOLDEN / name, folder / name)
    return sorted(folder.iterdir())
