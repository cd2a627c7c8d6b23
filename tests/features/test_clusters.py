"""Clusters of features as classes: k-means against what it must find, and the command whose result trains."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from openstylegan.cli.main import main
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.errors import InputError
from openstylegan.features.clusters import k_means, principal, settled
from openstylegan.images import write_png


def blobs(sizes: tuple[int, ...], spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points [N, 5] around centres that are 10 apart and more, in a random order, and which centre is whose."""
    random = torch.Generator().manual_seed(1)
    own = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    own = own[torch.randperm(len(own), generator=random)]
    centres = 10 * torch.eye(5)[: len(sizes)]
    return centres[own] + spread * torch.randn((len(own), 5), generator=random), own


def test_separate_groups_are_found_the_largest_first() -> None:
    points, own = blobs((5, 40, 20), 0.5)
    assert torch.equal(k_means(points, 3), torch.tensor([2, 0, 1])[own])


def test_the_same_seed_gives_the_same_clusters() -> None:
    points = torch.randn((60, 7), generator=torch.Generator().manual_seed(2))
    assert torch.equal(k_means(points, 9, seed=3), k_means(points.double(), 9, seed=3))
    assert not torch.equal(k_means(points, 9, seed=3), k_means(points, 9, seed=4))


def test_no_cluster_is_empty() -> None:
    few = torch.tensor([[0.0, 0.0]] * 6 + [[1.0, 0.0]] * 2)
    assert torch.bincount(k_means(few, 5), minlength=5).min() == 1
    own, _ = settled(torch.arange(8.0).double()[:, None], torch.tensor([[0.0], [100.0], [200.0]]).double())
    assert torch.bincount(own, minlength=3).min() > 0


def test_every_point_is_with_its_nearest_mean() -> None:
    points = torch.randn((200, 3), generator=torch.Generator().manual_seed(5)).double()
    own, total = settled(points, points[:6])
    means = torch.stack([points[own == n].mean(0) for n in range(6)])
    assert torch.equal(torch.cdist(points, means).argmin(1), own)
    assert total == pytest.approx(float((points - means[own]).square().sum()))


def test_principal_axes_keep_distances() -> None:
    points = torch.randn((30, 4), generator=torch.Generator().manual_seed(6))
    found = principal(points @ torch.randn((4, 50), generator=torch.Generator().manual_seed(7)), 4)
    assert found.shape == (30, 4) and found.mean(0).abs().max() < 1e-9
    flat = principal(torch.cat([points, torch.zeros(30, 3)], 1), 4)
    torch.testing.assert_close(torch.cdist(flat, flat), torch.cdist(points.double(), points.double()))


@pytest.mark.parametrize("num", [1, 11])
def test_an_impossible_number_of_clusters(num: int) -> None:
    with pytest.raises(InputError, match=f"expected from 2 to 10 clusters for 10 pictures, got {num}"):
        k_means(torch.randn(10, 3), num)


def test_the_command_and_a_dataset_of_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for n in range(12):
        kind = np.array([[250, 20, 20], [20, 20, 250]], np.uint8)[n % 2]
        noise = random.integers(0, 6, (32, 32, 3), dtype=np.uint8)
        write_png(folder / f"a,{n:02}.png", kind + noise)
    prepare(folder, tmp_path / "p.zip", PrepareOptions())
    command = ["cluster", "--data", str(tmp_path / "p.zip"), "--dest", str(tmp_path / "new" / "g.csv"), "--num"]
    assert main([*command, "13"]) == 2
    told = capsys.readouterr().err
    assert "expected from 2 to 12 clusters for 12 pictures, got 13" in told and "features" not in told, "told at once"
    assert main([*command, "2"]) == 0
    assert "2 groups of 6 to 6 pictures" in capsys.readouterr().out
    rows = list(csv.reader((tmp_path / "new" / "g.csv").open()))
    assert rows[0] == ["file", "class"] and len(rows) == 13
    assert len({row[1] for row in rows[1::2]}) == 1 and rows[1][1] != rows[2][1], "by colour"
    prepare(tmp_path / "p.zip", tmp_path / "q.zip", PrepareOptions(labels=str(tmp_path / "new" / "g.csv")))
    with zipfile.ZipFile(tmp_path / "q.zip") as made:
        labels = json.loads(made.read("dataset.json"))["labels"]
    assert sorted(label for _, label in labels) == [0] * 6 + [1] * 6


def test_the_command_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.csv").write_text("mine")
    assert main(["cluster", "--data", "p.zip", "--dest", str(tmp_path / "g.csv")]) == 2
    assert "expected a new .csv" in capsys.readouterr().err
    assert (tmp_path / "g.csv").read_text() == "mine"
