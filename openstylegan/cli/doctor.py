"""`openstylegan doctor`: what this machine can do, and whether it computes rightly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console

    from openstylegan.doctor import Diagnosis

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "failed": "[bold red]failed[/]"}


def doctor(*, json: Annotated[bool, Parameter(negative="")] = False, self_test: bool = True) -> int:
    """Say what this machine can do, and test it.

    Exits with 1 when the self-test fails; what is only slow or not installed is a note.

    Parameters
    ----------
    json
        Print JSON instead of tables.
    self_test
        Draw a few pictures with a small network and compare them with the plain reference in float64.
    """
    import json as json_module

    from rich.console import Console

    from openstylegan.doctor import examine
    from openstylegan.ops.allocator import configure_allocator

    diagnosis = examine(self_test, configure_allocator())
    if json:
        print(json_module.dumps(diagnosis.to_dict(), indent=2))
    else:
        show(diagnosis, Console())
    return 0 if diagnosis.ok else 1


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Prints the findings as one table, a part a section, what needs attention with its advice below."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section in diagnosis.sections:
        table.add_row()
        table.add_row(Text(section.title, style="bold not dim"))
        for finding in section.findings:
            text = Text(finding.value)
            if finding.advice:
                text.append(f"\n{finding.advice}", style="dim italic")
            table.add_row(Text(f"  {finding.name}"), Text.from_markup(MARKS[finding.state]), text)
    console.print(table)
    verdict = "[green]This machine is ready.[/]" if diagnosis.ok else "[bold red]The self-test failed; see above.[/]"
    console.print(f"\n{verdict}")
