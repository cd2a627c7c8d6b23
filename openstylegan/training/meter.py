"""What a computation costs, counted operation by operation while it runs, on tensors with or without numbers in them.

The memory is that of the tensors alive at once, as the allocator would be asked for it: parameters, gradients, what
backward passes need, temporaries; not what a library takes inside one operation. The time of a product or convolution
is its arithmetic at the machine's convolution rate, that of any other operation its bytes at the machine's memory rate,
and each costs something beside that. Of the measured rates a training step reaches the shares below.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

READ_BY_HOST = torch.ops.aten._local_scalar_dense.default
CONVOLUTION_SHARE, MEMORY_SHARE, OVERHEADS = 1.0, 0.4, 13.0
"""What training steps reach of the rates of `measure_machine`, and how many of its overheads an operation costs with
the Python and autograd around it. Fitted to StyleGAN2 steps of 16 to 128 px on one CPU core (`benchmarks/plan.py` says
how near they come); nothing was fitted on a GPU."""
PEAK_SHAPE = (8, 256, 32)
"""Batch, channels and side of the 3x3 convolution that is measured."""
BANDWIDTH_BYTES = 2**22
TINY_OPERATIONS = 200


@dataclass(frozen=True)
class Machine:
    """What a device does in training: floating-point operations a second in convolutions, bytes a second in other
    operations, and seconds that each operation takes however small it is."""

    flops: float
    bandwidth: float
    overhead: float


@dataclass
class Work:
    """What was counted: floating-point operations (a multiplication and an addition are two), operations, seconds."""

    flops: float = 0.0
    num_bytes: float = 0.0
    operations: int = 0
    seconds: float = 0.0


class Meter(TorchDispatchMode):
    """A context that counts everything computed inside: `work` since the last `start`, and bytes `live` and `peak`.

    Numbers that the host reads from tensors without numbers are taken to be 1 (true).
    """

    def __init__(self, machine: Machine):
        super().__init__()
        self.machine = machine
        self.live = self.peak = 0
        self.work = Work()
        self.storages: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def start(self) -> None:
        """Counts from nothing again; what is alive stays counted."""
        self.work, self.peak = Work(), self.live

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is READ_BY_HOST and is_empty(args[0]):
            return one_of(args[0])
        out = func(*args, **kwargs)
        outputs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        for tensor in outputs:
            self.watch(tensor)
        if computes(func):
            # Once each: what is written into is an input and an output.
            tensors = {id(t): t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)}
            self.count(flops_of(func, args, kwargs, out), sum(map(num_bytes, tensors.values())))
        return out

    def count(self, flops: float, num: int) -> None:
        """Adds an operation that moves `num` bytes."""
        machine = self.machine
        self.work.flops += flops
        self.work.num_bytes += num
        self.work.operations += 1
        self.work.seconds += flops / machine.flops if flops else num / machine.bandwidth
        self.work.seconds += machine.overhead

    def watch(self, tensor: Tensor) -> None:
        """Counts a tensor's memory until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.storages:
            return
        self.storages[key] = storage
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self.release, size)

    def release(self, size: int) -> None:
        """A tensor was freed."""
        self.live -= size


def computes(func: Any) -> bool:
    """Whether an operation touches numbers: views, allocations and questions about tensors do not."""
    return func.namespace == "aten" and not func.is_view and "empty" not in func._overloadpacket.__name__


def is_empty(tensor: Tensor) -> bool:
    """Whether a tensor has a shape but no numbers."""
    return tensor.is_meta or isinstance(tensor, torch._subclasses.FakeTensor)


def one_of(tensor: Tensor) -> float | int | bool:
    """One, in the type of a tensor's numbers."""
    if tensor.dtype == torch.bool:
        return True
    return 1.0 if tensor.is_floating_point() else 1


def num_bytes(tensor: Tensor) -> int:
    """Bytes that reading or writing a tensor moves: an expanded one is small."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def flops_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float:
    """Floating-point operations of a product or convolution; 0 of anything else."""
    packet = func._overloadpacket
    name = packet.__name__.rstrip("_")
    formula: Callable[..., Any] | None = flop_registry.get(packet) or flop_registry.get(
        getattr(torch.ops.aten, name, None)
    )
    return float(formula(*args, **kwargs, out_val=out)) if formula is not None else 0.0


def measure_machine(device: torch.device, dtype: torch.dtype = torch.float32) -> Machine:
    """The rates of `device` now, with the threads that this process has: about a second on a CPU."""
    n, channels, side = PEAK_SHAPE
    x = torch.randn(n, channels, side, side, device=device).to(dtype=dtype, memory_format=torch.channels_last)
    w = torch.randn(channels, channels, 3, 3, device=device).to(dtype=dtype, memory_format=torch.channels_last)
    flops = 2.0 * n * side**2 * channels**2 * 9
    large = torch.ones(BANDWIDTH_BYTES // 4, device=device)
    out = torch.empty_like(large)
    tiny = torch.ones(1, device=device)

    def many_tiny() -> None:
        for _ in range(TINY_OPERATIONS):
            torch.add(tiny, tiny)

    with torch.no_grad():
        return Machine(
            flops=CONVOLUTION_SHARE * flops / median_seconds(lambda: F.conv2d(x, w, padding=1), device),
            bandwidth=MEMORY_SHARE
            * 2
            * BANDWIDTH_BYTES
            / median_seconds(lambda: torch.add(large, large, out=out), device),
            overhead=OVERHEADS * median_seconds(many_tiny, device) / TINY_OPERATIONS,
        )


def median_seconds(run: Callable[[], Any], device: torch.device, repeats: int = 5) -> float:
    """Seconds of one run: the median of a few after a first one."""
    found = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return sorted(found[1:])[repeats // 2]
