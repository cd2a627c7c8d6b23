"""Processes: rank, world size and sums over ranks, all of which do nothing when only one process runs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if is_distributed() else 1


def is_main() -> bool:
    """Whether this is the process that writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Waits until every process is here."""
    if is_distributed():
        dist.barrier()


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Adds `tensor` over all processes, in place, and returns it."""
    if is_distributed():
        dist.all_reduce(tensor)
    return tensor


def agree(device: torch.device, *flags: bool) -> list[bool]:
    """Each flag, raised on any process: signals, clocks and full memories do not reach all processes alike."""
    if not is_distributed():
        return list(flags)
    votes = torch.tensor([float(flag) for flag in flags], device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return [bool(v) for v in votes.tolist()]


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Gives every process the main process's values, in place."""
    if is_distributed():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def all_reduce_flat(tensors: list[Tensor]) -> None:
    """Adds each of `tensors` over all processes, in place, as one message a dtype."""
    if not is_distributed() or not tensors:
        return
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        group = [t for t in tensors if t.dtype == dtype]
        flat = torch.cat([t.reshape(-1) for t in group])
        dist.all_reduce(flat)
        for t, part in zip(group, flat.split([t.numel() for t in group]), strict=True):
            t.copy_(part.view_as(t))
