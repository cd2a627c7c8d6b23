"""A projected discriminator in a training loop of your own: a small generator learns the demo pictures.

    python examples/projected_loop.py [--steps 300] [--out fakes.png]

The discriminator takes three lines (marked below); all else is an ordinary loop.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import nn

from openstylegan.augment.diffaugment import DiffAugment
from openstylegan.data.dataset import open_dataset
from openstylegan.data.demo import demo_path
from openstylegan.images import from_uint8, tile, to_uint8, write_png
from openstylegan.losses.adversarial import hinge_d_fake, hinge_d_real, hinge_g
from openstylegan.networks.projected import ProjectedDiscriminator


def small_generator(z_dim: int = 64, width: int = 32) -> nn.Sequential:
    """z [N, z_dim, 1, 1] to pictures [N, 3, 64, 64]: any generator of yours."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, 8 * width, 4)]
    for k in (8, 4, 2, 1):
        layers += [nn.BatchNorm2d(k * width), nn.ReLU(), nn.Upsample(scale_factor=2)]
        layers += [nn.Conv2d(k * width, max(k * width // 2, 3) if k > 1 else 3, 3, padding=1)]
    return nn.Sequential(*layers)


def train(steps: int, batch: int, feature_side: int) -> tuple[nn.Sequential, list[float]]:
    """The generator after some steps, and the discriminator's loss at each."""
    torch.manual_seed(0)
    random, data, augment = np.random.default_rng(0), open_dataset(demo_path()), DiffAugment("translation")
    G = small_generator()
    D = ProjectedDiscriminator(feature_side=feature_side)  # 1: made
    G_opt = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.99))
    trained = [p for p in D.parameters() if p.requires_grad]  # 2: its small discriminators are trained
    D_opt = torch.optim.Adam(trained, lr=5e-4, betas=(0.0, 0.99))
    losses = []
    for _ in range(steps):
        fakes = G(torch.randn(batch, 64, 1, 1))
        G_opt.zero_grad()
        hinge_g(D(augment(fakes))).mean().backward()  # 3: called
        G_opt.step()

        reals = from_uint8(torch.from_numpy(data.images(random.integers(len(data), size=batch))))
        D_opt.zero_grad()
        loss = hinge_d_real(D(augment(reals))).mean() + hinge_d_fake(D(augment(fakes.detach()))).mean()
        loss.backward()
        D_opt.step()
        losses.append(loss.item())
    return G, losses


def main() -> None:
    """Trains, and writes a grid of pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--feature-side", type=int, default=96)
    parser.add_argument("--out", default="fakes.png")
    arguments = parser.parse_args()
    G, losses = train(arguments.steps, arguments.batch, arguments.feature_side)
    with torch.no_grad():
        write_png(arguments.out, tile(to_uint8(G.eval()(torch.randn(32, 64, 1, 1))), 8))
    print(f"loss of D {losses[0]:.3f} -> {losses[-1]:.3f}; {arguments.out}")


if __name__ == "__main__":
    main()
