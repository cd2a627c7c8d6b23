"""Tensors on disk: safetensors files with a description inside. No code, no pickle."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.files import atomic_path


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes `tensors` with `about` (anything JSON) in the file's metadata, atomically."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    owners: dict[int, str] = {}
    for name, t in plain.items():
        if owners.setdefault(t.data_ptr(), name) != name:
            plain[name] = t.clone()  # the format does not hold two names for one memory
    with atomic_path(path) as temporary:
        try:
            save_file(plain, temporary, metadata={"openstylegan": json.dumps(about)})
        except SafetensorError as error:
            raise as_os_error(error) from error


def as_os_error(error: Exception) -> Exception:
    """The system's error inside the library's, such as a full disk; otherwise the library's own."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), str(error)) if number else error


def read_tensors(path: str | os.PathLike[str], device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file that `write_tensors` wrote. Raises `InputError` for anything else."""
    if not Path(path).is_file():
        raise InputError(f"expected a .safetensors file at {path}, but there is none")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            about = (file.metadata() or {}).get("openstylegan")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or is not a safetensors file ({error}); use another copy") from error
    if about is None:
        raise InputError(f"{path} holds tensors but not OpenStyleGAN's description; was it written by another program?")
    return tensors, described(about, path)


def described(about: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file's description. Raises `InputError` when it is not one."""
    try:
        found = json.loads(about)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: its description cannot be read ({error}); use another copy") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: its description is no table; use another copy")
    return found


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` under `prefix/name`."""
    return {f"{prefix}/{name}": t for name, t in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix/`, without it."""
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(f"{prefix}/")}


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copies `tensors` into a module of the same names and shapes. Raises `InputError` when they differ."""
    check_fit(module, tensors, what)
    module.load_state_dict(dict(tensors))


def give_to(module: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Makes `tensors` those of a module without weights: its dtypes stay, and nothing is copied that has them.

    Raises `InputError` when names, shapes or kinds of number differ.
    """
    check_fit(module, tensors, what)
    own = module.state_dict()
    wrong = sorted(n for n in own if own[n].is_floating_point() != tensors[n].is_floating_point())
    if wrong:
        raise InputError(f"{what} does not fit the network: {wrong[0]} is {tensors[wrong[0]].dtype}; is it damaged?")
    module.load_state_dict({n: tensors[n].to(own[n].dtype).contiguous() for n in own}, assign=True)


def check_fit(module: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Raises `InputError` unless `tensors` has exactly the names and shapes of the module's own."""
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape]
    if missing or unknown or wrong:
        raise InputError(
            f"{what} does not fit the network: {len(missing)} tensors missing {missing[:2]}, {len(unknown)} unknown "
            f"{unknown[:2]}, {len(wrong)} of another shape {wrong[:2]}; was it made with other options?"
        )
