"""`openstylegan video`: a looping film along a curve through the ws of seeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError


def video(
    *,
    network: str,
    output: Path,
    seeds: str,
    shuffle_seed: int | None = None,
    grid: str = "1x1",
    num_keyframes: int | None = None,
    w_frames: int = 120,
    trunc: Annotated[float, Parameter(name=["--trunc", "--psi"])] = 1.0,
    class_idx: Annotated[int | None, Parameter(name=["--class", "--class-idx"])] = None,
    fps: int | None = None,
    bitrate: str = "12M",
    batch: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Film the way from seed to seed and back to the first, smoothly; several ways in a grid.

    Parameters
    ----------
    network
        A network file, the folder of a run (its newest snapshot), or a URL; files of other programs are read too.
    output
        The file: .mp4 (needs the package av), .gif or .webp.
    seeds
        Numbers and ranges: 0-7. Every cell of the grid takes its share of them, in order.
    shuffle_seed
        Shuffles the seeds first.
    grid
        Cells: WIDTHxHEIGHT.
    num_keyframes
        Seeds a cell runs through; they are repeated as needed (all seeds, shared out evenly).
    w_frames
        Frames from one seed to the next.
    trunc
        Truncation psi: 1 leaves w as it is, smaller moves it to the average.
    class_idx
        Class of a conditional network.
    fps
        Frames a second (60, in a GIF 50).
    bitrate
        Bits a second of an .mp4; k and M stand for thousands and millions.
    batch
        Cells drawn at a time.
    device
        Where to draw.
    """
    from openstylegan.cli.open_generator import open_generator
    from openstylegan.data.progress import progress_line
    from openstylegan.sampling.film import check_film
    from openstylegan.sampling.latents import parse_range
    from openstylegan.sampling.video import make_video

    numbers, cells, bits = parse_range(seeds), parse_cells(grid), parse_bits(bitrate)
    rate = check_film(output, fps)
    used = None if num_keyframes is None else num_keyframes * cells[0] * cells[1]
    if used is not None and used < len(numbers):
        print(f"openstylegan: {used} of {len(numbers)} seeds are used, for so many go into --grid and --num-keyframes")
    G = open_generator(network, class_idx, device)
    num_frames = make_video(
        G,
        output,
        numbers,
        grid=cells,
        num_keyframes=num_keyframes,
        shuffle_seed=shuffle_seed,
        w_frames=w_frames,
        trunc=trunc,
        class_idx=class_idx,
        fps=fps,
        bit_rate=bits,
        batch=batch,
        watch=progress_line,
    )
    print(f"{num_frames} frames ({num_frames / rate:.1f} s at {rate} a second) in {output}")


def parse_cells(text: str) -> tuple[int, int]:
    """`"4x2"` or `"4,2"` as (4, 2): columns and rows. Raises `InputError`."""
    match = re.fullmatch(r"(\d+)[xX,](\d+)", text)
    if match is None or 0 in (columns_rows := (int(match[1]), int(match[2]))):
        raise InputError(f"--grid: expected WIDTHxHEIGHT such as 4x2, got '{text}'")
    return columns_rows


def parse_bits(text: str) -> int:
    """`"12M"` as 12,000,000. Raises `InputError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    bits = int(float(match[1]) * {"": 1, "k": 1000, "m": 1_000_000}[match[2].lower()]) if match else 0
    if bits < 1:
        raise InputError(f"--bitrate: expected bits a second such as 12M or 800k, got '{text}'")
    return bits
