"""How the processes of a run talk."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from openstylegan.errors import InputError
from openstylegan.training.launch import pick_backend, run_processes


@pytest.mark.parametrize(
    ("name", "on_gpu", "expected"),
    [("auto", True, "nccl"), ("auto", False, "gloo"), ("gloo", True, "gloo"), ("nccl", True, "nccl")],
)
def test_the_backend_is_the_device_s_unless_it_is_named(name: str, on_gpu: bool, expected: str) -> None:
    assert pick_backend(name, on_gpu) == expected


def assert_gloo(total: int) -> None:
    """A process's job: everybody is there, and gloo adds up."""
    ones = torch.ones(1)
    dist.all_reduce(ones)
    if dist.get_backend() != "gloo" or ones.item() != total:
        raise InputError(f"expected gloo and {total}, got {dist.get_backend()} and {ones.item()}")


def test_processes_talk_by_the_named_backend() -> None:
    run_processes(assert_gloo, 2, 2, "cpu", "gloo")


@pytest.mark.parametrize(
    ("num", "backend", "message"),
    [(1, "gloo", "no effect on one process"), (2, "nccl", "expected GPUs"), (2, "mpi", "auto, nccl or gloo")],
)
def test_backends_that_cannot_be_used_are_refused(num: int, backend: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_processes(assert_gloo, num, num, "cpu", backend)
