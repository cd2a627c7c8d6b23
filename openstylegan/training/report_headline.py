"""The head of the report: the run's name, how far it is, and its headline numbers."""

from __future__ import annotations

import math
import time
from html import escape
from pathlib import Path

from openstylegan.training.progress import format_time
from openstylegan.training.report_curves import short_number
from openstylegan.training.run_record import RunRecord, Score


def limit(record: RunRecord, name: str) -> float:
    """A length that the configuration sets for the run; infinite when it sets none."""
    value = record.config.get(name)
    return float(value) if isinstance(value, (int, float)) and value > 0 else math.inf


def share_done(record: RunRecord) -> float:
    """How much of the run is done, 0 to 1: by images or by the clock, whichever is further. 0 when it is not known."""
    seconds = record.last("Timing/total_sec")
    by_clock = seconds / (limit(record, "max_minutes") * 60) if math.isfinite(seconds) else 0.0
    return min(max(record.kimg / limit(record, "total_kimg"), by_clock), 1.0)


def seconds_left(record: RunRecord) -> float:
    """How long the run still takes at its last speed; infinite when it is not known."""
    curve, seconds = record.speed, record.last("Timing/total_sec")
    by_images = (limit(record, "total_kimg") - record.kimg) * 1000 / curve.last if len(curve) else math.inf
    by_clock = limit(record, "max_minutes") * 60 - seconds if math.isfinite(seconds) else math.inf
    return max(min(by_images, by_clock), 0.0)


def header(record: RunRecord) -> str:
    """The run's name, what it trains on, how far it is."""
    about = [
        f"{label} {escape(text)}"
        for label, text in (
            ("dataset", Path(str(record.config.get("data.path", ""))).stem),
            ("preset", str(record.config.get("preset") or "")),
            ("seed", str(record.config.get("seed", ""))),
        )
        if text
    ]
    now = time.time()
    written = f'<time data-epoch="{now:.0f}">{time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))}</time>'
    bar = f'<div class="bar"><i style="width:{share_done(record):.1%}"></i></div>'
    return (
        f'<header><div><h1>{escape(record.folder.resolve().name)}</h1><p class="muted">{" · ".join(about)}</p></div>'
        f'<p class="muted stamp">written {written}<label class="js"><input type="checkbox" id="live"> reload every 20 s'
        f"</label></p></header>{bar}"
    )


def tiles(record: RunRecord) -> str:
    """The headline numbers."""
    found = [
        progress_tile(record),
        speed_tile(record),
        *(score_tile(score) for score in record.scores[:2]),
        augment_tile(record),
        memory_tile(record),
    ]
    return f'<section class="tiles">{"".join(tile for tile in found if tile)}</section>'


def tile(label: str, value: str, unit: str = "", note: str = "") -> str:
    """One headline number with its name, its unit and a remark; all are plain text."""
    unit = f" <i>{escape(unit)}</i>" if unit else ""
    return f"<div><span>{escape(label)}</span><b>{escape(value)}{unit}</b><small>{escape(note)}</small></div>"


def rough_time(seconds: float) -> str:
    """A duration to the minute once it is an hour long."""
    return format_time(seconds) if seconds < 3600 else format_time(seconds).rpartition(" ")[0]


def progress_tile(record: RunRecord) -> str:
    """How far the run is."""
    total = limit(record, "total_kimg")
    if not math.isfinite(total):
        return tile("Progress", short_number(record.kimg), "kimg", f"{len(record.ticks)} ticks")
    note = f"{short_number(record.kimg)} of {short_number(total)} kimg"
    minutes = limit(record, "max_minutes")
    clock = f" or {rough_time(minutes * 60)}" if math.isfinite(minutes) else ""
    return tile("Progress", f"{share_done(record):.0%}", "", note + clock)


def speed_tile(record: RunRecord) -> str:
    """Images a second and the time taken and left."""
    curve = record.speed
    if not len(curve):
        return ""
    left, seconds = seconds_left(record), record.last("Timing/total_sec")
    taken = f"{rough_time(seconds)} so far" if math.isfinite(seconds) else ""
    ahead = f"{rough_time(left)} to go" if math.isfinite(left) and left > 0 else ""
    return tile("Speed", f"{curve.last:.3g}", "images/s", ", ".join(text for text in (taken, ahead) if text))


def score_tile(score: Score) -> str:
    """The best value of a metric."""
    values, kimg = score.curve.value, score.curve.kimg
    note = f"at {short_number(kimg[score.best])} kimg; first {short_number(values[0])}, last {short_number(values[-1])}"
    return tile(f"Best {score.name}", short_number(values[score.best]), "", note)


def augment_tile(record: RunRecord) -> str:
    """The strength of the augmentation, where there is one."""
    curve = record.curve("Progress/augment")
    if not len(curve) or not curve.value.any():
        return ""
    return tile("Augmentation p", f"{curve.last:.3f}", "", f"highest {curve.value.max():.3f}")


def memory_tile(record: RunRecord) -> str:
    """Memory of the process and the device."""
    cpu, gpu = record.last("Resources/cpu_mem_gb"), record.last("Resources/peak_gpu_mem_gb")
    if not math.isfinite(cpu):
        return ""
    return tile("Memory", f"{cpu:.2f}", "GB", f"GPU peak {gpu:.2f} GB" if gpu > 0 else "of the process")
