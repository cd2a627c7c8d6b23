"""The filtered leaky ReLU of every layer of StyleGAN3, by each of its forms: plain ops, products, compiled.

    python benchmarks/filtered_lrelu.py [--config T R] [--precision float32] [--gradient] [--rounds 3] [--threads 1]

Process CPU time of one picture of 256 px (T with channel_base 8192, R with 16384 and twice the channels at most), the
forms interleaved, medians. With --gradient the forward pass and the gradient with respect to the input.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from unittest import mock

import torch
from peak import PRECISIONS
from torch import Tensor

from openstylegan.networks.stylegan3 import AliasFreeLayer, StyleGAN3Generator
from openstylegan.ops import (
    filtered_lrelu_compiled,
    filtered_lrelu_pixels,
    layouts,
    resample_compiled,
    tail_compiled,
    winograd_planes,
)
from openstylegan.ops.allocator import configure_allocator
from openstylegan.ops.filtered_lrelu import filtered_lrelu
from openstylegan.ops.native import Native, native
from openstylegan.ops.paths import reference_paths

CONFIGS = {
    "T": {"channel_base": 8192},
    "R": {"channel_base": 16384, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True},
}


def generator(config: str, side: int = 256, num_fp16_res: int = 4) -> StyleGAN3Generator:
    """A generator to draw with."""
    G = StyleGAN3Generator(img_resolution=side, num_fp16_res=num_fp16_res, **CONFIGS[config])  # type: ignore[arg-type]
    return G.eval().requires_grad_(False)


def forms() -> dict[str, AbstractContextManager[object]]:
    """The forms that can run here."""
    found: dict[str, AbstractContextManager[object]] = {"plain": Reusable(reference_paths), "products": products()}
    if native().loaded is not None:
        found["compiled"] = nullcontext()
    return found


class Reusable:
    """A context manager made anew whenever it is entered."""

    def __init__(self, make):  # type: ignore[no-untyped-def]
        self.make = make

    def __enter__(self) -> None:
        self.entered = self.make()
        self.entered.__enter__()

    def __exit__(self, *error: object) -> None:
        self.entered.__exit__(*error)


def products() -> AbstractContextManager[object]:
    """Inside, no compiled code is used."""
    return Reusable(without_compiler)


@contextmanager
def without_compiler() -> Iterator[None]:
    """What is where there is no compiler."""
    modules = (
        filtered_lrelu_compiled,
        filtered_lrelu_pixels,
        layouts,
        resample_compiled,
        tail_compiled,
        winograd_planes,
    )
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(filtered_lrelu_pixels, "halves_available", return_value=False))
        for module in modules:
            stack.enter_context(mock.patch.object(module, "native", return_value=Native(None, "switched off")))
        yield


def layer_inputs(layer: AliasFreeLayer, dtype: torch.dtype) -> Tensor:
    """What the layer's convolution makes of one picture."""
    plan = layer.plan
    side = plan.before.size + plan.conv_kernel - 1
    return torch.randn(1, plan.after.channels, side, side, dtype=dtype)


def seconds(layer: AliasFreeLayer, x: Tensor, gradient: bool) -> float:
    """Process CPU time of one call."""
    plan = layer.plan
    began = time.process_time()
    y = filtered_lrelu(
        x.requires_grad_(gradient),
        layer.up_filter,
        layer.down_filter,
        layer.bias.to(x.dtype),
        up=plan.up,
        down=plan.down,
        padding=[*plan.padding, *plan.padding],
        clamp=layer.conv_clamp,
    )
    if gradient:
        torch.autograd.grad(y.sum(), x)
    return time.process_time() - began


def measure(config: str, dtype: torch.dtype, gradient: bool, rounds: int) -> Iterator[tuple[str, list[float]]]:
    """(layer, median CPU seconds of every form)."""
    for layer in generator(config).synthesis.layers[:-1]:
        x, ways = layer_inputs(layer, dtype), forms()
        found: list[list[float]] = [[] for _ in ways]
        for round_ in range(rounds + 1):
            for results, way in zip(found, ways.values(), strict=True):
                with way:
                    taken = seconds(layer, x, gradient)
                if round_ > 0:  # the first round warms up
                    results.append(taken)
        yield layer.plan.name, [statistics.median(results) for results in found]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--precision", choices=list(PRECISIONS), default="float32")
    parser.add_argument("--gradient", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s); compiled form: {native().why}.\n")
    print(f"| CPU-ms, {arguments.precision} | {' | '.join(forms())} | of the plain form |")
    print("|---|" + "---|" * (len(forms()) + 1))
    for config in arguments.config:
        rows = list(measure(config, PRECISIONS[arguments.precision], arguments.gradient, arguments.rounds))
        rows.append((f"**{config}**", [sum(values) for values in zip(*(row for _, row in rows), strict=True)]))
        for name, values in rows:
            cells = " | ".join(f"{1e3 * v:.1f}" for v in values)
            faster = ", ".join(f"{values[0] / v:.1f} times" for v in values[1:])
            print(f"| {config} {name} | {cells} | {faster} |", flush=True)


if __name__ == "__main__":
    main()
