"""The defaults of the programs whose files are read: what their constructors took when a file does not say.

From their published behaviour, and written out here so that a file means the same whatever our defaults become.
`conv_clamp`, `num_fp16_res` and `w_avg_beta` differ between the programs and are taken from the stored object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STYLEGAN2_MAPPING: Mapping[str, Any] = {"num_layers": 8, "activation": "lrelu", "lr_multiplier": 0.01}
STYLEGAN2_SYNTHESIS: Mapping[str, Any] = {
    "channel_base": 32768,
    "channel_max": 512,
    "architecture": "skip",
    "resample_filter": [1, 3, 3, 1],
    "fp16_channels_last": False,
    "use_noise": True,
    "activation": "lrelu",
    "kernel_size": 3,
}
STYLEGAN2_DISCRIMINATOR: Mapping[str, Any] = {
    "architecture": "resnet",
    "channel_base": 32768,
    "channel_max": 512,
    "cmap_dim": None,
}
STYLEGAN2_BLOCK: Mapping[str, Any] = {
    "activation": "lrelu",
    "resample_filter": [1, 3, 3, 1],
    "fp16_channels_last": False,
    "freeze_layers": 0,
}
STYLEGAN2_LABELS: Mapping[str, Any] = {"num_layers": 8, "activation": "lrelu", "lr_multiplier": 0.01}
STYLEGAN2_EPILOGUE: Mapping[str, Any] = {"mbstd_group_size": 4, "mbstd_num_channels": 1, "activation": "lrelu"}
STYLEGAN3_MAPPING: Mapping[str, Any] = {"num_layers": 2, "lr_multiplier": 0.01, "w_avg_beta": 0.998}
STYLEGAN3_SYNTHESIS: Mapping[str, Any] = {
    "channel_base": 32768,
    "channel_max": 512,
    "num_layers": 14,
    "num_critical": 2,
    "first_cutoff": 2,
    "first_stopband": 2**2.1,
    "last_stopband_rel": 2**0.3,
    "margin_size": 10,
    "output_scale": 0.25,
    "num_fp16_res": 4,
    "conv_kernel": 3,
    "filter_size": 6,
    "lrelu_upsampling": 2,
    "use_radial_filters": False,
    "conv_clamp": 256,
    "magnitude_ema_beta": 0.999,
}
