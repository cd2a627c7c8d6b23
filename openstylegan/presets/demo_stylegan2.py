"""The demo with StyleGAN2-ADA instead: the embedded pictures at 32 px, on two CPU cores, in five minutes.

StyleGAN2-ADA (arXiv 2006.06676) cut to the budget: thin layers, no noise inputs, and what keeps so short a run from
drawing one shape only: minibatch-std over the whole batch in four channels, a mapping that learns ten times as fast.
The numbers come from the search in docs/experiments.md.
"""

from __future__ import annotations

import dataclasses

from openstylegan.config import TrainConfig
from openstylegan.presets import demo, stylegan2_ada
from openstylegan.presets.stylegan2_ada import BaseConfig, Options

BASE = BaseConfig(
    ref_gpus=1,
    kimg=60,
    batch=16,
    mbstd=16,
    fmaps=1 / 32,
    lrate=0.004,
    gamma=1,
    ema_kimg=1,
    ema_rampup=0.05,
    map_layers=2,
    path_length_weight=0,
    style_mixing_prob=0,
    use_noise=False,
    ada_kimg=100,
    latent_dim=64,
    map_lr_multiplier=0.1,
    mbstd_channels=4,
)
OPTIONS = Options(
    cfg="demo-stylegan2",
    cmax=64,
    mirror=True,
    augpipe="bg",
    minutes=5,
    output=demo.OUTPUT,
)


def make_config(options: Options, data_path: str, resolution: int) -> TrainConfig:
    """The demo's configuration with `options` put in. Raises `InputError`."""
    return stylegan2_ada.make_config(options, data_path, resolution, BASE)


PRESET = dataclasses.replace(
    stylegan2_ada.PRESET, family="demo", options=OPTIONS, make_config=make_config, pictures=demo.pictures
)
