"""Pickles of Projected GAN: the discriminator with the feature network inside it, and what cannot be built."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_files import pretended
from torch import nn

import openstylegan
from openstylegan.errors import InputError
from openstylegan.interop.inspect import inspect
from openstylegan.networks import projected
from openstylegan.networks.fastgan import FastGANGenerator
from openstylegan.networks.projected import Backbone, ProjectedDiscriminator

SIZES = {"img_resolution": 128, "img_channels": 3}
CLASSES = {
    "pg_modules.networks_fastgan": "Generator",
    "pg_modules.discriminator": "ProjectedDiscriminator",
    "pg_modules.blocks": "Block",
}


class Stored:
    """An object whose attributes are all there is to it."""


def stored(module: nn.Module, kind: type, block: type, **attributes: Any) -> Any:
    """`module` as a pickle of Projected GAN holds it: classes by their path, tensors by their names."""
    found = kind()
    children = OrderedDict((name, stored(child, block, block)) for name, child in module.named_children())
    tables = {"_parameters": OrderedDict(module._parameters), "_buffers": OrderedDict(module._buffers)}
    found.__dict__.update({"training": True, **tables, "_modules": children, **attributes})
    return found


def write(path: Path, G: nn.Module, D: nn.Module, **about: Any) -> Path:
    """A network-snapshot.pkl of G (as G_ema) and D."""
    kinds = {module: type(name, (Stored,), {}) for module, name in CLASSES.items()}
    names = {module: {name: kinds[module]} for module, name in CLASSES.items()}
    with pretended({"pg_modules": {}, **names}):
        generator, judge, block = kinds.values()
        sizes = {name: getattr(G, name) for name in ("z_dim", "c_dim", "img_resolution", "img_channels")}
        content = {"G_ema": stored(G, generator, block, **sizes), "D": stored(D, judge, block, **about)}
        path.write_bytes(pickle.dumps(content))
    return path


def generator(c_dim: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return FastGANGenerator(z_dim=8, c_dim=c_dim, ngf=2, lite=True, num_classes=5, **SIZES)


def discriminator(c_dim: int = 0, **options: Any) -> ProjectedDiscriminator:
    torch.manual_seed(1)
    D = ProjectedDiscriminator(c_dim=c_dim, **SIZES, **{"width": 8, "cout": 4, **options})
    with torch.no_grad():  # no weights of a package: those in the file are what must come out
        for parameter in D.feature_network.pretrained.parameters():
            parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
    return D


CASES: dict[str, dict[str, Any]] = {
    "usual": {},
    "raw": {"proj_type": 0},
    "channels": {"proj_type": 1, "expand": False},
    "scales": {"expand": False, "separable": True, "num_discs": 3},
    "patch": {"patch": True, "num_discs": 1, "width": None},
    "classes": {"c_dim": 3, "num_classes": 5},
}


@pytest.mark.parametrize("case", CASES)
def test_the_discriminator_judges_as_before(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the feature network's weights out of the file: none is asked of this machine."""
    options = CASES[case]
    G, D = generator(options.get("c_dim", 0)), discriminator(**options).eval()
    path = write(tmp_path / "a.pkl", G, D, interp224=False, diffaug=True)
    blank = projected.BACKBONES["efficientnet-lite0"].blank
    monkeypatch.setitem(projected.BACKBONES, "efficientnet-lite0", Backbone(lambda: pytest.fail("was read"), blank))
    networks = openstylegan.load(path)
    assert "D" not in networks.about["unread"]
    images, c = torch.rand(2, 3, 128, 128) * 2 - 1, torch.eye(5)[:2, : D.c_dim]
    D.interp224 = False
    with torch.no_grad():
        torch.testing.assert_close(networks.D(images, c), D(images, c))
        D.interp224 = True
        assert networks.D(images, c).shape[1] < D(images, c).shape[1]


def test_a_generator_that_was_built_without_the_classes_of_its_data(tmp_path: Path) -> None:
    G = generator().eval()
    G.c_dim = 3  # as the file says it; there is no embedding
    loaded = openstylegan.load(write(tmp_path / "a.pkl", G, discriminator(), interp224=True)).G_ema
    z = torch.randn(2, 8)
    assert loaded.c_dim == 0
    with torch.no_grad():
        torch.testing.assert_close(loaded(z), G.synthesis(z[:, None]))


def test_a_discriminator_without_the_activation_in_its_list(tmp_path: Path) -> None:
    """As newer versions of the library of its features have it: the blocks come one place earlier."""
    D = discriminator().eval()
    layer = D.feature_network.pretrained.layer0
    shorter = nn.Sequential(*(part for n, part in enumerate(layer) if n != 2))
    expected = {name: tensor.clone() for name, tensor in D.state_dict().items()}
    D.feature_network.pretrained.layer0 = shorter
    loaded = openstylegan.load(write(tmp_path / "a.pkl", generator(), D, interp224=True)).D.state_dict()
    assert loaded.keys() == expected.keys() and all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_what_cannot_be_built_is_said_in_a_line(tmp_path: Path) -> None:
    D = discriminator()
    D.feature_network.pretrained.layer3 = nn.Conv2d(112, 320, 1)
    loaded = openstylegan.load(write(tmp_path / "a.pkl", generator(), D, interp224=True))
    assert loaded.D is None
    assert "its feature network is not EfficientNet-Lite0 (layer3" in loaded.about["unread"]["D"]
    report = inspect(tmp_path / "a.pkl").json()
    assert "D" not in report["networks"]

    several = discriminator()
    several.feature_networks = nn.ModuleDict({"deit": nn.Linear(2, 2)})
    unread = openstylegan.load(write(tmp_path / "b.pkl", generator(), several, interp224=True)).about["unread"]
    assert "several feature networks" in unread["D"]

    deeper = discriminator()
    deeper.discriminator.mini_discs["0"].main.append(nn.Conv2d(1, 1, 1))
    unread = openstylegan.load(write(tmp_path / "c.pkl", generator(), deeper, interp224=True)).about["unread"]
    assert "main.5.bias is (1,), here unknown" in unread["D"]

    unread = openstylegan.load(write(tmp_path / "d.pkl", generator(), discriminator())).about["unread"]
    assert "interp224" in unread["D"]


def test_sides_that_contradict_each_other() -> None:
    with pytest.raises(InputError, match="feature_side or interp224, got both"):
        ProjectedDiscriminator(feature_side=96, interp224=True)
    with pytest.raises(InputError, match="at least 64 px without interp224"):
        ProjectedDiscriminator(img_resolution=32, interp224=False)
