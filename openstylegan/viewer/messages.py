"""What page and server say to each other over the one websocket `/ws`: JSON texts both ways, pictures as binary.

A text is one JSON object whose "type" names one of the classes below in lower case ({"type": "view", ...}).
Unknown fields and values out of range are answered by an `error` and change nothing; `id` is a number of the page's
choice that comes back in every answer to that message. Fields with a default may be left out.

    page  -> server   view ack open models pin unpin directions capture cancel watch unwatch grid
    server -> page    hello models network directions pinned progress done watched error, and pictures

A picture is one binary message: a uint32, little-endian: the length n of a header; n bytes of JSON (a `Picture`, see
`pictures.py`); the bytes of a file of the format that the header names, to the end.

Order: `hello` comes first, unasked. A `view` of a model that is not open opens it (`progress`, then `network`, then the
picture). Only the newest view of a page is drawn: older ones that wait are dropped without an answer. A picture that
was drawn fast is drawn again in full (`full` true, the same id) when no newer view came for a moment. The server holds
back while two pictures are unacknowledged (for 1 s at most), so the page sends `ack` as soon as it has decoded one;
from the time between them the server chooses format and quality.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from openstylegan.errors import InputError
from openstylegan.viewer.state import Name, View

Id = Annotated[int, Meta(ge=0, le=2**53 - 1)]
MAX_KEYFRAMES, MAX_FRAMES = 1000, 20_000
MAX_MESSAGE_BYTES = 2 << 20
"""Longer messages close the connection (code 1009)."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A message of the page."""

    id: Id = 0


class Draw(Asked, frozen=True, tag="view"):
    """Draw `view`. Answer: a picture of kind "view", or `error`.

    `quality` "fast": in the format and quality that the connection stands, "full" follows when the page is quiet.
    "full": lossless at once. `width`: device pixels across which the picture is shown (0: not known); a fast picture
    more than twice as wide is halved before it is sent.
    """

    view: View = View()
    quality: Literal["fast", "full"] = "fast"
    width: Annotated[int, Meta(ge=0, le=32768)] = 0


class Ack(Asked, frozen=True):
    """The picture that answered `id` is decoded. No answer."""


class Open(Asked, frozen=True):
    """Open the network `model` (an id of the list). Answer: `progress` while it is read, then `network`, or `error`."""

    model: Name = ""


class ListModels(Asked, frozen=True, tag="models"):
    """Look again at the folders. Answer: `models`."""


class Pin(Asked, frozen=True):
    """Keep `view` as what differences are taken against. Answer: `pinned`."""

    view: View = View()


class Unpin(Asked, frozen=True):
    """Forget the pinned view. Answer: `pinned` with view null."""


class FindDirections(Asked, frozen=True, tag="directions"):
    """Find directions in w of `model`. Answer: `directions`, or `error`.

    "sefa": eigenvectors of the affine weights that `layers` (indices of ws; empty: all) are fed to. "pca": principal
    components of the w of many seeds (`layers` has no influence and must be empty).
    """

    model: Name = ""
    kind: Literal["sefa", "pca"] = "sefa"
    layers: Annotated[tuple[Annotated[int, Meta(ge=0, le=4095)], ...], Meta(max_length=256)] = ()


class Capture(Asked, frozen=True):
    """Keep something. Answer: `done`, and for "png" and "video" a picture message of kind "capture" before it.

    - "png": `view` as it is drawn, lossless.
    - "json", "command": `view` as text, in `done.text`.
    - "video": a film along `views` (keyframes, 2 to 1000 of one model and mode): numbers go evenly from one to the next
      in `frames` frames (1: a path as it was recorded), everything else changes at the keyframe; `closed`: back to the
      first. `fps` 1 to 100. `format` null: mp4 where it can be written, else webp. `progress` tells how far it is;
      `cancel` with this id ends it. At most 20,000 frames.
    """

    kind: Literal["png", "json", "command", "video"] = "png"
    view: View | None = None
    views: Annotated[tuple[View, ...], Meta(max_length=MAX_KEYFRAMES)] = ()
    frames: Annotated[int, Meta(ge=1, le=1000)] = 1
    closed: bool = False
    fps: Annotated[int, Meta(ge=1, le=100)] = 30
    format: Literal["mp4", "webp", "gif"] | None = None


class Cancel(Asked, frozen=True):
    """End the capture or search that was asked for with `id`. It is answered by `error` "cancelled"."""


class Watch(Asked, frozen=True):
    """Follow the run `run` (an id of the list): `watched` at once with all there is, then whenever something is new."""

    run: Name = ""


class Unwatch(Asked, frozen=True):
    """Stop following `run`. No answer."""

    run: Name = ""


class GetGrid(Asked, frozen=True, tag="grid"):
    """The grid `name` (of a `watched`) of the run `run`. Answer: a picture of kind "grid", at most `width` wide."""

    run: Name = ""
    name: Name = ""
    width: Annotated[int, Meta(ge=16, le=8192)] = 1024


FromPage = Draw | Ack | Open | ListModels | Pin | Unpin | FindDirections | Capture | Cancel | Watch | Unwatch | GetGrid


