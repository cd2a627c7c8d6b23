"""The demo: the embedded pictures, on two CPU cores, in six minutes. The numbers come from the search in
docs/experiments.md."""

from __future__ import annotations

from openstylegan.config import OutputConfig
from openstylegan.presets.stylegan2_ada import BaseConfig, Options

BASE = BaseConfig(
    ref_gpus=1,
    kimg=60,
    batch=32,
    mbstd=8,
    fmaps=1 / 32,
    lrate=0.005,
    gamma=1,
    ema_kimg=1,
    ema_rampup=0.05,
    map_layers=2,
    style_mixing_prob=0.5,
    use_noise=False,
    ada_kimg=100,
)
OPTIONS = Options(
    cfg="demo",
    cmax=64,
    mirror=True,
    augpipe="bg",
    minutes=5,
    output=OutputConfig(
        kimg_per_tick=2,
        seconds_per_tick=20,
        image_ticks=1,
        snapshot_ticks=1000,
        checkpoint_ticks=4,
        grid=(12, 8),
        metrics=("fd_efflite0",),
        metric_images=1000,
    ),
)
