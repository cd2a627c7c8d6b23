"""The bytes of a pickle, read one piece after the other, each paid for."""

from __future__ import annotations

import numpy as np

from openstylegan.errors import InputError
from openstylegan.interop.limits import Meter

VIEW_BYTES = 4096


class Tape:
    """Reads `view` from `position` on. Every method raises `InputError` where the file ends too early."""

    def __init__(self, view: memoryview, meter: Meter, position: int = 0):
        self.view, self.meter, self.position = view, meter, position

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        start, end = self.position, self.position + count
        if end > len(self.view):
            raise InputError("ends in the middle (cut off?)")
        self.position = end
        return self.view[start:end]

    def byte(self) -> int:
        """The next byte, as a number."""
        if self.position >= len(self.view):
            raise InputError("ends in the middle (cut off?)")
        self.position += 1
        return self.view[self.position - 1]

    def unsigned(self, width: int) -> int:
        """The next little-endian number of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def line(self) -> bytes:
        """The bytes up to the next line end."""
        width, start = 256, self.position
        while True:
            piece = bytes(self.view[start : start + width])
            end = piece.find(b"\n")
            if end >= 0:
                self.position = start + end + 1
                self.meter.charge(end)
                return piece[:end]
            if len(piece) < width or width > self.meter.limits.text_bytes:
                raise InputError("holds a line without an end (cut off?)")
            width *= 4

    def text(self, raw: memoryview | bytes) -> str:
        """UTF-8 `raw` as a string, paid for at the width that its characters will have in memory."""
        if len(raw) > self.meter.limits.text_bytes:
            raise InputError(f"holds a text of more than {self.meter.limits.text_bytes >> 20} MB")
        widest = int(np.frombuffer(raw, np.uint8).max()) if len(raw) else 0
        self.meter.charge(60 + len(raw) * (4 if widest >= 0xF0 else 2 if widest >= 0xC4 else 1))
        return str(raw, "utf-8", "surrogatepass")

    def blob(self, raw: memoryview) -> bytes | memoryview:
        """Bytes: copied when short, a view of the file when long."""
        if len(raw) > VIEW_BYTES:
            self.meter.charge(200)
            return raw
        self.meter.charge(40 + len(raw))
        return bytes(raw)
