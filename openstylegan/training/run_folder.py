"""The folder of a run: its name, what is written into it at the start, and what is cut off when it is resumed."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch

from openstylegan import __version__
from openstylegan import config as configs
from openstylegan.config import TrainConfig
from openstylegan.errors import InputError
from openstylegan.files import clear_write_errors, write_json

CONFIG_FILE = "config.json"
PRESET_FILE = "preset.json"
ENVIRONMENT_FILE = "environment.json"
STATS_FILE = "stats.jsonl"
LOG_FILE = "log.txt"


def new_run_folder(outdir: Path, description: str) -> Path:
    """Makes `<outdir>/<id>-<description>`, id being one above the largest there, five digits."""
    with clear_write_errors(outdir):
        outdir.mkdir(parents=True, exist_ok=True)
        taken = [int(m[0]) for p in outdir.iterdir() if p.is_dir() and (m := re.match(r"\d+", p.name))]
        number = max(taken, default=-1) + 1
        while True:
            folder = outdir / f"{number:05d}-{description}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1


def is_run_folder(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is the folder of a run."""
    return (Path(path) / CONFIG_FILE).is_file()


def read_config(folder: Path) -> TrainConfig:
    """The configuration of the run in `folder`. Raises `InputError`."""
    if not is_run_folder(folder):
        raise InputError(f"expected a run folder with {CONFIG_FILE}, found none at {folder}; check --resume")
    return configs.load(TrainConfig, folder / CONFIG_FILE)


def environment(device: torch.device) -> dict[str, Any]:
    """What a number in this run depends on besides the configuration."""
    return {
        "openstylegan": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "device_type": device.type,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def begin(folder: Path, config: TrainConfig, device: torch.device, preset: TrainConfig | None) -> None:
    """Writes the configuration, what its preset alone would have been (if known), and the environment."""
    configs.save(folder / CONFIG_FILE, config)
    if preset is not None:
        configs.save(folder / PRESET_FILE, preset)
    write_json(folder / ENVIRONMENT_FILE, environment(device))


def log_files(folder: Path) -> list[Path]:
    """The line-by-line records of a run: statistics and metrics."""
    return [folder / STATS_FILE, *sorted(folder.glob("metric-*.jsonl"))]


def log_sizes(folder: Path) -> dict[str, int]:
    """How long each record is now, in bytes."""
    return {p.name: p.stat().st_size for p in log_files(folder) if p.exists()}


def cut_logs(folder: Path, sizes: dict[str, int]) -> None:
    """Takes from the records what was written after the checkpoint that holds `sizes`."""
    for path in log_files(folder):
        if path.exists():
            size = sizes.get(path.name, 0)
            os.truncate(path, size) if size else path.unlink()
