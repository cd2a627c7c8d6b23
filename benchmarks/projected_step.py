"""How much a training step against a projected discriminator costs beyond its convolutions.

    python benchmarks/projected_step.py [--rounds 7] [--threads 1] [--json FILE]

All convolutions, their gradients and matrix products of one step (both players, the frozen features included) are
recorded as they reach the libraries, with shapes and layouts. In every round a step is followed by each of them alone,
of two calls the second: the sum is what the step would take if it were nothing else. Process CPU time at 64 px, medians
of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from openstylegan.config import TrainConfig, with_overrides
from openstylegan.data.demo import demo_path
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.files import write_json
from openstylegan.ops import amx
from openstylegan.ops.allocator import configure_allocator
from openstylegan.presets import projected_gan
from openstylegan.training.build import build_run
from openstylegan.training.loop import train_step

GOAL = 1.3
BATCH = 8
SIDE = 64
PRODUCTS = ("convolution", "convolution_backward", "mm", "bmm", "addmm")
ON_MATRIX_UNITS = ("correlate", "scatter", "weight_gradient")
"""Of `ops.amx`, which PyTorch does not see."""
CASES: dict[str, Callable[[str], TrainConfig]] = {
    "fastgan_lite": lambda data: projected_gan.make_config(
        projected_gan.Options(cfg="fastgan_lite", batch=BATCH), data, SIDE
    ),
    "fastgan-lite, small": lambda data: with_overrides(
        projected_gan.make_config(projected_gan.Options(cfg="fastgan_lite", batch=2 * BATCH), data, SIDE),
        {
            "generator.network.options": {"z_dim": 64, "ngf": 16, "lite": True},
            "discriminator.network.options": {"width": 64, "feature_side": 64},
        },
    ),
}
"""By name; the second is thin, with features at 64 px."""


class Recorder(TorchDispatchMode):
    """Notes the products that reach the libraries: how often each, and what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.calls: dict[str, tuple[Any, Any]] = {}
        self.own = {name: getattr(amx, name) for name in ON_MATRIX_UNITS}

    def __enter__(self) -> Any:
        for name in self.own:
            setattr(amx, name, partial(self.on_matrix_units, name))
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for name, func in self.own.items():
            setattr(amx, name, func)

    def on_matrix_units(self, name: str, *args: Any) -> Any:
        """In place of the function of `ops.amx`."""
        self.note(name, self.own[name], args)
        return self.own[name](*args)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in PRODUCTS:
            self.note(str(func), func.overloadpacket.default, args)
        return func(*args, **(kwargs or {}))

    def note(self, name: str, func: Any, args: Any) -> None:
        """One call."""
        key = f"{name} {signature(args)}"
        self.found[key] += 1
        self.calls[key] = func, like(args)


def signature(value: Any) -> Any:
    """What decides how long a call takes."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.stride()
    return [signature(v) for v in value] if isinstance(value, list | tuple) else value


def like(value: Any) -> Any:
    """The same shapes and layouts, without the values; a named tuple stays what it is."""
    if isinstance(value, Tensor):
        return value.dtype, tuple(value.shape), value.stride()
    if hasattr(value, "_fields"):
        return value
    return [like(v) for v in value] if isinstance(value, list | tuple) and not plain(value) else value


def plain(value: Any) -> bool:
    """Whether a list holds numbers only."""
    return all(isinstance(v, int | float | bool) for v in value)


def made(value: Any) -> Any:
    """Random tensors in place of what `like` noted."""
    if isinstance(value, tuple) and not hasattr(value, "_fields") and isinstance(value[0], torch.dtype):
        dtype, shape, stride = value
        own = [1 if step == 0 else size for size, step in zip(shape, stride, strict=True)]  # the rest is repeated
        return torch.empty_strided(own, stride, dtype=dtype).copy_(torch.randn(own)).expand(shape)
    return [made(v) for v in value] if isinstance(value, list) and not plain(value) else value


def alone(func: Any, noted: Any) -> float:
    """The processor time of a call, the second."""
    args = made(noted)
    func(*args)
    began = time.process_time()
    func(*args)
    return time.process_time() - began


def measure(config: TrainConfig, rounds: int) -> tuple[float, float]:
    """Seconds of a step, and of its products alone."""
    run = build_run(config, torch.device("cpu"))
    train_step(run)
    with Recorder() as recorder:
        train_step(run)
    steps, products = [], []
    for _ in range(rounds):
        began = time.process_time()
        train_step(run)
        steps.append(time.process_time() - began)
        with torch.no_grad():
            products.append(sum(recorder.found[key] * alone(*call) for key, call in recorder.calls.items()))
    run.loader.close()
    return statistics.median(steps), statistics.median(products)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    configure_allocator()
    results = []
    print(f"| recipe ({SIDE} px) | precision | batch | step | its products alone | ratio (goal {GOAL}) |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "pictures.zip")
        prepare(demo_path(), data, PrepareOptions(width=SIDE, height=SIDE))
        for name in arguments.cases:
            for precision in arguments.precision:
                config = with_overrides(CASES[name](str(data)), {"precision": precision})
                step, products = measure(config, arguments.rounds)
                batch = config.schedule.options["batch_size"]
                print(
                    f"| {name} | {precision} | {batch} | {step:.3f} s | {products:.3f} s | {step / products:.2f} |",
                    flush=True,
                )
                results.append({"recipe": name, "precision": precision, "step": step, "products": products})
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
