"""Whether this process can use the matrix units (AMX) of an x86-64 processor for bfloat16."""

from __future__ import annotations

import platform
import sys
from functools import cache
from pathlib import Path

from openstylegan.ops.native import native

LIBRARY = "amx"
"""Of `native.PARTS`: compiled only where the processor has the units."""
PIXELS = "filtered_lrelu_pixels"
"""Of `native.PARTS`: computes in half precision too where the processor does (AVX-512 FP16)."""


def without_units() -> str:
    """Empty where the processor has matrix units; else why not, as far as can be seen, in a few words."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return "not Linux on x86-64"
    flags = Path("/proc/cpuinfo")
    if not flags.is_file() or "amx_bf16" not in flags.read_text(encoding="utf-8", errors="replace").split():
        return "the processor has none"
    return ""


@cache
def available() -> str:
    """Empty where the matrix units can be used; else why not, in a few words."""
    if missing := without_units():
        return missing
    library, why = native(LIBRARY)
    if library is None:
        return why
    return "" if library.amx_permit() == 0 else "the compiler does not know them, or the system does not permit them"


@cache
def halves_available() -> bool:
    """Whether half precision can be used beside the matrix units: the processor has it, and the compiler knows it."""
    if available():
        return False
    library = native(PIXELS).loaded
    return library is not None and library.filtered_lrelu_pixels_has_halves() == 1
