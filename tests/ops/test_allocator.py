"""Freed memory stays with the process once the allocator is configured."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, torch
from openstylegan.ops.allocator import configure_allocator
{configure}
for _ in range(3):
    torch.ones(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(configure: str) -> int:
    program = [sys.executable, "-c", COUNT_FAULTS.format(configure=configure)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is configured")
def test_large_tensors_are_not_faulted_in_again() -> None:
    # Eight tensors of 64 MiB are 131072 pages of 4 KiB; configured, they are the same memory each time.
    assert faults("print(end=configure_allocator()[:0])") * 20 < faults("")
