"""`openstylegan generate`: pictures from seeds, a PNG each and a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.sampling.labels import ClassChoice

LARGEST_GRID = 1024
"""Pictures; more are neither held in memory nor laid out in one."""


def generate(
    *,
    network: str,
    outdir: Path,
    seeds: str | None = None,
    trunc: float = 1.0,
    truncation_cutoff: int | None = None,
    w_samples: int | None = None,
    size: int | None = None,
    class_idx: Annotated[int | Literal["all", "random"] | None, Parameter(name=["--class", "--class-idx"])] = None,
    noise_mode: Literal["const", "random", "none"] = "const",
    projected_w: Path | None = None,
    translate: Annotated[str, Parameter(allow_leading_hyphen=True)] = "0,0",
    rotate: Annotated[float, Parameter(allow_leading_hyphen=True)] = 0.0,
    scales: str | None = None,
    scale_columns: int | None = None,
    batch: int = 1,
    grid_columns: int | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Make pictures from seeds, or from projected ws: `seed0042.png` each, and `grid.png`.

    Parameters
    ----------
    network
        A network file, the folder of a run (its newest snapshot), or a URL; files of other programs are read too.
    outdir
        Folder for the pictures; made if missing.
    seeds
        Numbers and ranges: 0,5,10-19.
    trunc
        Truncation psi: 1 leaves w as it is, smaller moves it to the average.
    truncation_cutoff
        How many of the first layers are truncated (all).
    w_samples
        Latents from which the average w is estimated (the network's own average).
    size
        Width in pixels at which a network that grows draws (the size it has grown to).
    class_idx
        Class of a conditional network; random: each seed draws its own; all makes a folder and a grid of each.
    noise_mode
        Noise of the layers: the network's own, random (by the seed), or none.
    projected_w
        An .npz file with ws to draw instead of seeds.
    translate
        How far the picture is moved, X,Y in widths to the right and heights down (StyleGAN3).
    rotate
        Degrees by which it is turned first, counter-clockwise (StyleGAN3).
    scales
        Of a network with a picture at every resolution, those that are shown: widths such as 8,64, or all.
    scale_columns
        How many of them in a row (all).
    batch
        Pictures drawn at a time.
    grid_columns
        Columns of grid.png (about square).
    precision
        What the layers that may (num_fp16_res) compute in: faster where the processor or the GPU multiplies it, and
        pictures differ a little, also with --batch.
    device
        Where to draw.
    """
    from openstylegan.cli.open_generator import open_generator
    from openstylegan.sampling.generate import generate as make
    from openstylegan.sampling.latents import parse_range
    from openstylegan.sampling.scales import scales_shown

    if seeds is None and projected_w is None:
        raise InputError("expected --seeds such as 0-35, or --projected-w FILE; got neither")
    shift = parse_pair(translate)
    numbers = parse_range(seeds) if seeds is not None and projected_w is None else []
    G = open_generator(network, class_idx if isinstance(class_idx, int) else None, device, size, precision)
    G = scales_shown(G, scales, scale_columns)
    of_seeds = {
        "--seeds": seeds is not None,
        "--trunc": trunc != 1,
        "--truncation-cutoff": truncation_cutoff is not None,
    }
    for name in (name for name, given in of_seeds.items() if given and projected_w is not None):
        print(f"openstylegan: {name} is ignored: the pictures come from --projected-w")
    keep = len(numbers) <= LARGEST_GRID
    num = 0
    for own_class, folder in places(class_idx, G.c_dim, outdir):
        pictures = make(
            G,
            numbers,
            folder,
            trunc=trunc,
            truncation_cutoff=truncation_cutoff,
            w_samples=w_samples,
            class_idx=own_class,
            noise_mode=noise_mode,
            projected_w=projected_w,
            translate=shift,
            rotate=rotate,
            batch=batch,
            grid_columns=grid_columns,
            keep=keep,
        )
        num += len(pictures) if keep else len(numbers)
    if not keep:
        print(f"openstylegan: no grid.png, for there are more than {LARGEST_GRID} pictures")
    _, height, width = G.image_shape
    shrink = 1 if size is None else width // size
    print(f"{num} pictures of {width // shrink}x{height // shrink} in {outdir}")


def places(
    class_idx: int | Literal["all", "random"] | None, c_dim: int, outdir: Path
) -> list[tuple[ClassChoice, Path]]:
    """The classes that are drawn, and the folder of each. Raises `InputError`."""
    if class_idx != "all":
        return [(class_idx, outdir)]
    if c_dim == 0:
        raise InputError("--class all needs a conditional network, and this one is not; leave --class out")
    return [(n, outdir / f"class{n}") for n in range(c_dim)]


def parse_pair(text: str) -> tuple[float, float]:
    """`"0.3,-1"` as (0.3, -1.0). Raises `InputError`."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--translate: expected two numbers X,Y such as 0.25,0, got '{text}'") from error
    return x, y
