"""Loss terms: adversarial losses and penalties, each a thin class over an exported pure function."""

from openstylegan.losses.adversarial import HingeD, HingeG, LogisticD, LogisticG
from openstylegan.losses.base import ForwardPass, LossTerm
from openstylegan.losses.path_length import PathLength
from openstylegan.losses.penalties import R1

LOSS_TERMS: dict[str, type[LossTerm]] = {
    "logistic_g": LogisticG,
    "logistic_d": LogisticD,
    "hinge_g": HingeG,
    "hinge_d": HingeD,
    "r1": R1,
    "path_length": PathLength,
}

__all__ = ["LOSS_TERMS", "R1", "ForwardPass", "HingeD", "HingeG", "LogisticD", "LogisticG", "LossTerm", "PathLength"]
