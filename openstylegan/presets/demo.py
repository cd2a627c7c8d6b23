"""The demo: the embedded pictures, on two CPU cores, in six minutes. The numbers come from the search in
docs/experiments.md."""

from __future__ import annotations

from openstylegan.config import OutputConfig
from openstylegan.presets.stylegan2_ada import BaseConfig, Options

BASE = BaseConfig(
    ref_gpus=1,
    kimg=20,
    batch=16,
    mbstd=4,
    fmaps=0.0625,
    lrate=0.0025,
    gamma=0.5,
    ema_kimg=1,
    ema_rampup=0.05,
    map_layers=2,
)
OPTIONS = Options(
    cfg="demo",
    cmax=128,
    mirror=True,
    minutes=5.5,
    output=OutputConfig(
        kimg_per_tick=1,
        seconds_per_tick=25,
        image_ticks=1,
        snapshot_ticks=4,
        checkpoint_ticks=4,
        grid=(12, 8),
        metrics=("fd_efflite0",),
        metric_images=1615,
    ),
)
