"""The machine that reads pickles: a stack, a memo, and what instructions do to them. It imports and calls nothing.

Where the pickle language would import, a `Reference` is pushed; where it would call, a table of our own functions is
asked, and else an `Instance` notes the call. `instructions.py` has the language's instructions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from openstylegan.errors import InputError, printable
from openstylegan.interop.limits import Meter
from openstylegan.interop.records import Instance, Reference, UnsafeFile
from openstylegan.interop.tape import Tape

LONGEST_KEY = 16
SCALARS = frozenset({str, bytes, int, float, bool, complex, type(None), Reference})
OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

Rebuilder = Callable[[Meter, tuple[Any, ...]], Any]
Rebuilders = Mapping[tuple[str, str], Rebuilder]


class Unfinished:
    """An object whose contents come later, with BUILD. `finish` makes the object that then takes its place."""

    def __init__(self) -> None:
        self.memo_keys: list[int] = []

    def finish(self, meter: Meter, state: Any) -> Any:
        """The finished object. Raises `InputError` for a state that is none."""
        raise NotImplementedError


class Machine(Tape):
    """Reads one pickle in `view` from `position` on.

    `rebuilders`: what our own functions make, by the name that the file calls. `persistent(id)`: the value of a
    persistent id (how torch files name storages); None refuses them.
    """

    def __init__(
        self,
        view: memoryview,
        meter: Meter,
        rebuilders: Rebuilders,
        persistent: Callable[[Any], Any] | None = None,
        position: int = 0,
    ):
        super().__init__(view, meter, position)
        self.rebuilders, self.persistent = rebuilders, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    # The stack and the memo.

    def push(self, value: Any) -> None:
        """Puts `value` on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Takes the top of the stack."""
        if not self.stack:
            raise InputError("takes from an empty stack (damaged?)")
        return self.stack.pop()

    def top(self) -> Any:
        """The top of the stack."""
        if not self.stack:
            raise InputError("looks at an empty stack (damaged?)")
        return self.stack[-1]

    def last(self, count: int) -> list[Any]:
        """The last `count` values, taken off the stack."""
        return [self.pop() for _ in range(count)][::-1]

    def mark(self) -> None:
        """MARK."""
        self.meter.charge(64)
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        if not self.marks:
            raise InputError("goes back to a mark that it did not set (damaged?)")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def put(self, key: int) -> None:
        """Remembers the top of the stack."""
        self.meter.charge_memo()
        value = self.top()
        if isinstance(value, Unfinished):
            value.memo_keys.append(key)
        self.memo[key] = value

    def get(self, key: int) -> None:
        """Pushes what was remembered."""
        if key not in self.memo:
            raise InputError("refers to an object that it does not hold (damaged?)")
        self.stack.append(self.memo[key])

    # Containers.

    def push_list(self, items: list[Any]) -> None:
        """Pushes a list."""
        self.meter.charge(72 + 9 * len(items))
        self.stack.append(items)

    def push_tuple(self, items: list[Any]) -> None:
        """Pushes a tuple."""
        self.meter.charge(56 + 8 * len(items))
        self.stack.append(tuple(items))

    def push_dict(self, items: list[Any]) -> None:
        """Pushes a dict of keys and values in turn."""
        self.meter.charge(80)
        self.stack.append({})
        self.set_items(items)

    def push_set(self, items: list[Any]) -> None:
        """Pushes a set."""
        self.stack.append(set(members(self.meter, items)))

    def push_frozen_set(self, items: list[Any]) -> None:
        """Pushes a frozen set."""
        self.stack.append(frozenset(members(self.meter, items)))

    def items_of(self, target: Any, kind: type) -> Any:
        """The container that an instruction adds to: `target`, or what a subclass of list or dict holds."""
        if type(target) is not Instance:
            return target
        if target.items is None:
            target.items = kind()
        return target.items

    def extend(self, items: list[Any]) -> None:
        """Appends to the list on top of the stack."""
        self.meter.charge(9 * len(items))
        target = self.items_of(self.top(), list)
        if type(target) is not list:
            raise InputError("appends to something that is no list (damaged?)")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Adds keys and values, in turn, to the dict on top of the stack."""
        self.meter.charge(60 * len(items))
        target = self.items_of(self.top(), dict)
        if not isinstance(target, dict):
            raise InputError("sets items of something that is no dict (damaged?)")
        if len(items) % 2:
            raise InputError("holds a key without a value (damaged?)")
        for key in items[::2]:
            check_key(key)
        target.update(zip(items[::2], items[1::2], strict=True))

    def add_items(self, items: list[Any]) -> None:
        """Adds members to the set on top of the stack."""
        target = self.top()
        if type(target) is not set:
            raise InputError("adds members to something that is no set (damaged?)")
        target.update(members(self.meter, items))

    # Names and calls.

    def reference(self, module: Any, name: Any) -> Reference:
        """A name, unresolved."""
        if type(module) is not str or type(name) is not str or len(module) + len(name) > 1000:
            raise InputError("names a class by something that is no name (damaged?)")
        self.meter.charge(120)
        return Reference(OLD_MODULES.get(module, module), name)

    def call(self, function: Any, args: Any) -> None:
        """Pushes what one of our own functions makes of `args`, or a note of the call."""
        if type(function) is not Reference or type(args) is not tuple:
            raise InputError("calls something that is no function (damaged?)")
        rebuild = self.rebuilders.get((function.module, function.name))
        self.stack.append(self.note(function, args, called=True) if rebuild is None else rebuild(self.meter, args))

    def create(self, cls: Any, args: Any, kwargs: Any) -> None:
        """Pushes an object of a class: one of ours made of `args`, or a note."""
        if type(cls) is not Reference or type(args) is not tuple or type(kwargs) is not dict:
            raise InputError("makes an object of something that is no class (damaged?)")
        rebuild = None if kwargs else self.rebuilders.get((cls.module, cls.name))
        self.stack.append(self.note(cls, args, kwargs=kwargs) if rebuild is None else rebuild(self.meter, args))

    def note(self, name: Reference, args: tuple[Any, ...], **more: Any) -> Instance:
        """The record of a call or an object. Raises `UnsafeFile` for names that networks do not hold."""
        if not self.meter.limits.records(name.module, name.name):
            raise UnsafeFile(f"asks to call {name}")
        self.meter.charge(300)
        return Instance(name.module, name.name, args, **more)

    def build(self, state: Any) -> None:
        """Gives the object on top of the stack its attributes."""
        target = self.top()
        if isinstance(target, Unfinished):
            self.finish(target, state)
        elif type(target) is Instance:
            target.state = merged(target.state, state)
        elif type(target) is OrderedDict and type(state) is dict and set(state) <= {"_metadata"}:
            target.__dict__.update(state)  # what a state dict says of its modules' versions
        elif not (isinstance(target, dict) and state == {}):
            raise InputError("sets attributes of something that has none (damaged?)")

    def finish(self, target: Unfinished, state: Any) -> None:
        """Puts a finished object where the unfinished one was."""
        self.stack[-1] = value = target.finish(self.meter, state)
        for key in target.memo_keys:
            self.memo[key] = value

    def resolve(self, persistent_id: Any) -> None:
        """Pushes the object of a persistent id."""
        if self.persistent is None:
            raise InputError("refers to objects outside the file by a persistent id")
        self.stack.append(self.persistent(persistent_id))


def check_key(key: Any) -> None:
    """Raises `InputError` for keys other than scalars and flat tuples of them: hashing nested tuples may overflow."""
    if type(key) in SCALARS:
        return
    if type(key) is not tuple or len(key) > LONGEST_KEY or not all(type(k) in SCALARS for k in key):
        raise InputError(f"uses a {printable(type(key).__name__)} as a key; texts, numbers, tuples of them are known")


def members(meter: Meter, items: Any) -> Any:
    """The members of a set, checked and paid for."""
    meter.charge(240 + 100 * len(items))
    for item in items:
        check_key(item)
    return items


def merged(old: Any, new: Any) -> Any:
    """The state after another BUILD: attributes are added to those there."""
    if old is None:
        return new
    if type(old) is dict and type(new) is dict:
        return {**old, **new}
    raise InputError("sets the attributes of an object twice (damaged?)")
