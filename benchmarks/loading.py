"""How long does a network of 120 MB take to load: ours, and a PyTorch pickle of NVIDIA's layout?

    python benchmarks/loading.py [--resolution 1024] [--json FILE]

Each load runs in a process of its own that has imported torch and openstylegan; what is counted is processor time of
`openstylegan.load` up to a network that is ready to draw. The files hold one generator (G_ema) of 1024 px: 30.4 million
parameters. The files are in the page cache, since they were just written.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from openstylegan.config import Component
from openstylegan.files import write_json
from openstylegan.networks import GENERATORS
from openstylegan.registry import build
from openstylegan.snapshot import write_snapshot

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from foreign_files import nvidia_generator, nvidia_pickle

TARGETS = {"snapshot of ours": 0.3, "NVIDIA pickle": 1.5}
LOAD = """
import sys, time, torch, openstylegan
from openstylegan.interop.loading import load
start = time.process_time()
G = load(sys.argv[1]).G_ema
print(time.process_time() - start)
"""


def write_files(folder: Path, resolution: int) -> dict[str, Path]:
    """One generator in both layouts."""
    options = {"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_resolution": resolution, "img_channels": 3}
    options |= {"mapping_kwargs": {"num_layers": 8}, "synthesis_kwargs": {"channel_base": 32768}}
    G = build(GENERATORS, "stylegan2", options, "generator")
    ours, theirs = folder / "ours.safetensors", folder / "theirs.pkl"
    write_snapshot(ours, {"G_ema": G}, {"G": Component("stylegan2", options)}, {})
    theirs.write_bytes(nvidia_pickle({"G_ema": nvidia_generator(G, options)}))
    return dict(zip(TARGETS, (ours, theirs), strict=True))


def seconds(path: Path) -> float:
    """Processor time of one load in a fresh process."""
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> int:
    """Prints the median of some loads for each layout; exits with 1 when one takes longer than its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write_files(Path(folder), options.resolution).items():
            taken = statistics.median(seconds(path) for _ in range(options.repeats))
            results[name] = {"MB": path.stat().st_size / 1e6, "seconds": taken, "target": TARGETS[name]}
            print(f"{name:20s} {path.stat().st_size / 1e6:6.0f} MB  {taken:.3f} s (at most {TARGETS[name]})")
    if options.json:
        write_json(options.json, {"torch": torch.__version__, "results": results})
    return int(any(entry["seconds"] > entry["target"] for entry in results.values()))


if __name__ == "__main__":
    sys.exit(main())
