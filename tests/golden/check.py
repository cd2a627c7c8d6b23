"""One comparison of a golden file: the largest error, what is allowed, and in which unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from golden.document import Document


@dataclass(frozen=True)
class Tolerance:
    """Allowed: `relative` times the largest magnitude of the reference, plus `absolute`."""

    relative: float = 0.0
    absolute: float = 0.0


@dataclass(frozen=True)
class Check:
    """A line of the report. Passes when `error <= tolerance` (a NaN does not); `text` stands where a number cannot."""

    case: str
    part: str
    error: float = 0.0
    tolerance: float = 0.0
    unit: str = "absolute"
    text: str = ""
    built: bool = True

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    @property
    def badness(self) -> float:
        """How far along the way to failure: 1 is just allowed."""
        return self.error / self.tolerance if self.tolerance else float("inf") if self.error else 0.0


def as_array(values: Any) -> np.ndarray:
    """Tensors, numbers and arrays as NumPy arrays."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def compare_arrays(case: str, part: str, actual: Any, expected: Any, tolerance: Tolerance, noise: float = 0.0) -> Check:
    """`actual` against `expected`. `noise` is the float32 rounding already in `expected`.

    Two float32 computations may each be `noise` away from the truth, so never less than twice that is allowed.
    """
    ours, theirs = as_array(actual), as_array(expected)
    if ours.shape != theirs.shape:
        return failure(case, part, f"shape {list(ours.shape)} instead of {list(theirs.shape)}")
    if not theirs.size:
        return Check(case, part)
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    largest, error = float(np.abs(theirs).max()), float(np.abs(ours - theirs).max())
    allowed = max(tolerance.relative * largest + tolerance.absolute, 2 * noise)
    if tolerance.relative and largest:
        return Check(case, part, error / largest, allowed / largest, "of max|ref|")
    return Check(case, part, error, allowed)


def compare(document: Document, case: str, name: str, actual: Any, tolerance: Tolerance) -> Check:
    """`actual` against the array `name` of the document, with the rounding the document states for it."""
    part = name.removeprefix("out/").removeprefix(f"{case}/")
    part = "" if part == case else part
    return compare_arrays(case, part, actual, document.take(name), tolerance, document.rounding(name))


def failure(case: str, part: str, text: str) -> Check:
    """A check that fails for a reason that is not a number."""
    return Check(case, part, float("inf"), 0.0, text=text)


def worst(case: str, checks: Iterable[Check]) -> Iterator[Check]:
    """One line for many checks of one case: every failing one, or else the one nearest to failing."""
    done = list(checks)
    failing = [replace(check, case=case) for check in done if not check.passed]
    if failing or not done:
        yield from failing
        return
    top = max(done, key=lambda check: check.badness)
    among = f"worst of {len(done)}" if len(done) > 1 else ""
    yield replace(top, case=case, part=", ".join(filter(None, [top.part, among])))
