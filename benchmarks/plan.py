"""How near the predictions of `openstylegan plan` come: peak memory and seconds of a few configurations, measured.

    python benchmarks/plan.py [--threads 1] [--steps 6] [NAME ...]

Each configuration is planned in one process and trained in another: a few steps of the real loop on random pictures,
without ticks. Measured are the wall-clock seconds of a step (phases at their share) and the peak memory: on a CPU the
process's largest resident size, on a GPU the most that was allocated.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from openstylegan.config import TrainConfig
from openstylegan.ops.allocator import configure_allocator
from openstylegan.presets.stylegan2_ada import Options, make_config
from openstylegan.training.build import build_run, open_training_data
from openstylegan.training.loop import fetch, step_phase
from openstylegan.training.plan import predict

CONFIGS: dict[str, tuple[int, dict[str, Any]]] = {
    "16px": (16, {"batch": 8, "cbase": 256, "cmax": 32}),
    "32px-ada": (32, {"batch": 16, "cbase": 1024, "cmax": 64, "aug": "ada"}),
    "64px-cut": (64, {"batch": 16, "batch_gpu": 4, "cbase": 4096, "cmax": 256}),
    "128px": (128, {"batch": 4, "cbase": 4096, "cmax": 128}),
}
"""By name: resolution and options."""


def configuration(name: str, folder: Path) -> TrainConfig:
    """A configuration, and the random pictures it trains on."""
    resolution, options = CONFIGS[name]
    pictures = folder / f"{resolution}.zip"
    with zipfile.ZipFile(pictures, "w") as archive:
        for n in range(32):
            data = BytesIO()
            noise = np.random.RandomState(n).randint(0, 256, (resolution, resolution, 3), np.uint8)
            Image.fromarray(noise).save(data, "PNG")
            archive.writestr(f"{n}.png", data.getvalue())
    return make_config(Options(**{"aug": "noaug", **options}), str(pictures), resolution)


def resident() -> int:
    """The largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(config: TrainConfig, device: torch.device, steps: int) -> tuple[float, int]:
    """Seconds of a step and peak bytes of training."""
    run = build_run(config, device)
    augment = run.state.augment
    augment.p.fill_(0.5)
    seconds: dict[str, list[float]] = {}
    for _ in range(steps + 1):
        batch = fetch(run, run.stage())
        for phase in (p for p in run.state.phases if p.terms):
            began = time.perf_counter()
            step_phase(run, phase, batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.setdefault(phase.name, []).append(time.perf_counter() - began)
        run.state.counters.cur_nimg += run.stage().batch_size
    run.loader.close()
    every = {phase.name: phase.every for phase in run.state.phases}
    step = sum(float(np.median(found[1:])) / every[name] for name, found in seconds.items())
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else resident()
    return step, peak


def child(what: str, name: str, folder: str, steps: str, threads: str) -> None:
    """One process: plans or measures a configuration and prints [seconds of a step, peak bytes]."""
    torch.set_num_threads(int(threads))
    configure_allocator()
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    config = configuration(name, Path(folder))
    if what == "plan":
        plan = predict(config, open_training_data(config), device)
        print(json.dumps([plan.seconds_per_kimg * plan.batch_size / 1000, plan.process_bytes]))
    else:
        print(json.dumps(measure(config, device, int(steps))))


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CONFIGS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    print("| configuration | step predicted | measured | off by | memory predicted | measured | off by |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            found = []
            for what in ("plan", "measure"):
                more = [what, name, folder, str(arguments.steps), str(arguments.threads)]
                done = subprocess.run([sys.executable, __file__, "--child", *more], stdout=subprocess.PIPE, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
            (seconds, peak), (real_seconds, real_peak) = found
            print(
                f"| {name} | {seconds:.3f} s | {real_seconds:.3f} s | {100 * (seconds / real_seconds - 1):+.0f} % "
                f"| {peak / 2**20:.0f} MiB | {real_peak / 2**20:.0f} MiB | {100 * (peak / real_peak - 1):+.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
