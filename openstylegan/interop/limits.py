"""How much a foreign file may make us do: memory, instructions, depth. What is spent is counted, and never given back.

Counting what was ever made, not what is still held, bounds the time as well: every instruction either makes something
that is paid for or takes a fixed time, and the number of instructions is limited.
"""

from __future__ import annotations

from dataclasses import dataclass

from openstylegan.errors import InputError
from openstylegan.interop.records import Records, is_record


@dataclass(frozen=True)
class Limits:
    """What a file of networks may hold; what is published stays well below each number.

    `extra_bytes`: what may be made of a file beyond once its own size; with the file itself in memory, reading stays
    within twice the file + 256 MB. `depth`: containers inside each other. `unfolded_items`: items of the result when
    everything that is referred to several times is counted as often. `records`: which classes may be noted.
    """

    file_bytes: int = 16 << 30
    extra_bytes: int = 128 << 20
    opcodes: int = 500_000
    memo_entries: int = 250_000
    text_bytes: int = 64 << 20
    integer_bytes: int = 1024
    depth: int = 200
    unfolded_items: int = 5_000_000
    records: Records = is_record


class Meter:
    """What reading one file of `file_size` bytes has cost so far. Its methods raise `InputError` at a limit."""

    def __init__(self, limits: Limits, file_size: int):
        if file_size > limits.file_bytes:
            raise InputError(f"is larger than the {limits.file_bytes >> 20} MB that are read")
        self.limits = limits
        self.memory_left = self.views_left = file_size + limits.extra_bytes
        self.opcodes_left = limits.opcodes
        self.memo_left = limits.memo_entries

    def charge(self, num_bytes: int) -> None:
        """Pays for memory."""
        self.memory_left -= num_bytes
        if self.memory_left < 0:
            raise InputError("would fill far more memory than its size explains (a bomb?)")

    def charge_view(self, num_bytes: int) -> None:
        """Pays for a view of memory already paid for, since whoever reads the views one by one copies each."""
        self.views_left -= num_bytes
        if self.views_left < 0:
            raise InputError("shows the same memory as far more tensors than its size explains (a bomb?)")

    def charge_memo(self) -> None:
        """Pays for an entry of the memo; all of them together are about 100 bytes each, which the limit bounds."""
        self.memo_left -= 1
        if self.memo_left < 0:
            raise InputError(f"remembers more than {self.limits.memo_entries} objects")
