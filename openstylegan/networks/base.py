"""What a generator and a discriminator are, so that any of the one trains against any of the other.

A network is a `torch.nn.Module` whose constructor takes plain values only (what its config holds). It draws its
initial weights from torch's global generator; whoever wants them from a seed seeds that one around the constructor.

The precision of the convolutions is not part of a network: `set_precision` chooses it at run time for the blocks that
may run below the parameters' own dtype, and it is never saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.images import Images
from openstylegan.ops.paths import fast
from openstylegan.registry import check_options, lookup

PRECISIONS: Mapping[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Names for `set_precision`; None: the parameters' own dtype (so a float64 network stays float64)."""

T = TypeVar("T")


def options_from(make: Callable[..., T], options: Mapping[str, Any] | None, kind: str) -> T:
    """`make(**options)`, for nested option tables. Raises `InputError` naming the nearest option for an unknown one."""
    options = options or {}
    check_options(make, options, kind)
    return make(**options)


def check_channels(img_channels: int) -> int:
    """`img_channels` when it is 1 to 4 (grey, grey and alpha, RGB, RGBA); raises `InputError` otherwise."""
    if img_channels not in (1, 2, 3, 4):
        raise InputError(f"expected img_channels from 1 to 4, got {img_channels}; convert the images")
    return img_channels


def check_labels(c: Tensor | None, c_dim: int, num_samples: int) -> None:
    """Raises `InputError` unless `c` is [num_samples, c_dim]; anything goes when `c_dim` is 0."""
    if c_dim == 0:
        return
    if c is None:
        raise InputError(f"expected labels c of shape [{num_samples}, {c_dim}], got none; this network is conditional")
    if tuple(c.shape) != (num_samples, c_dim):
        raise InputError(f"expected labels c of shape [{num_samples}, {c_dim}], got {list(c.shape)}")


def refuse_growing(network: nn.Module, lod: float) -> None:
    """Raises `InputError` unless `lod` is 0: the level of detail of a network that does not grow."""
    if lod != 0:
        raise InputError(f"expected lod 0, got {lod}; {type(network).__name__} does not grow")


class Generator(nn.Module):
    """z and c to images, by way of ws.

    Sub-modules a generator has:

    - `mapping(z, c, truncation_psi=1, truncation_cutoff=None, update_w_avg=None) -> ws [N, num_ws, w_dim]`, where
      `update_w_avg=None` means "when in training mode";
    - `synthesis(ws, noise_mode="random", noise_source=None, force_fp32=False) -> Images`.
    """

    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    img_resolution: int | tuple[int, int]
    img_channels: int
    image_shape: tuple[int, int, int]
    """(C, H, W) of the (largest) image."""
    mapping: nn.Module
    synthesis: nn.Module
    max_lod: int = 0
    """How many times the picture can be halved by `set_lod`: 0 for a generator that does not grow."""

    @property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every picture of a sample, smallest first: of one, unless there are several."""
        return (self.image_shape[1:],)

    @property
    def num_ws_in_use(self) -> int:
        """How many of the num_ws have an effect at the present level of detail: the first ones."""
        return self.num_ws

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
        update_w_avg: bool | None = None,
        **synthesis_options: Any,
    ) -> Images:
        """Images [N, C, H, W] of nominal range [-1, 1], not clamped, from z [N, z_dim] and c [N, c_dim]."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_w_avg)
        return self.synthesis(ws, **synthesis_options)

    def observed_synthesis(self, ws: Tensor, **synthesis_options: Any) -> tuple[Images, Tensor]:
        """`synthesis(ws, ...)`, and the values [N, k] of every sample, detached, that running statistics other than
        w_avg follow. Here there are none: k = 0."""
        return self.synthesis(ws, **synthesis_options), ws.new_zeros(ws.shape[0], 0)

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """Moves the running statistics towards `mean` [w_dim + k] of a whole global batch of `count` samples: the mean
        w, then the means of what `observed_synthesis` observed.

        For trainers: run `mapping` with `update_w_avg=False`, average over all micro-batches and processes, and call
        this once. A generator without such statistics ignores it.
        """

    def set_lod(self, lod: float) -> None:
        """Sets the level of detail. Raises `InputError` for any but 0 unless the generator grows."""
        refuse_growing(self, lod)


class Discriminator(nn.Module):
    """Images and c to logits [N, K]: positive for what looks real."""

    c_dim: int
    img_resolution: int | tuple[int, int]
    img_channels: int
    image_shape: tuple[int, int, int]
    """(C, H, W) of the (largest) image."""
    max_lod: int = 0
    """How many times the picture can be halved by `set_lod`: 0 for a discriminator that does not grow."""

    def forward(self, images: Images, c: Tensor | None = None) -> Tensor:
        """Logits [N, K] of images in [-1, 1] with labels c [N, c_dim]."""
        raise NotImplementedError

    def prepare_reals(self, images: Images) -> Images:
        """Real images [N, C, H, W] in the form this discriminator judges: here unchanged."""
        return images

    def set_lod(self, lod: float) -> None:
        """Sets the level of detail. Raises `InputError` for any but 0 unless the discriminator grows."""
        refuse_growing(self, lod)


def running_buffers(network: nn.Module) -> list[Tensor]:
    """Buffers that forward passes in training mode move: those that parts of `network` name in `running`.

    Whoever cuts a batch lets every micro-batch begin with the same ones, and takes the mean of what they become.
    """
    return [getattr(part, name) for part in network.modules() for name in getattr(part, "running", ())]


class PrecisionBlock(nn.Module):
    """A part of a network that may run below the parameters' dtype: activations and weights are cast per use."""

    low_precision_allowed: bool = False
    low_precision: torch.dtype | None = None
    channels_last_on_gpu: bool = False

    def compute_dtype(self, parameter_dtype: torch.dtype, force_fp32: bool = False) -> torch.dtype:
        """What the block's convolutions run in; `force_fp32` asks for the parameters' own dtype."""
        return parameter_dtype if force_fp32 or self.low_precision is None else self.low_precision

    def placed(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """`x` in `dtype` and in the memory layout in which this block's convolutions are fastest.

        CPU convolutions are fastest channels-last at every dtype; on a GPU that holds for half precision only.
        """
        channels_last = fast(x) or (self.channels_last_on_gpu and dtype.itemsize == 2)
        return x.to(dtype=dtype, memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def set_precision(module: nn.Module, name: str) -> int:
    """Sets what the eligible blocks of `module` compute in: "float32", "bfloat16" or "float16"; returns their number.

    "float32" stands for the parameters' own dtype. Raises `InputError` for another name, and when a lower precision
    would change nothing because no block may use it.
    """
    dtype = lookup(PRECISIONS, name, "precision")
    blocks = [block for block in module.modules() if isinstance(block, PrecisionBlock) and block.low_precision_allowed]
    if dtype is not None and not blocks:
        raise InputError(
            f"expected a network with blocks that may run in {name}, {type(module).__name__} has none; set num_fp16_res"
        )
    for block in blocks:
        block.low_precision = dtype
    return len(blocks)
