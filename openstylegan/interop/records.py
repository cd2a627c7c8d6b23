"""What stands for the classes and functions that a foreign file names: inert records. Nothing is ever looked up.

A pickle is a program whose instructions may import any module and call anything in it. Here a name stays a name
(`Reference`), and what the file would have made by calling it stays a note of the call (`Instance`). Only names that
networks are known to hold may be noted; a call to any other is refused with its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openstylegan.errors import InputError, printable

# The packages whose objects appear in files of networks. Their records carry data only; the readers of the layouts
# decide which of them they understand.
RECORD_PACKAGES = (
    "dnnlib",
    "torch_utils",
    "training",
    "metrics",
    "pg_modules",
    "feature_networks",
    "timm",
    "torch.nn",
    "torch.ao.nn",
)
RECORD_NAMES = frozenset({("argparse", "Namespace"), ("torch", "Tensor"), ("builtins", "object")})
# fmt: off
DTYPE_NAMES = frozenset({
    "float64", "float32", "float16", "bfloat16", "double", "float", "half", "complex64", "complex128",
    "int64", "int32", "int16", "int8", "uint8", "long", "int", "short", "bool", "bool_",
})
# fmt: on


class UnsafeFile(InputError):
    """A file that asks for something to be run. It was not run; the message names what was asked for."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a class or function, `module.name`, never resolved."""

    module: str
    name: str

    def __str__(self) -> str:
        return printable(f"{self.module}.{self.name}")


@dataclass(eq=False, slots=True)
class Instance:
    """An inert record of an object whose class `module.name` was not imported, or of a call that was not made.

    `args` and `kwargs` are those of the constructor or, when `called`, of the function; `state` is what the object's
    attributes were to be set from (usually a dict); `items` is what a subclass of list or dict held.
    """

    module: str
    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] | dict[Any, Any] | None = None
    called: bool = False
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Instance({printable(f'{self.module}.{self.name}')})"


def in_package(module: str, packages: tuple[str, ...]) -> bool:
    """Whether `module` is one of `packages` or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def is_record(module: str, name: str) -> bool:
    """Whether files of networks hold objects of this class, so that a record of one may be made."""
    if in_package(module, RECORD_PACKAGES) or (module, name) in RECORD_NAMES:
        return True
    return module in ("torch", "numpy") and name in DTYPE_NAMES


Records = Callable[[str, str], bool]
