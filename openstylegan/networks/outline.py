"""Making a network whose weights are about to come from a file: nothing is drawn, no memory is filled.

Measured: the meta device alone would do, but its first arithmetic imports 800 modules, 1.9 s of processor time. So only
large random tensors are put there, and the one operation that constructors apply to them is answered here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWS = frozenset({torch.randn, torch.rand})
FILLS = frozenset(
    {torch.Tensor.uniform_, torch.Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_}
)
DIVISIONS = frozenset({torch.Tensor.__truediv__, torch.Tensor.div, torch.div})
SMALL = 1 << 16
"""Numbers below which a tensor is made anyway, so that constructors may compute with it."""


_WEIGHTS_FOLLOW: ContextVar[bool] = ContextVar("openstylegan_weights_follow", default=False)


def weights_follow() -> bool:
    """Whether a network made now is given all its weights afterwards: constructors then read no files of weights."""
    return _WEIGHTS_FOLLOW.get()


class WithoutInitialWeights(TorchFunctionMode):
    """A context in which random draws give zeros, or, when large, tensors without memory (on the meta device).

    A tensor that is to be filled with random numbers is left as it is; `weights_follow()` is true.
    """

    def __enter__(self) -> Any:
        self._token = _WEIGHTS_FOLLOW.set(True)
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        _WEIGHTS_FOLLOW.reset(self._token)
        super().__exit__(*exception)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answers draws and the division of a tensor without memory; everything else is done as always."""
        options = dict(kwargs or {})
        if func in DRAWS:
            size = options.pop("size", args[0] if args and isinstance(args[0], list | tuple | torch.Size) else args)
            return torch.zeros(size, **{"device": "meta" if math.prod(size) > SMALL else None, **options})
        if func in FILLS:
            return options["tensor"] if "tensor" in options else args[0]
        if (
            func in DIVISIONS
            and isinstance(args[0], torch.Tensor)
            and args[0].is_meta
            and isinstance(args[1], float | int)
        ):
            return args[0]
        return func(*args, **options)
