"""What a training run shows while it runs: a live line on a terminal, one plain line a tick anywhere else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

REFRESH_PER_SECOND = 2.0
LOSSES = (("Loss/G/loss", "loss G"), ("Loss/D/loss", "D"), ("Loss/D/reg", "R1"), ("Loss/G/reg", "PL"))


@dataclass(frozen=True)
class TickStatus:
    """The numbers of one tick's status line. Times in seconds, memory in GiB, `augment_p` a strength."""

    tick: int
    kimg: float
    total_seconds: float
    seconds_per_tick: float
    seconds_per_kimg: float
    maintenance_seconds: float
    cpu_memory_gb: float
    gpu_memory_gb: float
    augment_p: float


def format_time(seconds: float) -> str:
    """A duration as `Ns`, `Mm SSs`, `Hh MMm SSs` or `Dd HHh MMm`, rounded to the second."""
    s = round(seconds)
    if s < 60:
        return f"{s}s"
    if s < 60 * 60:
        return f"{s // 60}m {s % 60:02}s"
    if s < 24 * 60 * 60:
        return f"{s // 3600}h {s // 60 % 60:02}m {s % 60:02}s"
    return f"{s // 86400}d {s // 3600 % 24:02}h {s // 60 % 60:02}m"


def status_line(status: TickStatus) -> str:
    """One tick as a line of text, its fields in the order users of the StyleGAN programs know."""
    fields = (
        ("tick", f"{status.tick:<5d}"),
        ("kimg", f"{status.kimg:<8.1f}"),
        ("time", f"{format_time(status.total_seconds):<12s}"),
        ("sec/tick", f"{status.seconds_per_tick:<7.1f}"),
        ("sec/kimg", f"{status.seconds_per_kimg:<7.2f}"),
        ("maintenance", f"{status.maintenance_seconds:<6.1f}"),
        ("cpumem", f"{status.cpu_memory_gb:<6.2f}"),
        ("gpumem", f"{status.gpu_memory_gb:<6.2f}"),
        ("augment", f"{status.augment_p:.3f}"),
    )
    return " ".join(f"{name} {value}" for name, value in fields)


@dataclass(frozen=True)
class Shown:
    """What the live line says now; replaced as a whole, so that the drawing thread never sees half of a change."""

    kimg: float = 0.0
    seconds: float = 0.0
    images_per_second: float = math.nan
    stats: Mapping[str, float] = field(default_factory=dict)
    p: float | None = None
    memory_gb: float | None = None
    metric: str = ""
    snapshot: str = ""


class Progress:
    """The display of a run of `total_kimg`, or of `total_seconds` if that ends first. A context manager.

    An update costs microseconds.

    On a terminal two live lines stay below what is printed and are drawn twice a second by a thread of their own.
    Elsewhere (a log file, CI) only `tick` and `message` print, one plain line each.
    """

    def __init__(self, total_kimg: float, console: Console | None = None, total_seconds: float | None = None):
        self.total_kimg = total_kimg
        self.total_seconds = math.inf if total_seconds is None else total_seconds
        self.console = console or Console()
        self.shown = Shown()
        self.live: Live | None = None

    def start(self) -> None:
        """Begins to draw, on a terminal."""
        if self.live is None and self.console.is_terminal:
            self.live = Live(
                console=self.console,
                get_renderable=self.renderable,
                refresh_per_second=REFRESH_PER_SECOND,
                transient=False,
            )
            self.live.start()

    def stop(self) -> None:
        """Draws the last state and gives the terminal back. May be called twice."""
        live, self.live = self.live, None
        if live is not None:
            live.stop()

    def __enter__(self) -> Progress:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def update(
        self,
        *,
        kimg: float | None = None,
        seconds: float | None = None,
        images_per_second: float | None = None,
        stats: Mapping[str, float] | None = None,
        p: float | None = None,
        memory_gb: float | None = None,
        metric: str | None = None,
        snapshot: str | None = None,
    ) -> None:
        """Changes what is shown; what is not given stays.

        `seconds` is the run's duration so far, `stats` maps names such as `Loss/G/loss` to values.
        """
        given = {
            "kimg": kimg,
            "seconds": seconds,
            "images_per_second": images_per_second,
            "stats": None if stats is None else dict(stats),
            "p": p,
            "memory_gb": memory_gb,
            "metric": metric,
            "snapshot": snapshot,
        }
        self.shown = dataclasses.replace(self.shown, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]

    def tick(self, line: str) -> None:
        """Prints a tick's status line."""
        self.message(line)

    def message(self, text: str) -> None:
        """Prints a line as it is, above the live lines."""
        self.console.print(Text(text), soft_wrap=True)

    def renderable(self) -> RenderableType:
        """The two live lines: the bar with speed and time left; losses and the rest."""
        shown = self.shown
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1, min_width=8)
        bar.add_column(no_wrap=True, justify="right")
        bar.add_row(
            Text(f"{shown.kimg:.1f}/{self.total_kimg:g} kimg", style="bold"),
            ProgressBar(total=1.0, completed=self.share(), complete_style="cyan", finished_style="green"),
            Text(self.pace(), style="cyan"),
        )
        return Group(bar, Text("  ".join(self.facts()), style="dim", overflow="ellipsis", no_wrap=True))

    def share(self) -> float:
        """How much of the run is done, 0 to 1, by images or by the clock, whichever is further."""
        by_images = self.shown.kimg / self.total_kimg if self.total_kimg > 0 else 0.0
        return min(max(by_images, self.shown.seconds / self.total_seconds), 1.0)

    def pace(self) -> str:
        """Share done, images a second, time left."""
        shown = self.shown
        if not shown.images_per_second > 0:
            return f"{self.share():.0%}"
        by_images = (self.total_kimg - shown.kimg) * 1000 / shown.images_per_second
        left = max(min(by_images, self.total_seconds - shown.seconds), 0.0)
        return f"{self.share():.0%}  {shown.images_per_second:.3g} img/s  {format_time(left)} left"

    def facts(self) -> list[str]:
        """Losses, augmentation, memory, the newest metric and snapshot: those that are known."""
        shown = self.shown
        losses = [f"{label} {shown.stats[name]:.3f}" for name, label in LOSSES if name in shown.stats]
        p = [] if shown.p is None else [f"p {shown.p:.3f}"]
        memory = [] if shown.memory_gb is None else [f"mem {shown.memory_gb:.2f} GB"]
        return [*losses, *p, *memory, *(text for text in (shown.metric, shown.snapshot) if text)]
