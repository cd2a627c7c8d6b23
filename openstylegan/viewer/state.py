"""What is seen, as one value: everything that decides a picture, and nothing else.

A `View` travels as JSON between page and server, stands in a shared address, and is what Python gives to a `Session`.
Ranges that depend on a network (class, cutoff, layers) are checked where the network is known.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from openstylegan.errors import InputError

LARGEST_SEED = 2**32 - 1
MAX_OFFSETS, MAX_LAYERS = 64, 256

Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Place = Annotated[float, Meta(ge=-(2.0**32), le=2.0**32)]
Index = Annotated[int, Meta(ge=0, le=4095)]
Layers = Annotated[tuple[Index, ...], Meta(max_length=MAX_LAYERS)]
Factor = Annotated[float, Meta(ge=0.25, le=4.0)]
Name = Annotated[str, Meta(max_length=200)]


class Offset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step along a direction found in the network: ws[layers] += amount * scale * direction.

    `kind` and `index` name one of the list in a `Directions` message. `amount` is in standard deviations of w along
    the direction (its `scale`), -20 to 20. `layers`: indices of ws, empty for all of them.
    """

    kind: Literal["sefa", "pca"]
    index: Annotated[int, Meta(ge=0, le=1023)]
    amount: Annotated[float, Meta(ge=-20.0, le=20.0)]
    layers: Layers = ()


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a picture. Fields that are left out take the defaults below.

    Which network:
    - `model`: an id of the server's list; "" in Python, where the session has its network.
    - `mode`: "image", or "layer": the layer named `layer` is shown and nothing after it is computed.

    The latent, a point of the plane of seeds, seed = floor(x) + 100 floor(y) masked to 32 bits:
    - `x`, `y`: w is the bilinear blend of the four seeds around, relative to w_avg.
    - `class_idx`: the class of a conditional network; null: every seed draws its own, after its z.
    - `mix_seed`, `mix_layers`: these indices of ws are those of another seed.
    - `psi`, `cutoff`: truncation, -1 to 2, and how many of the first ws are truncated (null: all).
    - `offsets`: steps along found directions, added last.

    Noise: `noise_mode` "const", "random" (from `noise_seed`) or "none"; `noise_strength` 0 to 4 multiplies it.

    Movement (networks that transform their input): first stretched by `stretch_x`, `stretch_y` (0.25 to 4), then
    turned by `rotate` (in whole turns, counter-clockwise), then moved by `translate_x`, `translate_y` (in widths to the
    right and heights down). `untransform` takes it back from the finished picture (mode "image").

    A layer (mode "layer"):
    - `layer`: a name of the list in a `Network` message; "" and "output" mean the (largest) picture itself.
    - `channel`, `rgb`: the first shown channel (clamped to what there is), and whether it and the next two are shown
      as red, green and blue.
    - `normalize`: every shown channel is divided by its largest magnitude.
    - `scale_db`: gain, -40 to 40 dB (in mode "image" too).
    - `fft`: the log power spectrum beside it; of all channels with `fft_all`, else of the shown ones; the range of
      colours is +- `fft_range_db` (0.1 to 100), Kaiser's window has `fft_beta` (0 to 50). (In mode "image": of it.)

    `difference` against the pinned view: "none"; "image", the difference of the pictures around mid-grey; "w", the
    picture as it is and the distances of the ws in the header.
    """

    model: Name = ""
    mode: Literal["image", "layer"] = "image"
    x: Place = 0.0
    y: Place = 0.0
    class_idx: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    mix_seed: Seed = 1000
    mix_layers: Layers = ()
    psi: Annotated[float, Meta(ge=-1.0, le=2.0)] = 1.0
    cutoff: Index | None = None
    offsets: Annotated[tuple[Offset, ...], Meta(max_length=MAX_OFFSETS)] = ()
    noise_mode: Literal["const", "random", "none"] = "const"
    noise_seed: Seed = 0
    noise_strength: Annotated[float, Meta(ge=0.0, le=4.0)] = 1.0
    stretch_x: Factor = 1.0
    stretch_y: Factor = 1.0
    rotate: Annotated[float, Meta(ge=-1000.0, le=1000.0)] = 0.0
    translate_x: Annotated[float, Meta(ge=-1000.0, le=1000.0)] = 0.0
    translate_y: Annotated[float, Meta(ge=-1000.0, le=1000.0)] = 0.0
    untransform: bool = False
    layer: Name = ""
    channel: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    rgb: bool = True
    normalize: bool = False
    scale_db: Annotated[float, Meta(ge=-40.0, le=40.0)] = 0.0
    fft: bool = False
    fft_all: bool = True
    fft_range_db: Annotated[float, Meta(ge=0.1, le=100.0)] = 50.0
    fft_beta: Annotated[float, Meta(ge=0.0, le=50.0)] = 8.0
    difference: Literal["none", "image", "w"] = "none"


def checked(view: View) -> View:
    """`view` itself when all its numbers are in range (Python's constructor checks none). Raises `InputError`."""
    try:
        return msgspec.convert(msgspec.to_builtins(view), View)
    except msgspec.ValidationError as error:
        raise InputError(f"a view cannot be drawn: {error}; correct that value") from error


def to_json(view: View) -> str:
    """The whole state as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(view), indent=2).decode()


def from_json(text: str | bytes) -> View:
    """The state that `to_json` wrote. Raises `InputError`."""
    try:
        return msgspec.json.decode(text, type=View)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected the state of a view as JSON, got something else ({error})") from error


def changed(view: View, **fields: Any) -> View:
    """`view` with other values in `fields`. Raises `InputError` for values out of range."""
    return checked(msgspec.structs.replace(view, **fields))
