"""Golden style mixing: w of seeds with truncation, rows of one w put into another, and the pictures as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from golden.check import Check, Tolerance, as_array, compare, compare_arrays, failure, worst
from golden.document import Document, NotUnderstood, read
from golden.kinds import networks, stylegan3
from golden.tolerances import (
    EXACT,
    MIXING_DIFFERING_BYTES,
    MIXING_FEW_BYTES,
    MIXING_LEVELS,
    MIXING_MEAN,
    MIXING_WS,
)

GOLDEN_FOLDER = Path(__file__).resolve().parents[1]


def find_generator(document: Document, name: str) -> Any:
    """The generator of another golden file: beside this one, else in the project's own folder."""
    for folder in (document.path.parent, GOLDEN_FOLDER):
        path = folder / f"{name}.npz"
        if path.is_file():
            other = read(path, document.device)
            alias_free = other.has("state/synthesis.input.freqs")
            make = stylegan3.make_generator if alias_free else networks.make_generator
            return make(other, other.options().take("init_kwargs"))
    raise NotUnderstood(f"options: generator {name!r} is neither in {document.path.parent} nor in {GOLDEN_FOLDER}")


def run(document: Document) -> Iterator[Check]:
    """Seeds one by one, then every row and column."""
    from openstylegan.sampling.generate import ws_of_seeds
    from openstylegan.sampling.mixing import mix, styles_of

    options = document.options()
    generator = find_generator(document, options.take("generator"))
    rows, columns = options.take("row_seeds"), options.take("col_seeds")
    styles, psi = options.take("col_styles"), options.take("truncation_psi", 1)
    noise_mode = options.take("noise_mode", "const")
    options.finish()
    seeds = [*rows, *columns]
    yield compare_arrays("seeds", "", np.array(seeds), document.take("out/seeds"), EXACT)
    ws = ws_of_seeds(generator, seeds, psi)
    yield compare(document, "seed_w", "out/seed_w", ws, MIXING_WS)
    yield from worst("seed_u8", check_bytes(document, "out/seed_u8", generator, ws, noise_mode))
    mixed = mix(ws[: len(rows)], ws[len(rows) :], styles_of(styles, generator.num_ws))
    yield compare(document, "mix_w", "out/mix_w", mixed, MIXING_WS)
    yield from worst("mix_u8", check_bytes(document, "out/mix_u8", generator, mixed, noise_mode))
    yield from check_mean(document, generator, mixed, noise_mode)
    yield from check_intact(document)


def images(generator: Any, ws: Tensor, noise_mode: str) -> Tensor:
    """Pictures of all ws, [..., C, H, W]."""
    flat = generator.synthesis(ws.reshape(-1, *ws.shape[-2:]), noise_mode=noise_mode, force_fp32=True)
    return flat.reshape(*ws.shape[:-2], *flat.shape[1:])


def check_bytes(document: Document, name: str, generator: Any, ws: Tensor, noise_mode: str) -> Iterator[Check]:
    """Bytes [..., H, W, C]: one level apart at most, and in few places."""
    from openstylegan.images import to_uint8

    pictures = as_array(to_uint8(images(generator, ws, noise_mode)).movedim(-3, -1))
    expected = document.take(name)
    levels = compare_arrays("", "levels", pictures, expected, MIXING_LEVELS)
    yield levels
    if pictures.shape == expected.shape:
        share, few = (pictures != expected).mean(), MIXING_FEW_BYTES / expected.size
        allowed = Tolerance(absolute=max(MIXING_DIFFERING_BYTES.absolute, few))
        yield compare_arrays("", "share of bytes", share, 0.0, allowed)


def check_mean(document: Document, generator: Any, ws: Tensor, noise_mode: str) -> Iterator[Check]:
    """The mean of every mixed picture, before rounding to bytes."""
    if document.has("out/mix_mean_per_image"):
        mean = images(generator, ws, noise_mode).mean([-3, -2, -1])
        yield compare(document, "mix_mean_per_image", "out/mix_mean_per_image", mean, MIXING_MEAN)


def check_intact(document: Document) -> Iterator[Check]:
    """The recorded bytes against the hash the description gives for them."""
    document.description.take("u8_pixels_that_differ_in_fp64", None)
    stated = document.description.take("mix_u8_sha256", None)
    if stated is not None and hashlib.sha256(document.take("out/mix_u8").tobytes()).hexdigest() != stated:
        yield failure("mix_u8", "sha256", "the recorded bytes are not those the description states")
