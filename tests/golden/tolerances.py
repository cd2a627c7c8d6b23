"""How closely each kind of golden array must be met, as the recordings' own notes suggest."""

from __future__ import annotations

import torch

from golden.check import Tolerance

OPS = Tolerance(relative=1e-5)
OPS_ZERO = Tolerance(absolute=1e-8)
SETUP_FILTER = Tolerance(relative=1e-6)
NETWORK_ON_CPU = Tolerance(relative=2e-5)
NETWORK_ON_GPU = Tolerance(relative=1e-4)
TRAINING_MODE = Tolerance(relative=1e-4)
INPUT_GRADIENT = Tolerance(relative=1e-3)
LOSS = Tolerance(relative=1e-4)
GRADIENT_NORM = Tolerance(relative=1e-3, absolute=1e-6)
GRADIENT = Tolerance(relative=1e-3)
ALIAS_FREE_NETWORK = Tolerance(relative=1e-4)
ALIAS_FREE_INPUT_GRADIENT = Tolerance(relative=1e-2)
LOWPASS_TAPS = Tolerance(absolute=2e-7)
LAYER_TABLE = Tolerance(relative=1e-6)
AUGMENT = Tolerance(absolute=1e-4)
AUGMENT_FILTER = Tolerance(absolute=2e-7)
MIXING_WS = Tolerance(relative=1e-5)
MIXING_DIFFERING_BYTES = Tolerance(absolute=1e-3)
MIXING_FEW_BYTES = 2
MIXING_MEAN = Tolerance(relative=1e-5, absolute=1e-5)
MIXING_LEVELS = Tolerance(absolute=1)
VIDEO_WS = Tolerance(relative=1e-5)
LEARNING_RATE = Tolerance(absolute=1e-12)
PROJECTOR_W_SCALE = Tolerance(relative=1e-6)
PROJECTOR_W_STATISTICS = Tolerance(relative=1e-5)
NOISE_REGULARIZATION = Tolerance(relative=1e-4)
NOISE_NORMALIZED = Tolerance(relative=1e-6)
STATISTICS = Tolerance(relative=1e-5)
METRICS = {"fid": "rel 1e-5", "kid": "rel 1e-4", "precision_recall": "abs 2/N", "inception": "rel 1e-5"}
STATE_SUM = Tolerance(relative=1e-4)
LATENT = Tolerance(absolute=1e-15)
TRANSFORM = Tolerance(relative=1e-15, absolute=1e-15)
EXACT = Tolerance()


def network_tolerance(device: torch.device) -> Tolerance:
    """w, images and logits: other sums on a GPU round differently."""
    return NETWORK_ON_CPU if device.type == "cpu" else NETWORK_ON_GPU
