"""Frozen networks that turn pictures into features: `EXTRACTORS`, by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from openstylegan.features import detectors, efficientnet_lite
from openstylegan.features.base import ExtractorKind, FeatureExtractor
from openstylegan.features.weights import WeightPolicy, locate
from openstylegan.registry import lookup

EXTRACTORS: Mapping[str, ExtractorKind] = {
    "efficientnet-lite0": efficientnet_lite.KIND,
    "inception": detectors.INCEPTION,
    "inception-probabilities": detectors.INCEPTION_PROBABILITIES,
    "vgg16": detectors.VGG16,
}


def check_weights(name: str, policy: WeightPolicy | None = None) -> None:
    """Finds and verifies the weights of the extractor `name` without loading them. Raises `InputError`."""
    locate(lookup(EXTRACTORS, name, "feature extractor").weights, policy or WeightPolicy())


def load_extractor(
    name: str, policy: WeightPolicy | None = None, device: str | torch.device = "cpu"
) -> FeatureExtractor:
    """The extractor `name`, ready on `device`. Raises `InputError` when its weights are not to be had."""
    kind = lookup(EXTRACTORS, name, "feature extractor")
    return kind.load(locate(kind.weights, policy or WeightPolicy()), torch.device(device))
