"""Which picture sizes a pyramid of doublings can reach: a base of h x w times 2^n.

Blocks are named by the *nominal* resolution 4 * 2^k, whatever the base is, so a square power of two has exactly the
block names, channels and shapes of the StyleGAN2 papers' networks.

Differs from StyleGAN2 (arXiv 1912.04958): that one knows square powers of two only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openstylegan.errors import InputError

SMALLEST_SIDE = 4


def doublings(short_side: int) -> int:
    """How often a base side of 4..7 was doubled to reach at most `short_side`."""
    return max((short_side // SMALLEST_SIDE).bit_length() - 1, 0)


def is_possible(height: int, width: int) -> bool:
    """Whether [height, width] is a base with a short side of 4..7 times a power of two."""
    factor = 2 ** doublings(min(height, width))
    return min(height, width) >= SMALLEST_SIDE and height % factor == 0 and width % factor == 0


def nearest_possible(height: int, width: int) -> list[tuple[int, int]]:
    """Up to two possible sizes around [height, width]: the nearest not larger and the nearest not smaller."""

    def rounded(up: bool) -> list[tuple[int, int]]:
        sizes = []
        for factor in (2**n for n in range(doublings(max(height, width)) + 2)):
            size = tuple(max(-(-side // factor) if up else side // factor, 1) * factor for side in (height, width))
            sizes.append((size[0], size[1]))
        return [size for size in sizes if is_possible(*size)]

    def distance(size: tuple[int, int]) -> int:
        return abs(size[0] - height) + abs(size[1] - width)

    found = [min(sizes, key=distance) for sizes in (rounded(up=False), rounded(up=True)) if sizes]
    return list(dict.fromkeys(found)) or [(SMALLEST_SIDE, SMALLEST_SIDE)]


@dataclass(frozen=True)
class ResolutionPlan:
    """The sizes of a network's blocks: `base` (h, w) doubled `num_doublings` times."""

    base: tuple[int, int]
    num_doublings: int

    @classmethod
    def of(cls, resolution: int | Sequence[int]) -> ResolutionPlan:
        """The plan that ends at `resolution`: a side in pixels, or (height, width).

        Raises `InputError` naming the nearest possible sizes when no base reaches it.
        """
        sides = [resolution, resolution] if isinstance(resolution, int) else list(resolution)
        if len(sides) != 2 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sides):
            raise InputError(f"expected img_resolution as a side or [height, width] in pixels, got {resolution!r}")
        height, width = sides
        if not is_possible(height, width):
            sizes = " or ".join(f"{h}x{w}" for h, w in nearest_possible(height, width))
            raise InputError(
                f"expected an image size of 4..7 times 2^n pixels on the short side, the long side a multiple of the "
                f"same 2^n, got {height}x{width}; resize the images to {sizes}"
            )
        n = doublings(min(height, width))
        return cls((height >> n, width >> n), n)

    @property
    def nominal(self) -> int:
        """The name of the last block: 4 * 2^n."""
        return SMALLEST_SIDE << self.num_doublings

    @property
    def nominals(self) -> list[int]:
        """The names of all blocks: 4, 8, ..., 4 * 2^n."""
        return [SMALLEST_SIDE << k for k in range(self.num_doublings + 1)]

    def shape_at(self, nominal: int) -> tuple[int, int]:
        """(height, width) in pixels of the block named `nominal`."""
        return self.base[0] * nominal // SMALLEST_SIDE, self.base[1] * nominal // SMALLEST_SIDE

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture in pixels."""
        return self.shape_at(self.nominal)

    @property
    def resolution(self) -> int | tuple[int, int]:
        """What `of` was given: one side when square, else (height, width)."""
        height, width = self.shape
        return height if height == width else (height, width)

    def first_low_precision(self, num_fp16_res: int) -> int:
        """The nominal resolution from which blocks may run in low precision: the last `num_fp16_res`, never the 4."""
        return max(2 * self.nominal >> min(num_fp16_res, self.num_doublings + 1), 2 * SMALLEST_SIDE)
