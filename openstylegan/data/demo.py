"""The pictures that come with the package: 1,615 emoji of 64 x 64 in eight classes (`demo/PROVENANCE.md`, MIT)."""

from __future__ import annotations

from pathlib import Path


def demo_path() -> Path:
    """The ZIP of the demo pictures, ready for `open_dataset`."""
    return Path(__file__).parent / "demo" / "fluent-emoji-64.zip"
