"""Taking metrics: shared passes, cached statistics, the same numbers however the work is cut, protocols, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from measuring import (
    GENERATOR_METRICS,
    PICTURE_METRICS,
    Fakes,
    Pixels,
    Projection,
    Reals,
    generator_setup,
    measure_everything,
    projections,
    small_sampler,
)

from openstylegan.data.dataset import open_dataset
from openstylegan.data.demo import demo_path
from openstylegan.errors import InputError
from openstylegan.features.weights import WeightPolicy
from openstylegan.files import read_lines, sha256_file
from openstylegan.metrics import METRICS
from openstylegan.metrics.collect import Want, collect
from openstylegan.metrics.evaluate import Setup, check_available, evaluate, is_better, whole
from openstylegan.metrics.fid import fid
from openstylegan.metrics.precision_recall import precision_recall
from openstylegan.metrics.probe import collect_rows
from openstylegan.metrics.statistics import RunningMoments, feature_set, moments_of
from openstylegan.training.launch import run_processes

OURS = ["fd_efflite0", "kd_efflite0", "pr_efflite0"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "metrics"


def values(records: list) -> dict[str, float]:
    return {key: value for record in records for key, value in record.results.items()}


def take(names: list[str], fakes: Fakes | None = None, reals: Reals | None = None, **options) -> dict[str, float]:
    setup = options.pop("setup", None) or Setup(extractors=projections())
    return values(evaluate(names, fakes or Fakes(), reals or Reals(), **({"num_generated": 60} | options), setup=setup))


def test_the_numbers_are_those_of_the_features() -> None:
    found = take(OURS)
    extractor = Projection("efficientnet-lite0")
    real = extractor(torch.from_numpy(Reals().images(np.arange(50))))
    generated = extractor(Fakes()(range(60)))
    assert found["fd_efflite0"] == pytest.approx(fid(feature_set(real), feature_set(generated)), rel=1e-10)
    precision, recall = precision_recall(real, generated)
    assert (found["pr_efflite0_precision"], found["pr_efflite0_recall"]) == (precision, recall)


def test_every_metric_gives_its_results() -> None:
    found = take(PICTURE_METRICS)
    assert list(found) == [key for name in PICTURE_METRICS for key in METRICS[name].results]
    assert all(np.isfinite(list(found.values())))


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_does_not_matter(batch_size: int) -> None:
    expected = take(OURS, cache=False)
    found = take(OURS, cache=False, batch_size=batch_size)
    assert found == pytest.approx(expected, rel=1e-8)


def of_generator(num: int = 10, batch_size: int = 64, kind: str = "stylegan3", **options) -> list:
    return evaluate(
        GENERATOR_METRICS,
        small_sampler(kind),
        Reals(),
        num_generated=num,
        batch_size=batch_size,
        cache=False,
        setup=generator_setup(),
        **options,
    )


def test_generators_are_measured_beside_pictures() -> None:
    records = of_generator()
    assert [record.metric for record in records] == GENERATOR_METRICS
    assert all(np.isfinite(value) for record in records for value in record.results.values())
    equivariance, path = records[1].protocol, records[2].protocol
    assert equivariance.items() >= {"num_generated": 10, "group_size": 4, "motion": "fraction", "limit": 0.125}.items()
    assert "perceptual" not in equivariance
    expected = {"perceptual": "pixels", "space": "w", "t_sampling": "end", "crop": False, "epsilon": 1e-4, "seed": 4}
    assert path.items() >= expected.items()
    assert path["sampling"]["noise_mode"] == "const, drawn anew for each group"


@pytest.mark.parametrize("batch_size", [1, 7])
def test_no_batch_size_changes_what_a_generator_scores(batch_size: int) -> None:
    assert values(of_generator(batch_size=batch_size)) == pytest.approx(values(of_generator()), rel=1e-8)


def test_groups_run_side_by_side_with_one_thread_an_operation_each() -> None:
    """Path lengths of a wider generator were 7e-6 apart with 1 and 2 threads an operation."""
    before, used = torch.get_num_threads(), []
    torch.set_num_threads(2)

    def rows_of(group: range) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return torch.tensor([[float(i)] for i in group])

    for concurrent in (True, False):
        rows = collect_rows(rows_of, 7, 2, 1, torch.device("cpu"), concurrent=concurrent)
        assert rows[:, 0].tolist() == list(range(7))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert used == [1] * 4 + [2] * 4


def results_of(path: Path) -> dict[str, float]:
    return {key: value for line in read_lines(path) for key, value in line["results"].items()}


@pytest.mark.parametrize("num", [2, 4])
def test_several_processes_give_the_same_records(num: int, tmp_path: Path) -> None:
    run_processes(measure_everything, (tmp_path, 60, 8), num, "cpu")
    found = [results_of(tmp_path / f"pictures{rank}.jsonl") for rank in range(num)]
    assert all(own == found[0] for own in found)
    assert found[0] == pytest.approx(take(PICTURE_METRICS, cache=False, batch_size=8), rel=1e-8, abs=1e-12)
    generators = [results_of(tmp_path / f"generator{rank}.jsonl") for rank in range(num)]
    assert all(own == generators[0] for own in generators)
    assert generators[0] == pytest.approx(values(of_generator(10, batch_size=5)), rel=1e-8)
    assert {line["num_gpus"] for line in read_lines(tmp_path / "pictures0.jsonl")} == {num}
    made = [json.loads((tmp_path / f"made{rank}.jsonl").read_text()) for rank in range(num)]
    assert sorted(number for own in made for number in own) == list(range(60))
    assert [len(own) for own in made] == {2: [32, 28], 4: [16, 16, 16, 12]}[num]


def test_more_samples_are_measured_by_the_same_first_ones() -> None:
    """The samples of a shorter evaluation are those of the longer one; a last group may be smaller."""
    heard = []
    of_generator(6, progress=lambda done, total, what: heard.append((done, total, what)))
    assert [entry for entry in heard if entry[2] == "eqr50k"] == [(1, 2, "eqr50k"), (2, 2, "eqr50k")]
    assert [entry for entry in heard if entry[2] == "ppl2_wend"][-1] == (3, 3, "ppl2_wend")


@pytest.mark.parametrize("num", [2, 3, 5])
def test_shares_of_any_number_of_processes_add_up(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process's part of the pictures, collected as if the others did not exist, then merged."""
    wants = [Want("efficientnet-lite0", 60, "moments")]
    monkeypatch.setattr("openstylegan.metrics.collect.world_size", lambda: num)
    monkeypatch.setattr("openstylegan.metrics.statistics.Collector.finish", lambda collector: collector.running)
    total = RunningMoments(6)
    for rank in range(num):
        monkeypatch.setattr("openstylegan.metrics.collect.rank", lambda rank=rank: rank)
        [part] = collect(Fakes(), wants, projections(), 8, torch.device("cpu")).values()
        total.merge(part)
    mean, covariance = moments_of(Projection("efficientnet-lite0")(Fakes()(range(60))))
    assert total.num == 60
    torch.testing.assert_close(total.mean, mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(total.covariance, covariance, rtol=1e-12, atol=1e-14)


def test_all_metrics_share_one_pass() -> None:
    fakes, reals, extractors = Fakes(), Reals(), projections()
    take(PICTURE_METRICS, fakes, reals, setup=Setup(extractors=extractors))
    assert fakes.numbers == list(range(60))
    assert reals.reads == 50
    assert [extractors[n].pictures for n in ("efficientnet-lite0", "inception", "inception-probabilities")] == [
        110,
        110,
        60,
    ]


def test_each_metric_has_its_own_number_of_generated_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    table = {
        "a": replace(METRICS["fd_efflite0"], num_generated=20, results=("a",)),
        "b": replace(METRICS["kd_efflite0"], num_generated=70, results=("b",)),
    }
    monkeypatch.setattr("openstylegan.metrics.evaluate.METRICS", table)
    fakes = Fakes()
    both = take(["a", "b"], fakes, num_generated=None, batch_size=16)
    assert fakes.numbers == list(range(70))
    assert both["a"] == pytest.approx(take(["a"], num_generated=20)["a"], rel=1e-10)
    assert both["b"] == pytest.approx(take(["b"], num_generated=70)["b"], rel=1e-10)


# ---- the cache of real statistics


def test_statistics_of_real_pictures_are_taken_once(own_cache: Path) -> None:
    first, again = Reals(), Reals()
    expected = take(OURS, reals=first)
    found = take(OURS, reals=again)
    assert (first.reads, again.reads) == (50, 0)
    assert found == expected
    assert sorted(path.suffix for path in own_cache.iterdir()) == [".npz", ".npz"]


def test_the_cache_can_be_left_alone(own_cache: Path) -> None:
    reals = Reals()
    for _ in range(2):
        take(OURS, reals=reals, cache=False)
    assert reals.reads == 100
    assert not own_cache.exists()


def test_the_number_of_real_pictures_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original's metrics over different numbers of pictures could read each other's statistics."""
    from dataclasses import replace

    table = dict(METRICS) | {"few": replace(METRICS["fd_efflite0"], max_reals=20, results=("few",))}
    monkeypatch.setattr("openstylegan.metrics.evaluate.METRICS", table)
    few = take(["few"])["few"]
    all_of_them = take(["fd_efflite0"])["fd_efflite0"]
    assert few != pytest.approx(all_of_them, rel=1e-3)
    assert take(["few"])["few"] == few
    assert few == pytest.approx(take(["fd_efflite0"], reals=Reals(20))["fd_efflite0"], rel=1e-10)


@pytest.mark.parametrize("change", ["data", "protocol"])
def test_other_data_or_another_protocol_is_not_read_from_the_cache(change: str) -> None:
    take(["fd_efflite0"])
    extractors = projections()
    if change == "protocol":
        extractors["efficientnet-lite0"].sha256 = "1" * 64
    reals = Reals(shift=2 if change == "data" else 1)
    take(["fd_efflite0"], reals=reals, setup=Setup(extractors=extractors))
    assert reals.reads == 50


@pytest.mark.parametrize("damage", ["truncate", "text", "empty"])
def test_a_damaged_cache_is_made_again(own_cache: Path, damage: str) -> None:
    expected = take(["fd_efflite0"])
    [path] = own_cache.iterdir()
    content = path.read_bytes()
    path.write_bytes({"truncate": content[:-200], "text": b"no array", "empty": b""}[damage])
    reals = Reals()
    assert take(["fd_efflite0"], reals=reals) == expected
    assert reals.reads == 50
    assert len(path.read_bytes()) == len(content)


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(blocker / "cache"))
    with pytest.warns(UserWarning, match="were not cached"):
        take(["fd_efflite0"])


# ---- which real pictures


def test_full_metrics_look_at_the_whole_dataset_without_mirrored_pictures() -> None:
    dataset = open_dataset(demo_path(), max_size=10, xflip=True, cache=False)
    assert len(dataset) == 20
    assert len(whole(dataset, xflip=False)) == 1615
    assert len(whole(dataset, xflip=True)) == 2 * 1615
    plain = open_dataset(demo_path(), cache=False)
    assert whole(plain, xflip=True) is plain
    assert whole(dataset, xflip=False).content_hash == plain.content_hash
    assert np.array_equal(whole(dataset, xflip=False).images([7]), plain.images([7]))
    assert [name for name in PICTURE_METRICS if METRICS[name].keeps_xflip] == ["fid50k", "kid50k", "pr50k3"]


def test_inception_score_needs_no_real_pictures() -> None:
    records = evaluate(["is50k"], Fakes(), num_generated=30, setup=Setup(extractors=projections()))
    assert records[0].protocol["num_real"] == 0
    with pytest.raises(InputError, match="--data"):
        evaluate(["fd_efflite0"], Fakes(), num_generated=30, setup=Setup(extractors=projections()))


def test_grey_and_transparent_pictures_are_measured() -> None:
    grey = lambda indices: Fakes()(indices)[:, :1]  # noqa: E731
    clear = lambda indices: torch.cat([Fakes()(indices), Fakes(3)(indices)[:, :1]], 1)  # noqa: E731
    assert len({take(["fd_efflite0"], sample)["fd_efflite0"] for sample in (Fakes(), grey, clear)}) == 3


# ---- records


def test_a_record_carries_its_protocol() -> None:
    setup = Setup(extractors=projections(), seed=7, snapshot="network-snapshot-000100", sampling={"seed": 7})
    [record] = evaluate(["kd_efflite0"], Fakes(), Reals(), num_generated=60, setup=setup)
    line = json.loads(record.to_json())
    assert set(line) == {
        "results",
        "metric",
        "protocol",
        "total_time",
        "total_time_str",
        "num_gpus",
        "snapshot",
        "timestamp",
    }
    expected = {
        "extractor": "efficientnet-lite0",
        "sha256": "0" * 64,
        "num_real": 50,
        "num_generated": 60,
        "dataset": "reals",
        "dataset_hash": Reals().content_hash,
        "xflip": False,
        "num_subsets": 100,
        "max_subset_size": 1000,
        "seed": 7,
        "sampling": {"seed": 7},
    }
    assert line["protocol"].items() >= expected.items()
    assert line["snapshot"] == "network-snapshot-000100"
    assert line["total_time"] >= 0


def test_records_are_appended(tmp_path: Path) -> None:
    [record] = evaluate(["fd_efflite0"], Fakes(), Reals(), num_generated=20, setup=Setup(extractors=projections()))
    for kimg in (1, 2):
        record.append_to(tmp_path, kimg=kimg)
    assert [line["kimg"] for line in read_lines(tmp_path / "metric-fd_efflite0.jsonl")] == [1, 2]


def test_progress_is_told() -> None:
    heard = []
    take(["fd_efflite0"], batch_size=25, progress=lambda done, total, what: heard.append((done, total, what)))
    assert heard == [(1, 2, "real pictures"), (2, 2, "real pictures")] + [
        (n, 3, "generated pictures") for n in (1, 2, 3)
    ]


# ---- refusals


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"names": ["fid50k_ful"]}, "did you mean 'fid50k_full'"),
        ({"num_generated": 0}, "--num-generated"),
        ({"num_generated": 3, "names": ["pr_efflite0"]}, "at least 4 generated pictures"),
        ({"reals": Reals(1), "names": ["kd_efflite0"]}, "at least 2 real pictures"),
        ({"batch_size": 0}, "--batch"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_picture_is_made(options: dict, text: str) -> None:
    fakes = Fakes()
    with pytest.raises(InputError, match=text):
        take(**({"names": ["fd_efflite0"], "fakes": fakes} | options))
    assert not fakes.numbers


@pytest.mark.parametrize(
    ("names", "sample", "text"),
    [
        (
            ["fd_efflite0", "eqr50k"],
            small_sampler("stylegan2"),
            "metric 'eqr50k' moves the generator's input: .*StyleGAN3",
        ),
        (["ppl2_wend"], Fakes(), "metric 'ppl2_wend' asks the generator itself: .*Probe"),
    ],
)
def test_a_generator_that_cannot_be_asked_is_refused(names: list[str], sample: object, text: str) -> None:
    with pytest.raises(InputError, match=text) as error:
        evaluate(names, sample, Reals(), setup=generator_setup())  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_numbers_that_are_not_finite_are_refused() -> None:
    sample = small_sampler()
    sample.G.synthesis.input.freqs[:] = float("nan")
    with pytest.raises(InputError, match="eqt50k_int among 0 to 3"):
        evaluate(["eqt50k_int"], sample, num_generated=8, setup=generator_setup())


def test_path_lengths_need_their_features(tmp_path: Path) -> None:
    for name in ("ppl2_wend", "ppl_zfull"):
        with pytest.raises(InputError, match=rf"metric '{name}': .*vgg16\.pt are not on this machine"):
            check_available([name])
    check_available(["pl2_efflite0_wend", "eqr50k"])
    with pytest.raises(InputError, match="ppl2_wend"):
        evaluate(["ppl2_wend"], small_sampler(), num_generated=2)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_path_length_is_measured_by_the_file_a_user_gives(tmp_path: Path) -> None:
    class Lpips(torch.nn.Module):
        def forward(self, img: torch.Tensor, resize_images: bool = True, return_lpips: bool = False) -> torch.Tensor:
            assert return_lpips and not resize_images
            return img.flatten(1)

    path = tmp_path / "vgg16.pt"
    torch.jit.script(Lpips()).save(str(path))
    policy = WeightPolicy({"vgg16": f"{path}#sha256={sha256_file(path)}"})
    [record] = evaluate(["ppl2_wend"], small_sampler(), num_generated=6, setup=Setup(policy=policy, device="cpu"))
    assert record.protocol["sha256"] == sha256_file(path)
    [expected] = evaluate(["ppl2_wend"], small_sampler(), num_generated=6, setup=Setup(perceptual={"vgg16": Pixels()}))
    assert record.results == pytest.approx(expected.results, rel=1e-12)


def test_features_that_are_wrong_are_refused_before_any_picture_is_made(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pt"
    path.write_text("no program")
    policy = WeightPolicy({"vgg16": f"{path}#sha256={sha256_file(path)}"})
    fakes, sample = Fakes(), small_sampler()
    sample.group = lambda number: fakes([number])  # type: ignore[method-assign]
    setup = Setup(extractors=generator_setup().extractors, policy=policy, device="cpu")
    with pytest.raises(InputError, match="expected a TorchScript file"):
        evaluate(["fd_efflite0", "ppl2_wend"], sample, Reals(), num_generated=6, setup=setup)
    assert not fakes.numbers


def test_a_metric_without_its_weights_is_refused_before_any_picture_is_made() -> None:
    fakes, reals = Fakes(), Reals()
    with pytest.raises(
        InputError, match=r"metric 'fid50k_full': .*inception-2015-12-05\.pt are not on this machine"
    ) as error:
        evaluate(["fid50k_full"], fakes, reals, num_generated=10)
    assert "\n" not in str(error.value)
    assert not fakes.numbers
    assert not reals.reads
    with pytest.raises(InputError, match="metric 'pr50k3'"):
        check_available(["pr50k3"])


@pytest.mark.parametrize(
    "bad", [torch.zeros(10, 3, 4, 4), torch.zeros(9, 3, 4, 4).byte(), torch.zeros(10, 5, 4, 4).byte()]
)
def test_pictures_of_a_wrong_form_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(InputError, match="uint8"):
        take(["fd_efflite0"], lambda indices: bad, num_generated=10)


@pytest.mark.parametrize(
    ("result", "value", "best", "expected"),
    [
        ("fid50k_full", 3.0, 4.0, True),
        ("fd_efflite0", 5.0, 4.0, False),
        ("pr50k3_full_recall", 0.5, 0.4, True),
        ("is50k_mean", 5.0, 6.0, False),
        ("kid50k", float("nan"), 6.0, False),
    ],
)
def test_better_is_lower_for_distances_and_higher_for_the_rest(
    result: str, value: float, best: float, expected: bool
) -> None:
    assert is_better(result, value, best) is expected
    with pytest.raises(InputError, match="unknown metric result"):
        is_better("speed", 1.0, 2.0)
