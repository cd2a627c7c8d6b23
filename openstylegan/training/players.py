"""A player: a network, its optimizer, and the parameters that were trainable when it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.config import PlayerConfig
from openstylegan.distributed import all_reduce_flat
from openstylegan.errors import InputError


class Player:
    """One network and the Adam that moves it. Frozen parameters stay frozen.

    `lazy_every` is the interval k of its lazy phase, if it has one: as in StyleGAN2 (arXiv 1912.04958, appendix B)
    learning rate and betas are corrected for the k + 1 steps taken where k were meant, by k / (k + 1).
    """

    def __init__(self, name: str, module: nn.Module, config: PlayerConfig, lazy_every: int | None = None):
        self.name, self.module = name, module
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.sums: dict[str, Tensor] = {}
        ratio = 1.0 if lazy_every is None else lazy_every / (lazy_every + 1)
        self.lr = config.lr * ratio
        self.optimizer = torch.optim.Adam(
            self.parameter_groups(config.lr_factors),
            lr=self.lr,
            betas=(float(config.beta1) ** ratio, float(config.beta2) ** ratio),
            eps=config.eps,
            fused=True,
        )
        self.set_trainable(False)

    def parameter_groups(self, factors: Mapping[str, float]) -> list[dict[str, Any]]:
        """The parameters by what their learning rate is multiplied with. Raises `InputError` for a name of none."""
        groups: dict[float, list[Tensor]] = {}
        for name, parameter in self.parameters.items():
            factor = next((f for start, f in factors.items() if name.startswith(start)), 1.0)
            groups.setdefault(factor, []).append(parameter)
        for start in factors:
            if not any(name.startswith(start) for name in self.parameters):
                raise InputError(f"lr_factors: {self.name} has no parameter whose name begins with '{start}'")
        return [{"params": params, "factor": factor, "lr": self.lr * factor} for factor, params in groups.items()]

    def set_trainable(self, on: bool) -> None:
        """Turns gradients of the player's own parameters on or off."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(on)

    def set_lr_scale(self, scale: float) -> None:
        """Sets the learning rate to `scale` times the player's own."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * scale * group["factor"]

    def move(self) -> None:
        """The optimizer's step. A fused one leaves no trace of having written: what is derived from weights is told."""
        self.optimizer.step()
        torch.autograd.graph.increment_version(list(self.parameters.values()))

    def renew(self) -> None:
        """Forgets Adam's moments: the next step is its first."""
        self.optimizer.state.clear()

    def zero_gradients(self) -> None:
        """Forgets all gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        self.sums.clear()

    def add_gradients(self) -> None:
        """Adds a micro-batch's gradients to the sums of the batch.

        The sums are float64: so they do not depend on the order, which differs with the number of processes, and in
        which Adam (of beta1 = 0) would turn the rounding of a small gradient into a step of full size.
        """
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                gradient = parameter.grad.double()
                self.sums[name] = self.sums[name].add_(gradient) if name in self.sums else gradient
                parameter.grad = None

    def average_gradients(self, num_micro_batches: int) -> Tensor:
        """Makes the batch's mean over all processes the parameters' gradients; returns its norm, a scalar.

        A norm that is not finite means that some gradient is not.
        """
        if self.sums:
            all_reduce_flat(list(self.sums.values()))
            for name, total in self.sums.items():
                self.parameters[name].grad = (total / num_micro_batches).to(self.parameters[name])
            self.sums.clear()
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients)) if gradients else torch.zeros(1)
        return norms.double().square().sum().sqrt()

    def moments(self) -> dict[str, Tensor]:
        """Adam's numbers by parameter name: `<name>/exp_avg`, `/exp_avg_sq`, `/step`."""
        state = self.optimizer.state
        return {f"{n}/{k}": v for n, p in self.parameters.items() for k, v in sorted(state.get(p, {}).items())}

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Puts back what `moments` returned."""
        self.optimizer.state.clear()
        found: dict[str, dict[str, Any]] = {}
        for key, value in moments.items():
            name, _, number = key.rpartition("/")
            found.setdefault(name, {})[number] = value
        for name, own in found.items():
            parameter = self.parameters[name]
            self.optimizer.state[parameter] = {
                # `empty_like` keeps the parameter's memory layout, which the fused step expects of its moments.
                k: v.to(parameter.device).clone() if v.dim() == 0 else torch.empty_like(parameter).copy_(v)
                for k, v in own.items()
            }
