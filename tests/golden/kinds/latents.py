"""Golden latents: which z a seed stands for in every StyleGAN tool."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from golden.check import Check, as_array, compare_arrays, worst
from golden.document import Document, Fields, NotUnderstood
from golden.tolerances import LATENT, Tolerance


def looks_like_latents(document: Document) -> bool:
    """A table of seeds with the first values of each."""
    table = document.meta.get("z")
    return (
        isinstance(table, dict) and all(isinstance(v, dict) and "first8" in v for v in table.values()) and bool(table)
    )


def run(document: Document) -> Iterator[Check]:
    """z of every seed. The transforms belong to StyleGAN3's input."""
    size = re.search(r"randn\(1, *(\d+)\)", document.what)
    if not size:
        raise NotUnderstood(f"description: expected the size of z as randn(1, SIZE) in {document.what[:60]!r}")
    table = document.description.take("z")
    for seed in table:
        yield from worst(f"seed {seed}", check_seed(int(seed), Fields(table[seed], f"z of seed {seed}"), int(size[1])))
    if document.description.take("transforms", None) is not None:
        yield Check("transforms", "", text="the input transform of StyleGAN3", built=False)


def check_seed(seed: int, fields: Fields, z_dim: int) -> Iterator[Check]:
    """First values, last value and sum of one z."""
    from openstylegan.sampling.latents import z_from_seed

    z = as_array(z_from_seed(seed, z_dim)).astype(np.float64).reshape(-1)
    yield compare_arrays("", "first8", z[:8], fields.take("first8"), LATENT)
    yield compare_arrays("", "last", z[-1], fields.take("last"), LATENT)
    rounding = Tolerance(absolute=1e-15 * float(np.abs(z).sum()))
    yield compare_arrays("", "sum", z.sum(), fields.take("sum"), rounding)
    fields.finish()
