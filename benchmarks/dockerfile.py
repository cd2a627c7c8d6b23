"""Does what the Dockerfile does in a plain virtual environment, for machines on which no image can be built.

    python benchmarks/dockerfile.py [--index URL | --base SITE_PACKAGES]

The files that it copies go into an empty folder, its pip commands run in a new environment, then its entry point with
`generate` on a small network. `--index` replaces the package index that torch comes from; `--base` names packages that
are there already, as in a base image that brings its own torch.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_THE_IMAGE = ("useradd", "mkdir", "chown")
"""Commands that only make sense inside."""


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order: (name in capitals, what follows it), lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines()]
    return [(name.upper(), rest.strip()) for name, rest in found]


def commands(text: str) -> list[str]:
    """The shell commands of the RUN instructions, parted where `&&` joins them outside of an `if`."""
    runs = [rest for name, rest in instructions(text) if name == "RUN"]
    return [part.strip() for run in runs for part in run.split("&&")]


def copy_files(text: str, target: Path) -> None:
    """Copies what the COPY instructions name from the project to `target`."""
    for name, rest in instructions(text):
        if name == "COPY":
            *sources, place = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, target / place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, target / place)


def entry_point(text: str) -> list[str]:
    """The words of ENTRYPOINT."""
    return next(json.loads(rest) for name, rest in instructions(text) if name == "ENTRYPOINT")


def tiny_snapshot(path: Path) -> Path:
    """A network of a few weights."""
    from openstylegan.config import Component
    from openstylegan.networks import GENERATORS
    from openstylegan.snapshot import write_snapshot

    options = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "synthesis_kwargs": {"channel_base": 64}}
    write_snapshot(path, {"G_ema": GENERATORS["stylegan2"](**options)}, {"G": Component("stylegan2", options)}, {})
    return path


def generate(entry: list[str], folder: Path) -> None:
    """Runs the entry point with `generate`, in `folder`, as a user of the image would."""
    tiny_snapshot(folder / "tiny.safetensors")
    words = ["generate", "--network", "tiny.safetensors", "--seeds", "0-1", "--outdir", "out"]
    subprocess.run([*entry, *words], cwd=folder, check=True)
    assert (folder / "out" / "seed0001.png").stat().st_size > 0


def install(text: str, folder: Path, index: str | None, base: Path | None) -> Path:
    """Runs the commands that install in a new environment below `folder`; returns its folder of programs."""
    source = folder / "source"
    source.mkdir()
    copy_files(text, source)
    venv.create(folder / "environment", with_pip=True)
    programs = folder / "environment" / "bin"
    if base is not None:
        index = ""
        (site,) = (folder / "environment" / "lib").glob("python*/site-packages")
        (site / "base.pth").write_text(f"{base}\n")
    default = next(rest.partition("=")[2] for name, rest in instructions(text) if rest.startswith("TORCH_INDEX="))
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "TORCH_INDEX": default if index is None else index}
    for command in (c for c in commands(text) if not c.startswith(OF_THE_IMAGE)):
        print(f"+ {command}", flush=True)
        subprocess.run(["sh", "-c", command], cwd=source, env={**os.environ, **variables}, check=True)
    return programs


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index")
    parser.add_argument("--base", type=Path)
    arguments = parser.parse_args()
    text = (ROOT / "Dockerfile").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = install(text, folder, arguments.index, arguments.base)
        name, *more = entry_point(text)
        generate([str(programs / name), *more], folder)
    print("the Dockerfile's commands work here")


if __name__ == "__main__":
    main()
