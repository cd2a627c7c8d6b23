"""What share of the processor's convolution peak StyleGAN3's generators reach, and how much faster they train.

    python benchmarks/stylegan3_forward.py [--config T R] [--precision float32 bfloat16] [--rounds 3] [--step]
        [--form plain products compiled] [--num-fp16-res 4 5] [--below GFLOP]

One picture of 256 px (T with channel_base 8192, R with 16384 and twice the channels at most). The share is (useful
floating-point operations) / (process CPU seconds x peak); useful are the dense convolutions and the fewest products
that the FIR filters need: those with inserted zeros left out, separable filters an axis after the other, the sample
pairs of mirrored radial filters added first. The peak is that of the same precision, measured around every pass. What
is derived from the weights is kept, as while sampling, but for the plain form. In bfloat16, layers of the lowest rate
stay in float32 with num_fp16_res 4 (the default of the network); with 5 all layers are in bfloat16.
--step: instead, a training step of T (64 px, channel_max 128, batch 8, every phase at its share) against the same step
through the reference ops. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from functools import partial
from itertools import product

import torch
import training_step
from filtered_lrelu import CONFIGS, forms, generator
from peak import PRECISIONS, beside_peak

from openstylegan.config import TrainConfig
from openstylegan.networks.base import set_precision
from openstylegan.networks.stylegan3 import AliasFreeLayer, StyleGAN3Generator
from openstylegan.ops.allocator import configure_allocator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.ops.native import native
from openstylegan.presets import stylegan3

GOALS = {
    ("T", "float32", "products"): 38,
    ("R", "float32", "products"): 14,
    ("T", "float32", "compiled"): 76,
    ("R", "float32", "compiled"): 45,
    ("T", "bfloat16", "compiled"): 65,
    ("R", "bfloat16", "compiled"): 30,
}
"""Per cent of the peak."""
FOLDED_RADIAL = 84
"""Products an output value of a mirrored 12 x 12 filter that is also symmetric along its diagonal."""


def useful_operations(layer: AliasFreeLayer) -> float:
    """Of one picture, a multiplication and an addition counted as two."""
    plan = layer.plan
    side, channels = plan.before.size + plan.conv_kernel - 1, plan.after.channels
    convolution = side**2 * channels * plan.before.channels * plan.conv_kernel**2
    if layer.up_filter is None or layer.down_filter is None:
        return 2.0 * convolution
    taps_up, taps_down = len(layer.up_filter) // plan.up, len(layer.down_filter)
    high = (plan.after.size - 1) * plan.down + taps_down
    filters = taps_up * high * (high // plan.up + taps_up + high)
    if layer.down_filter.ndim == 2:
        filters += FOLDED_RADIAL * plan.after.size**2
    else:
        filters += taps_down * plan.after.size * (high + plan.after.size)
    return 2.0 * (convolution + channels * filters)


def measure(
    G: StyleGAN3Generator, precision: str, chosen: list[str], rounds: int, below: float | None
) -> dict[str, tuple[float, float, float]]:
    """By form: median CPU seconds, peak (operations per CPU second) and their product."""
    ws, dtype = G.mapping(torch.randn(1, G.z_dim), None), PRECISIONS[precision]
    found: dict[str, list[tuple[float, float]]] = {form: [] for form in forms() if form in chosen}
    weights = {form: nullcontext() if form == "plain" else FrozenWeights() for form in forms()}
    set_precision(G, precision)

    def seconds(form: str) -> float:
        with forms()[form], weights[form], torch.no_grad():
            began = time.process_time()
            G.synthesis(ws)
            return time.process_time() - began

    for form in found:
        seconds(form)  # warms up
    for _ in range(rounds):
        for form, results in found.items():
            results.append(beside_peak(partial(seconds, form), dtype, below))
    return {form: medians(results) for form, results in found.items()}


def medians(results: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Of seconds, of the peak and of their product."""
    seconds, peaks = zip(*results, strict=True)
    return statistics.median(seconds), statistics.median(peaks), statistics.median(s * p for s, p in results)


def print_forward(
    configs: list[str],
    precisions: list[str],
    chosen: list[str],
    rounds: int,
    num_fp16_res: list[int],
    below: float | None,
) -> None:
    """The table of shares."""
    print("| generator | precision | form | CPU-s an image | GFLOP | peak, GFLOP/CPU-s | share | goal |")
    print("|---|---|---|---|---|---|---|---|")
    for config, precision in product(configs, precisions):
        for low in num_fp16_res if precision == "bfloat16" else [num_fp16_res[0]]:
            G = generator(config, num_fp16_res=low)
            operations = sum(map(useful_operations, G.synthesis.layers))
            name = f"{precision}, num_fp16_res {low}" if precision == "bfloat16" else precision
            for form, (seconds, peak, work) in measure(G, precision, chosen, rounds, below).items():
                goal = f"{GOALS[config, precision, form]} %" if (config, precision, form) in GOALS else ""
                print(
                    f"| {config}-256 | {name} | {form} | {seconds:.3f} | {operations / 1e9:.1f} "
                    f"| {peak / 1e9:.0f} | {100 * operations / work:.0f} % | {goal} |",
                    flush=True,
                )


class Step(training_step.Step):
    """A training step of StyleGAN3-T."""

    @staticmethod
    def config(resolution: int, batch: int, channel_base: int, precision: str) -> TrainConfig:
        """T in float32 with at most 128 channels."""
        options = stylegan3.Options(batch=batch, aug="noaug", cbase=channel_base, cmax=128, gamma=0.5, fp32=True)
        return stylegan3.make_config(options, "random", resolution)


def print_step(rounds: int) -> None:
    """The table of the training step, by form."""
    step = Step(64, 8, 16384, "float32")
    parts = step.parts()
    found: dict[str, dict[str, list[float]]] = {form: {part: [] for part in parts} for form in forms()}
    for round_ in range(rounds + 1):
        for form, way in forms().items():
            for part, (run, _) in parts.items():
                with way:
                    seconds = training_step.cpu_seconds(partial(run))
                if round_ > 0:
                    found[form][part].append(seconds)
    middle = {form: {part: statistics.median(s) for part, s in by.items()} for form, by in found.items()}
    totals = {form: sum(by[part] * weight for part, (_, weight) in parts.items()) for form, by in middle.items()}
    print(f"| CPU-s | times a step | {' | '.join(middle)} |\n|---|---|" + "---|" * len(middle))
    for part, (_, weight) in parts.items():
        print(f"| {part} | {weight:.4g} | {' | '.join(f'{by[part]:.3f}' for by in middle.values())} |")
    print(f"| **step** | 1 | {' | '.join(f'**{total:.3f}**' for total in totals.values())} |")
    faster = [f"{totals['plain'] / total:.1f} times" for total in totals.values()]
    print(f"| faster | | {' | '.join(faster)} |")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--precision", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument(
        "--form", nargs="+", choices=["plain", "products", "compiled"], default=["products", "compiled"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--num-fp16-res", type=int, nargs="+", default=[4])
    parser.add_argument("--below", type=float, help="count what ran between peaks lower than this, in GFLOP")
    parser.add_argument("--step", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"Allocator: {configure_allocator()}; {arguments.threads} thread(s); compiled form: {native().why}.\n")
    if arguments.step:
        print_step(arguments.rounds)
    else:
        a = arguments
        print_forward(a.config, a.precision, a.form, a.rounds, a.num_fp16_res, a.below)


if __name__ == "__main__":
    main()
