"""The input of StyleGAN3's synthesis: a picture of sines on an endless plane, which can be turned and moved exactly.

From "Alias-free generative adversarial networks" (arXiv 2106.12423, section 3.2 and appendix F).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from openstylegan.networks.layers import Dense
from openstylegan.networks.stylegan3_schedule import Signal


class FourierInput(nn.Module):
    """w [N, w_dim] to features [N, C, size, size]: sines of frequencies up to the signal's cutoff, mixed by `weight`.

    w decides a rotation and a translation, and `transform` [3, 3] comes before them: the picture shows at p what it
    would show at `transform` p without it. So to see a picture transformed by M, store the inverse of M. Lengths are in
    image widths from the middle, x to the right and y down. `freqs` (cycles per image width) and `phases` (cycles) are
    drawn at random and belong to the weights.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, signal: Signal):
        super().__init__()
        self.signal = signal
        freqs = torch.randn(signal.channels, 2)
        radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
        # |g| / (|g| exp(|g|^2 / 4)): uniform on the disc, since exp(-|g|^2 / 2) is the share beyond |g|.
        freqs = freqs / (radii * radii.square().exp().pow(0.25)) * signal.cutoff
        phases = torch.rand(signal.channels) - 0.5
        self.weight = nn.Parameter(torch.randn(signal.channels, signal.channels))
        self.affine = Dense(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", phases)

    def forward(self, w: Tensor) -> Tensor:
        """x_c = sum_k sin(2 pi (p f_k + phi_k)) a_k W_ck / sqrt(C) at every pixel p, after the transform."""
        matrices = self.matrices(w)
        phases = self.phases + (self.freqs @ matrices[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ matrices[:, :2, :2]
        x = torch.sin(2 * math.pi * (self.grid().flatten(0, 1) @ freqs.transpose(1, 2) + phases[:, None]))
        x = (x * self.amplitudes(freqs)[:, None]) @ (self.weight.t() / math.sqrt(self.signal.channels))
        return x.unflatten(1, (self.signal.size, self.signal.size)).permute(0, 3, 1, 2)

    def matrices(self, w: Tensor) -> Tensor:
        """Rotation by w, translation by w, `transform`: from the plane of the picture to that of the sines, [N, 3, 3].

        w gives (cos, sin, x, y), all divided by the length of the first two.
        """
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, x, y = t.unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        return rotation @ translation @ self.transform

    def amplitudes(self, freqs: Tensor) -> Tensor:
        """[N, C] of freqs [N, C, 2]: 1 up to the cutoff, falling to 0 where the sampling rate ends."""
        beyond = (freqs.norm(dim=2) - self.signal.cutoff) / (self.signal.rate / 2 - self.signal.cutoff)
        return (1 - beyond).clamp(0, 1)

    def grid(self) -> Tensor:
        """(x, y) of the pixels' centres in image widths, [size, size, 2]."""
        size = self.signal.size
        steps = torch.arange(size, dtype=self.freqs.dtype, device=self.freqs.device)
        steps = (steps + 0.5 - size / 2) / self.signal.rate
        return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=2)
