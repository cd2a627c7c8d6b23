"""A view as the command line that draws the same picture, and what of it no command line says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from openstylegan.viewer.latent import corners
from openstylegan.viewer.session import Session
from openstylegan.viewer.state import View


@dataclass(frozen=True)
class Command:
    """`text` is an `openstylegan generate`; without `left_out` its picture is the view's, to the byte."""

    text: str
    left_out: tuple[str, ...]


def command_of(view: View, session: Session, network: str) -> Command:
    """The command for a view of the network at the path or URL `network`."""
    around = list(corners(view.x, view.y))
    seed = max(around, key=lambda corner: corner[1])[0]
    words = ["openstylegan", "generate", f"--network={network}", f"--seeds={seed}", "--outdir=out"]
    class_idx = session.latents.class_of(seed, view)
    words += [] if class_idx is None else [f"--class={class_idx}"]
    if session.truncates and view.psi != 1:
        words.append(f"--trunc={view.psi!r}")
        cutoff = session.latents.cutoff(view)
        words += [] if cutoff is None else [f"--truncation-cutoff={cutoff}"]
    if session.noise and view.noise_mode != "const":
        words.append(f"--noise-mode={view.noise_mode}")
    if session.transforms and (view.translate_x, view.translate_y) != (0, 0):
        words.append(f"--translate={view.translate_x!r},{view.translate_y!r}")
    if session.transforms and view.rotate:
        words.append(f"--rotate={360 * view.rotate!r}")
    return Command(shlex.join(words), tuple(left_out(view, session, len(around) == 1, seed)))


def left_out(view: View, session: Session, whole: bool, seed: int) -> list[str]:
    """What of a view the command leaves out, in words."""
    mixed = any(n < session.G.num_ws for n in view.mix_layers)
    other_noise = session.noise and view.noise_mode == "random" and view.noise_seed != seed
    said = (
        (not whole, f"the place between seeds ({view.x:g}, {view.y:g}): seed {seed} is the nearest"),
        (mixed, f"the styles of seed {view.mix_seed} in layers {', '.join(map(str, view.mix_layers))}"),
        (any(offset.amount for offset in view.offsets), "steps along directions"),
        (other_noise, f"noise of seed {view.noise_seed}: a picture's noise is that of its own seed"),
        (session.noise and view.noise_mode != "none" and view.noise_strength != 1, "the strength of the noise"),
        (session.transforms and (view.stretch_x, view.stretch_y) != (1, 1), "stretching"),
        (session.movement(view) is not None and view.untransform and view.mode == "image", "untransform"),
        (view.mode == "layer", f"the layer '{view.layer or 'output'}': the whole picture is drawn"),
        (view.fft, "the spectrum"),
        (view.scale_db != 0, "the gain"),
        (view.difference == "image", "the difference from the pinned view"),
    )
    return [text for holds, text in said if holds]
