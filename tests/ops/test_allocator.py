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
x = torch.ones(4, 64, 64, 64)
w = torch.ones(64, 64, 3, 3)
def layers():
    y = x
    for _ in range(4):
        y = torch.nn.functional.conv2d(y, w, padding=1) * 0.001
for _ in range(4):
    layers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    layers()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(configure: str) -> int:
    program = [sys.executable, "-c", COUNT_FAULTS.format(configure=configure)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is configured")
def test_large_tensors_are_not_faulted_in_again() -> None:
    assert faults("configure_allocator()") * 4 < faults("")
