"""`training_samples/`: grids of the generator as it is and of the averaged one, by step, psi and mixing probability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from openstylegan.config import SampleConfig
from openstylegan.images import tile, write_png
from openstylegan.networks.base import Generator
from openstylegan.sampling.mean_style import mean_style
from openstylegan.sampling.samples import GridLatents, forms_of, pictures

FOLDER = "training_samples"


@dataclass(frozen=True)
class TrainingSamples:
    """A run's further grids: which forms, of which labels `c` [N, c_dim], laid out in so many columns."""

    folder: Path
    config: SampleConfig
    seed: int
    columns: int
    c: Tensor
    batch_size: int

    def write(self, networks: dict[str, Generator], step: int) -> list[Path]:
        """A grid of each of `networks` in each form, `<step>-<network>-psi<psi>-mixing<p>.png`; returns the paths."""
        return [
            self.write_one(images, f"{step:08d}-{name}-{form}.png")
            for name, G in networks.items()
            for form, images in self.drawn(G)
        ]

    def drawn(self, G: Generator) -> Iterator[tuple[str, Tensor]]:
        """The name of each form and its pictures, uint8 [N, C, H, W]."""
        device = next(G.parameters()).device
        dtype = next(G.parameters()).dtype
        latents = GridLatents.drawn(G.z_dim, self.c.to(device, dtype), self.seed)
        forms = forms_of(self.config.psi, self.config.mixing)
        truncates = any(form.psi != 1 for form in forms)
        mean = mean_style(G, latents.c, self.config.w_samples, self.seed) if truncates else None
        for form in forms:
            yield form.name, pictures(G, latents.styles(G, form, mean), self.batch_size)

    def write_one(self, images: Tensor, name: str) -> Path:
        """Writes a grid and returns its path."""
        path = self.folder / FOLDER / name
        path.parent.mkdir(exist_ok=True)
        write_png(path, tile(images, self.columns))
        return path
