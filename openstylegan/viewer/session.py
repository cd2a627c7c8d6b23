"""A network and what can be seen of it, without any server.

    session = Session("network.safetensors")
    frame = session.render(View(x=3.5, psi=0.7))        # frame.image: uint8 [H, W, C]
    session.pin(View(x=3.0))
    session.render(View(x=3.5, difference="image"))
    session.film("path.webp", [View(x=0.0), View(x=4.0)], frames=60)

Features follow StyleGAN3's visualizer (arXiv 2106.12423); pictures are drawn by the functions of `sampling/`, so those
of whole seeds are what `openstylegan generate` writes, to the byte.

Differs from the visualizer: the network's own transform is put back after every picture; noise has a strength; pictures
may be stretched; a view that asks for what the network has not is drawn without it and says so.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.shifting import resample
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.sampling.generate import drawn, generator_of
from openstylegan.sampling.transform import input_transform, transform_of, transformed
from openstylegan.viewer.directions import MOST, DirectionSet, affine_parts, covariance_of_w, principal, sefa
from openstylegan.viewer.display import describe, picture_of
from openstylegan.viewer.latent import Latents
from openstylegan.viewer.layers import OUTPUT, interruptible, layers_of, parts_of, value_of
from openstylegan.viewer.messages import LayerEntry
from openstylegan.viewer.noise import noise_times, takes_noise
from openstylegan.viewer.pictures import Shown
from openstylegan.viewer.state import View, changed, checked


class Cancelled(Exception):
    """A newer wish has come, or nobody waits any more."""


@dataclass(frozen=True)
class Pin:
    """A kept view: its ws [1, num_ws, w_dim], and its layer [C, H, W] (in mode "image" the picture)."""

    view: View
    ws: Tensor
    layer: Tensor


@dataclass(frozen=True)
class Frame:
    """A drawn view: `image` uint8 [H, W, C]; `ms` by stage; the rest as in the header of a picture message."""

    image: np.ndarray
    shown: Shown
    ms: dict[str, float]
    w_distance: tuple[float, ...] | None
    spectrum: bool
    notes: tuple[str, ...]


class Stopwatch:
    """Milliseconds by stage, each the time since the one before; waits for a GPU first."""

    def __init__(self, device: torch.device):
        self.device, self.ms, self.last = device, dict[str, float](), time.perf_counter()

    def note(self, stage: str) -> None:
        """Ends `stage`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.ms[stage] = round(1000 * (now - self.last), 3)
        self.last = now


