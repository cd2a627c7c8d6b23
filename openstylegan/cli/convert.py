"""`openstylegan convert`: networks in another layout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def convert(source: str, dest: Path, *, to: Literal["snapshot", "pickle", "rosinality"] | None = None) -> None:
    """Write the networks of a file in another layout: G, D, G_ema and the mean of w, bit for bit.

    Parameters
    ----------
    source
        A snapshot, a run folder, a network file of another program, or a URL.
    dest
        The file to write; its ending says the layout: .safetensors a snapshot of ours, .pkl a plain pickle for
        `pickle.load(f)["G_ema"]` users, .pt a checkpoint of rosinality's StyleGAN2.
    to
        The layout, when the ending is another one.
    """
    from openstylegan.interop import load
    from openstylegan.interop.writing import format_of, write

    form = format_of(dest, to)
    remarks = write(load(source), dest, to)
    print(f"wrote {form.says}: {dest}")
    for remark in remarks:
        print(f"  {remark}")
