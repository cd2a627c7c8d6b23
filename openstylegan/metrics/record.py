"""A measured number with everything it depends on, as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openstylegan.files import append_line


@dataclass(frozen=True)
class MetricRecord:
    """One metric's values and the protocol they were taken by; `total_time` in seconds, `timestamp` in UNIX time."""

    results: dict[str, float]
    metric: str
    protocol: dict[str, Any]
    total_time: float
    num_gpus: int
    snapshot: str | None
    timestamp: float

    @property
    def total_time_str(self) -> str:
        """The duration for people."""
        return duration(self.total_time)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return dataclasses.asdict(self) | {"total_time_str": self.total_time_str}

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(self.to_dict())

    def append_to(self, folder: Path, **more: Any) -> Path:
        """Adds the line, with `more` keys, to `metric-<name>.jsonl` in `folder`."""
        path = folder / f"metric-{self.metric}.jsonl"
        append_line(path, json.dumps(self.to_dict() | more))
        return path


def duration(seconds: float) -> str:
    """`"2h 03m 09s"`, `"3m 09s"`, `"9s"` or `"0.4s"`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}h {minutes:02d}m {whole % 60:02d}s"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"
