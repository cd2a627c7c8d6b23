"""Golden files of the tools with something changed: every number and every option counts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from golden.alterations import CPU, GOLDEN, Arrays, changed, copied, named, texts, verdicts
from golden.runner import Line, check_folder


def altered(folder: Path, name: str, *path: str, value: Any, beside: tuple[str, ...] = ()) -> list[Line]:
    """The lines of a JSON file in which the entry at `path` is `value`."""
    meta = json.loads((GOLDEN / name).read_text())
    place = meta
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    copied(folder, *beside)
    (folder / name).write_text(json.dumps(meta))
    return [line for line in check_folder(folder, CPU) if line.file == name]


def failing(lines: list[Line]) -> set[str]:
    return {line.check.case for line in lines if line.verdict == "FAIL"}


class TestProjectorSchedule:
    NAME = "projector_schedule.json"

    @pytest.mark.parametrize(
        ("path", "value", "case"),
        [
            (("steps", "51", "lr"), 0.1001, "step 51"),
            (("steps", "250", "w_noise_scale_over_w_std"), 0.02, "step 250"),
            (("reg_loss", "500"), 7e-5, "reg_loss 500"),
            (("w_stats", "w_std"), 3.9, "w_std"),
            (("w_stats", "w_avg_first8"), [0.0] * 8, "w_avg_first8"),
            (("w_stats", "samples"), 1999, "w_std"),
            (("defaults", "num_steps"), 900, "step 51"),
            (("defaults", "initial_learning_rate"), 0.2, "step 51"),
            (("defaults", "initial_noise_factor"), 0.1, "step 51"),
            (("defaults", "lr_rampdown_length"), 0.5, "step 751"),
            (("defaults", "lr_rampup_length"), 0.1, "step 51"),
            (("defaults", "noise_ramp_length"), 0.5, "step 51"),
        ],
    )
    def test_every_number_counts(self, path: tuple[str, ...], value: Any, case: str, tmp_path: Path) -> None:
        assert case in failing(altered(tmp_path, self.NAME, *path, value=value, beside=("projector_noise_reg.npz",)))

    @pytest.mark.parametrize(
        ("path", "value", "word"),
        [
            (("defaults", "momentum"), 0.9, "momentum"),
            (("steps", "1", "beta"), 0.9, "'beta'"),
            (("reg_loss", "3"), 1.0, "step3"),
            (("w_stats", "seed"), 5, "'seed'"),
            (("w_stats", "kind"), 5, "'kind'"),
            (("w_stats", "generator"), "sg9", "'sg9'"),
        ],
    )
    def test_not_understood(self, path: tuple[str, ...], value: Any, word: str, tmp_path: Path) -> None:
        assert named(altered(tmp_path, self.NAME, *path, value=value), word)


class TestVideo:
    NAME = "gen_video_w.npz"

    @pytest.mark.parametrize(
        ("config", "option", "value", "case"),
        [
            (0, "seeds", [0, 1, 2, 4], "c0/w"),
            (0, "psi", 0.8, "c0/w"),
            (0, "w_frames", 9, "c0/w"),
            (0, "num_keyframes", 5, "c0/w"),
            (1, "shuffle_seed", 4, "c1/w"),
            (1, "shuffle_seed", None, "c1/w"),
            (1, "grid_dims", [1, 2], "c1/frame 0"),
        ],
    )
    def test_every_option_counts(self, config: int, option: str, value: Any, case: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["options"]["configs"][config][option] = value

        assert case in failing(changed(tmp_path, self.NAME, change))

    def test_a_film_that_is_too_short(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["options"]["configs"][0]["w_frames"] = 4

        assert any("frame 31 of a film of 16" in text for text in texts(changed(tmp_path, self.NAME, change), "FAIL"))

    def test_fewer_frames_may_be_kept(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            kept = [0, 7, 30]
            arrays["out/c0/frame_indices"] = arrays["out/c0/frame_indices"][kept]
            arrays["out/c0/w_index_kept"] = arrays["out/c0/w_index_kept"][[1, 15]]
            arrays["out/c0/w"] = arrays["out/c0/w"][kept][:, :, [1, 15]]

        assert verdicts(changed(tmp_path, self.NAME, change)) == {"ok"}

    @pytest.mark.parametrize(("option", "value", "word"), [("kind", "linear", "'linear'"), ("fps", 30, "'fps'")])
    def test_not_understood(self, option: str, value: Any, word: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["options"]["configs"][0][option] = value

        assert named(changed(tmp_path, self.NAME, change), word)


class TestTransforms:
    NAME = "seeds_to_z.json"

    def test_every_number_counts(self, tmp_path: Path) -> None:
        table = json.loads((GOLDEN / self.NAME).read_text())["transforms"]
        for key in table:
            value = copy.deepcopy(table[key])
            value[0][1] += 1e-9
            assert failing(altered(tmp_path, self.NAME, "transforms", key, value=value)) == {f"transform {key}"}

    def test_not_understood(self, tmp_path: Path) -> None:
        assert named(altered(tmp_path, self.NAME, "transforms", "left", value=[[1]]), "'left'")
