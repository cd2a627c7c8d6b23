"""Golden files with something changed: every change of a number is a failure, everything unknown is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden.alterations import CPU, GOLDEN, Arrays, changed, copied, load, named, save, texts, verdicts
from golden.runner import Line, check_folder, golden_files

ARRAY_FILES = [path.name for path in golden_files(GOLDEN) if path.suffix == ".npz"]
NOT_RESTING_ON_ARRAYS = {"num_ws", "G outputs", "activation_defaults", "designed filters", "no filter", "transform"}
NOT_RESTING_ON_ARRAYS |= {f"{network} {what}" for network in ("G_ema", "G", "D") for what in ("names", "options")}
NETWORK_OUTPUTS = ("G_ema/", "G/", "D/", "converted/")


class TestChangedNumbers:
    @pytest.mark.parametrize("name", ARRAY_FILES)
    def test_every_recorded_output_is_compared(self, name: str, tmp_path: Path) -> None:
        """Each output of the file is changed, and each change is noticed."""
        changes = []

        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            for key, array in arrays.items():
                if is_output(key, meta):
                    arrays[key] = nudged(array)
                    changes.append(key)
            meta["values"] = {k: 1.1 * v + 0.1 for k, v in meta.get("values", {}).items()}

        lines = changed(tmp_path, name, change)
        failing = [line for line in lines if line.verdict == "FAIL"]
        assert len(failing) >= len(changes) > 0
        assert {line.check.case for line in lines if line.verdict == "ok"} <= NOT_RESTING_ON_ARRAYS

    def test_a_nan_is_a_failure(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            arrays["c00/y"] = np.full_like(arrays["c00/y"], np.nan)

        lines = changed(tmp_path, "ops_bias_act.npz", change)
        assert {line.check.case for line in lines if line.verdict == "FAIL"} == {"c00"}

    def test_phases_left_out_are_not_asked_for(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["options"]["phases"] = ["Gmain", "Dmain"]
            for key in [k for k in arrays if k.startswith(("out/Greg", "out/Gboth", "out/Dreg", "out/Dboth"))]:
                del arrays[key]

        assert verdicts(changed(tmp_path, "loss_sg2.npz", change)) == {"ok"}

    def test_another_shape_is_a_failure_with_both_shapes(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            arrays["c00/y"] = arrays["c00/y"][:1]

        lines = changed(tmp_path, "ops_filtered_lrelu.npz", change)
        assert any("[2, 3, 9, 8] instead of [1, 3, 9, 8]" in text for text in texts(lines, "FAIL"))

    def test_another_weight_changes_the_picture(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            arrays["state/synthesis.b8.conv0.weight"] = arrays["state/synthesis.b8.conv0.weight"][..., ::-1, ::-1]

        lines = changed(tmp_path, "sg2_G_orig_uncond.npz", change)
        assert {line.check.case for line in lines if line.verdict == "FAIL"} >= {"img_const", "img_none"}

    @pytest.mark.parametrize(
        ("name", "option", "value", "case"),
        [
            ("sg2_G_skip_cond.npz", "truncation_psi", 0.6, "w_trunc"),
            ("sg2_G_skip_cond.npz", "truncation_cutoff", 2, "w_trunc_cutoff"),
            ("style_mixing.npz", "col_styles", [0, 1], "mix_w"),
            ("loss_sg2.npz", "pl_decay", 0.02, "Greg/pl_mean_after"),
            ("loss_sg2.npz", "gain", 2, "Gmain/gradnorm"),
            ("loss_sg2.npz", "r1_gamma", 11, "Dreg/Loss/D/reg"),
        ],
    )
    def test_an_option_has_its_effect(self, name: str, option: str, value: Any, case: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["options"][option] = value

        lines = changed(tmp_path, name, change)
        assert case in {line.check.case for line in lines if line.verdict == "FAIL"}

    def test_the_two_programs_defaults_are_told_apart(self, tmp_path: Path) -> None:
        """The running mean of w moves at 0.995 in one program and at 0.998 in the other."""

        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["reference"] = "stylegan3"

        lines = changed(tmp_path, "sg2_G_skip_uncond.npz", change)
        assert [line.check.case for line in lines if line.verdict == "FAIL"] == ["w_avg_after_train_forward"]

    def test_flat_options_mean_the_same_as_nested_ones(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            kwargs = meta["options"]["init_kwargs"]
            flat = {**kwargs.pop("synthesis_kwargs"), "conv_clamp": None, "num_fp16_res": 0}
            kwargs |= {**flat, "fused_modconv_default": "inference_only"}
            kwargs["mapping_kwargs"]["w_avg_beta"] = 0.995
            meta["reference"] = "stylegan3"

        assert verdicts(changed(tmp_path, "sg2_G_orig_uncond.npz", change)) == {"ok"}


class TestMetrics:
    def change(self, folder: Path, part: str, name: str, value: Any) -> list[Line]:
        """The lines of a table of values after a change, its features beside it."""
        meta = json.loads((GOLDEN / "metrics_values.json").read_text())
        target = meta[part] if part in meta else meta["options"][part]
        target[name] = value
        copied(folder, "metrics.npz")
        (folder / "metrics_values.json").write_text(json.dumps(meta))
        return [line for line in check_folder(folder, CPU) if line.file == "metrics_values.json"]

    def test_every_value_of_the_table_is_compared(self, tmp_path: Path) -> None:
        for name, value in json.loads((GOLDEN / "metrics_values.json").read_text())["values"].items():
            lines = self.change(tmp_path, "values", name, value * 1.05)
            assert [line.check.case for line in lines if line.verdict == "FAIL"] == [name]

    @pytest.mark.parametrize(
        ("part", "name", "value", "cases"),
        [
            ("kid", "seed", 2, {"kid", "kid_subset_larger_than_data"}),
            ("kid", "num_subsets", 19, {"kid"}),
            ("kid", "max_subset_size", 90, {"kid"}),
            ("is_", "num_splits", 5, {"is_mean", "is_std"}),
            ("tolerance", "fid", "rel 1e-17", {"fid", "fid_recomputed_biased_cov"}),
        ],
    )
    def test_an_option_has_its_effect(self, part: str, name: str, value: Any, cases: set[str], tmp_path: Path) -> None:
        lines = self.change(tmp_path, part, name, value)
        assert {line.check.case for line in lines if line.verdict == "FAIL"} >= cases
        assert "NOT UNDERSTOOD" not in verdicts(lines)

    @pytest.mark.parametrize(
        ("part", "name", "value", "word"),
        [
            ("values", "fid_of_another_kind", 1.0, "'fid_of_another_kind'"),
            ("tolerance", "fid", "about right", "'about right'"),
            ("tolerance", "ppl", "rel 1e-3", "'ppl'"),
            ("kid", "rng", "torch generator", "'torch generator'"),
            ("fid", "seed", 3, "'seed'"),
            ("fid", "num_gen", 600, "600 rows"),
        ],
    )
    def test_not_understood(self, part: str, name: str, value: Any, word: str, tmp_path: Path) -> None:
        assert named(self.change(tmp_path, part, name, value), word)

    def test_a_table_without_its_features(self, tmp_path: Path) -> None:
        lines = list(check_folder(copied(tmp_path, "metrics_values.json"), CPU))
        assert named(lines, "not beside it: metrics.npz")


def is_output(key: str, meta: dict[str, Any]) -> bool:
    """What a file expects: out/..., a network's, buffers, and in case files all but the inputs and the cotangent."""
    if any("numtaps" in case for case in meta.get("cases", [])) or key.startswith(NETWORK_OUTPUTS):
        return True
    if any("cls" in case for case in meta.get("cases", [])):  # pieces of a network, one by one
        return key.rsplit("/", 1)[1] in ("y", "gx", "y_train_mode", "out")
    if key.startswith(("in/", "state")) or not key.startswith(("c", "s0")):
        return key.startswith(("out/", "buf/"))
    case, name = key.split("/", 1)
    return name == "y" or (name.startswith("g") and name != "gy") or case.startswith("s")


