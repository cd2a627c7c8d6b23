"""The pickle language, protocols 0 to 5: its instructions, and the loop over them, which has no recursion.

PEP 307, PEP 3154 and PEP 574 describe the protocols.

Differs from Python's `pickle`: bytes longer than `VIEW_BYTES` come as read-only views of the file; 8-bit strings of
Python 2 are decoded as latin-1; keys of dicts and members of sets are plain scalars, or flat tuples of them; the
extension registry and buffers outside the file are refused, as both need something that is not in the file.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable

from openstylegan.errors import InputError
from openstylegan.interop.machine import Machine
from openstylegan.interop.records import UnsafeFile
from openstylegan.interop.tape import VIEW_BYTES

STOP = ord(".")
NEWEST_PROTOCOL = 5


def run(m: Machine) -> object:
    """The value of the pickle at the machine's position, which is then behind it.

    Raises `InputError`, or any of Python's own errors where the file is damaged.
    """
    meter = m.meter
    while (code := m.byte()) != STOP:
        meter.opcodes_left -= 1
        if meter.opcodes_left < 0:
            raise InputError(f"needs more than {meter.limits.opcodes} instructions to read")
        HANDLERS[code](m)
    if m.marks or len(m.stack) != 1:
        raise InputError("does not end with one value (damaged?)")
    return m.stack[0]


def protocol(m: Machine) -> None:
    """PROTO."""
    version = m.byte()
    if version > NEWEST_PROTOCOL:
        raise InputError(f"is of pickle protocol {version}; protocols 0 to {NEWEST_PROTOCOL} are known")


def frame(m: Machine) -> None:
    """FRAME: the length of what follows, which only buffered readers need."""
    if m.unsigned(8) > len(m.view) - m.position:
        raise InputError("ends in the middle (cut off?)")


def long(m: Machine, width: int) -> None:
    """LONG1, LONG4: a signed integer of any length."""
    count = m.unsigned(width)
    if count > m.meter.limits.integer_bytes:
        raise InputError(f"holds an integer of {count} bytes (damaged?)")
    m.meter.charge(32 + count)
    m.push(int.from_bytes(m.take(count), "little", signed=True))


def integer_line(m: Machine) -> None:
    """INT, LONG: decimal, in a line; 00 and 01 are the truth values of protocol 0."""
    line = m.line()
    if len(line) > m.meter.limits.integer_bytes:
        raise InputError(f"holds an integer of {len(line)} digits (damaged?)")
    m.push(line == b"01" if line in (b"00", b"01") else int(line.removesuffix(b"L")))


def number_line(m: Machine) -> int:
    """The key of PUT and GET: decimal, in a line."""
    return int(m.line()[:20])


def string_line(m: Machine) -> None:
    """STRING: a quoted 8-bit string of Python 2, in a line."""
    line = m.line().strip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise InputError("holds a text without quotes (damaged?)")
    old_string(m, memoryview(codecs.escape_decode(line[1:-1])[0]))


def old_string(m: Machine, raw: memoryview) -> None:
    """An 8-bit string of Python 2: text when short; when long it is the data of an array."""
    m.meter.charge(60 + len(raw))
    m.push(str(raw, "latin-1") if len(raw) <= VIEW_BYTES else raw)


def unicode_line(m: Machine) -> None:
    """UNICODE: text with escapes, in a line."""
    line = m.line()
    m.meter.charge(60 + 4 * len(line))
    m.push(codecs.raw_unicode_escape_decode(line)[0])  # the codec by name would be imported


def byte_array(m: Machine) -> None:
    """BYTEARRAY8."""
    raw = m.blob(m.take(m.unsigned(8)))
    m.push(bytearray(raw) if isinstance(raw, bytes) else raw)


def drop(m: Machine) -> None:
    """POP: the top of the stack, or a mark when nothing is above it."""
    if m.stack:
        m.pop()
    else:
        m.pop_mark()


def drop_to_mark(m: Machine) -> None:
    """POP_MARK."""
    m.pop_mark()


def duplicate(m: Machine) -> None:
    """DUP."""
    m.push(m.top())


def append(m: Machine) -> None:
    """APPEND."""
    m.extend(m.last(1))


def set_item(m: Machine) -> None:
    """SETITEM."""
    m.set_items(m.last(2))


def global_name(m: Machine) -> None:
    """GLOBAL: a module and a name, in two lines."""
    module, name = m.text(m.line()), m.text(m.line())
    m.push(m.reference(module, name))


def stack_global(m: Machine) -> None:
    """STACK_GLOBAL: a module and a name from the stack."""
    m.push(m.reference(*m.last(2)))


def instance(m: Machine) -> None:
    """INST: a class, in two lines, and its arguments since the mark."""
    cls = m.reference(m.text(m.line()), m.text(m.line()))
    m.create(cls, tuple(m.pop_mark()), {})


def object_(m: Machine) -> None:
    """OBJ: a class and its arguments since the mark."""
    cls, *args = m.pop_mark()
    m.create(cls, tuple(args), {})


def reduce(m: Machine) -> None:
    """REDUCE: a function and its arguments."""
    m.call(*m.last(2))


def new_object(m: Machine) -> None:
    """NEWOBJ: a class and its arguments."""
    cls, args = m.last(2)
    m.create(cls, args, {})


def new_object_with_keywords(m: Machine) -> None:
    """NEWOBJ_EX: a class, its arguments and those with names."""
    m.create(*m.last(3))


def extension(m: Machine) -> None:
    """EXT1, EXT2, EXT4."""
    raise UnsafeFile("asks to call a function of the extension registry")


def next_buffer(m: Machine) -> None:
    """NEXT_BUFFER."""
    raise InputError("keeps its data outside the file")


def unknown(m: Machine) -> None:
    """A byte that is no instruction."""
    raise InputError(f"holds {m.view[m.position - 1]:#04x} where an instruction should be (damaged?)")


Handler = Callable[[Machine], None]
INSTRUCTIONS: dict[bytes, Handler] = {
    b"\x80": protocol,
    b"\x95": frame,
    b"(": Machine.mark,
    b"0": drop,
    b"1": drop_to_mark,
    b"2": duplicate,
    # Scalars.
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": integer_line,
    b"L": integer_line,
    b"J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    b"K": lambda m: m.push(m.byte()),
    b"M": lambda m: m.push(m.unsigned(2)),
    b"\x8a": lambda m: long(m, 1),
    b"\x8b": lambda m: long(m, 4),
    b"F": lambda m: m.push(float(m.line()[:100])),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    # Text and bytes.
    b"S": string_line,
    b"T": lambda m: old_string(m, m.take(m.unsigned(4))),
    b"U": lambda m: old_string(m, m.take(m.byte())),
    b"V": unicode_line,
    b"X": lambda m: m.push(m.text(m.take(m.unsigned(4)))),
    b"\x8c": lambda m: m.push(m.text(m.take(m.byte()))),
    b"\x8d": lambda m: m.push(m.text(m.take(m.unsigned(8)))),
    b"B": lambda m: m.push(m.blob(m.take(m.unsigned(4)))),
    b"C": lambda m: m.push(m.blob(m.take(m.byte()))),
    b"\x8e": lambda m: m.push(m.blob(m.take(m.unsigned(8)))),
    b"\x96": byte_array,
    b"\x97": next_buffer,
    b"\x98": lambda m: None,  # READONLY_BUFFER: long bytes are read-only already
    # Containers.
    b"]": lambda m: m.push_list([]),
    b"l": lambda m: m.push_list(m.pop_mark()),
    b"a": append,
    b"e": lambda m: m.extend(m.pop_mark()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push_tuple(m.pop_mark()),
    b"\x85": lambda m: m.push_tuple(m.last(1)),
    b"\x86": lambda m: m.push_tuple(m.last(2)),
    b"\x87": lambda m: m.push_tuple(m.last(3)),
    b"}": lambda m: m.push_dict([]),
    b"d": lambda m: m.push_dict(m.pop_mark()),
    b"s": set_item,
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"\x8f": lambda m: m.push_set([]),
    b"\x90": lambda m: m.add_items(m.pop_mark()),
    b"\x91": lambda m: m.push_frozen_set(m.pop_mark()),
    # The memo.
    b"p": lambda m: m.put(number_line(m)),
    b"q": lambda m: m.put(m.byte()),
    b"r": lambda m: m.put(m.unsigned(4)),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"g": lambda m: m.get(number_line(m)),
    b"h": lambda m: m.get(m.byte()),
    b"j": lambda m: m.get(m.unsigned(4)),
    # Names and objects.
    b"c": global_name,
    b"\x93": stack_global,
    b"i": instance,
    b"o": object_,
    b"R": reduce,
    b"\x81": new_object,
    b"\x92": new_object_with_keywords,
    b"b": lambda m: m.build(m.pop()),
    b"P": lambda m: m.resolve(m.text(m.line())),
    b"Q": lambda m: m.resolve(m.pop()),
    b"\x82": extension,
    b"\x83": extension,
    b"\x84": extension,
}
HANDLERS: list[Handler] = [INSTRUCTIONS.get(bytes([code]), unknown) for code in range(256)]
