"""Grids of samples for lists of psi and of mixing probabilities, all from the same latents, so that they compare.

Style mixing as in training (StyleGAN, arXiv 1812.04948): with some probability a picture takes its layers from a random
one on from a second latent. A picture that is mixed with one probability is mixed, alike, with every larger one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.files import clear_write_errors, write_json
from openstylegan.images import tile, write_png
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.randomness import BatchStream, SampleStream, generator
from openstylegan.sampling.generate import NoiseMode, draw, generator_of
from openstylegan.sampling.labels import one_hot
from openstylegan.sampling.mean_style import mean_style, toward


@dataclass(frozen=True)
class Form:
    """A truncation psi and a probability of mixing: what is done to the styles of a grid."""

    psi: float = 1.0
    mixing: float = 0.0

    @property
    def name(self) -> str:
        """For file names: `psi0.7-mixing0`."""
        return f"psi{self.psi:g}-mixing{self.mixing:g}"


def forms_of(psi: Sequence[float], mixing: Sequence[float]) -> list[Form]:
    """Every pair of a psi and a probability. Raises `InputError` for what is no probability, and for empty lists."""
    wrong = [p for p in mixing if not 0 <= p <= 1]
    if wrong or not psi or not mixing:
        raise InputError(
            f"expected at least one psi and mixing probabilities from 0 to 1, got {list(psi)} and {list(mixing)}"
        )
    return [Form(p, m) for p in psi for m in mixing]


@dataclass(frozen=True)
class GridLatents:
    """First and second latents of a grid [N, z_dim], their labels `c` [N, c_dim], and numbers in [0, 1) that decide
    which pictures are mixed (`chance` [N]) and from which layer on (`place` [N])."""

    first: Tensor
    second: Tensor
    chance: Tensor
    place: Tensor
    c: Tensor

    @classmethod
    def drawn(cls, z_dim: int, c: Tensor, seed: int, number: int = 0) -> GridLatents:
        """The latents of grid `number` of a seed, on the device of `c`."""
        count = len(c)
        stream = SampleStream(seed, "samples", (number,), range(count))
        z = stream.normal((count, 2 * z_dim)).to(c.device)
        chance, place = stream.uniform((count, 2)).to(c.device).unbind(1)
        return cls(z[:, :z_dim], z[:, z_dim:], chance, place, c)

    @torch.no_grad()
    def styles(self, G: Generator, form: Form, mean: Tensor | None) -> Tensor:
        """ws [N, num_ws, w_dim] in a form; `mean` [num_ws, w_dim] is not looked at for psi 1. Raises `InputError`."""
        ws = G.mapping(self.first, self.c, update_w_avg=False)
        if form.mixing > 0:
            in_use = G.num_ws_in_use
            if in_use < 2:
                raise InputError(f"expected mixing probability 0 for a network of one style, got {form.mixing:g}")
            begins = 1 + (self.place * (in_use - 1)).long()
            own = torch.arange(G.num_ws, device=ws.device) < begins[:, None]
            kept = own | (self.chance >= form.mixing)[:, None]
            ws = torch.where(kept[:, :, None], ws, G.mapping(self.second, self.c, update_w_avg=False))
        if form.psi == 1:
            return ws
        assert mean is not None
        return toward(ws, mean, form.psi)


@torch.no_grad()
def pictures(G: Generator, ws: Tensor, batch: int, noise_mode: NoiseMode = "const", first_seed: int = 0) -> Tensor:
    """uint8 [N, C, H, W] of `ws`, on the CPU, drawn in evaluation mode, which is put back; random noise is by seeds."""
    training = G.training
    G.eval()
    try:
        with FrozenWeights():
            parts = [
                draw(G, part, noise_mode, range(first_seed + n * batch, first_seed + n * batch + len(part))).cpu()
                for n, part in enumerate(ws.split(batch))
            ]
    finally:
        G.train(training)
    return torch.cat(parts)


@dataclass(frozen=True)
class SampleOptions:
    """What `write_samples` draws. `w_samples`: latents the mean style is estimated from, anew for every repetition;
    None: the network's running mean. Without `class_idx` a conditional network draws random classes."""

    columns: int = 8
    rows: int = 8
    repeat: int = 1
    psi: tuple[float, ...] = (1.0,)
    mixing: tuple[float, ...] = (0.0,)
    w_samples: int | None = None
    class_idx: int | None = None
    noise_mode: NoiseMode = "const"
    seed: int = 0
    batch: int = 8

    def __post_init__(self) -> None:
        forms_of(self.psi, self.mixing)
        for name in ("columns", "rows", "repeat", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"expected {name} of at least 1, got {getattr(self, name)}")


def labels_of(G: Generator, options: SampleOptions, number: int) -> Tensor:
    """The labels of a repetition's pictures, [columns rows, c_dim]."""
    count, device = options.columns * options.rows, next(G.parameters()).device
    if G.c_dim == 0 or options.class_idx is not None:
        return one_hot(options.class_idx, G.c_dim, count).to(device)
    draws = BatchStream(generator(options.seed, "samples/classes", number)).uniform((count,))
    return torch.eye(G.c_dim, device=device)[(draws * G.c_dim).long().to(device)]


@dataclass(frozen=True)
class SampleGrid:
    """A drawn grid: which repetition and form, its pictures uint8 [N, C, H, W], and that of the mean style
    [1, C, H, W]."""

    number: int
    form: Form
    images: Tensor
    mean_image: Tensor


def sample_grids(G: Generator, options: SampleOptions) -> Iterator[SampleGrid]:
    """Every repetition in every form."""
    for number in range(options.repeat):
        c = labels_of(G, options, number)
        latents = GridLatents.drawn(G.z_dim, c, options.seed, number)
        mean = mean_style(G, c, options.w_samples, options.seed + number)
        mean_image = pictures(G, mean[None], 1, options.noise_mode)
        for form in forms_of(options.psi, options.mixing):
            ws = latents.styles(G, form, mean)
            images = pictures(G, ws, options.batch, options.noise_mode, number * len(ws))
            yield SampleGrid(number, form, images, mean_image)


def dated_folder(outdir: Path) -> Path:
    """Makes and returns `<outdir>/<date>/<time>`, with a number behind it when it is there already."""
    day = outdir / time.strftime("%Y-%m-%d")
    name = time.strftime("%H-%M-%S")
    with clear_write_errors(outdir):
        day.mkdir(parents=True, exist_ok=True)
        for number in range(1_000_000):
            folder = day / (name if number == 0 else f"{name}-{number}")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue
    raise InputError(f"expected room for a folder below {day}, found every name taken; choose another --outdir")


def write_samples(
    network: str | Path | Generator, outdir: Path, options: SampleOptions, about: Mapping[str, Any] | None = None
) -> Path:
    """Writes grids into a new dated folder below `outdir` and returns it.

    `k.png` is grid k, `truncation_base_k.png` the picture of the mean style that goes with it, and `parameters.json`
    says what each of them is, with the options and what `about` adds. Raises `InputError`.
    """
    G = generator_of(network)
    drawn = sample_grids(G, options)
    folder, grids = dated_folder(outdir), []
    for k, grid in enumerate(drawn):
        write_png(folder / f"{k}.png", tile(grid.images, options.columns))
        write_png(folder / f"truncation_base_{k}.png", tile(grid.mean_image, 1))
        grids.append({"k": k, "repetition": grid.number, **asdict(grid.form)})
    write_json(folder / "parameters.json", {**(about or {}), **asdict(options), "grids": grids})
    return folder