def nudged(array: np.ndarray) -> np.ndarray:
    """One number changed by a tenth of the largest, a byte or index by a few."""
    out = array.copy().reshape(-1)
    if array.dtype.kind in "iu":
        out[0] = out[0] + 5 if out[0] < 100 else out[0] - 5
    else:
        out[0] += 0.1 * np.abs(array).max() + 0.01
    return out.reshape(array.shape)


class TestNotUnderstood:
    @pytest.mark.parametrize("name", [n for n in ARRAY_FILES if "cases" in load(n)[1]])
    def test_unknown_field_of_a_case(self, name: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["cases"][0]["surprise"] = 1

        assert named(changed(tmp_path, name, change), "'surprise'")

    @pytest.mark.parametrize("name", ARRAY_FILES)
    def test_unknown_option(self, name: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta.setdefault("options", {})["surprise"] = 1

        assert named(changed(tmp_path, name, change), "'surprise'")

    @pytest.mark.parametrize("part", ["mapping_kwargs", "synthesis_kwargs", None])
    def test_unknown_option_of_a_network(self, part: str | None, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            kwargs = meta["options"]["init_kwargs"]
            (kwargs[part] if part else kwargs)["surprise"] = 1

        assert named(changed(tmp_path, "sg2_G_orig_uncond.npz", change), "'surprise'")

    @pytest.mark.parametrize("name", ARRAY_FILES)
    def test_unknown_array_and_unknown_part_of_the_description(self, name: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            arrays["out/surprise"] = np.zeros(2, np.float32)

        assert named(changed(tmp_path, name, change), "out/surprise")

        def describe(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["surprise"] = 1

        assert named(changed(tmp_path, name, describe), "'surprise'")

    @pytest.mark.parametrize("name", ARRAY_FILES)
    def test_a_missing_input(self, name: str, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            inputs = ("in/", "state/", "out/mix_w", "out/c0/w", "c00/x", "c01/f")
            key = next(k for k in arrays if k.startswith(inputs) or k.endswith("/in0"))
            del arrays[key]

        assert "NOT UNDERSTOOD" in verdicts(changed(tmp_path, name, change))

    def test_contradictions(self, tmp_path: Path) -> None:
        def kernel(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["cases"][0]["kernel"] = 5

        def no_filter(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["cases"][0]["filter"] = "none"

        def random(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["cases"][0] |= {"p": 0.5, "debug_percentile": None}

        def op(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["cases"][3]["op"] = "sharpen2d"

        def one_case(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["cases"] = 5

        assert named(changed(tmp_path, "ops_conv2d_resample.npz", kernel), "'kernel' is 5")
        assert named(changed(tmp_path, "ops_upfirdn2d.npz", no_filter), "array 'f' says otherwise")
        assert named(changed(tmp_path, "ada_gray_32.npz", random), "is random")
        assert named(changed(tmp_path, "ops_upfirdn2d.npz", op), "'sharpen2d'")
        assert named(changed(tmp_path, "ops_modconv_sg3.npz", one_case), "expected a list, got int")

    def test_files_that_are_not_golden(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "random.npz", a=np.zeros(3))
        save(tmp_path / "unknown.npz", {"a": np.zeros(3)}, {"what": "a new kind of recording", "options": {}})
        save(tmp_path / "list.npz", {"a": np.zeros(3)}, [1])
        (tmp_path / "ops_bias_act.npz").write_bytes((GOLDEN / "ops_bias_act.npz").read_bytes()[:5000])
        flipped = bytearray((GOLDEN / "sg2_D_orig_cond.npz").read_bytes())
        flipped[len(flipped) // 2] ^= 0xFF
        (tmp_path / "sg2_D_orig_cond.npz").write_bytes(bytes(flipped))
        (tmp_path / "empty.npz").write_bytes(b"")
        (tmp_path / "objects.npz").write_bytes(b"")
        np.savez(tmp_path / "objects.npz", meta_json=np.array({"what": "x"}, dtype=object))
        (tmp_path / "broken.json").write_text('{"what": ')
        (tmp_path / "other.json").write_text('{"labels": null}')
        (tmp_path / "broken.pkl").write_bytes(b"\x80\x04\x95\x00")
        (tmp_path / "picture.png").write_bytes(b"\x89PNG")
        lines = list(check_folder(tmp_path, CPU))
        assert verdicts(lines) == {"NOT UNDERSTOOD"}
        assert sorted(line.file for line in lines) == sorted(path.name for path in tmp_path.iterdir())
        assert all(line.check.text and "\n" not in line.check.text for line in lines)

    def test_mixing_without_its_generator(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            meta["options"]["generator"] = "sg2_G_of_nowhere"

        assert named(changed(tmp_path, "style_mixing.npz", change), "sg2_G_of_nowhere")

    def test_mixing_takes_the_generator_beside_it_first(self, tmp_path: Path) -> None:
        def change(arrays: Arrays, meta: dict[str, Any]) -> None:
            arrays["state/mapping.fc0.weight"] = arrays["state/mapping.fc0.weight"] * 2

        arrays, meta = load("sg2_G_skip_uncond.npz")
        change(arrays, meta)
        save(tmp_path / "sg2_G_skip_uncond.npz", arrays, meta)
        lines = list(check_folder(copied(tmp_path, "style_mixing.npz"), CPU))
        assert "mix_w" in {line.check.case for line in lines if line.verdict == "FAIL"}