class Session:
    """One generator, ready to be looked at. Calls of several threads are served one after the other.

    `network` is a file, a run folder, a URL or a generator. Raises `InputError`.
    """

    def __init__(self, network: str | os.PathLike[str] | Generator, device: torch.device | str = "cpu"):
        self.G = generator_of(network).eval().requires_grad_(False).to(device)
        self.device = torch.device(device)
        self.latents, self.weights = Latents(self.G), FrozenWeights()
        self.pinned: Pin | None = None
        self.transforms, self.noise = transform_of(self.G) is not None, takes_noise(self.G)
        self.truncates = self.latents.average is not None
        self.parts = parts_of(self.G)
        self._lock = threading.RLock()
        self._covariance: Tensor | None = None
        self._directions: dict[tuple[str, tuple[int, ...]], DirectionSet] = {}
        self._layers: dict[str, tuple[LayerEntry, ...]] = {}

    @contextmanager
    def drawing(self, check: Callable[[], None] | None = None) -> Iterator[None]:
        """Around all use of the generator: alone, without gradients, what is derived from weights kept."""
        with self._lock, torch.no_grad(), self.weights:
            with interruptible(self.parts.values() if check else (), check or (lambda: None)):
                yield

    def layers(self) -> tuple[LayerEntry, ...]:
        """All layers, in the order of execution."""
        with self.drawing():
            if "all" not in self._layers:
                ws = self.latents.of_seed(0, View(class_idx=0))
                self._layers["all"] = layers_of(self.parts, lambda: self.G.synthesis(ws, noise_mode="none"))
            return self._layers["all"]

    def directions(self, kind: str, layers: Sequence[int] = ()) -> DirectionSet:
        """The directions "sefa" (of `layers`, empty: all) or "pca". Raises `InputError`."""
        key = (kind, tuple(sorted(set(layers))) if kind == "sefa" else ())
        with self.drawing():
            if self._covariance is None:
                self._covariance = covariance_of_w(self.G)
            if key not in self._directions:
                found = sefa(self.G, self._covariance, key[1]) if kind == "sefa" else principal(self._covariance)
                self._directions[key] = found
            return self._directions[key]

    def direction_kinds(self) -> dict[str, int]:
        """How many directions of each kind there are; SeFa only where every w becomes styles by an affine part."""
        with self.drawing():
            num = min(self.G.w_dim, MOST)
            fed = {index for index, _ in affine_parts(self.G)}
            return {"sefa": num, "pca": num} if fed == set(range(self.G.num_ws)) else {"pca": num}

    def ws(self, view: View) -> Tensor:
        """ws [1, num_ws, w_dim] of a view, all said. Raises `InputError`."""
        with self.drawing():
            ws = self.latents.of_view(view)
            for offset in view.offsets:
                step = self.directions(offset.kind, offset.layers).step(offset.index, offset.amount).to(ws)
                rows = [n for n in offset.layers if n < self.G.num_ws] or slice(None)
                ws = ws.clone()
                ws[:, rows] += step
            return ws

    def pin(self, view: View | None) -> Pin | None:
        """Keeps `view` for differences (None: forgets it), and gives what is kept."""
        self.pinned = None if view is None else self.make_pin(view)
        return self.pinned

    def make_pin(self, view: View) -> Pin:
        """A view's ws and picture. Raises `InputError`."""
        with self.drawing():
            ws = self.ws(checked(view))
            return Pin(view, ws, self.value(view, ws)[0])

    def render(self, view: View, pinned: Pin | None = None, check: Callable[[], None] | None = None) -> Frame:
        """Draws a view; differences are taken against `pinned`, else against the session's own pin.

        `check` is called before every layer and may raise, `Cancelled` say. Raises `InputError` for a view that cannot
        be drawn.
        """
        view, pin = checked(view), pinned or self.pinned
        notes = self.notes(view, pin)
        watch = Stopwatch(self.device)
        with self.drawing(check):
            ws = self.ws(view)
            watch.note("mapping")
            layer, name = self.value(view, ws)
            watch.note("synthesis")
            shown = self.difference(layer, view, pin) if view.difference == "image" and pin else layer
            distance = None if view.difference == "none" or pin is None else distances(ws, pin.ws)
            image = picture_of(shown, view).permute(1, 2, 0).cpu().numpy()
            described = describe(name, shown, view)
            watch.note("display")
        return Frame(image, described, watch.ms, distance, view.fft, tuple(notes))

    def value(self, view: View, ws: Tensor) -> tuple[Tensor, str]:
        """The layer [C, H, W] that a view shows (the picture in mode "image"), and its name."""
        movement = self.movement(view)

        def draw() -> Tensor:
            return drawn(self.G, ws, view.noise_mode, [view.noise_seed])

        with transformed(self.G, movement), noise_times(self.G, view.noise_strength):
            if view.mode == "layer" and view.layer not in ("", OUTPUT):
                return value_of(self.parts, view.layer, draw)[0], view.layer
            images = draw()
        if view.mode == "image" and view.untransform and movement is not None:
            images = resample(images, movement)[0]
        return images[0], OUTPUT

    def movement(self, view: View) -> Tensor | None:
        """What the input's transform must be for a view, [3, 3] float64; None where nothing is moved."""
        stretch, translate = (view.stretch_x, view.stretch_y), (view.translate_x, view.translate_y)
        if not self.transforms or (stretch == (1, 1) and translate == (0, 0) and view.rotate == 0):
            return None
        return torch.from_numpy(input_transform(translate, 360 * view.rotate, stretch))

    def difference(self, layer: Tensor, view: View, pin: Pin) -> Tensor:
        """A layer minus that of the pinned view, seen as `view` sees it. Raises `InputError` where they don't match."""
        other = pin.layer
        if (view.mode, view.layer) != (pin.view.mode, pin.view.layer):
            if pin.view.model != view.model:
                raise InputError("the pinned view is of another network and was not pinned in this layer; pin it again")
            seen = changed(pin.view, mode=view.mode, layer=view.layer)
            other = self.value(seen, pin.ws)[0]
        if other.shape != layer.shape:
            raise InputError(
                f"expected a pinned picture of {list(layer.shape)}, got {list(other.shape)}; pin one of this network"
            )
        difference = layer - other.to(layer)
        # The difference of the alpha channels would hide that of the colours.
        return difference[:-1] if view.mode == "image" and len(difference) in (2, 4) else difference

    def notes(self, view: View, pin: Pin | None) -> list[str]:
        """What of a view is without effect, in words."""
        G = self.G
        layers = (*view.mix_layers, *(n for offset in view.offsets for n in offset.layers))
        moved = (view.stretch_x, view.stretch_y, view.rotate, view.translate_x, view.translate_y) != (1, 1, 0, 0, 0)
        said = (
            (not self.transforms and moved, "movement: this network does not transform its input"),
            (not self.truncates and view.psi != 1, "truncation: this network has no average w"),
            (not self.noise and view.noise_mode == "random", "noise: this network has none"),
            (G.c_dim == 0 and view.class_idx is not None, "class: this network is not conditional"),
            (any(n >= G.num_ws for n in layers), f"layers of w from {G.num_ws} on: this network has {G.num_ws}"),
            (view.cutoff is not None and view.cutoff > G.num_ws, f"cutoff: this network has {G.num_ws} ws"),
            (view.difference != "none" and pin is None, "difference: nothing is pinned"),
            (view.untransform and view.mode == "layer", "untransform: of finished pictures only"),
        )
        return [text for holds, text in said if holds]

    def film(self, path: str | os.PathLike[str], views: Sequence[View], **options: Any) -> int:
        """Writes a film along `views`; see `viewer.film.write`. Returns the number of its frames."""
        from openstylegan.viewer.film import write

        return write(path, views, lambda view: self.render(view).image, **options)


def distances(ws: Tensor, other: Tensor) -> tuple[float, ...] | None:
    """The distance of the w of every layer, [num_ws]; None for ws of another shape."""
    if ws.shape != other.shape:
        return None
    return tuple(float(d) for d in (ws - other.to(ws)).norm(dim=2)[0])
