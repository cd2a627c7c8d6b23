"""A run folder read back: what counts, what is left out, what was best."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openstylegan.errors import InputError
from openstylegan.training.run_record import RunRecord, flatten, is_higher_better, record_kimg, scores_of


def write_stats(folder: Path, *ticks: dict[str, Any]) -> RunRecord:
    """A run of these ticks, given as {name: mean}; `Progress/kimg` is one of them."""
    lines = [{name: {"num": 1, "mean": mean, "std": 0.5} for name, mean in tick.items()} for tick in ticks]
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RunRecord(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run folder"):
        RunRecord(tmp_path / "none")


def test_an_empty_folder_is_an_empty_run(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    assert record.ticks == record.scores == record.grids == record.events == []
    assert record.config == record.environment == record.grid == {}
    assert record.log_tail == "" and record.kimg == 0


def test_where_a_resumed_run_went_back_its_new_ticks_count(tmp_path: Path) -> None:
    ticks = [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0), (2.0, 21.0), (3.5, 31.0)]
    record = write_stats(tmp_path, *({"Progress/kimg": kimg, "x": x} for kimg, x in ticks))
    assert record.curve("x").kimg.tolist() == [1.0, 2.0, 3.5]
    assert record.curve("x").value.tolist() == [10.0, 21.0, 31.0]
    assert record.kimg == 3.5


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    write_stats(tmp_path, {"Progress/kimg": 1.0})
    with open(tmp_path / "stats.jsonl", "a") as file:
        file.write('{"Progress/kimg": {"num": 1, "mean": 2.0, "st')
    assert RunRecord(tmp_path).kimg == 1.0


def test_a_curve_has_only_finite_points(tmp_path: Path) -> None:
    record = write_stats(
        tmp_path,
        {"Progress/kimg": 1.0, "x": 5.0},
        {"Progress/kimg": 2.0, "x": math.nan},
        {"Progress/kimg": 3.0, "x": None},
        {"Progress/kimg": 4.0},
        {"Progress/kimg": 5.0, "x": math.inf},
        {"Progress/kimg": 6.0, "x": 7.0},
    )
    curve = record.curve("x")
    assert curve.kimg.tolist() == [1.0, 6.0] and curve.value.tolist() == [5.0, 7.0]
    assert curve.spread.tolist() == [0.5, 0.5]
    assert record.last("x") == 7.0
    assert math.isnan(record.last("unknown")) and len(record.curve("unknown")) == 0


def test_health_tells_rising_counts_and_stretches_that_were_not_finite(tmp_path: Path) -> None:
    counts = [0.0, 0.0, 2.0, 2.0, 3.0]
    losses = [1.0, math.nan, math.inf, 1.0, math.nan]
    record = write_stats(
        tmp_path,
        *(
            {"Progress/kimg": n + 1.0, "Health/skipped_steps": count, "Loss/D/loss": loss}
            for n, (count, loss) in enumerate(zip(counts, losses, strict=True))
        ),
    )
    assert [(e.first_kimg, e.last_kimg, e.text) for e in record.events] == [
        (2.0, 3.0, "Loss/D/loss was not finite"),
        (3.0, 3.0, "2 skipped steps, 2 since the start"),
        (5.0, 5.0, "1 skipped steps, 3 since the start"),
        (5.0, 5.0, "Loss/D/loss was not finite"),
    ]


def test_a_statistic_that_nothing_was_reported_to_is_no_event(tmp_path: Path) -> None:
    line = {"Progress/kimg": {"num": 1, "mean": 1.0, "std": 0.0}, "x": {"num": 0, "mean": math.nan, "std": math.nan}}
    (tmp_path / "stats.jsonl").write_text(json.dumps(line) + "\n")
    assert RunRecord(tmp_path).events == []


def test_of_two_scores_at_one_kimg_the_later_counts() -> None:
    records = [
        {"results": {"fid": 50.0}, "kimg": 4, "protocol": "a"},
        {"results": {"fid": 40.0}, "kimg": 8, "protocol": {"images": 10, "features": {"name": "b"}}},
        {"results": {"fid": 45.0}, "kimg": 4, "protocol": None},
        {"results": {"fid": math.nan}, "kimg": 12},
        {"results": {"fid": 1.0}},
        ["not a record"],
    ]
    [score] = scores_of(records)
    assert score.curve.kimg.tolist() == [4.0, 8.0] and score.curve.value.tolist() == [45.0, 40.0]
    assert score.best == 1 and not score.higher_is_better
    assert score.protocol == {}, "that of the newest record"


@pytest.mark.parametrize(
    ("record", "kimg"),
    [
        ({"kimg": 12}, 12.0),
        ({"snapshot": "network-snapshot-000200.safetensors"}, 200.0),
        ({"snapshot_pkl": "runs/x/network-snapshot-004000.pkl"}, 4000.0),
        ({"snapshot": None}, math.nan),
    ],
)
def test_when_a_metric_was_taken(record: dict[str, Any], kimg: float) -> None:
    assert record_kimg(record) == pytest.approx(kimg, nan_ok=True)


def test_the_best_of_a_precision_is_the_highest() -> None:
    records = [{"results": {"pr50k3_precision": value}, "kimg": n} for n, value in enumerate([0.1, 0.7, 0.4])]
    [score] = scores_of(records)
    assert score.higher_is_better and score.best == 1


def test_which_metrics_rise() -> None:
    rising = ["is50k_mean", "pr50k3_recall", "pr_efflite0_precision"]
    assert [is_higher_better(name) for name in rising] == [True] * 3
    falling = ["fid50k_full", "kid50k", "fd_efflite0", "kd_efflite0", "something_else"]
    assert [is_higher_better(name) for name in falling] == [False] * 5


def test_flatten_keeps_every_value() -> None:
    nested = {"a": {"b": 1, "c": {}}, "d": [1, 2], "e": [{"f": None}, {"f": "x"}], "g": []}
    assert flatten(nested) == {"a.b": 1, "a.c": {}, "d": [1, 2], "e.0.f": None, "e.1.f": "x", "g": []}


def test_the_log_is_read_from_its_end(tmp_path: Path) -> None:
    lines = [f"line {n} " + "x" * 90 for n in range(1000)]
    (tmp_path / "log.txt").write_text("\n".join(lines) + "\n")
    tail = RunRecord(tmp_path).log_tail.splitlines()
    assert tail[-1] == lines[-1] and tail == lines[-len(tail) :] and 100 < len(tail) < 1000


def test_grids_stand_in_order_of_time(tmp_path: Path) -> None:
    for name in (
        "fakes000100.png",
        "fakes_init.png",
        "fakes000020.png",
        "fakes1000000.png",
        "fakes_best.png",
        "fakes000000.png",
    ):
        (tmp_path / name).touch()
    grids = RunRecord(tmp_path).grids
    assert [g.path.name for g in grids] == [
        "fakes_init.png",
        "fakes000000.png",
        "fakes000020.png",
        "fakes000100.png",
        "fakes1000000.png",
    ]
    assert [g.label for g in grids][:3] == ["before training", "0 kimg", "20 kimg"]
    assert np.diff([g.kimg for g in grids]).min() >= 0
