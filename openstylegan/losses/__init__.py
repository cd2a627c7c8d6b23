"""Loss terms: adversarial losses and penalties, each a thin class over an exported pure function."""

from openstylegan.losses.adversarial import (
    HingeD,
    HingeG,
    LogisticD,
    LogisticG,
    SaturatingG,
    WassersteinD,
    WassersteinG,
)
from openstylegan.losses.base import ForwardPass, LossTerm
from openstylegan.losses.controllers import BrownianD, BrownianG
from openstylegan.losses.multi_scale import ScaleR1, ScaleR2
from openstylegan.losses.path_length import PathLength
from openstylegan.losses.penalties import R1, GradientPenalty

LOSS_TERMS: dict[str, type[LossTerm]] = {
    "logistic_g": LogisticG,
    "logistic_d": LogisticD,
    "saturating_g": SaturatingG,
    "hinge_g": HingeG,
    "hinge_d": HingeD,
    "wasserstein_g": WassersteinG,
    "wasserstein_d": WassersteinD,
    "r1": R1,
    "gradient_penalty": GradientPenalty,
    "scale_r1": ScaleR1,
    "scale_r2": ScaleR2,
    "path_length": PathLength,
    "bmc_g": BrownianG,
    "bmc_d": BrownianD,
}

__all__ = [
    "LOSS_TERMS", "R1", "BrownianD", "BrownianG", "ForwardPass", "GradientPenalty", "HingeD", "HingeG", "LogisticD",
    "LogisticG", "LossTerm", "PathLength", "SaturatingG", "ScaleR1", "ScaleR2", "WassersteinD", "WassersteinG",
]  # fmt: skip
