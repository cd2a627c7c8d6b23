"""How strong the augmentation is: adapted to how much the discriminator overfits, or fixed.

StyleGAN2-ADA (arXiv 2006.06676), section 3.1: r_t = E[sign(D(real))] is held at a target by moving p.
Differs from the original: p moves by the images really seen since it last moved, which matters where the batch size
changes; the sums and the count of steps are state that a checkpoint keeps.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from openstylegan.augment.base import Augment, check_probability
from openstylegan.augment.options import PipeOptions
from openstylegan.augment.pipe import AugmentPipe
from openstylegan.errors import InputError
from openstylegan.images import Images
from openstylegan.randomness import NoiseSource
from openstylegan.registry import nearest


def make_pipe(owner: type[Augment], preset: str, options: dict[str, Any]) -> AugmentPipe:
    """The pipe of an augmentation `owner`. Raises `InputError` for an option that neither of them has."""
    own = [name for name, p in inspect.signature(owner).parameters.items() if p.kind is not p.VAR_KEYWORD]
    known = [*own, *(field.name for field in fields(PipeOptions))]
    for name in options:
        if name not in known:
            raise InputError(
                f"{owner.__name__} has no option '{name}': expected one of {', '.join(known)}{nearest(name, known)}"
            )
    return AugmentPipe(preset=preset, **options)


class AdaptiveAugment(Augment):
    """An `AugmentPipe` whose p moves, every `interval` steps, towards where reals score `target`.

    p <- max(p + sign(m - target) images / (1000 kimg), 0), m the mean sign of the discriminator's logits of augmented
    reals and `images` those seen since p last moved: `kimg` thousand images take p from 0 to 1. p has no upper bound.
    Where nothing was observed p stays.

    preset: transforms of `AUGMENT_PRESETS`, single ones replaced by `pipe_options` (strengths and ranges).
    """

    sign_sum: Tensor
    sign_count: Tensor
    num_updates: Tensor
    num_images: Tensor

    def __init__(
        self,
        target: float = 0.6,
        interval: int = 4,
        kimg: float = 500,
        initial_p: float = 0,
        preset: str = "bgc",
        **pipe_options: Any,
    ):
        super().__init__()
        self.target = check_probability("target", target, 1)
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise InputError(f"expected interval as an integer of at least 1 (steps), got {interval!r}")
        if not check_probability("kimg", kimg):
            raise InputError("expected kimg > 0, got 0; for a strength that does not move use the augmentation 'fixed'")
        self.interval, self.kimg = interval, kimg
        self.pipe = make_pipe(type(self), preset, pipe_options)
        self.pipe.p.fill_(check_probability("initial_p", initial_p))
        for name in ("sign_sum", "sign_count"):
            self.register_buffer(name, torch.zeros([], dtype=torch.float64))
        for name in ("num_updates", "num_images"):
            self.register_buffer(name, torch.zeros([], dtype=torch.int64))

    @property
    def p(self) -> Tensor:  # type: ignore[override]
        """The strength, a buffer of the pipe."""
        return self.pipe.p

    def forward(self, images: Images, stream: NoiseSource | None = None) -> Images:
        return self.pipe(images, stream)

    @torch.no_grad()
    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        self.sign_sum += (mean.to(self.sign_sum) * count.to(self.sign_sum)).sum()
        self.sign_count += count.to(self.sign_count)

    @torch.no_grad()
    def update(self, cur_nimg: int, batch_size: int) -> None:
        self.num_updates += 1
        self.num_images += batch_size
        if int(self.num_updates) % self.interval:
            return
        direction = torch.sign(self.sign_sum - self.target * self.sign_count)  # 0 where nothing was observed
        step = direction * self.num_images / (1000 * self.kimg)
        self.pipe.p.copy_((self.pipe.p + step).clamp_min(0))
        for buffer in (self.sign_sum, self.sign_count, self.num_images):
            buffer.zero_()


class FixedAugment(Augment):
    """An `AugmentPipe` at the strength `p`; at p = 0 images pass as they are.

    preset: transforms of `AUGMENT_PRESETS`, single ones replaced by `pipe_options` (strengths and ranges).
    """

    def __init__(self, p: float, preset: str = "bgc", **pipe_options: Any):
        super().__init__()
        self.pipe = make_pipe(type(self), preset, pipe_options)
        self.pipe.p.fill_(check_probability("p", p))

    @property
    def p(self) -> Tensor:  # type: ignore[override]
        """The strength, a buffer of the pipe."""
        return self.pipe.p

    def forward(self, images: Images, stream: NoiseSource | None = None) -> Images:
        return self.pipe(images, stream) if self.pipe.on_host("p") > 0 else images
