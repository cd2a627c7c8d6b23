"""Picture grids: which pictures, which latents, how they are drawn, and the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.training.grids import (
    LABELS_AT_ONCE,
    GridLayout,
    ImageGrid,
    fake_images,
    grid_labels,
    grid_latents,
    grid_layout,
    grid_name,
    groups_by_label,
    real_indices,
)


class Pictures:
    """A dataset whose picture n is filled with the number n (mod 256)."""

    def __init__(self, count: int, labels: np.ndarray | None = None, shape: tuple[int, int, int] = (3, 4, 6)):
        self.count, self.image_shape = count, shape
        self.all_labels = np.zeros((count, 0), np.float32) if labels is None else labels.astype(np.float32)
        self.label_dim = self.all_labels.shape[1]
        self.has_labels = self.label_dim > 0

    def __len__(self) -> int:
        return self.count

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Bytes [N, C, H, W]."""
        return np.broadcast_to(indices.astype(np.uint8)[:, None, None, None], (len(indices), *self.image_shape)).copy()

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """Float32 [N, label_dim]."""
        return self.all_labels[indices]


class Painter(nn.Module):
    """A generator whose picture is z's first number plus c's, and that notes how it was called."""

    def __init__(self, scales: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.scales, self.calls = scales, []

    def forward(self, z: Tensor, c: Tensor, truncation_psi: float, noise_mode: str) -> Tensor | tuple[Tensor, ...]:
        """Images [N, 3, 4, 6], smaller ones before where there are several scales."""
        self.calls.append((len(z), truncation_psi, noise_mode, self.training))
        value = self.weight * (z[:, :1] + c.sum(1, keepdim=True))
        images = [value[:, :, None, None].expand(-1, 3, 4 // s, 6 // s) for s in (2, 1)[-self.scales :]]
        return tuple(images) if self.scales > 1 else images[0]


@pytest.mark.parametrize(
    ("height", "width", "columns", "rows"),
    [
        (1024, 1024, 7, 4),
        (512, 512, 15, 8),
        (256, 256, 30, 16),
        (128, 128, 32, 32),
        (32, 32, 32, 32),
        (256, 512, 15, 16),
    ],
)
def test_the_usual_grid(height: int, width: int, columns: int, rows: int) -> None:
    assert grid_layout(height, width) == GridLayout(columns, rows)


def test_a_grid_of_a_given_size() -> None:
    assert grid_layout(32, 32, 10, 6) == GridLayout(10, 6)
    assert grid_layout(256, 256, rows=2) == GridLayout(30, 2)
    for size in ({"columns": 0}, {"rows": -1}):
        with pytest.raises(InputError, match="at least 1"):
            grid_layout(32, 32, **size)


def test_without_labels_the_pictures_are_the_first_of_a_shuffled_list() -> None:
    order = list(range(500))
    np.random.RandomState(0).shuffle(order)
    assert real_indices(Pictures(500), GridLayout(7, 4)).tolist() == order[:28]


def test_few_pictures_come_again() -> None:
    found = real_indices(Pictures(5), GridLayout(4, 3)).tolist()
    assert sorted(found[:5]) == [0, 1, 2, 3, 4] and found == (found[:5] * 3)[:12]


def expected_by_rotation(groups: list[list[int]], layout: GridLayout) -> list[int]:
    """The rule as it is written down: shuffle each group, a row from each in turn, then rotate that group."""
    random = np.random.RandomState(0)
    for group in groups:
        random.shuffle(group)
    found = []
    for y in range(layout.rows):
        group = groups[y % len(groups)]
        found += [group[x % len(group)] for x in range(layout.columns)]
        for _ in range(layout.columns):
            group.append(group.pop(0))
    return found


@pytest.mark.parametrize("num_classes", [1, 3, 9])
def test_with_classes_a_row_shows_one_class(num_classes: int) -> None:
    classes = np.random.default_rng(1).integers(0, num_classes, 60)
    classes[:num_classes] = np.arange(num_classes)
    layout = GridLayout(5, 8)
    found = real_indices(Pictures(60, np.eye(num_classes)[classes]), layout)
    rows = classes[found].reshape(8, 5)
    assert (rows == (np.arange(8) % num_classes)[:, None]).all()
    groups = [np.flatnonzero(classes == k).tolist() for k in range(num_classes)]
    assert found.tolist() == expected_by_rotation(groups, layout)


def test_labels_that_are_vectors_are_sorted_from_their_last_number() -> None:
    labels = np.array([[2.0, 0.0], [1.0, 0.0], [5.0, -1.0], [-0.0, 0.0], [0.0, 0.0]])
    assert groups_by_label(Pictures(5, labels)) == [[2], [3, 4], [1], [0]]


def test_many_labels_are_read_in_parts() -> None:
    count = LABELS_AT_ONCE * 2 + 3
    groups = groups_by_label(Pictures(count, np.eye(2)[np.arange(count) % 2]))
    assert groups == [list(range(0, count, 2)), list(range(1, count, 2))]


def test_labels_of_the_fakes_are_those_of_the_reals() -> None:
    labels = np.eye(3)[[0, 1, 2, 1]]
    assert grid_labels(Pictures(4, labels), np.array([3, 0])).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert grid_labels(Pictures(4), np.array([3, 0])).shape == (2, 0)


def test_latents_are_a_function_of_the_seed() -> None:
    z = grid_latents(7, 100, 64)
    assert z.shape == (100, 64) and torch.equal(z, grid_latents(7, 100, 64))
    assert torch.equal(z[:10], grid_latents(7, 10, 64)), "a smaller grid shows the first ones"
    assert not torch.equal(z, grid_latents(8, 100, 64))
    assert abs(float(z.mean())) < 0.05 and abs(float(z.std()) - 1) < 0.05


def test_fakes_are_drawn_in_parts_without_truncation_with_constant_noise() -> None:
    G = Painter().train()
    z, c = torch.tensor([-1.5, -1.0, -0.9, -0.5, 0.1, 0.99, 2.0])[:, None], torch.zeros(7, 0)
    [images] = fake_images(G, z, c, batch_size=3)
    assert G.calls == [(3, 1, "const", False), (3, 1, "const", False), (1, 1, "const", False)]
    assert G.training, "the mode is put back"
    assert images.dtype == torch.uint8 and images.shape == (7, 3, 4, 6)
    assert images[:, 0, 0, 0].tolist() == [0, 0, 13, 64, 140, 254, 255], "rounded to the nearest"
    assert torch.equal(images, fake_images(G, z, c, batch_size=7)[0])


def test_every_scale_has_its_grid(tmp_path: Path) -> None:
    scales = fake_images(Painter(scales=2), torch.zeros(2, 1), torch.zeros(2, 0), 2)
    assert [tuple(s.shape) for s in scales] == [(2, 3, 2, 3), (2, 3, 4, 6)]
    grid = ImageGrid(GridLayout(5, 2), grid_latents(0, 10, 1), torch.zeros(10, 0), 4)
    path = grid.write(tmp_path, Painter(scales=2), 5_000)
    small = tmp_path / "3x2" / path.name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3x2", path.name]
    assert small.read_bytes() == path.read_bytes(), "one colour a picture: enlarged it is the same"


def test_a_failing_generator_gets_its_mode_back() -> None:
    G = Painter().train()
    with pytest.raises(IndexError):
        fake_images(G, torch.zeros(2), torch.zeros(2, 0), 2)
    assert G.training


def test_names() -> None:
    assert [grid_name(n) for n in (None, 0, 999, 48_016, 25_000_000)] == [
        "fakes_init.png",
        "fakes000000.png",
        "fakes000000.png",
        "fakes000048.png",
        "fakes025000.png",
    ]


def test_the_grids_of_a_run(tmp_path: Path) -> None:
    data = Pictures(50, np.eye(2)[np.arange(50) % 2])
    grid = ImageGrid.of_run(tmp_path, data, z_dim=8, seed=3, batch_size=4, size=(5, 2))
    about = json.loads((tmp_path / "grid.json").read_text())
    reals = np.array(Image.open(tmp_path / "reals.png"))
    assert (about["columns"], about["rows"]) == (5, 2) and reals.shape == (8, 30, 3)
    assert reals[::4, ::6, 0].reshape(-1).tolist() == about["real_indices"]
    path = grid.write(tmp_path, Painter(), 12_345)
    fakes = np.array(Image.open(path))
    assert path.name == "fakes000012.png" and fakes.shape == (8, 30, 3)
    value = (grid.z[:, 0] + 1).clamp(-1, 1)
    assert fakes[::4, ::6, 1].reshape(-1).tolist() == ((value + 1) * 127.5).round().int().tolist()
    assert grid.write(tmp_path, Painter(), None).name == "fakes_init.png"


def test_the_usual_size_is_that_of_the_pictures(tmp_path: Path) -> None:
    grid = ImageGrid.of_run(tmp_path, Pictures(10, shape=(1, 1080, 960)), z_dim=2, seed=0, batch_size=4)
    assert grid.layout == GridLayout(8, 4) and len(grid.z) == 32
