"""Runs every benchmark and writes their tables to `results/<processor>-<cores>-cores-<date>.md`.

python benchmarks/run_all.py [NAME ...]      only those named, such as loader ada
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_ALONE = {"run_all", "dockerfile", "stylegan3_page", "bmc_experiment", "convergence", "viewing", "viewer_tour"}


def processor() -> str:
    """The processor's model name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def scripts(names: list[str]) -> list[Path]:
    """The benchmark scripts, or those named."""
    found = {p.stem: p for p in sorted(HERE.glob("*.py")) if p.stem not in NOT_ALONE}
    unknown = [n for n in names if n not in found]
    if unknown:
        sys.exit(f"no benchmark named {unknown[0]}; there are {', '.join(found)}")
    return [found[n] for n in names] if names else list(found.values())


def main() -> None:
    """Runs them one after the other, so that none disturbs another."""
    date = datetime.date.today().isoformat()
    name = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    target = HERE / "results" / f"{name}-{os.cpu_count()}-cores-{date}.md"
    import torch

    parts = [
        f"# {processor()}, {os.cpu_count()} cores, {date}",
        f"Python {platform.python_version()}, torch {torch.__version__}",
    ]
    for script in scripts(sys.argv[1:]):
        print(f"== {script.stem}", flush=True)
        done = subprocess.run([sys.executable, str(script)], text=True, stdout=subprocess.PIPE, check=True)
        print(done.stdout, flush=True)
        shown = done.stdout.strip()
        shown = shown if "|---" in shown else f"```\n{shown}\n```"
        parts.append(f"## {script.stem}\n\n`python benchmarks/{script.name}`\n\n{shown}")
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n\n".join(parts) + "\n")
    print(f"written to {target}")


if __name__ == "__main__":
    main()
