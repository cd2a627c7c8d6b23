"""`report.html`: one page that shows a run, written at every tick, from the run folder alone.

Self-contained and closed: pictures are data URIs, curves inline SVG, and a content security policy allows no request
and no script but the page's own. Every text that comes from the run is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from openstylegan.files import write_text
from openstylegan.training.report_curves import Series, chart, short_number
from openstylegan.training.report_headline import header, tiles
from openstylegan.training.report_pictures import SmallPicture, evenly_spaced, forget, small_picture
from openstylegan.training.run_record import Event, GridPicture, RunRecord, Score

MAX_EVENTS = 50
MAX_LISTED_FILES = 200


@dataclass(frozen=True)
class ChartPlan:
    """A chart of the report: the statistics it draws and their labels; a name ending in `/` is all below it."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    band: bool = False
    hide_zero: bool = False


CHARTS = (
    ChartPlan("Loss", "", (("Loss/G/loss", "generator"), ("Loss/D/loss", "discriminator"))),
    ChartPlan(
        "Discriminator scores",
        "logits, mean ± std",
        (("Loss/scores/real", "real"), ("Loss/scores/fake", "generated")),
        True,
    ),
    ChartPlan("Signs of the scores", "mean", (("Loss/signs/real", "real"), ("Loss/signs/fake", "generated"))),
    ChartPlan("Augmentation strength", "", (("Progress/augment", "p"),), hide_zero=True),
    ChartPlan("R1 regularization", "", (("Loss/r1_penalty", "penalty"), ("Loss/D/reg", "weighted"))),
    ChartPlan("Path length regularization", "", (("Loss/pl_penalty", "penalty"), ("Loss/G/reg", "weighted"))),
    ChartPlan(
        "Brownian Motion Controller",
        "added to what is maximised",
        (("Loss/G/bmc", "generator"), ("Loss/D/bmc", "discriminator")),
    ),
    ChartPlan("Gradient norms", "", (("Gradients/", ""),)),
    ChartPlan("Steps left out", "since the start", (("Health/skipped_steps", "not finite"),), hide_zero=True),
    ChartPlan(
        "Memory",
        "GB",
        (("Resources/cpu_mem_gb", "process"), ("Resources/peak_gpu_mem_gb", "GPU, peak")),
        hide_zero=True,
    ),
    ChartPlan("Time of a phase", "ms", (("Timing/", ""),)),
)
NOT_DRAWN = (
    "Progress/tick",
    "Progress/kimg",
    "Timing/total_sec",
    "Timing/total_hours",
    "Timing/total_days",
    "Timing/sec_per_kimg",
)
NOT_A_PHASE = (*NOT_DRAWN, "Timing/sec_per_tick", "Timing/maintenance_sec")


def write_report(run_folder: Path) -> Path:
    """Writes `report.html` into `run_folder` and returns its path. Raises `InputError` when there is no such folder."""
    record = RunRecord(run_folder)
    target = run_folder / "report.html"
    write_text(target, page(record))
    return target


def page(record: RunRecord) -> str:
    """The whole page as HTML."""
    style, script = asset("report.css"), asset("report.js")
    trusted = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{trusted}'"
    name = escape(record.folder.resolve().name)
    sections = (
        header(record),
        tiles(record),
        pictures(record),
        health(record),
        charts("Scores", score_charts(record.scores)),
        charts("Training", training_charts(record)),
        details("All other statistics", other_charts(record)),
        configuration(record),
        details("Environment", environment(record)),
        details("Log", f"<pre>{escape(record.log_tail)}</pre>" if record.log_tail else ""),
        files(record),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{name} · OpenStyleGAN</title><style>{style}</style></head>\n<body><main>"
        + "\n".join(section for section in sections if section)
        + f"</main>\n<script>{script}</script></body></html>\n"
    )


def asset(name: str) -> str:
    """A text file that lies beside this module."""
    return importlib.resources.files("openstylegan.training").joinpath(name).read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# pictures


def pictures(record: RunRecord) -> str:
    """The generated grids over time beside the real pictures."""
    chosen = evenly_spaced(record.grids)
    frames = [(grid, small) for grid in chosen if (small := small_picture(grid.path, record.grid))]
    reals = record.folder / "reals.png"
    real = small_picture(reals, record.grid) if reals.is_file() else None
    forget(record.folder, [*(grid.path for grid in chosen), reals])
    if not frames and real is None:
        return ""
    count = f"{len(frames)} of {len(record.grids)} grids" if len(frames) < len(record.grids) else ""
    film = "".join(frame(grid, small) for grid, small in frames)
    shown = (
        f'<div class="film"><h3>Generated <span class="muted">{count}</span></h3><ol>{film}</ol></div>'
        if frames
        else ""
    )
    beside = f"<div><h3>Real</h3>{figure(reals, real, 'the training pictures')}</div>" if real else ""
    return f'<section><h2>Pictures</h2><div class="pictures">{shown}{beside}</div></section>'


def frame(grid: GridPicture, small: SmallPicture) -> str:
    """One step of the film."""
    return f'<li data-label="{escape(grid.label)}">{figure(grid.path, small, grid.label)}</li>'


def figure(path: Path, small: SmallPicture, label: str) -> str:
    """A picture with its label, linked to the whole file."""
    part = f", the first {small.part[0]} x {small.part[1]} cells" if small.part else ""
    crisp = " crisp" if small.width < 400 else ""
    return (
        f'<figure class="picture"><a href="{quote(path.name)}"><img class="checker{crisp}" src="{small.uri}" '
        f'width="{small.width}" height="{small.height}" alt="{escape(label)}"></a>'
        f"<figcaption>{escape(label + part)}</figcaption></figure>"
    )