class Answer(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """A message of the server; `id` is that of the question, null for what was not asked for."""

    id: int | None = None


class ModelEntry(msgspec.Struct, frozen=True):
    """A network that can be opened. `kimg`: of a run's snapshot. `modified`: seconds since 1970 (0: not known).

    `name` is short ("network-snapshot-000100"), `place` is the path or URL as people know it. `error`: why it cannot be
    opened, once that was tried; else "".
    """

    id: str
    name: str
    place: str
    kind: Literal["file", "url", "snapshot"]
    kimg: int | None = None
    bytes: int = 0
    modified: float = 0.0
    error: str = ""


class RunEntry(msgspec.Struct, frozen=True):
    """A run folder: its snapshots, newest first (the one named "best" after the numbered ones), and whether there is
    something to watch (statistics or grids)."""

    id: str
    name: str
    place: str
    models: tuple[ModelEntry, ...]
    watchable: bool
    modified: float = 0.0


class Models(Answer, frozen=True, tag="models"):
    """The list: single networks, in the order of the command line, and runs, newest first."""

    files: tuple[ModelEntry, ...] = ()
    runs: tuple[RunEntry, ...] = ()


class Hello(Answer, frozen=True):
    """The first message. `first`: the model to open at once (null: none). `first_run`: the run to watch, when a run was
    named on the command line. `versions`: {"openstylegan": ..., "torch": ..., "python": ...}. `films`: formats that can
    be written. `saves`: whether captures are also kept in a folder on the server."""

    models: Models
    first: str | None
    first_run: str | None
    versions: dict[str, str]
    device: str
    films: tuple[str, ...]
    saves: bool


class LayerEntry(msgspec.Struct, frozen=True):
    """A layer: `name`; `shape` [C, H, W]; `dtype` "float32", .... In the order of execution: the last one is "output",
    or "output:5" where a network draws one picture at six resolutions."""

    name: str
    shape: tuple[int, int, int]
    dtype: str


class Network(Answer, frozen=True):
    """An opened network. What it has not is false or 0, and its controls are without effect.

    `image_shape` [C, H, W]; `parameters` of the generator. `classes` = c_dim, 0 for an unconditional one.
    `truncates`: whether psi and cutoff have an effect (there is an average w). `transforms`, `noise`: whether movement
    and noise have one. `directions`: the kinds that can be found, and how many of each. `about`: facts to be shown, a
    few short texts by name ("images seen", "augmentation p", "source", ...). `parts`: why something is missing, one
    line each ("no noise: ...").
    """

    model: str
    name: str
    family: str
    image_shape: tuple[int, int, int]
    z_dim: int
    w_dim: int
    num_ws: int
    classes: int
    truncates: bool
    transforms: bool
    noise: bool
    layers: tuple[LayerEntry, ...]
    directions: dict[str, int]
    parameters: int
    device: str
    paths: tuple[tuple[str, str], ...]
    about: dict[str, str]
    parts: tuple[str, ...] = ()


class Directions(Answer, frozen=True):
    """Directions of one kind, strongest first. `scales`: the length in w of amount 1 (a standard deviation of w along
    it). `shares`: its share of the sum of the eigenvalues. `layers`: as asked for."""

    model: str
    kind: Literal["sefa", "pca"]
    layers: tuple[int, ...]
    scales: tuple[float, ...]
    shares: tuple[float, ...]


class Pinned(Answer, frozen=True):
    """What is pinned now; null: nothing."""

    view: View | None


class Progress(Answer, frozen=True):
    """How far something is: `what` for people ("reading network-snapshot-000100"), `done` of `total` (0: not known)."""

    what: str
    done: int = 0
    total: int = 0


class Done(Answer, frozen=True):
    """A capture is there: `name` (a file name), `text` of the kinds "json" and "command", `path` where it was kept on
    the server (null: nowhere). `left_out`: what a command line cannot say, one line each."""

    kind: str
    name: str
    text: str = ""
    path: str | None = None
    left_out: tuple[str, ...] = ()


class GridEntry(msgspec.Struct, frozen=True):
    """A grid of the run folder: `name` for a `grid` message; `kimg`, null for reals.png; `modified` in seconds."""

    name: str
    kimg: float | None
    modified: float


class RunStatus(msgspec.Struct, frozen=True):
    """Where a run stands. null: not known. `age`: seconds since its newest line; `state`: "running", "silent" (no line
    for 3 ticks and 2 minutes), "finished" or "empty". `eta`: seconds left at the present speed."""

    state: Literal["running", "silent", "finished", "empty"]
    kimg: float | None = None
    total_kimg: float | None = None
    tick: int | None = None
    augment_p: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    eta: float | None = None
    age: float | None = None
    skipped_steps: int | None = None


class Watched(Answer, frozen=True):
    """What is new in a run since the last `watched` (`first`: everything, replace what there was).

    `curves`: points [kimg, value] by name: the statistics of the run ("Loss/G/loss", "Loss/scores/real",
    "Progress/augment", "Speed/images_per_second", ...) and its metrics ("Metrics/fid50k_full"). `grids`: new ones,
    oldest first. `health`: lines for people, all of them. `models`: the run's entry, when its snapshots changed.
    """

    run: str
    first: bool
    status: RunStatus
    curves: dict[str, tuple[tuple[float, float], ...]] = {}
    grids: tuple[GridEntry, ...] = ()
    health: tuple[str, ...] = ()
    models: RunEntry | None = None


class Error(Answer, frozen=True):
    """Something could not be done: one line."""

    message: str


FromServer = Hello | Models | Network | Directions | Pinned | Progress | Done | Watched | Error

_DECODER = msgspec.json.Decoder(FromPage)


def read(text: str | bytes) -> FromPage:
    """The message of a page. Raises `InputError`, one line, for anything else."""
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InputError(f"a message cannot be read: {str(error)[:300]}") from error


def id_of(text: str | bytes) -> int | None:
    """The id of a message that could not be read, where it has one."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    number = found.get("id") if isinstance(found, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**53 else None


def write(message: FromServer) -> str:
    """A message of the server as text."""
    return msgspec.json.encode(message).decode()
