"""What the dataset tool did, in numbers and names: the report beside its destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openstylegan import __version__
from openstylegan.data.shapes import Shape


@dataclass
class Report:
    """What was done: how many pictures of which shape were written, what was skipped and what was converted.

    `sizes`: those of an LMDB, smallest first; `shape` is that of the last. `hashes`: the content hash of each size.
    """

    source: str
    kind: str
    dest: str
    options: dict[str, Any]
    pictures: int = 0
    shape: Shape | None = None
    label_kind: str | None = None
    classes: list[str] = field(default_factory=list)
    content_hash: str = ""
    sizes: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    converted: list[dict[str, Any]] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    openstylegan: str = __version__

    @property
    def path(self) -> Path:
        """Where the report is written: beside the destination."""
        dest = Path(self.dest)
        return dest.with_name(f"{dest.stem if dest.suffix.lower() == '.zip' else dest.name}.report.json")

    def skip(self, name: str, reason: str) -> None:
        """Notes a picture that was left out."""
        self.skipped.append({"file": name, "reason": reason, "action": "skipped"})

    def convert(self, name: str, note: str) -> None:
        """Notes a conversion; those of one kind are counted together."""
        same = next((entry for entry in self.converted if entry["reason"] == note), None)
        if same is None:
            self.converted.append({"file": name, "reason": note, "action": "converted", "count": 1})
        else:
            same["count"] += 1