# ---------------------------------------------------------------------------------------------------------------------
# curves


def charts(title: str, drawn: Iterable[str]) -> str:
    """A section of charts, or an empty string when none has a point."""
    body = "".join(drawn)
    return f'<section><h2>{escape(title)}</h2><div class="charts">{body}</div></section>' if body else ""


def score_charts(scores: Sequence[Score]) -> Iterable[str]:
    """A chart for each metric result, its best point marked."""
    for score in scores:
        direction = "higher is better" if score.higher_is_better else "lower is better"
        protocol = ", ".join(f"{name} {plain(value)}" for name, value in score.protocol.items())
        series = [Series("now", score.curve, best=score.best)]
        yield chart(score.name, direction, series, protocol_note(score.protocol), protocol)


def protocol_note(protocol: Mapping[str, Any]) -> str:
    """What matters most of how a metric was taken."""
    words = (("num_generated", "{} generated"), ("num_real", "{} real pictures"), ("extractor", "{}"))
    return ", ".join(text.format(plain(protocol[key])) for key, text in words if key in protocol) or "protocol"


def training_charts(record: RunRecord) -> Iterable[str]:
    """The charts of `CHARTS` that have something to show, and the speed."""
    for plan in CHARTS:
        series = [Series(label, record.curve(name), plan.band) for name, label in plan_lines(plan, record)]
        yield chart(plan.title, plan.unit, [s for s in series if not plan.hide_zero or s.curve.value.any()])
    yield chart("Speed", "images/s", [Series("now", record.speed)])


def plan_lines(plan: ChartPlan, record: RunRecord) -> list[tuple[str, str]]:
    """The statistics and labels of a chart, with those below a name that ends in `/`."""
    found = []
    for name, label in plan.lines:
        if name.endswith("/"):
            below = [n for n in record.columns if n.startswith(name) and n not in NOT_A_PHASE]
            found += [(n, n.removeprefix(name)) for n in below]
        else:
            found.append((name, label))
    return found


def other_charts(record: RunRecord) -> str:
    """Every statistic that no other chart shows, so that nothing a run reports is hidden."""
    shown = {name for plan in CHARTS for name, _ in plan_lines(plan, record)} | set(NOT_DRAWN)
    body = "".join(chart(name, "", [Series("now", record.curve(name))]) for name in record.columns if name not in shown)
    return f'<div class="charts">{body}</div>' if body else ""


# ---------------------------------------------------------------------------------------------------------------------
# health, configuration, files


def health(record: RunRecord) -> str:
    """What went wrong, newest first; nothing at all when all is well."""
    if not record.events:
        return ""
    newest = record.events[: -MAX_EVENTS - 1 : -1]
    items = "".join(f"<li><b>{span(event)} kimg</b> {escape(event.text)}</li>" for event in newest)
    more = len(record.events) - len(newest)
    older = f'<p class="note">and {more} older ones, see stats.jsonl</p>' if more else ""
    return f'<section class="health"><h2>Health</h2><ul>{items}</ul>{older}</section>'


def span(event: Event) -> str:
    """When something happened, in kimg."""
    first, last = short_number(event.first_kimg), short_number(event.last_kimg)
    return first if first == last else f"{first} to {last}"


def details(title: str, body: str) -> str:
    """A part that can be folded open, or an empty string when it has no body."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>" if body else ""


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values; an empty string when there are none."""
    body = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(plain(v))}</td></tr>" for k, v in rows)
    return f"<table>{body}</table>" if body else ""


def plain(value: Any) -> str:
    """A configuration value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ({}, [], ""):
        return "none"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return str(value)


def environment(record: RunRecord) -> str:
    """The machine and the versions; the command as it can be typed."""
    facts = dict(record.environment)
    if isinstance(facts.get("command"), list):
        facts["command"] = shlex.join(map(str, facts["command"]))
    return table(facts.items())


def configuration(record: RunRecord) -> str:
    """Every setting; those that differ from what the preset gives are marked and come first."""
    config, preset = record.config, record.preset
    changed = [name for name in config if preset and config[name] != preset.get(name)]
    rows = "".join(
        f'<tr class="changed"><th>{escape(name)}</th><td>{escape(plain(config[name]))}'
        f'<span class="muted"> preset: {escape(plain(preset[name]) if name in preset else "not set")}</span></td></tr>'
        for name in changed
    )
    rest = table((name, value) for name, value in config.items() if name not in changed)
    title = f"Configuration ({len(changed)} differ from the preset)" if changed else "Configuration"
    return details(title, (f"<table>{rows}</table>" if rows else "") + rest)


def files(record: RunRecord) -> str:
    """The folder's files, linked."""
    found = sorted(p for p in record.folder.iterdir() if not p.name.startswith(".") and p.name != "report.html")
    rows = "".join(
        f'<tr><th><a href="{quote(p.name)}{"/" if p.is_dir() else ""}">{escape(p.name)}</a></th>'
        f"<td>{'folder' if p.is_dir() else file_size(p)}</td></tr>"
        for p in found[:MAX_LISTED_FILES]
    )
    more = len(found) - MAX_LISTED_FILES
    rest = f'<p class="note">and {more} more files</p>' if more > 0 else ""
    return details(f"Files ({len(found)})", f"<table>{rows}</table>{rest}" if rows else "")


def file_size(path: Path) -> str:
    """The size of a file in words."""
    size = float(path.stat().st_size)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size:.0f} bytes"
        size /= 1000
    return f"{size:.3g} GB"
