"""Statistics of real pictures on the disk, so that they are taken once for each dataset and protocol.

A file's name holds a hash of everything its content depends on: the dataset's content, the extractor's whole protocol,
the number of pictures, and which part is stored. It can be deleted at any time.

Differs from StyleGAN2-ADA: the number of pictures is part of the key (there, metrics over different numbers could read
each other's file), the data is known by its content and not by its path, and the file is .npz, not a pickle.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openstylegan.files import atomic_path, cache_folder, sha256_bytes
from openstylegan.metrics.statistics import FeatureSet

FORMAT = 1


def cache_key(dataset_hash: str, protocol: Mapping[str, Any], num: int, part: str) -> str:
    """What a cached set depends on, as canonical JSON."""
    content = {"format": FORMAT, "dataset": dataset_hash, "protocol": dict(protocol), "num": num, "part": part}
    return json.dumps(content, sort_keys=True)


def cache_path(dataset_name: str, extractor: str, key: str) -> Path:
    """Where the set of this key lies."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", dataset_name)[:64]
    return cache_folder("metrics") / f"{name}-{extractor}-{sha256_bytes(key.encode())[:32]}.npz"


def load_set(path: Path, key: str, num: int) -> FeatureSet | None:
    """The cached set, or None when there is none or the file is damaged or for something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            if "features" in file.files:
                return FeatureSet(num, features=torch.from_numpy(file["features"]))
            return FeatureSet(num, torch.from_numpy(file["mean"]), torch.from_numpy(file["covariance"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_set(path: Path, key: str, found: FeatureSet) -> None:
    """Writes a set, all or nothing."""
    parts = {"mean": found.mean, "covariance": found.covariance, "features": found.features}
    arrays = {name: part.numpy() for name, part in parts.items() if part is not None}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, key=np.array(key), **arrays)
