"""Style mixing: pictures whose first layers take the w of one seed and the other layers that of another.

As the tool of StyleGAN2-ADA (arXiv:2006.06676), which shows what StyleGAN (arXiv:1812.04958) says of its layers: the
first decide pose and shape, the last colours.

Differs from the original: conditional networks are mixed within one class; layers that the network does not have are
refused; a batch is as large as asked, not all seeds at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.images import tile, write_png
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.sampling.generate import NoiseMode, draw, generator_of, ws_of_seeds

NUM_STYLES = 7
"""How many of the first layers come from the column when nothing is said: 0-6."""


def styles_of(styles: Sequence[int] | None, num_ws: int) -> list[int]:
    """The layers that come from the column. Raises `InputError` for those that a network of `num_ws` has not."""
    if styles is None:
        return list(range(min(NUM_STYLES, num_ws)))
    unknown = sorted({s for s in styles if not 0 <= s < num_ws})
    if unknown:
        raise InputError(f"expected --styles from 0 to {num_ws - 1} for this network, got {unknown}")
    if not styles:
        raise InputError("expected at least one layer; give --styles such as 0-6")
    return sorted(set(styles))


def mix(row_ws: Tensor, col_ws: Tensor, styles: Sequence[int]) -> Tensor:
    """ws [rows, cols, num_ws, w_dim]: those of the row, with the layers `styles` of the column."""
    mixed = row_ws[:, None].repeat(1, len(col_ws), 1, 1)
    mixed[:, :, list(styles)] = col_ws[None, :, list(styles)]
    return mixed


@torch.no_grad()
def style_mixing(
    network: str | os.PathLike[str] | Generator,
    rows: Sequence[int],
    cols: Sequence[int],
    outdir: str | os.PathLike[str] | None = None,
    *,
    styles: Sequence[int] | None = None,
    trunc: float = 1.0,
    class_idx: int | None = None,
    noise_mode: NoiseMode = "const",
    batch: int = 1,
) -> np.ndarray:
    """The table of all pairs, uint8 [(1 + rows) H, (1 + cols) W, C]: columns' own pictures above, rows' at the left.

    `styles` are the layers taken from the column (0-6). With `outdir`, every pair is written as `ROW-COLUMN.png`, every
    seed as `SEED-SEED.png`, and the table as `grid.png`. Raises `InputError`.
    """
    if not rows or not cols:
        raise InputError("expected at least one seed for the rows and one for the columns; give --rows and --cols")
    G = generator_of(network)
    layers = styles_of(styles, G.num_ws)
    row_ws, col_ws = (ws_of_seeds(G, seeds, trunc, class_idx=class_idx) for seeds in (rows, cols))
    with FrozenWeights():
        above, left = (pictures(G, *own, noise_mode, batch) for own in ((col_ws, cols), (row_ws, rows)))
        cells = [torch.zeros_like(above[0]), *above]
        for n, row in enumerate(rows):
            mixed = pictures(G, mix(row_ws[n : n + 1], col_ws, layers)[0], [row] * len(cols), noise_mode, batch)
            cells += [left[n], *mixed]
    grid = tile(torch.stack(cells), len(cols) + 1)
    if outdir is not None:
        write_table(Path(outdir), rows, cols, cells)
        write_png(Path(outdir) / "grid.png", grid)
    return grid


def pictures(G: Generator, ws: Tensor, noise_seeds: Sequence[int], noise_mode: NoiseMode, batch: int) -> list[Tensor]:
    """uint8 [C, H, W] of each of `ws`, on the CPU."""
    made: list[Tensor] = []
    for start in range(0, len(ws), batch):
        part = slice(start, start + batch)
        made += draw(G, ws[part], noise_mode, noise_seeds[part]).cpu()
    return made


def write_table(outdir: Path, rows: Sequence[int], cols: Sequence[int], cells: Sequence[Tensor]) -> None:
    """Writes the cells of a table whose first row and column are the seeds' own pictures."""
    left, above = [None, *rows], [None, *cols]
    for place, cell in enumerate(cells[1:], 1):
        row, column = left[place // len(above)], above[place % len(above)]
        name = f"{column if row is None else row}-{row if column is None else column}.png"
        write_png(outdir / name, cell.permute(1, 2, 0).numpy())
