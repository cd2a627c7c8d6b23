"""The optional C++, a few small libraries, compiled where a compiler is found, at first use, kept in the cache folder.

Nothing needs it. Without a compiler, or when compiling fails, the op takes its plain PyTorch form, and `openstylegan
doctor` tells why. `OPENSTYLEGAN_COMPILE=0` switches it off, `CXX` names another compiler.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from openstylegan.errors import InputError
from openstylegan.files import atomic_path, cache_folder, one_at_a_time, sha256_bytes

PARTS = {
    "filtered_lrelu": ("filtered_lrelu",),
    "filtered_lrelu_pixels": ("filtered_lrelu_pixels",),
    "winograd": ("winograd",),
    "channels_last": ("layouts", "resample", "tail", "power"),
    "amx": ("amx_convolution", "amx_weights", "amx_weight_gradient"),
    "fastgan": ("phases", "norm_act", "spectral"),
}
"""By library, its sources. What StyleGAN2 needs is compiled in six seconds, `filtered_lrelu` in eight."""
COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-O3", "-march=native", "-fno-trapping-math", "-fno-math-errno", "-std=c++17", "-shared", "-fPIC", "-pthread")
"""Vectors as wide as the processor has; no flag that changes what a formula means."""
SWITCH = "OPENSTYLEGAN_COMPILE"
LONGEST_S = 120


class Native(NamedTuple):
    """The compiled code, loaded, or None; and how it came, or why it did not, in a few words."""

    loaded: ctypes.CDLL | None
    why: str

    @property
    def code(self) -> ctypes.CDLL:
        """What is `loaded`, for those who have asked whether it is."""
        assert self.loaded is not None
        return self.loaded


@cache
def native(part: str = "filtered_lrelu") -> Native:
    """One of the `PARTS`, made when first asked for in a process and found again in the next."""
    if os.environ.get(SWITCH) == "0":
        return Native(None, f"{SWITCH}=0")
    compiler = find_compiler()
    if compiler is None:
        return Native(None, "no C++ compiler found")
    try:
        return Native(_load(part, compiler), f"compiled by {compiler}")
    except (OSError, subprocess.SubprocessError) as error:
        why = f"{compiler} failed: {_reason(error)}"
        warnings.warn(f"ops take their plain PyTorch forms: {why}", stacklevel=2)
        return Native(None, why)


def make_early(parts: Iterable[str]) -> None:
    """Begins to make those of the `PARTS` that are not there, so that whoever needs one waits less for it.

    Each in a process of its own: a thread would hardly run while this one imports PyTorch.
    """
    compiler = None if os.environ.get(SWITCH) == "0" else find_compiler()
    if compiler is None or not sys.executable:
        return
    for part in parts:
        with contextlib.suppress(OSError, subprocess.SubprocessError, InputError):  # `native` will tell
            if _place(part, _sources(part), compiler).is_file():
                continue
            order = [sys.executable, "-c", f"from openstylegan.ops.native import native; native({part!r})"]
            maker = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            threading.Thread(target=maker.wait, name=f"making {part}", daemon=True).start()


def find_compiler() -> str | None:
    """The path of `CXX`, else of the first known compiler."""
    given = os.environ.get("CXX")
    return next((path for name in ([given] if given else COMPILERS) if (path := shutil.which(name))), None)


def _load(part: str, compiler: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(compiled(part, _sources(part), compiler)))


def _sources(part: str) -> list[Path]:
    return [Path(__file__).with_name(f"{name}.cpp") for name in PARTS[part]]


def compiled(name: str, sources: Sequence[Path], compiler: str) -> Path:
    """The library `name` of `sources`, in the cache folder; compiled unless it is there.

    Raises `OSError` or `subprocess.SubprocessError`.
    """
    path = _place(name, sources, compiler)
    if path.is_file():
        return path
    with one_at_a_time(path):
        if not path.is_file():
            with atomic_path(path) as made:
                command = [compiler, *FLAGS, *_wide_vectors(), "-x", "c++", *map(str, sources), "-o", str(made)]
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_S)
    return path


def _place(name: str, sources: Sequence[Path], compiler: str) -> Path:
    return cache_folder("native") / f"{name}-{_key(compiler, sources)}.so"


def _key(compiler: str, sources: Sequence[Path]) -> str:
    """Of everything that the result depends on. Code for one processor may not run on another."""
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True, timeout=LONGEST_S)
    headers = sorted({header for source in sources for header in source.parent.glob("*.h")})
    contents = [sha256_bytes(source.read_bytes()) for source in (*sources, *headers)]
    parts = [*contents, version.stdout, *FLAGS, platform.machine(), *_processor()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> list[str]:
    """The lines of /proc/cpuinfo that name the processor and what it can do."""
    path = Path("/proc/cpuinfo")
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else [platform.processor()]
    )
    return sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU"))})


def _wide_vectors() -> list[str]:
    """Compilers prefer half-wide vectors on processors that have AVX-512."""
    return ["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []


def _reason(error: Exception) -> str:
    """One line of what a failed compiler or loader said."""
    said = getattr(error, "stderr", None) or str(error)
    lines = [line for line in said.splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if "error" in line), lines[0]).strip()
