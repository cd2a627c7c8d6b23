"""Copies of golden files with something changed, for the tests of the golden program."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden.runner import Line, check_folder

GOLDEN = Path(__file__).parent
CPU = torch.device("cpu")

Arrays = dict[str, np.ndarray]


def load(name: str) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and description of one of the project's golden files."""
    with np.load(GOLDEN / name, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("meta_json")))


def save(path: Path, arrays: Arrays, meta: Any) -> None:
    """Writes arrays and a description as a golden file."""
    np.savez(path, meta_json=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]


def changed(folder: Path, name: str, change: Callable[[Arrays, dict[str, Any]], Any]) -> list[Line]:
    """The lines of a golden file after a change, in a folder of its own."""
    arrays, meta = load(name)
    change(arrays, meta)
    save(folder / name, arrays, meta)
    return list(check_folder(folder, CPU))


def copied(folder: Path, *names: str) -> Path:
    """`folder` with golden files of the project in it."""
    for name in names:
        shutil.copy(GOLDEN / name, folder / name)
    return folder


def verdicts(lines: list[Line]) -> set[str]:
    """The verdicts that occur."""
    return {line.verdict for line in lines}


def texts(lines: list[Line], verdict: str) -> list[str]:
    """What the lines of one verdict say."""
    return [line.check.text for line in lines if line.verdict == verdict]


def named(lines: list[Line], word: str) -> bool:
    """Is there a line of a file not understood that names `word`?"""
    return any(word in text for text in texts(lines, "NOT UNDERSTOOD"))
