"""How long a user waits for the first training step: from the command to the first line of statistics.

    python benchmarks/first_step.py [--rounds 3] [--warm] [--json FILE]

Everything is new in each round: process, run folder, cache (so the C++ is compiled); with --warm the cache is that of a
first round that does not count. Wall time, since that is what a user waits for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openstylegan.data.demo import demo_path
from openstylegan.files import CACHE_VARIABLE, write_json

CONFIGURATIONS = {
    "demo, 64 px": ["--cfg=demo"],
    "demo-stylegan2, 64 px": ["--cfg=demo-stylegan2"],
    "auto, 64 px, 24 million parameters each": ["--cfg=auto", "--batch=8", "--mirror=1"],
}


def seconds_to_first_step(options: list[str], cache: Path | None = None) -> float:
    """One round."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, CACHE_VARIABLE: str(cache or Path(folder, "cache"))}
        command = [
            sys.executable,
            "-m",
            "openstylegan.cli.main",
            "train",
            f"--data={demo_path()}",
            f"--outdir={folder}/runs",
        ]
        command += [*options, "--metrics=none", "--kimg=50"]
        start = time.monotonic()
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not list(Path(folder).glob("runs/*/stats.jsonl")):
                time.sleep(0.01)
            found = time.monotonic() - start
            failed = process.poll() is not None
            process.kill()
        if failed:
            sys.exit("the run ended before its first step")
        return found


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", action="store_true", help="with the C++ compiled already")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    with tempfile.TemporaryDirectory() as kept:
        cache = Path(kept) if arguments.warm else None
        for round_ in range(arguments.rounds + arguments.warm):
            for name, options in CONFIGURATIONS.items():
                found = seconds_to_first_step(options, cache)
                if round_ or not arguments.warm:
                    times[name].append(found)
    print("| configuration | seconds to the first step (median) | fastest | slowest |\n|---|---:|---:|---:|")
    for name, taken in times.items():
        print(f"| {name} | {statistics.median(taken):.1f} | {min(taken):.1f} | {max(taken):.1f} |")
    if arguments.json:
        write_json(arguments.json, times)


if __name__ == "__main__":
    main()
