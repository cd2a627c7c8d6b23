"""What all pages share: the list of networks, those in memory, the renderer, and what this machine is."""

from __future__ import annotations

import contextlib
import platform
import sys
import threading
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image

from openstylegan import __version__
from openstylegan.errors import InputError
from openstylegan.ops.native import native
from openstylegan.sampling.film import WRITERS, can_write_mp4
from openstylegan.viewer.messages import Error, Hello
from openstylegan.viewer.models import ModelList
from openstylegan.viewer.opened import OpenNetworks
from openstylegan.viewer.renderer import Renderer


@dataclass
class Hub:
    """The shared parts. `capture_dir`: where captures are kept too."""

    models: ModelList
    device: torch.device
    capture_dir: Path | None = None
    networks: OpenNetworks = field(init=False)
    renderer: Renderer = field(init=False)

    def __post_init__(self) -> None:
        self.networks, self.renderer = OpenNetworks(self.models, self.device), Renderer(self.failed)
        Image.preinit()  # else the first picture waits for it
        first = self.models.first()
        if first is not None:  # so that it is there when the page asks for it
            threading.Thread(target=self.open_early, args=(first,), daemon=True).start()
        self.device_name = name_of_device(self.device)

    @cached_property
    def path_name(self) -> str:
        """How operations are computed. To ask may compile something, so it is asked with the first picture only."""
        return name_of_path(self.device)

    def hello(self) -> Hello:
        """The first message to a page."""
        versions = {"openstylegan": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
        return Hello(
            models=self.models.now,
            first=self.models.first(),
            first_run=self.models.first_run(),
            versions=versions,
            device=self.device_name,
            films=tuple(ending[1:] for ending in WRITERS if ending != ".mp4" or can_write_mp4()),
            saves=self.capture_dir is not None,
        )

    def open_early(self, model: str) -> None:
        """Opens a network; why it could not be is said when a page asks for it."""
        with contextlib.suppress(Exception):
            self.networks.open(model)

    def name_of(self, model: str) -> str:
        """A network's name for people. Raises `InputError` for what is not on the list."""
        return self.models.shown_place(model).rstrip("/").rpartition("/")[2]

    def failure(self, number: int | None, error: Exception) -> Error:
        """The answer for an error in what the page asked for with the id `number`."""
        self.failed(error)
        return Error(id=number, message=str(error) if isinstance(error, InputError) else in_one_line(error))

    def failed(self, error: Exception) -> None:
        """An error that nobody foresaw: all of it goes to the error output."""
        if not isinstance(error, InputError):
            traceback.print_exception(error, file=sys.stderr)

    def close(self) -> None:
        """Ends the renderer."""
        self.renderer.stop()


def name_of_device(device: torch.device) -> str:
    """A device for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def name_of_path(device: torch.device) -> str:
    """How operations are computed, in a few words."""
    if device.type != "cpu":
        return "plain PyTorch"
    loaded, why = native()
    return f"fast CPU paths, {why}" if loaded is not None else f"fast CPU paths, nothing compiled ({why})"


def in_one_line(error: Exception) -> str:
    """What went wrong, for people, when it was none of the errors that are foreseen."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
