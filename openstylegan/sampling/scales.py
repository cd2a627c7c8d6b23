"""The pictures of a generator that makes one at every resolution (MSG-GAN, arXiv 1903.06048), shown beside each other.

`ScalesShown` is itself a generator, of one tensor: whatever takes seeds, ws or a film takes it too.

Differs from MSG-StyleGAN's scripts: scales are named by their width instead of their place; they are enlarged to the
largest that is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.images import enlarged, leaves
from openstylegan.networks.base import Generator
from openstylegan.randomness import NoiseSource

ALL = "all"


def parse_scales(text: str) -> list[int] | None:
    """`"4,16,64"` as the widths [4, 16, 64]; `"all"` as None. Raises `InputError`."""
    if text == ALL:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise InputError(f"--scales: expected widths such as 4,16,64, or all, got '{text}'")
    return [int(part) for part in parts]


def chosen_scales(G: Generator, widths: Sequence[int] | None) -> list[int]:
    """Places in `G.scales` of the pictures that wide, in the order of `widths`; None: of all. Raises `InputError`."""
    have = [width for _, width in G.scales]
    if len(have) < 2:
        raise InputError(f"--scales needs a network with a picture at every resolution; {type(G).__name__} makes one")
    missing = [width for width in widths or () if width not in have]
    if missing or (widths is not None and not widths):
        raise InputError(f"--scales: expected some of {', '.join(map(str, have))}, got {list(widths or ())}")
    return list(range(len(have))) if widths is None else [have.index(width) for width in widths]


class SynthesisShown(nn.Module):
    """A synthesis whose several pictures come as one: those at `places`, enlarged, `columns` in a row."""

    def __init__(self, synthesis: nn.Module, places: Sequence[int], shape: tuple[int, int], columns: int):
        super().__init__()
        self.synthesis, self.places, self.shape, self.columns = synthesis, list(places), shape, columns

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "random",
        noise_source: NoiseSource | None = None,
        force_fp32: bool = False,
    ) -> Tensor:
        """[N, C, rows h, columns w]; places that are left over in the last row are black."""
        images = leaves(self.synthesis(ws, noise_mode, noise_source, force_fp32))
        cells = [enlarged(images[place], self.shape) for place in self.places]
        cells += [cells[0].new_full(cells[0].shape, -1.0)] * (-len(cells) % self.columns)
        rows = torch.stack(cells, dim=2).unflatten(2, (-1, self.columns))
        return rows.transpose(3, 4).flatten(4).flatten(2, 3)


class ScalesShown(Generator):
    """`G` with one picture that shows those of its pictures that are `widths` wide (None: all), `columns` in a row.

    Each is enlarged, pixel by pixel, to the largest of them; one alone keeps its size. Raises `InputError`.
    """

    def __init__(self, G: Generator, widths: Sequence[int] | None = None, columns: int | None = None):
        super().__init__()
        places = chosen_scales(G, widths)
        columns = len(places) if columns is None else columns
        if not 1 <= columns <= len(places):
            raise InputError(f"--scale-columns: expected 1 to {len(places)}, got {columns}")
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = G.z_dim, G.c_dim, G.w_dim, G.num_ws
        self.img_channels, shape = G.img_channels, G.scales[max(places)]
        rows = -(-len(places) // columns)
        self.image_shape = (G.img_channels, rows * shape[0], columns * shape[1])
        self.img_resolution = self.image_shape[1:]
        self.mapping, self.synthesis = G.mapping, SynthesisShown(G.synthesis, places, shape, columns)
        self.train(G.training)


def scales_shown(G: Generator, scales: str | None, columns: int | None) -> Generator:
    """`G`, or what shows the scales that the options --scales and --scale-columns name. Raises `InputError`."""
    if scales is None:
        if columns is not None:
            raise InputError("--scale-columns has no effect without --scales; leave it out")
        return G
    return ScalesShown(G, parse_scales(scales), columns)
