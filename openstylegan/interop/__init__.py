"""Networks of other programs: read without running anything in them, written, inspected, exported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openstylegan.snapshot import Networks


def load(location: str | os.PathLike[str], sha256: str | None = None) -> Networks:
    """The networks at a path or URL; see `openstylegan.interop.loading`."""
    from openstylegan.interop import loading

    return loading.load(location, sha256)
