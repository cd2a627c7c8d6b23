"""The picture grids of a run folder: which real pictures, which latents, how many of them, and the PNGs.

Differs from StyleGAN2-ADA (arXiv 2006.06676): the latents come from a generator keyed by the run's seed instead of
the process's global state, and the size of the grid is an option.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.files import write_json
from openstylegan.images import enlarged, leaves, tile, to_uint8_rounded, write_png
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.randomness import SampleStream

LABELS_AT_ONCE = 4096


class GridDataset(Protocol):
    """What a grid needs of a dataset."""

    image_shape: tuple[int, int, int]

    @property
    def label_dim(self) -> int: ...
    @property
    def has_labels(self) -> bool: ...
    def __len__(self) -> int: ...

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Bytes [N, C, H, W]."""

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """Float32 [N, label_dim]."""


@dataclass(frozen=True)
class GridLayout:
    """How many pictures a grid holds."""

    columns: int
    rows: int

    @property
    def count(self) -> int:
        """Pictures in the grid."""
        return self.columns * self.rows


def grid_layout(height: int, width: int, columns: int | None = None, rows: int | None = None) -> GridLayout:
    """The grid that fills an 8K screen with pictures of `height` x `width`: 7-32 columns, 4-32 rows.

    columns = clip(7680 // width, 7, 32) and rows = clip(4320 // height, 4, 32), where they are not given.
    Raises `InputError` for a given number below 1.
    """
    for name, given in (("columns", columns), ("rows", rows)):
        if given is not None and given < 1:
            raise InputError(f"expected at least 1 of the grid's {name}, got {given}; give a positive number or none")
    return GridLayout(
        columns=min(max(7680 // width, 7), 32) if columns is None else columns,
        rows=min(max(4320 // height, 4), 32) if rows is None else rows,
    )


def shuffled_indices(num_items: int, layout: GridLayout) -> list[int]:
    """The first pictures of all in an order shuffled by `RandomState(0)`, from the start again when they run out."""
    order = np.arange(num_items)
    np.random.RandomState(0).shuffle(order)
    return [int(order[n % num_items]) for n in range(layout.count)]


def groups_by_label(dataset: GridDataset) -> list[list[int]]:
    """The indices of `dataset` by label, labels sorted by their numbers from last to first (for classes: by class)."""
    groups: dict[bytes, list[int]] = {}
    for start in range(0, len(dataset), LABELS_AT_ONCE):
        indices = np.arange(start, min(start + LABELS_AT_ONCE, len(dataset)))
        labels = dataset.labels(indices) + np.float32(0)  # turns -0 into 0, so that equal labels have equal bytes
        for index, label in zip(indices.tolist(), labels, strict=True):
            groups.setdefault(label.tobytes(), []).append(index)
    return [groups[key] for key in sorted(groups, key=lambda key: tuple(np.frombuffer(key, labels.dtype)[::-1]))]


def indices_by_label(groups: Sequence[list[int]], layout: GridLayout) -> list[int]:
    """A row of pictures of one label after the other, each label's pictures shuffled by the same `RandomState(0)`.

    Row y takes label y mod the number of labels, and goes on within it when its turn comes again.
    """
    random = np.random.RandomState(0)
    shuffled = [random.permutation(group).tolist() for group in groups]
    found = []
    for row in range(layout.rows):
        group = shuffled[row % len(shuffled)]
        start = row // len(shuffled) * layout.columns
        found += [group[(start + column) % len(group)] for column in range(layout.columns)]
    return found


def real_indices(dataset: GridDataset, layout: GridLayout) -> np.ndarray:
    """Which pictures of `dataset` the grid of reals shows: int64 [layout.count], row by row."""
    if dataset.has_labels:
        found = indices_by_label(groups_by_label(dataset), layout)
    else:
        found = shuffled_indices(len(dataset), layout)
    return np.array(found, np.int64)


def grid_labels(dataset: GridDataset, indices: np.ndarray) -> Tensor:
    """The labels of the chosen pictures, float32 [N, label_dim]: the fakes are drawn with the same ones."""
    if not dataset.has_labels:
        return torch.zeros(len(indices), dataset.label_dim)
    return torch.from_numpy(np.array(dataset.labels(indices), np.float32))


def grid_latents(seed: int, count: int, z_dim: int) -> Tensor:
    """The fixed latents of a run's grids, standard normal [count, z_dim]."""
    return SampleStream(seed, "grid z", (), range(count)).normal((count, z_dim))


def write_reals(folder: Path, dataset: GridDataset, layout: GridLayout, indices: np.ndarray) -> Path:
    """Writes `reals.png`, and `grid.json`, which says what is where in every grid of the run."""
    about = {"columns": layout.columns, "rows": layout.rows, "real_indices": indices.tolist()}
    write_json(folder / "grid.json", about)
    write_png(folder / "reals.png", tile(torch.from_numpy(dataset.images(indices)), layout.columns))
    return folder / "reals.png"


@torch.no_grad()
def fake_images(generator: nn.Module, z: Tensor, c: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Images of `z` [N, z_dim] and `c` [N, c_dim] as bytes [N, C, h, w] at every scale, smallest first: psi 1, constant
    noise.

    Drawn `batch_size` at a time on the generator's device, in eval mode; the module's mode is put back afterwards.
    """
    device = next((p.device for p in generator.parameters()), torch.device("cpu"))
    training = generator.training
    generator.eval()
    try:
        with FrozenWeights():
            parts = [
                generator(z_part.to(device), c_part.to(device), truncation_psi=1, noise_mode="const")
                for z_part, c_part in zip(z.split(batch_size), c.split(batch_size), strict=True)
            ]
    finally:
        generator.train(training)
    by_scale = zip(*(leaves(images) for images in parts), strict=True)
    return tuple(torch.cat([to_uint8_rounded(image.float()).cpu() for image in scale]) for scale in by_scale)


def write_fakes(path: Path, images: Tensor, layout: GridLayout) -> Path:
    """Writes a grid of bytes [N, C, H, W] to `path`."""
    write_png(path, tile(images, layout.columns))
    return path


def grid_name(cur_nimg: int | None) -> str:
    """`fakes_init.png` before training (None), else `fakes<kimg, 6 digits>.png`."""
    return "fakes_init.png" if cur_nimg is None else f"fakes{cur_nimg // 1000:06d}.png"


def scale_folder(images: Tensor) -> str:
    """`WIDTHxHEIGHT` of pictures [N, C, h, w]: the folder of their grids."""
    return f"{images.shape[3]}x{images.shape[2]}"


@dataclass(frozen=True)
class ImageGrid:
    """A run's grid: its layout, and the latents and labels that it shows at every time."""

    layout: GridLayout
    z: Tensor
    c: Tensor
    batch_size: int

    @classmethod
    def of_run(
        cls,
        folder: Path,
        dataset: GridDataset,
        z_dim: int,
        seed: int,
        batch_size: int,
        size: Sequence[int] | None = None,
    ) -> ImageGrid:
        """Chooses the pictures, writes `reals.png` and `grid.json`. `size` = (columns, rows), None: the usual one."""
        columns, rows = (None, None) if size is None else size
        layout = grid_layout(*dataset.image_shape[1:], columns, rows)
        indices = real_indices(dataset, layout)
        write_reals(folder, dataset, layout, indices)
        return cls(layout, grid_latents(seed, layout.count, z_dim), grid_labels(dataset, indices), batch_size)

    def write(self, folder: Path, generator: nn.Module, cur_nimg: int | None) -> Path:
        """Writes the grid of `generator` under its name for `cur_nimg` (None: before training) and returns its path.

        Of a generator of several scales that is the largest; the others go, enlarged, into folders such as `4x4`.
        """
        *smaller, images = fake_images(generator, self.z, self.c, self.batch_size)
        height, width = images.shape[2:]
        for scale in smaller:
            place = folder / scale_folder(scale)
            place.mkdir(exist_ok=True)
            write_fakes(place / grid_name(cur_nimg), enlarged(scale, (height, width)), self.layout)
        return write_fakes(folder / grid_name(cur_nimg), images, self.layout)
