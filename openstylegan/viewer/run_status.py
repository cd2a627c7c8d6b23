"""Where a run stands, by the newest line of its statistics and its configuration."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Literal

from openstylegan.training.run_record import number, tick_kimg
from openstylegan.viewer.messages import RunStatus

SILENT_TICKS, SILENT_SECONDS = 3, 120.0
"""Without a new line for longer than both, a run is silent: it was ended, or has stopped."""


def status_of(last: Mapping[str, Any] | None, config: Mapping[str, Any]) -> RunStatus:
    """The status of a run whose newest line is `last` (None: there is none yet)."""
    total = config.get("total_kimg")
    total_kimg = float(total) if isinstance(total, int | float) else None
    if last is None:
        return RunStatus("empty", total_kimg=total_kimg)
    seconds_per_kimg, stamp = mean_of(last, "Timing/sec_per_kimg"), last.get("timestamp")
    age = max(time.time() - stamp, 0.0) if isinstance(stamp, int | float) else None
    left = seconds_left(last, config, total_kimg)
    state = state_of(left, age, mean_of(last, "Timing/sec_per_tick"))
    return RunStatus(
        state=state,
        kimg=tick_kimg(last),
        total_kimg=total_kimg,
        tick=whole(mean_of(last, "Progress/tick")),
        augment_p=mean_of(last, "Progress/augment"),
        images_per_second=1000 / seconds_per_kimg if seconds_per_kimg else None,
        seconds=mean_of(last, "Timing/total_sec"),
        eta=left if state == "running" else None,
        age=age,
        skipped_steps=whole(mean_of(last, "Health/skipped_steps")),
    )


def seconds_left(last: Mapping[str, Any], config: Mapping[str, Any], total_kimg: float | None) -> float | None:
    """Until a run ends, by its images at the present speed or by the clock, whichever is sooner; 0 when it has ended,
    None when that is not known."""
    kimg, minutes = tick_kimg(last), config.get("max_minutes")
    seconds, seconds_per_kimg = mean_of(last, "Timing/total_sec"), mean_of(last, "Timing/sec_per_kimg")
    left = []
    if total_kimg is not None and (kimg >= total_kimg or seconds_per_kimg is not None):
        left.append((total_kimg - kimg) * (seconds_per_kimg or 0.0))
    if isinstance(minutes, int | float) and seconds is not None:
        left.append(60 * minutes - seconds)
    return max(min(left), 0.0) if left else None


def state_of(
    left: float | None, age: float | None, seconds_per_tick: float | None
) -> Literal["running", "silent", "finished"]:
    """What a run is doing."""
    if left == 0:
        return "finished"
    patience = max(SILENT_TICKS * (seconds_per_tick or 0.0), SILENT_SECONDS)
    return "silent" if age is None or age > patience else "running"


def mean_of(line: Mapping[str, Any], name: str) -> float | None:
    """The mean of a statistic, if there is a finite one."""
    mean = number(line.get(name), "mean")
    return mean if math.isfinite(mean) else None


def whole(value: float | None) -> int | None:
    """A count."""
    return None if value is None else int(value)
