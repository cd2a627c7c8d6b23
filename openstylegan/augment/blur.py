"""A blur of all that the discriminator sees, which fades away: at first it can judge coarse structure only.

From StyleGAN3 (arXiv 2106.12423, appendix D), whose config R begins so. Applied to real and generated pictures alike,
before the augmentation; gradient penalties go through it to the unblurred picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from openstylegan.config import BlurConfig
from openstylegan.errors import InputError
from openstylegan.images import Images, leaves, map_images
from openstylegan.ops.upfirdn2d import upfirdn2d


def blur_taps(sigma_px: float) -> Tensor:
    """2^-(k / sigma)^2 for k = -h..h with h = floor(3 sigma), divided by their sum: a base-2 Gaussian, float64.

    Its standard deviation is 0.849 sigma.
    """
    half = math.floor(3 * sigma_px)
    taps = torch.arange(-half, half + 1, dtype=torch.float64).div(sigma_px).square().neg().exp2()
    return taps / taps.sum()


def blur(images: Tensor, sigma_px: float) -> Tensor:
    """`images` [N, C, H, W] filtered along both axes with `blur_taps`, zeros around them; below 1/3 px unchanged."""
    half = math.floor(3 * sigma_px)
    if half == 0:
        return images
    taps = blur_taps(sigma_px).to(images)
    return upfirdn2d(images, taps, padding=half)


@dataclass(frozen=True)
class FadingBlur:
    """sigma = `sigma_px` (1 - images seen / (1000 `fade_kimg`)), and none from then on: a function of the images seen.

    `sigma_px` is in pixels of the largest resolution; smaller ones of the same picture are blurred in proportion.
    """

    sigma_px: float = 0.0
    fade_kimg: float = 0.0

    @classmethod
    def of(cls, config: BlurConfig) -> FadingBlur:
        """The blur of a configuration. Raises `InputError` for numbers below 0, and for one without the other."""
        sigma, fade = config.sigma_px, config.fade_kimg
        if not (0 <= sigma < math.inf and 0 <= fade < math.inf):
            raise InputError(f"expected blur.sigma_px and blur.fade_kimg from 0 on, got {sigma:g} and {fade:g}")
        if (sigma > 0) != (fade > 0):
            raise InputError(
                f"expected both blur.sigma_px and blur.fade_kimg above 0 or neither, got {sigma:g} and {fade:g}; "
                "one has no effect without the other"
            )
        return cls(sigma, fade)

    def sigma_at(self, cur_nimg: int) -> float:
        """sigma in pixels after `cur_nimg` images."""
        if self.fade_kimg == 0:
            return 0.0
        return max(1 - cur_nimg / (self.fade_kimg * 1000), 0) * self.sigma_px

    def __call__(self, images: Images, cur_nimg: int) -> Images:
        """`images` as the discriminator sees them after `cur_nimg` images."""
        sigma, largest = self.sigma_at(cur_nimg), leaves(images)[-1].shape[3]
        return map_images(lambda x: blur(x, sigma * x.shape[3] / largest), images)
