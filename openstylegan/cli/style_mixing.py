"""`openstylegan style-mixing`: a table of pictures with the shape of one seed and the colours of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def style_mixing(
    *,
    network: str,
    rows: str,
    cols: str,
    outdir: Path,
    styles: str | None = None,
    trunc: float = 1.0,
    size: int | None = None,
    class_idx: Annotated[int | None, Parameter(name=["--class", "--class-idx"])] = None,
    noise_mode: Literal["const", "random", "none"] = "const",
    batch: int = 1,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Mix the styles of seeds: every pair as `ROW-COLUMN.png`, and `grid.png` with the seeds' own pictures as labels.

    Parameters
    ----------
    network
        A network file, the folder of a run (its newest snapshot), or a URL; files of other programs are read too.
    rows
        Seeds of the rows: 85,100,75.
    cols
        Seeds of the columns, which give the layers --styles.
    outdir
        Folder for the pictures; made if missing.
    styles
        Layers taken from the column: 0-6 when nothing is said (all, where a network has fewer).
    trunc
        Truncation psi: 1 leaves w as it is, smaller moves it to the average.
    size
        Width in pixels at which a network that grows draws (the size it has grown to).
    class_idx
        Class of a conditional network.
    noise_mode
        Noise of the layers: the network's own, random (by the row's seed), or none.
    batch
        Pictures drawn at a time.
    precision
        What the layers that may (num_fp16_res) compute in: faster where the processor or the GPU multiplies it, and
        pictures differ a little, also with --batch.
    device
        Where to draw.
    """
    from openstylegan.cli.open_generator import open_generator
    from openstylegan.sampling.latents import parse_range
    from openstylegan.sampling.mixing import style_mixing as make

    row_seeds, col_seeds = parse_range(rows), parse_range(cols)
    layers = None if styles is None else parse_range(styles)
    G = open_generator(network, class_idx, device, size, precision)
    make(
        G,
        row_seeds,
        col_seeds,
        outdir,
        styles=layers,
        trunc=trunc,
        class_idx=class_idx,
        noise_mode=noise_mode,
        batch=batch,
    )
    print(f"{len(row_seeds)} x {len(col_seeds)} pairs in {outdir}; all of them in {outdir / 'grid.png'}")
