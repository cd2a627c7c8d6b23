"""TorchScript detectors, with a small one of the same calling interface."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.features import EXTRACTORS, check_weights, load_extractor
from openstylegan.features.weights import WeightPolicy
from openstylegan.files import sha256_file

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class SmallDetector(nn.Module):
    """Takes uint8 images of any size; features are colour means of quadrants, probabilities a softmax of them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 60).view(5, 12))
        self.bias = nn.Parameter(torch.linspace(0, 9, 5))

    def forward(self, img: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        features = nn.functional.adaptive_avg_pool2d(img.to(torch.float32) / 255, [2, 2]).flatten(1)
        if return_features:
            return features
        logits = features @ self.weight.t()
        if not no_output_bias:
            logits = logits + self.bias
        return logits.softmax(1)


class AnotherInterface(nn.Module):
    def forward(self, img: Tensor) -> Tensor:
        return img.to(torch.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detectors") / "inception-2015-12-05.pt"
    torch.jit.script(SmallDetector()).save(str(path))
    return path


def policy(path: Path) -> WeightPolicy:
    return WeightPolicy({"inception": f"{path}#sha256={sha256_file(path)}"})


def test_features_and_probabilities_are_what_the_module_gives(file: Path) -> None:
    images = torch.randint(0, 256, (7, 3, 20, 24), dtype=torch.uint8)
    module = SmallDetector()
    features = load_extractor("inception", policy(file))
    probabilities = load_extractor("inception-probabilities", policy(file))
    assert (features.num_features, probabilities.num_features) == (12, 5)
    torch.testing.assert_close(features(images), module(images, return_features=True))
    torch.testing.assert_close(probabilities(images), module(images, no_output_bias=True))


def test_grey_pictures_are_repeated(file: Path) -> None:
    grey = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    extractor = load_extractor("inception", policy(file))
    assert torch.equal(extractor(grey), extractor(grey.expand(-1, 3, -1, -1)))


def test_the_protocol_names_the_file_by_its_hash(file: Path) -> None:
    extractor = load_extractor("inception", policy(file))
    assert extractor.protocol["sha256"] == extractor.sha256 == sha256_file(file)
    assert extractor.protocol["option"] == "return_features"
    unverified = WeightPolicy({"inception": str(file)}, allow_unverified=True)
    with pytest.raises(InputError, match="expected SHA-256"):  # the real file's hash is known, and this is not it
        load_extractor("inception", unverified)


def test_another_interface_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.jit.script(AnotherInterface()).save(str(path))
    with pytest.raises(InputError, match="return_features=True") as error:
        load_extractor("inception", policy(path))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.pt"
    path.write_text("no program")
    with pytest.raises(InputError, match="expected a TorchScript file"):
        load_extractor("inception", policy(path))


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    """A file made by torch.save is refused by the TorchScript reader, whatever its pickle would do."""
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (touched,)  # type: ignore[return-value]

    path = tmp_path / "evil.pt"
    torch.save(Evil(), path)
    with pytest.raises(InputError, match="expected a TorchScript file"):
        load_extractor("inception", policy(path))
    assert not touched.exists()


def test_every_extractor_without_weights_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in EXTRACTORS:
        with pytest.raises(InputError, match="not on this machine") as error:
            check_weights(name)
        assert "\n" not in str(error.value)


def test_an_unknown_extractor_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'inception'"):
        load_extractor("inceptions")
