"""Golden latents: which z a seed stands for in every StyleGAN tool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from golden.check import Check, as_array, compare_arrays, worst
from golden.document import Document, Fields, NotUnderstood
from golden.tolerances import LATENT, TRANSFORM, Tolerance

NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def looks_like_latents(document: Document) -> bool:
    """A table of seeds with the first values of each."""
    table = document.meta.get("z")
    return (
        isinstance(table, dict) and all(isinstance(v, dict) and "first8" in v for v in table.values()) and bool(table)
    )


def run(document: Document) -> Iterator[Check]:
    """z of every seed, and the transforms of StyleGAN3's input."""
    size = re.search(r"randn\(1, *(\d+)\)", document.what)
    if not size:
        raise NotUnderstood(f"description: expected the size of z as randn(1, SIZE) in {document.what[:60]!r}")
    table = document.description.take("z")
    for seed in table:
        yield from worst(f"seed {seed}", check_seed(int(seed), Fields(table[seed], f"z of seed {seed}"), int(size[1])))
    for key, matrix in (document.description.take("transforms", None) or {}).items():
        yield check_transform(key, matrix)


def check_seed(seed: int, fields: Fields, z_dim: int) -> Iterator[Check]:
    """First values, last value and sum of one z."""
    from openstylegan.sampling.latents import z_from_seed

    z = as_array(z_from_seed(seed, z_dim)).astype(np.float64).reshape(-1)
    yield compare_arrays("", "first8", z[:8], fields.take("first8"), LATENT)
    yield compare_arrays("", "last", z[-1], fields.take("last"), LATENT)
    rounding = Tolerance(absolute=1e-15 * float(np.abs(z).sum()))
    yield compare_arrays("", "sum", z.sum(), fields.take("sum"), rounding)
    fields.finish()


def check_transform(key: str, matrix: Any) -> Check:
    """The matrix for a key such as `(0.3, 1),30`: a translation and an angle in degrees."""
    from openstylegan.sampling.transform import input_transform

    match = re.fullmatch(rf"\(({NUMBER}), *({NUMBER})\), *({NUMBER})", key)
    if not match:
        raise NotUnderstood(f"transforms: expected (x, y),angle, got {key!r}")
    x, y, angle = map(float, match.groups())
    return compare_arrays(f"transform {key}", "", input_transform((x, y), angle), matrix, TRANSFORM)
