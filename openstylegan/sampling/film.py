"""Frames to a moving picture, one at a time: H.264 by PyAV (`.mp4`), animated GIF and WebP by Pillow.

Frames are bytes [H, W, 3] of one size. They are pulled from an iterator as the encoder wants them and never held
together (an encoder keeps what it has compressed). The file is there when the last frame is in it, or not at all.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image

from openstylegan.errors import InputError
from openstylegan.files import atomic_path

Frames = Iterator[np.ndarray]
FPS, BIT_RATE = 60, 12_000_000
GIF_FPS = 50
"""The most that a GIF is shown at: it counts in hundredths of a second, and viewers slow down below two of them."""
WEBP_QUALITY = 90


def write_film(
    path: str | os.PathLike[str], frames: Frames, num_frames: int, fps: int | None = None, bit_rate: int = BIT_RATE
) -> None:
    """Writes `num_frames` of `frames` to `path`, atomically; its ending says how. GIF and WebP loop for ever.

    `fps` None: 60, in a GIF 50. `bit_rate` (bits a second) is that of the mp4. Raises `InputError`.
    """
    rate = check_film(path, fps)
    if num_frames < 1 or bit_rate < 1:
        raise InputError(f"expected at least 1 frame and 1 bit a second, got {num_frames} and {bit_rate}")
    with atomic_path(path) as temporary:
        WRITERS[Path(path).suffix.lower()](temporary, itertools.islice(frames, num_frames), num_frames, rate, bit_rate)


def check_film(path: str | os.PathLike[str], fps: int | None = None) -> int:
    """The frames a second of a film at `path`. Raises `InputError` where it could not be written, before any work."""
    ending = Path(path).suffix.lower()
    if ending not in WRITERS:
        raise InputError(f"expected a file that ends in {', '.join(WRITERS)} for a video, got '{Path(path).name}'")
    if ending == ".mp4" and not can_write_mp4():
        raise InputError(
            "an .mp4 needs the package av, which is not installed: pip install 'openstylegan[video]', or name a .gif "
            "or .webp file"
        )
    most = GIF_FPS if ending == ".gif" else 1000
    if fps is not None and not 1 <= fps <= most:
        raise InputError(f"expected 1 to {most} frames a second in a {ending} file, got {fps}")
    return fps or min(FPS, most)


def can_write_mp4() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def write_mp4(path: Path, frames: Frames, num_frames: int, fps: int, bit_rate: int) -> None:
    """H.264 with 4:2:0 colour; an odd side is made even by repeating its last row or column."""
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        for frame in frames:
            even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream("libx264", rate=fps)
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", bit_rate
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        container.mux(stream.encode())


def durations(num_frames: int, fps: int, unit: int) -> Iterator[int]:
    """How long each frame is shown, in 1 / `unit` seconds, rounded so that the sum is right."""
    for n in range(num_frames):
        yield round((n + 1) * unit / fps) - round(n * unit / fps)


def write_gif(path: Path, frames: Frames, num_frames: int, fps: int, bit_rate: int) -> None:
    """Every frame with 256 colours of its own. Pillow's own writer would hold all frames until the end."""
    with open(path, "wb") as file:
        for n, (frame, hundredths) in enumerate(zip(frames, durations(num_frames, fps, 100), strict=True)):
            image = Image.fromarray(frame).quantize(256)
            if n == 0:
                file.writelines(GifImagePlugin.getheader(image.copy(), info={"loop": 0})[0])
            file.writelines(GifImagePlugin.getdata(image, duration=10 * hundredths, include_color_table=True))
        file.write(b";")


def write_webp(path: Path, frames: Frames, num_frames: int, fps: int, bit_rate: int) -> None:
    """An animated WebP of `WEBP_QUALITY`."""
    shown = list(durations(num_frames, fps, 1000))
    first = FrameSequence.of(frames, num_frames)
    options = {"save_all": True, "loop": 0} if num_frames > 1 else {}
    first.save(path, format="WEBP", duration=shown, quality=WEBP_QUALITY, method=2, **options)


class FrameSequence(Image.Image):
    """What Pillow takes for a file of many frames: going to the next one draws it from an iterator."""

    frames: Frames
    n_frames: int
    position: int = 0

    @classmethod
    def of(cls, frames: Frames, num_frames: int) -> FrameSequence:
        """`num_frames` of `frames`, standing at the first."""
        image = Image.fromarray(next(frames))
        image.__class__ = cls
        assert isinstance(image, cls)
        image.frames, image.n_frames = frames, num_frames
        return image

    def seek(self, frame: int) -> None:
        """Goes to the next frame; there is no way back (Pillow asks for the first again when it has them all)."""
        if frame == self.position + 1:
            self.paste(Image.fromarray(next(self.frames)))
            self.position = frame

    def tell(self) -> int:
        """The number of the frame that is shown."""
        return self.position


WRITERS: dict[str, Callable[[Path, Frames, int, int, int], None]] = {
    ".mp4": write_mp4,
    ".gif": write_gif,
    ".webp": write_webp,
}
"""By the ending of the file."""
