"""Golden video: the ws of every frame on their way through the keyframes, and whole frames as bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from golden.check import Check, compare, compare_arrays, failure
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.mixing import find_generator
from golden.tolerances import EXACT, MIXING_LEVELS, VIDEO_WS


def looks_like_video(document: Document) -> bool:
    """Frames with their numbers."""
    return document.has("out/c0/w") and document.has("out/c0/frame_indices")


def run(document: Document) -> Iterator[Check]:
    """Every configuration of the file."""
    options = document.options()
    generator = find_generator(document, options.take("generator"))
    configs = options.take("configs")
    options.finish()
    for n, values in enumerate(configs):
        fields = Fields(values, f"config {n}")
        yield from check_config(document, generator, f"c{n}", fields)
        fields.finish()


def check_config(document: Document, generator: Any, case: str, fields: Fields) -> Iterator[Check]:
    """The ws [frames, cells, num_ws, w_dim] that were kept, and the frames that were drawn."""
    from openstylegan.sampling.interpolation import keyframe_seeds
    from openstylegan.sampling.video import LatentFilm, grid_frame

    columns, rows = fields.take("grid_dims")
    kind = fields.take("kind", "cubic")
    if kind != "cubic":
        raise NotUnderstood(f"{fields.where}: interpolation of kind {kind!r}")
    seeds = keyframe_seeds(
        fields.take("seeds"), columns * rows, fields.take("num_keyframes", None), fields.take("shuffle_seed", None)
    )
    film = LatentFilm(generator, seeds, fields.take("w_frames"), fields.take("psi", 1))
    frames, layers = document.take(f"out/{case}/frame_indices"), document.take(f"out/{case}/w_index_kept")
    yield compare_arrays(f"{case}/frames", "in order", np.unique(frames), frames, EXACT)
    yield compare_arrays(f"{case}/layers", "in order", np.unique(layers), layers, EXACT)
    if max(frames) >= len(film):
        yield failure(f"{case}/frames", "", f"a frame {max(frames)} of a film of {len(film)}")
        return
    ws = torch.stack([film[int(frame)][:, torch.as_tensor(layers)] for frame in frames])
    yield compare(document, f"{case}/w", f"out/{case}/w", ws, VIDEO_WS)
    for name in document.names(f"out/{case}/frame"):
        match = re.fullmatch(rf"out/{case}/frame(\d+)_u8", name)
        if match:
            picture = grid_frame(generator, film[int(match[1])], columns)[:, :, : generator.img_channels]
            yield compare_arrays(f"{case}/frame {match[1]}", "levels", picture, document.take(name), MIXING_LEVELS)
