"""Statistics of a tick: count, sum and sum of squares of everything reported, in float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def moments(values: Tensor) -> Tensor:
    """[count, sum, sum of squares] of `values`, float64 [3], on their device."""
    flat = values.detach().reshape(-1).double()
    return torch.stack([flat.new_tensor(float(flat.numel())), flat.sum(), flat.square().sum()])


class Stats:
    """Moments by name since the last `collect`, and the last collected ones for names that got nothing new.

    What is added must already be summed over processes, so that every process holds the same numbers.
    """

    def __init__(self) -> None:
        self.pending: dict[str, Tensor] = {}
        self.last: dict[str, list[float]] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Adds moments [3] to the statistic `name`."""
        self.pending[name] = self.pending[name] + values if name in self.pending else values.clone()

    def add_number(self, name: str, value: float) -> None:
        """Adds one number to the statistic `name`."""
        self.add(name, moments(torch.tensor([value], dtype=torch.float64)))

    def collect(self) -> dict[str, dict[str, float]]:
        """`{name: {num, mean, std}}`, and starts anew. A name without new values keeps its previous ones."""
        for name, values in self.pending.items():
            self.last[name] = [float(v) for v in values.cpu()]
        self.pending = {}
        return {name: summary(values) for name, values in sorted(self.last.items())}

    def state(self) -> dict[str, Any]:
        """Everything, as plain numbers."""
        return {"pending": {k: v.cpu().tolist() for k, v in self.pending.items()}, "last": dict(self.last)}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Puts back what `state` returned."""
        self.pending = {k: torch.tensor(v, dtype=torch.float64, device=device) for k, v in state["pending"].items()}
        self.last = {k: list(v) for k, v in state["last"].items()}


def summary(values: list[float]) -> dict[str, float]:
    """num, mean and population standard deviation of moments."""
    num, total, squares = values
    if num == 0:
        return {"num": 0, "mean": math.nan, "std": math.nan}
    mean = total / num
    std = math.sqrt(max(squares / num - mean * mean, 0.0)) if num > 1 else 0.0
    return {"num": int(num), "mean": mean, "std": std}
