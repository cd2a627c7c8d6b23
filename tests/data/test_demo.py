"""The demo pictures are there, whole, and what their provenance says."""

from __future__ import annotations

import re

from openstylegan.data.dataset import open_dataset
from openstylegan.data.demo import demo_path


def test_the_demo_pictures():
    dataset = open_dataset(demo_path(), use_labels=True)
    assert (dataset.image_shape, len(dataset), dataset.label_dim) == ((3, 64, 64), 1615, 8)
    assert dataset.images(range(0, 1615, 100))[:, :, 0, 0].min() > 240, "shaded shapes on white"
    counts = dataset.labels(range(1615)).sum(axis=0).astype(int).tolist()
    told = re.findall(r"^\| \w.*\| (\d+) \|$", (demo_path().parent / "PROVENANCE.md").read_text(), re.MULTILINE)
    assert list(map(int, told)) == counts


def test_its_licence_is_beside_it():
    assert "Microsoft" in (demo_path().parent / "LICENSE-fluent-emoji.txt").read_text()
