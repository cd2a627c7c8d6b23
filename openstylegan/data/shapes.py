"""The shape of a picture, (C, H, W), and how it is said."""

from __future__ import annotations

Shape = tuple[int, int, int]


def shape_in_words(shape: Shape) -> str:
    """ "64 x 48 with 3 channels": width, height, channels."""
    return f"{shape[2]} x {shape[1]} with {shape[0]} channel{'s' if shape[0] > 1 else ''}"
