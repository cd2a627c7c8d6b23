"""Runs every golden file of a folder and reports, line by line: file, case, largest error, tolerance, verdict."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from golden.check import Check, failure
from golden.document import Document, NotUnderstood, first_line, read
from golden.kinds import KINDS, identify

PROGRAM_ENDINGS = frozenset({".py", ".pyc", ".md"})
"""Files beside golden data that are not data: this program and notes."""


@dataclass(frozen=True)
class Line:
    """A check with the file and the kind it belongs to. `understood` is false where there was no rule."""

    file: str
    kind: str
    check: Check
    understood: bool = True

    @property
    def verdict(self) -> str:
        if not self.understood:
            return "NOT UNDERSTOOD"
        if not self.check.built:
            return "not built yet"
        return "ok" if self.check.passed else "FAIL"


def golden_files(folder: Path) -> list[Path]:
    """All files under `folder` but programs, notes and hidden ones."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix not in PROGRAM_ENDINGS]
    return sorted(p for p in files if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def check_document(document: Document, name: str) -> Iterator[Line]:
    """The lines of one document of a known kind."""
    kind = identify(document)
    if kind.run is None:
        yield Line(name, kind.name, Check("all", "", text=kind.note, built=False))
        return
    count = 0
    for check in kind.run(document):
        count += 1
        yield Line(name, kind.name, check)
    document.finish()
    if not count:
        raise NotUnderstood("nothing to check in it")


def check_file(path: Path, name: str, device: torch.device) -> Iterator[Line]:
    """The lines of one file. What is not understood, or breaks while running, becomes one failing line."""
    try:
        yield from check_document(read(path, device), name)
    except NotUnderstood as error:
        yield Line(name, "?", failure("", "", str(error)), understood=False)
    except Exception as error:  # a check that breaks is a result about one file, and the other files still count
        yield Line(name, "?", failure("", "", first_line(error)))


def check_folder(folder: Path, device: torch.device) -> Iterator[Line]:
    """The lines of every golden file of a folder."""
    for path in golden_files(folder):
        yield from check_file(path, str(path.relative_to(folder)), device)


def show(line: Line, file_width: int) -> str:
    """One line of the report."""
    check, head = line.check, f"{line.verdict:14s}  {line.file:{file_width}s}  {line.check.case:26s}"
    if check.text:
        return f"{head}  {check.part}{': ' if check.part else ''}{check.text}".rstrip()
    return f"{head}  {check.error:8.2e} <= {check.tolerance:8.2e} {check.unit:11s}  {check.part}".rstrip()


def summary(lines: list[Line], num_files: int) -> str:
    """The last line: how many of what."""
    checks = {verdict: sum(line.verdict == verdict for line in lines) for verdict in ("ok", "FAIL")}
    files = {verdict: len({line.file for line in lines if line.verdict == verdict}) for verdict in VERDICTS}
    return (
        f"{num_files} golden files: {checks['ok']} checks ok, {checks['FAIL']} failed; "
        f"{files['NOT UNDERSTOOD']} files not understood, {files['not built yet']} with something not built yet"
    )


VERDICTS = ("ok", "FAIL", "NOT UNDERSTOOD", "not built yet")


def run(folder: Path, device: torch.device) -> tuple[list[Line], int]:
    """Checks and prints a folder; returns the lines and the exit code: 1 for a mismatch or a file not understood."""
    files = golden_files(folder)
    file_width = max((len(str(p.relative_to(folder))) for p in files), default=0)
    lines = []
    for line in check_folder(folder, device):
        print(show(line, file_width), flush=True)
        lines.append(line)
    print(summary(lines, len(files)))
    bad = any(line.verdict in ("FAIL", "NOT UNDERSTOOD") for line in lines)
    return lines, int(bad or not files)


def set_exact_float32() -> None:
    """Full float32 products on a GPU, as on a CPU."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def main(arguments: list[str] | None = None) -> int:
    """The command: a folder of golden files in, a report and an exit code out."""
    parser = argparse.ArgumentParser(
        prog="golden", description=__doc__, epilog=f"Kinds: {', '.join(k.name for k in KINDS)}"
    )
    parser.add_argument("folder", type=Path, help="folder of golden files (.npz, .json, .pkl)")
    parser.add_argument("--device", default="cpu", help="where the package computes (default: cpu)")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"expected a folder of golden files, got {str(options.folder)!r}; there is no such folder")
    set_exact_float32()
    return run(options.folder, torch.device(options.device))[1]
