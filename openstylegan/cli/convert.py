"""`openstylegan convert`: a snapshot in another form."""

from __future__ import annotations

from pathlib import Path


def convert(source: Path, dest: Path) -> None:
    """Write a snapshot as a plain pickle for `pickle.load(f)["G_ema"]` users.

    Parameters
    ----------
    source
        A network snapshot (.safetensors), or the folder of a run.
    dest
        The file to write: NAME.pkl.
    """
    from openstylegan.errors import InputError
    from openstylegan.snapshot import export_pickle, load

    if dest.suffix != ".pkl":
        raise InputError(f"expected a destination that ends in .pkl, got '{dest.name}'")
    export_pickle(load(source), dest)
    print(f"wrote {dest}; whoever loads it needs openstylegan installed")
