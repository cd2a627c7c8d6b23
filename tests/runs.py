"""A run small enough to test with: 16 px pictures, thin networks, every kind of term, augmentation and randomness."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openstylegan.config import (
    Component,
    DataConfig,
    EmaConfig,
    OutputConfig,
    PhaseConfig,
    PlayerConfig,
    TrainConfig,
    with_overrides,
)

WIDTHS = {"channel_base": 128, "channel_max": 8}


def make_pictures(path: Path, num: int = 24, size: tuple[int, int] = (16, 16), channels: int = 3) -> Path:
    """A ZIP of random smooth pictures in three classes."""
    random = np.random.RandomState(0)
    labels = []
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(num):
            small = random.randint(0, 256, (4, 4, channels), np.uint8)
            image = Image.fromarray(small[:, :, 0] if channels == 1 else small).resize(
                size[::-1], Image.Resampling.BICUBIC
            )
            data = BytesIO()
            image.save(data, "PNG")
            archive.writestr(f"{n:03d}.png", data.getvalue())
            labels.append([f"{n:03d}.png", n % 3])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def small_config(data: Path, **overrides: Any) -> TrainConfig:
    """Everything on: classes, mirroring, mixing, ADA, lazy path length and R1, minibatch-std groups of 2."""
    config = TrainConfig(
        data=DataConfig(path=str(data), use_labels=True, xflip=True, num_workers=1),
        generator=PlayerConfig(
            Component(
                "stylegan2",
                {"z_dim": 12, "w_dim": 12, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": dict(WIDTHS)},
            )
        ),
        discriminator=PlayerConfig(
            Component(
                "stylegan2", {**WIDTHS, "epilogue_kwargs": {"mbstd_group_size": 2}, "mapping_kwargs": {"num_layers": 2}}
            )
        ),
        phases=(
            PhaseConfig("Gmain", "G", (Component("logistic_g"),)),
            PhaseConfig("Greg", "G", (Component("path_length"),), 2, lazy=True),
            PhaseConfig("Dmain", "D", (Component("logistic_d"),)),
            PhaseConfig("Dreg", "D", (Component("r1", {"gamma": 1.0}),), 2, lazy=True),
        ),
        schedule=Component("constant", {"batch_size": 8, "batch_gpu": 8}),
        augment=Component("ada", {"preset": "bgc", "kimg": 0.05, "initial_p": 0.3}),
        ema=EmaConfig(0.05, 0.05),
        output=OutputConfig(
            kimg_per_tick=0.016,
            image_ticks=1000,
            snapshot_ticks=1000,
            checkpoint_ticks=1,
            grid=(2, 1),
            tensorboard=False,
        ),
        total_kimg=0.08,
        seed=3,
    )
    return with_overrides(config, overrides)
