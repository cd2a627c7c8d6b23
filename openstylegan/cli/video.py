"""`openstylegan video`: a looping film along a curve through the ws of seeds, or along a random walk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.sampling.walk import Walk


def video(
    *,
    network: str,
    output: Path,
    seeds: str | None = None,
    shuffle_seed: int | None = None,
    grid: str = "1x1",
    num_keyframes: int | None = None,
    w_frames: int | None = None,
    num_points: int | None = None,
    transition_points: int | None = None,
    smoothing: float | None = None,
    random_state: int | None = None,
    trunc: Annotated[float, Parameter(name=["--trunc", "--psi"])] = 1.0,
    class_idx: Annotated[int | None, Parameter(name=["--class", "--class-idx"])] = None,
    scales: str | None = None,
    scale_columns: int | None = None,
    noise_mode: Literal["const", "random", "none"] = "const",
    resize: str | None = None,
    fps: int | None = None,
    bitrate: str = "12M",
    batch: int = 1,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Film the way from seed to seed and back to the first, or a walk through random latents; several in a grid.

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
        Frames from one seed to the next (120).
    num_points
        Instead of --seeds: points of a walk, random latents smoothed along time into a loop.
    transition_points
        Frames from one point of a walk to the next (60).
    smoothing
        How far a walk is smoothed, in transitions (1).
    random_state
        Seed of a walk's latents (5).
    trunc
        Truncation psi: 1 leaves w as it is, smaller moves it to the average.
    class_idx
        Class of a conditional network.
    scales
        Of a network with a picture at every resolution, those that are shown: widths such as 8,64, or all.
    scale_columns
        How many of them in a row (all).
    noise_mode
        Noise of the layers: the network's own, random (another in every frame), or none.
    resize
        Size of the film, HEIGHTxWIDTH.
    fps
        Frames a second (60, in a GIF 50).
    bitrate
        Bits a second of an .mp4; k and M stand for thousands and millions.
    batch
        Cells drawn at a time.
    precision
        What the layers that may (num_fp16_res) compute in: faster where the processor or the GPU multiplies it, and
        pictures differ a little, also with --batch.
    device
        Where to draw.
    """
    from openstylegan.cli.open_generator import open_generator
    from openstylegan.data.progress import progress_line
    from openstylegan.sampling.film import check_film
    from openstylegan.sampling.latents import parse_range
    from openstylegan.sampling.scales import scales_shown
    from openstylegan.sampling.video import W_FRAMES, Look, make_video

    of_walks = {"transition_points": transition_points, "smoothing": smoothing, "random_state": random_state}
    of_seeds = {"shuffle_seed": shuffle_seed, "num_keyframes": num_keyframes, "w_frames": w_frames}
    walk = walk_of(seeds, num_points, of_walks, of_seeds)
    numbers, cells, bits = [] if seeds is None else parse_range(seeds), parse_cells(grid), parse_bits(bitrate)
    look = Look(noise_mode, None if resize is None else parse_cells(resize, "resize"))
    rate = check_film(output, fps)
    used = None if num_keyframes is None else num_keyframes * cells[0] * cells[1]
    if used is not None and used < len(numbers):
        print(f"openstylegan: {used} of {len(numbers)} seeds are used, for so many go into --grid and --num-keyframes")
    G = scales_shown(open_generator(network, class_idx, device, precision=precision), scales, scale_columns)
    num_frames = make_video(
        G,
        output,
        numbers,
        walk=walk,
        grid=cells,
        num_keyframes=num_keyframes,
        shuffle_seed=shuffle_seed,
        w_frames=W_FRAMES if w_frames is None else w_frames,
        trunc=trunc,
        class_idx=class_idx,
        look=look,
        fps=fps,
        bit_rate=bits,
        batch=batch,
        watch=progress_line,
    )
    print(f"{num_frames} frames ({num_frames / rate:.1f} s at {rate} a second) in {output}")


def walk_of(
    seeds: str | None, num_points: int | None, of_walks: dict[str, Any], of_seeds: dict[str, Any]
) -> Walk | None:
    """The walk that was asked for, if any. Raises `InputError`, also for options of the other kind of film."""
    from openstylegan.sampling.walk import Walk

    if (seeds is None) == (num_points is None):
        got = "neither" if seeds is None else "both; leave one out"
        raise InputError(f"expected --seeds such as 0-7, or --num-points, got {got}")
    mine, others = (of_seeds, of_walks) if num_points is None else (of_walks, of_seeds)
    idle = next((name for name, value in others.items() if value is not None), None)
    if idle is not None:
        rival = "--num-points" if num_points is None else "--seeds"
        raise InputError(f"--{idle.replace('_', '-')} has no effect without {rival}; leave it out")
    given = {name: value for name, value in mine.items() if value is not None}
    return None if num_points is None else Walk(num_points=num_points, **given)


def parse_cells(text: str, option: str = "grid") -> tuple[int, int]:
    """`"4x2"` or `"4,2"` as (4, 2). Raises `InputError`."""
    match = re.fullmatch(r"(\d+)[xX,](\d+)", text)
    if match is None or 0 in (pair := (int(match[1]), int(match[2]))):
        form = "WIDTHxHEIGHT" if option == "grid" else "HEIGHTxWIDTH"
        raise InputError(f"--{option}: expected {form} such as 4x2, got '{text}'")
    return pair


def parse_bits(text: str) -> int:
    """`"12M"` as 12,000,000. Raises `InputError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    bits = int(float(match[1]) * {"": 1, "k": 1000, "m": 1_000_000}[match[2].lower()]) if match else 0
    if bits < 1:
        raise InputError(f"--bitrate: expected bits a second such as 12M or 800k, got '{text}'")
    return bits
