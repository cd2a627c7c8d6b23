"""`openstylegan inspect`: what is inside a file of networks."""

from __future__ import annotations

import json as json_format
from typing import Annotated

from cyclopts import Parameter


def inspect(
    file: str,
    *,
    tensors: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Print what is inside a file of networks: kind, networks, options, parameters, training, augmentation strength.

    Nothing in the file is run, and networks that this version cannot rebuild are described too.

    Parameters
    ----------
    file
        A snapshot, a run folder, a network file of another program, or a URL.
    tensors
        List every tensor with its shape instead of the sums of each part.
    json
        Print everything as JSON.
    """
    from openstylegan.interop.inspect import inspect as look
    from openstylegan.interop.loading import find_network

    report = look(find_network(file))
    if json:
        print(json_format.dumps(report.json(), indent=2))
        return
    for line in report.text(tensors):
        print(line)
