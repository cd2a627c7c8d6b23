"""Progress: what is counted, and the lines of a log."""

from __future__ import annotations

import pytest

from openstylegan.data.progress import Log, counted, progress_line, unwatched


def test_items_are_counted_once_they_have_been_dealt_with() -> None:
    done: list[int] = []
    for n in counted(iter("abc"), done.append):
        assert len(done) == "abc".index(n)
    assert done == [1, 1, 1]


def test_a_log_has_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    log = Log("film", 100, lambda: now)
    for _ in range(100):
        now += 1
        log(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "film: 10 of 100, 1:30 left" and lines[-1] == "film: 100 of 100, 0:00 left" and len(lines) == 10


def test_a_log_without_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    log = Log("reading", None, lambda: now)
    now = 11
    log(5)
    assert capsys.readouterr().err == "reading: 5 done\n"


def test_short_work_leaves_a_log_empty(capsys: pytest.CaptureFixture[str]) -> None:
    for watch in (progress_line, unwatched):
        with watch("quick", 3) as advance:
            advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_line("film", 3) as advance:
        advance(2)
    assert "2/3" in capsys.readouterr().err
