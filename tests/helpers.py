"""What several test files share: golden arrays and how far two arrays are apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of a golden file `name` (without ending)."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("meta_json")))


def relative_error(actual: Tensor, expected: Any) -> float:
    """Largest absolute difference over the largest magnitude of `expected`."""
    reference = torch.as_tensor(np.asarray(expected)).double()
    difference = (actual.detach().double().cpu() - reference).abs().max()
    return float(difference / reference.abs().max().clamp_min(1e-30))
