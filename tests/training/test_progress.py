"""The display of a run: a live part on a terminal, one plain line a tick elsewhere."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from openstylegan.training.progress import Progress, TickStatus, format_time, status_line

STATUS = TickStatus(
    tick=12,
    kimg=48.04,
    total_seconds=3725.4,
    seconds_per_tick=151.26,
    seconds_per_kimg=37.815,
    maintenance_seconds=0.25,
    cpu_memory_gb=1.314,
    gpu_memory_gb=0.0,
    augment_p=0.01249,
)


def plain_console() -> Console:
    """A console that is no terminal, as in a log file."""
    return Console(file=io.StringIO(), width=60, force_terminal=False)


def terminal() -> Console:
    """A console that takes its file for a terminal."""
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)


def written(console: Console) -> str:
    """What a console wrote."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3600, "1h 00m 00s"),
        (86399, "23h 59m 59s"),
        (86400, "1d 00h 00m"),
        (86400 * 12 + 3600 * 3 + 60 * 7 + 59, "12d 03h 07m"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert format_time(seconds) == text


def test_the_status_line_has_its_fields_in_the_known_order() -> None:
    assert " ".join(status_line(STATUS).split()) == (
        "tick 12 kimg 48.0 time 1h 02m 05s sec/tick 151.3 sec/kimg 37.81 maintenance 0.2 cpumem 1.31 gpumem 0.00 "
        "augment 0.012"
    )


def test_the_status_lines_of_a_run_stand_below_each_other() -> None:
    early = TickStatus(0, 0.0, 3, 3.1, 196.2, 0.0, 1.0, 0.0, 0.0)
    late = TickStatus(6250, 25000.0, 86400 * 9, 200.0, 50.1, 30.5, 12.25, 10.5, 0.412)
    fields = ("kimg", "time", "sec/tick", "maintenance", "cpumem", "augment")
    assert len({tuple(status_line(s).index(f) for f in fields) for s in (early, STATUS, late)}) == 1


def test_without_a_terminal_only_ticks_and_messages_are_printed_as_they_are() -> None:
    console = plain_console()
    line = status_line(STATUS)
    with Progress(200.0, console) as progress:
        for n in range(20):
            progress.update(kimg=float(n), images_per_second=6.5, stats={"Loss/G/loss": 1.0}, p=0.1, memory_gb=1.0)
        progress.tick(line)
        progress.message("[bold]dataset[/bold] :smile: 1234 " + "x" * 100)
    assert written(console).splitlines() == [line, "[bold]dataset[/bold] :smile: 1234 " + "x" * 100]


def test_on_a_terminal_the_live_lines_show_what_is_known() -> None:
    console = terminal()
    with Progress(200.0, console) as progress:
        progress.update(kimg=50.0, images_per_second=6.4)
        progress.update(stats={"Loss/G/loss": 1.25, "Loss/D/loss": 0.5, "Other": 3.0}, p=0.125, memory_gb=1.5)
        progress.update(metric="fd_efflite0 83.1", snapshot="network-snapshot-000048.safetensors")
        progress.tick("tick 3")
    last = written(console).rpartition("tick 3")[2]
    for text in (
        "50.0/200 kimg",
        "25%",
        "6.4 img/s",
        "6h 30m 38s left",
        "loss G 1.250",
        "D 0.500",
        "p 0.125",
        "1.50 GB",
    ):
        assert text in last
    assert "fd_efflite0 83.1" in last
    assert "Other" not in written(console)


def test_what_is_not_known_is_not_shown() -> None:
    console = terminal()
    with Progress(200.0, console) as progress:
        progress.update(kimg=1.0)
    assert "left" not in written(console) and "GB" not in written(console) and "nan" not in written(console)


def test_a_run_past_its_end_shows_no_more_than_all() -> None:
    console = terminal()
    with Progress(10.0, console) as progress:
        progress.update(kimg=10.4, images_per_second=5.0)
    assert "100%" in written(console) and "0s left" in written(console)


def test_a_run_that_ends_by_the_clock_says_so() -> None:
    console = terminal()
    with Progress(1000.0, console, total_seconds=300.0) as progress:
        progress.update(kimg=10.0, seconds=240.0, images_per_second=50.0)
    assert "80%" in written(console) and "1m 00s left" in written(console)


def test_an_error_gives_the_terminal_back() -> None:
    console = terminal()
    with pytest.raises(KeyError), Progress(1.0, console) as progress:
        raise KeyError
    assert progress.live is None
    assert written(console).count("\x1b[?25l") == written(console).count("\x1b[?25h") == 1, "the cursor is back"
    progress.stop()
    assert written(console).count("\x1b[?25h") == 1, "stopping twice does nothing"


def test_an_update_costs_less_than_a_millisecond() -> None:
    stats = {f"Loss/{n}": float(n) for n in range(30)}
    with Progress(100.0, terminal()) as progress:
        start = time.thread_time()
        for n in range(500):
            progress.update(kimg=n / 10, images_per_second=6.0, stats=stats, p=0.1, memory_gb=1.0)
        assert (time.thread_time() - start) / 500 < 2e-4
