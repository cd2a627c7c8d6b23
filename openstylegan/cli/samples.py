"""`openstylegan samples`: grids for lists of psi and mixing probabilities, in a dated folder, with the mean style."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """`"1,0.7"` as (1.0, 0.7). Raises `InputError` naming the option."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--{option}: expected numbers such as 1,0.7, got '{text}'") from error


def samples(
    *,
    network: str,
    outdir: Path,
    grid: str = "8x8",
    repeat: int = 1,
    psi: str = "1",
    mixing: str = "0",
    w_samples: int | None = None,
    size: int | None = None,
    class_idx: Annotated[int | None, Parameter(name=["--class", "--class-idx"])] = None,
    noise_mode: Literal["const", "random", "none"] = "const",
    seed: int = 0,
    batch: int = 8,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Draw grids into `OUTDIR/<date>/<time>`: `k.png`, the mean style as `truncation_base_k.png`, `parameters.json`.

    Parameters
    ----------
    network
        A network file, the folder of a run (its newest snapshot), or a URL; files of other programs are read too.
    outdir
        Folder for the dated folders; made if missing.
    grid
        Columns x rows of a grid.
    repeat
        How many times, each with latents of its own.
    psi
        Truncations, a grid each: 1,0.7,0.5.
    mixing
        Probabilities that a picture mixes two styles, a grid each: 0,0.9.
    w_samples
        Estimate the mean style from so many latents (20000), instead of the network's running mean.
    size
        Width in pixels at which a network that grows draws (the size it has grown to).
    class_idx
        Class of a conditional network (random ones).
    noise_mode
        Noise of the layers: the network's own, random (by the seed), or none.
    seed
        Decides the latents.
    batch
        Pictures drawn at a time.
    precision
        What the layers that may (num_fp16_res) compute in: faster where the processor or the GPU multiplies it, and
        pictures differ a little, also with --batch.
    device
        Where to draw.
    """
    from openstylegan.cli.open_generator import open_generator
    from openstylegan.cli.train import parse_grid
    from openstylegan.sampling.samples import SampleOptions, write_samples

    shape = parse_grid(grid)
    assert shape is not None
    options = SampleOptions(
        columns=shape[0],
        rows=shape[1],
        repeat=repeat,
        psi=parse_numbers(psi, "psi"),
        mixing=parse_numbers(mixing, "mixing"),
        w_samples=w_samples,
        class_idx=class_idx,
        noise_mode=noise_mode,
        seed=seed,
        batch=batch,
    )
    G = open_generator(network, class_idx, device, size, precision)
    print(f"samples in {write_samples(G, outdir, options, {'network': network})}")
