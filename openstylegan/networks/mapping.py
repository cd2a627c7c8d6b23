"""The mapping network f: z, c -> w, with truncation towards the running mean of w.

Papers: StyleGAN (arXiv 1812.04948), StyleGAN2 (arXiv 1912.04958), StyleGAN2-ADA (arXiv 2006.06676).

Differs from StyleGAN2-ADA: whether w_avg follows this batch is the argument `update_w_avg` (None: when in training
mode, as there); an empty batch leaves w_avg alone, where the original made it NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import check_labels
from openstylegan.networks.layers import Dense, normalize_second_moment


class StyleMapping(nn.Module):
    """What every mapping network has: `map` gives w, which is repeated and truncated towards its running mean.

    w_avg [w_dim] exists when `num_ws` and `w_avg_beta` are given. Sub-classes set these and `z_dim, c_dim, w_dim`, call
    `track`, and define `map`.
    """

    w_avg: Tensor
    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int | None
    w_avg_beta: float | None

    @property
    def tracks_w(self) -> bool:
        """Whether this mapping keeps the running mean of w."""
        return self.num_ws is not None and self.w_avg_beta is not None

    def track(self) -> None:
        """Begins w_avg at 0, where there is one."""
        if self.tracks_w:
            self.register_buffer("w_avg", torch.zeros(self.w_dim))

    def map(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """w [N, w_dim], neither repeated nor truncated. Raises `InputError` for z or c of another shape."""
        raise NotImplementedError

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
        update_w_avg: bool | None = None,
    ) -> Tensor:
        """ws = w_avg + psi (w - w_avg), the latter for the first `truncation_cutoff` of the num_ws only when given."""
        w = self.map(z, c)
        if self.tracks_w and w.shape[0] > 0 and (self.training if update_w_avg is None else update_w_avg):
            self.update_w_avg(w.detach().mean(dim=0))
        if self.num_ws is not None:
            w = w[:, None].repeat(1, self.num_ws, 1)
        return w if truncation_psi == 1 else self.truncate(w, truncation_psi, truncation_cutoff)

    def checked_latents(self, z: Tensor | None) -> Tensor:
        """`z` when it is [N, z_dim]. Raises `InputError`."""
        if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
            raise InputError(f"expected z of shape [N, {self.z_dim}], got {None if z is None else list(z.shape)}")
        return z

    def joined(self, z: Tensor | None, c: Tensor | None, embed: Callable[[Tensor], Tensor] | None) -> Tensor:
        """z, and behind it what `embed` (None: without labels) makes of c: [N, z_dim + ...]. Raises `InputError`."""
        x = self.checked_latents(z).to(self.w_avg.dtype)
        check_labels(c, self.c_dim, len(x))
        if embed is None:
            return x
        assert c is not None
        return torch.cat([x, embed(c.to(x))], dim=1)

    @torch.no_grad()
    def update_w_avg(self, w_mean: Tensor) -> None:
        """w_avg <- beta w_avg + (1 - beta) w_mean."""
        assert self.w_avg_beta is not None
        self.w_avg.copy_(w_mean.to(self.w_avg).lerp(self.w_avg, self.w_avg_beta))

    def truncate(self, ws: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """lerp(w_avg, ws, psi), for the first `cutoff` layers only when given. ws is [N, num_ws, w_dim]."""
        if not self.tracks_w:
            raise InputError(f"expected truncation_psi 1, got {psi}; this mapping keeps no w_avg (see --w-samples)")
        truncated = self.w_avg.lerp(ws, psi)
        return truncated if cutoff is None else torch.cat([truncated[:, :cutoff], ws[:, cutoff:]], dim=1)


@dataclass(frozen=True)
class MappingOptions:
    """`mapping_kwargs`: None for a number of features means w_dim.

    `joint_normalization` normalizes z and the embedded c as one vector, as the TensorFlow networks up to StyleGAN2 do.
    """

    num_layers: int = 8
    embed_features: int | None = None
    layer_features: int | None = None
    activation: str = "lrelu"
    lr_multiplier: float = 0.01
    w_avg_beta: float | None = 0.995
    joint_normalization: bool = False


class MappingNetwork(StyleMapping):
    """z [N, z_dim] and c [N, c_dim] to ws [N, num_ws, w_dim], or to [N, w_dim] when `num_ws` is None."""

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_ws: int | None, options: MappingOptions):
        super().__init__()
        # Without layers, the embedded labels are the result: so StyleGAN2-ADA's discriminators in TensorFlow have it.
        fewest = 1 if z_dim > 0 else 0
        if options.num_layers < fewest:
            raise InputError(f"expected num_layers of the mapping to be at least {fewest}, got {options.num_layers}")
        self.joint_normalization = options.joint_normalization
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = options.num_layers, options.w_avg_beta
        embed_features = (options.embed_features or w_dim) if c_dim > 0 else 0
        if options.num_layers == 0 and embed_features != w_dim:
            raise InputError(f"expected embed_features {w_dim} in a mapping without layers, got {embed_features}")
        hidden = options.layer_features or w_dim
        widths = [z_dim + embed_features, *[hidden] * (options.num_layers - 1), w_dim]
        if c_dim > 0:
            self.embed = Dense(c_dim, embed_features)
        for i in range(options.num_layers):
            layer = Dense(widths[i], widths[i + 1], activation=options.activation, lr_multiplier=options.lr_multiplier)
            self.add_module(f"fc{i}", layer)
        self.track()

    def map(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """w [N, w_dim], neither repeated nor truncated. z and the embedded c are normalized one by one, or jointly."""
        dtype = next(self.parameters()).dtype
        inputs = []
        if self.z_dim > 0:
            inputs.append(self.checked_latents(z).to(dtype))
        if self.c_dim > 0:
            sample = inputs[0] if inputs else c
            check_labels(c, self.c_dim, 0 if sample is None else sample.shape[0])
            assert c is not None
            inputs.append(self.embed(c.to(dtype)))
        if self.joint_normalization:
            x = normalize_second_moment(torch.cat(inputs, dim=1))
        else:
            x = torch.cat([normalize_second_moment(x) for x in inputs], dim=1)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x
