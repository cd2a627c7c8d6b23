"""What a user can cause: one line that says what was expected, what came, and what to do."""

from __future__ import annotations


class InputError(ValueError):
    """An input that cannot be used. The message is one line: what was expected, what came, what to do.

    The command line prints it without a traceback and exits with code 2; from Python it is a `ValueError`. What it
    quotes may come from a file that is not trusted, so line ends and control characters become spaces.
    """

    def __init__(self, message: str):
        super().__init__("".join(c if c.isprintable() else " " for c in message))


class ProcessFailed(RuntimeError):
    """One of several processes of a run ended without saying why; the others were ended too."""


def printable(text: str, longest: int = 80) -> str:
    """`text` in one line of printable ASCII, shortened, since it comes from a file that is not trusted."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[: longest + 1])
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."
