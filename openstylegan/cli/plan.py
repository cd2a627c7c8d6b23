"""`openstylegan plan`: what a run will cost, before it starts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from openstylegan.cli.train_arguments import TrainArguments
from openstylegan.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from openstylegan.training.plan import Plan


def plan(
    *,
    arguments: TrainArguments | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Predict parameters, arithmetic, memory and time of a training run; takes the options of `openstylegan train`.

    Parameters
    ----------
    json
        Print JSON instead of tables.
    """
    import json as json_module

    from rich.console import Console

    from openstylegan.cli.train import make_config
    from openstylegan.ops.allocator import configure_allocator
    from openstylegan.training.build import open_training_data
    from openstylegan.training.launch import pick_device
    from openstylegan.training.plan import predict

    asked = arguments or TrainArguments()
    for name in ("outdir", "dry_run", "build_only"):
        if name in asked.typed():
            raise InputError(f"--{name.replace('_', '-')} has no effect on a plan; leave it out")
    configure_allocator()
    config = make_config(asked, asked.typed()).config
    found = predict(config, open_training_data(config), pick_device(asked.device), asked.gpus or 1)
    if json:
        print(json_module.dumps(asdict(found), indent=2))
    else:
        show(found, Console())


def show(found: Plan, console: Console) -> None:
    """Prints the prediction as tables."""

    cut = f"batch {found.batch_size}, micro-batches of {found.batch_gpu}"
    console.print(f"On {found.device}, {found.processes} process(es), {cut}")
    tables = [
        ("Parameters", [(f"{net} {block}", f"{num:,}") for net, blocks in found.parameters.items()
                        for block, num in (*blocks.items(), ("together", sum(blocks.values())))]),
        ("Memory of a process", [*((part, size(num)) for part, num in found.bytes_by_part.items()),
                                 ("tensors at the peak", size(found.peak_bytes)),
                                 ("the process, of the device", size(found.process_bytes))]),
    ]  # fmt: skip
    for title, rows in tables:
        table = new_table(title, "")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(phase_table(found))
    console.print(f"{found.flops_per_image / 1e9:.3g} GFLOP an image, in the plain formulation")
    console.print(
        f"{duration(found.seconds_per_kimg)} a thousand images, {duration(found.total_seconds)} in all; "
        "without reading pictures, grids, metrics and checkpoints"
    )


def phase_table(found: Plan) -> Table:
    """The phases of a step."""
    table = new_table("A step's phases", "every", "GFLOP", "seconds", "peak memory")
    for name, phase in found.phases.items():
        numbers = (f"{phase.flops / 1e9:.3g}", f"{phase.seconds:.3g}", size(phase.peak_bytes))
        table.add_row(name, str(phase.every), *numbers)
    return table


def new_table(title: str, *columns: str) -> Table:
    """A table without lines whose numbers stand to the right."""
    from rich.table import Table

    table = Table(box=None, title_justify="left", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def size(num_bytes: float) -> str:
    """Bytes in MiB or GiB."""
    return f"{num_bytes / 2**20:,.0f} MiB" if num_bytes < 2**30 else f"{num_bytes / 2**30:,.2f} GiB"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
