"""Tables: found, built, or named wrong in one line."""

from __future__ import annotations

import pytest

from openstylegan.errors import InputError
from openstylegan.registry import build, lookup, nearest


def make(width: int, depth: int = 2) -> tuple[int, int]:
    return width, depth


def test_build() -> None:
    assert build({"net": make}, "net", {"width": 3}, "network") == (3, 2)


def test_wrong_names() -> None:
    assert nearest("gama", ["gamma", "beta"]) == "; did you mean 'gamma'?"
    assert nearest("zzz", ["gamma"]) == ""
    with pytest.raises(InputError, match="unknown network 'nett': expected one of net; did you mean 'net'"):
        lookup({"net": make}, "nett", "network")
    with pytest.raises(InputError, match="no option 'widht'.*did you mean 'width'"):
        build({"net": make}, "net", {"widht": 3}, "network")
