"""Checkpoints: folders with a manifest of SHA-256, published by rename, read with fall-back to the one before.

checkpoints/000012-00000750/        kimg - step
    networks.safetensors            G, D, G_ema, augmentation, buffers of the loss terms
    optimizers.safetensors          Adam's moments
    state.json                      counters, statistics, health, the run's configuration, the data's hash
    manifest.json                   file -> SHA-256 and size
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from openstylegan.errors import InputError
from openstylegan.files import atomic_folder, read_json, sha256_file, write_json
from openstylegan.tensors import read_tensors, write_tensors
from openstylegan.training.state import TrainState

FORMAT = 1
FOLDER = "checkpoints"


def checkpoint_name(state: TrainState) -> str:
    """`<kimg>-<step>`, sorted by time."""
    return f"{state.counters.cur_nimg // 1000:06d}-{state.counters.step:08d}"


def write_checkpoint(run_folder: Path, state: TrainState, about: dict[str, Any]) -> Path:
    """Publishes a checkpoint of `state`; one of the same step is left as it is (it holds the same)."""
    target = run_folder / FOLDER / checkpoint_name(state)
    if target.exists() and problem_of(target) is None:
        return target
    shutil.rmtree(target, ignore_errors=True)
    with atomic_folder(target) as folder:
        write_tensors(folder / "networks.safetensors", state.network_tensors(), {"format": FORMAT})
        write_tensors(folder / "optimizers.safetensors", state.optimizer_tensors(), {"format": FORMAT})
        write_json(folder / "state.json", {"format": FORMAT, **about, **state.numbers()})
        files = sorted(folder.iterdir())
        manifest = {f.name: {"sha256": sha256_file(f), "bytes": f.stat().st_size} for f in files}
        write_json(folder / "manifest.json", manifest)
    return target


def problem_of(folder: Path) -> str | None:
    """Why a checkpoint cannot be used, or None when every file is what the manifest says."""
    try:
        manifest = read_json(folder / "manifest.json")
        for name, expected in manifest.items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != expected["bytes"]:
                return f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}"
            if sha256_file(file) != expected["sha256"]:
                return f"{name} is damaged (its SHA-256 differs from the manifest)"
    except (InputError, KeyError, TypeError, AttributeError, OSError) as error:
        return f"its manifest cannot be read ({error})"
    needed = {"networks.safetensors", "optimizers.safetensors", "state.json"}
    return None if needed <= manifest.keys() else f"its manifest does not name {sorted(needed - manifest.keys())}"


def checkpoints_of(run_folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    folder = run_folder / FOLDER
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".") if folder.is_dir() else []


def latest_checkpoint(run_folder: Path, warn: Callable[[str], None]) -> Path:
    """The newest checkpoint that is whole; `warn` gets a line for each that is not. Raises `InputError` if none is."""
    for folder in reversed(checkpoints_of(run_folder)):
        problem = problem_of(folder)
        if problem is None:
            return folder
        warn(f"checkpoint {folder.name} is not used: {problem}; falling back to the one before")
    raise InputError(f"expected a whole checkpoint in {run_folder / FOLDER}, found none; start the run anew")


def read_checkpoint(folder: Path, state: TrainState, device: torch.device) -> dict[str, Any]:
    """Loads a checkpoint into `state` and returns its `state.json`. Raises `InputError`."""
    numbers = read_json(folder / "state.json")
    if numbers.get("format") != FORMAT:
        raise InputError(f"expected checkpoint format {FORMAT}, got {numbers.get('format')}; update OpenStyleGAN")
    networks, _ = read_tensors(folder / "networks.safetensors")
    optimizers, _ = read_tensors(folder / "optimizers.safetensors")
    state.load(networks, optimizers, numbers, device)
    return numbers


def rotate(run_folder: Path, keep: int, best: str | None) -> None:
    """Removes all but the newest `keep` checkpoints and the best one; `keep` <= 0 keeps all."""
    if keep <= 0:
        return
    for folder in checkpoints_of(run_folder)[:-keep]:
        if folder.name != best:
            shutil.rmtree(folder, ignore_errors=True)
