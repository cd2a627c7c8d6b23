"""Beginning with another network: what is copied, resized, new and left out, and that nothing else happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import WIDTHS, make_pictures, small_config

from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.networks.stylegan2 import StyleGAN2Generator
from openstylegan.networks.stylegan2_discriminator import StyleGAN2Discriminator
from openstylegan.networks.stylegan3 import StyleGAN3Generator
from openstylegan.snapshot import load, write_snapshot
from openstylegan.training.build import build_run
from openstylegan.training.transfer import begin_with_weights, copy_network, find_fates, table

CPU = torch.device("cpu")


def generator(resolution: int = 16, c_dim: int = 0, **more: Any) -> StyleGAN2Generator:
    options = {"z_dim": 6, "w_dim": 8, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": dict(WIDTHS), **more}
    return StyleGAN2Generator(c_dim=c_dim, img_resolution=resolution, **options).eval()


def discriminator(resolution: int = 16, c_dim: int = 0) -> StyleGAN2Discriminator:
    return StyleGAN2Discriminator(c_dim, resolution, mapping_kwargs={"num_layers": 1}, **WIDTHS).eval()


def fates(entries: list[Any]) -> dict[str, str]:
    return {e.name: e.fate for e in entries}


def one_hot(k: int, num: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor([k]), num).float()


def test_the_same_network_is_copied_whole() -> None:
    torch.manual_seed(0)
    theirs, own = generator(), generator()
    entries = copy_network("G", theirs.state_dict(), own, "a file")
    assert set(fates(entries).values()) == {"copied"}
    assert all(torch.equal(own.state_dict()[n], t) for n, t in theirs.state_dict().items())


def test_frozen_layers_are_copied_too() -> None:
    """Frozen, a layer's weights are buffers of the same name."""
    torch.manual_seed(0)
    theirs = discriminator()
    own = StyleGAN2Discriminator(0, 16, block_kwargs={"freeze_layers": 5}, mapping_kwargs={"num_layers": 1}, **WIDTHS)
    assert "b16.conv0.weight" not in dict(own.named_parameters())
    entries = copy_network("D", theirs.state_dict(), own, "a file")
    assert set(fates(entries).values()) == {"copied"}
    assert torch.equal(own.state_dict()["b16.conv0.weight"], theirs.b16.conv0.weight)


def test_a_larger_generator_begins_with_the_blocks_that_are_shared() -> None:
    torch.manual_seed(0)
    theirs, own = generator(16), generator(32)
    first = own.state_dict()["synthesis.b32.conv0.weight"].clone()
    found = fates(copy_network("G", theirs.state_dict(), own, "a file", fit=True))
    assert all(fate == ("new" if name.startswith("synthesis.b32") else "copied") for name, fate in found.items())
    assert torch.equal(own.state_dict()["synthesis.b32.conv0.weight"], first)
    z = torch.randn(2, 6)
    assert torch.equal(own.mapping(z, None)[:, 0], theirs.mapping(z, None)[:, 0])


def test_a_smaller_discriminator_leaves_blocks_out() -> None:
    theirs, own = discriminator(32), discriminator(16)
    found = fates(copy_network("D", theirs.state_dict(), own, "a file", fit=True))
    assert {n.split(".")[0] for n, f in found.items() if f == "left out"} == {"b32"}
    assert {n for n, f in found.items() if f == "new"} == {"b16.fromrgb.weight", "b16.fromrgb.bias"}
    assert {f for n, f in found.items() if n.startswith(("b8", "b4"))} == {"copied"}


@pytest.mark.parametrize("num", [5, 2])
def test_other_classes_keep_the_vectors_of_those_that_are_shared(num: int) -> None:
    torch.manual_seed(0)
    theirs, own = generator(c_dim=3), generator(c_dim=num)
    entries = copy_network("G", theirs.state_dict(), own, "a file", fit=True)
    assert {e.name for e in entries if e.fate == "resized"} == {"mapping.embed.weight"}
    z = torch.randn(1, 6)
    for k in range(min(3, num)):
        expected = theirs.mapping(z, one_hot(k, 3))
        torch.testing.assert_close(own.mapping(z, one_hot(k, num)), expected, rtol=0, atol=1e-6)
    if num > 3:
        mean = theirs.mapping.embed(torch.full((1, 3), 1 / 3))
        torch.testing.assert_close(own.mapping.embed(one_hot(4, num)), mean, rtol=0, atol=1e-6)


def test_a_generator_that_gains_classes_begins_without_their_influence() -> None:
    torch.manual_seed(0)
    theirs, own = generator(), generator(c_dim=4)
    found = fates(copy_network("G", theirs.state_dict(), own, "a file", fit=True))
    assert found["mapping.fc0.weight"] == "resized" and found["mapping.embed.weight"] == "new"
    z = torch.randn(1, 6)
    for k in range(4):
        torch.testing.assert_close(own.mapping(z, one_hot(k, 4)), theirs.mapping(z, None), rtol=0, atol=1e-6)


def test_a_generator_that_loses_classes_keeps_the_part_of_z() -> None:
    torch.manual_seed(0)
    theirs, own = generator(c_dim=4), generator()
    found = fates(copy_network("G", theirs.state_dict(), own, "a file", fit=True))
    assert found["mapping.fc0.weight"] == "resized" and found["mapping.embed.weight"] == "left out"
    gain = (6 / 14) ** 0.5
    torch.testing.assert_close(own.mapping.fc0.weight, theirs.mapping.fc0.weight[:, :6] * gain)


def test_other_widths_are_new_and_listed() -> None:
    theirs, own = generator(), generator(z_dim=7)
    entries = find_fates("G", theirs.state_dict(), own.state_dict(), fit=True)
    assert [(e.name, e.fate) for e in entries if e.fate != "copied"] == [("mapping.fc0.weight", "new")]
    assert "new: G mapping.fc0.weight [8, 6] in the file, [8, 7] here" in list(table(entries))


def test_filters_of_another_architecture_are_not_taken() -> None:
    """StyleGAN3's layers of the same name and size may have other filters."""
    options = {"z_dim": 6, "w_dim": 8, "num_layers": 4, "channel_base": 64, "channel_max": 8, "img_resolution": 32}
    theirs, own = (StyleGAN3Generator(last_stopband_rel=rel, **options) for rel in (1.5, 1.2))
    shared = [n for n in own.state_dict() if n in theirs.state_dict() and n.endswith("up_filter")]
    before = {n: own.state_dict()[n].clone() for n in shared}
    assert any(not torch.equal(before[n], theirs.state_dict()[n]) for n in shared)
    found = fates(copy_network("G", theirs.state_dict(), own, "a file", fit=True))
    assert not any(name.endswith("_filter") for name in found)
    assert all(torch.equal(own.state_dict()[n], t) for n, t in before.items())
    assert torch.equal(own.synthesis.input.freqs, theirs.synthesis.input.freqs)


def test_another_generator_shares_its_mapping() -> None:
    theirs = generator(z_dim=8)
    own = StyleGAN3Generator(8, 0, 8, 16, num_layers=4, channel_base=64, channel_max=8)
    entries = copy_network("G", theirs.state_dict(), own, "a file", fit=True)
    assert {e.group for e in entries if e.fate == "copied"} == {"mapping"}
    assert {e.group for e in entries if e.fate == "left out"} == {"synthesis.b4", "synthesis.b8", "synthesis.b16"}
    assert torch.equal(own.mapping.fc1.weight, theirs.mapping.fc1.weight)


def test_without_fitting_another_shape_is_refused_by_name() -> None:
    own = generator(c_dim=2)
    with pytest.raises(InputError, match=r"mapping.fc0.weight is \[8, 6\] there and \[8, 14\] here.*--init-from"):
        copy_network("G", generator().state_dict(), own, "a.pkl")


def test_a_network_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="shares no tensor"):
        copy_network("G", discriminator().state_dict(), generator(), "a.pkl", fit=True)


def test_the_table_counts_and_names_both_generators_once() -> None:
    theirs, own = generator(16), generator(32)
    entries = [e for name in ("G", "G_ema") for e in find_fates(name, theirs.state_dict(), own.state_dict(), True)]
    entries += find_fates("D", {}, discriminator(32).state_dict(), True)
    lines = list(table(entries))
    assert lines[0].split() == ["copied", "resized", "new", "left", "out"]
    rows = {tuple(line.split()[:-4]): [int(n) for n in line.split()[-4:]] for line in lines[1:]}
    assert rows[("G,", "G_ema", "mapping")] == [5, 0, 0, 0]
    assert rows[("G,", "G_ema", "synthesis.b32")] == [0, 0, 16, 0]
    assert rows[("D", "b32")] == [0, 0, 7, 0]
    assert ("G_ema", "mapping") not in rows


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


@pytest.fixture(scope="module")
def snapshot(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of the small configuration, with weights that no new run begins with."""
    run = build_run(small_config(pictures), CPU)
    modules = {"G": run.state.G, "D": run.state.D, "G_ema": run.state.ema.module}
    with torch.no_grad():
        for n, module in enumerate(modules.values()):
            for parameter in module.parameters():
                parameter.fill_(0.01 * (n + 1))
    path = tmp_path_factory.mktemp("snapshot") / "network-snapshot-000001.safetensors"
    write_snapshot(path, modules, run.components, {"augment_p": 0.25})
    return path


def test_a_run_begins_with_the_weights_of_a_snapshot(pictures: Path, snapshot: Path) -> None:
    run = build_run(small_config(pictures, transfer_from=str(snapshot)), CPU)
    lines = begin_with_weights(run)
    theirs = load(snapshot)
    for name, module in (("G", run.state.G), ("D", run.state.D), ("G_ema", run.state.ema.module)):
        given = getattr(theirs, name).state_dict()
        assert all(torch.equal(t, given[n]) for n, t in module.state_dict().items())
    assert lines[0] == f"weights from {snapshot}"
    assert float(run.state.augment.p) == pytest.approx(0.3), "the strength is the configuration's"


def test_what_the_strength_was_is_said(pictures: Path, snapshot: Path) -> None:
    augment = Component("ada", {"preset": "bgc"})
    run = build_run(small_config(pictures, init_from=str(snapshot), augment=augment.__dict__), CPU)
    assert "p = 0.250" in begin_with_weights(run)[-1]
    assert float(run.state.augment.p) == 0


def test_without_labels_the_strict_way_is_refused_and_the_other_fits(pictures: Path, snapshot: Path) -> None:
    unlabelled = {"data.use_labels": False}
    with pytest.raises(InputError, match="does not fit"):
        begin_with_weights(build_run(small_config(pictures, transfer_from=str(snapshot), **unlabelled), CPU))
    run = build_run(small_config(pictures, init_from=str(snapshot), **unlabelled), CPU)
    lines = begin_with_weights(run)
    assert any(line.startswith("resized: G mapping.fc0.weight") for line in lines)
    assert float(run.state.G.synthesis.b8.conv0.weight.mean()) == pytest.approx(0.01)


def test_a_file_without_a_discriminator(pictures: Path, snapshot: Path, tmp_path: Path) -> None:
    """As released by others: the averaged generator alone."""
    theirs, run = load(snapshot), build_run(small_config(pictures), CPU)
    path = tmp_path / "ema.safetensors"
    write_snapshot(path, {"G_ema": theirs.G_ema}, {"G": run.components["G"]}, {})
    with pytest.raises(InputError, match="holds no G.*--init-from"):
        begin_with_weights(build_run(small_config(pictures, transfer_from=str(path)), CPU))
    run = build_run(small_config(pictures, init_from=str(path)), CPU)
    first = {n: t.clone() for n, t in run.state.D.state_dict().items()}
    lines = begin_with_weights(run)
    assert torch.equal(run.state.G.mapping.fc0.weight, theirs.G_ema.mapping.fc0.weight)
    assert all(torch.equal(t, first[n]) for n, t in run.state.D.state_dict().items())
    assert any(line.split()[:2] == ["D", "b16"] and line.split()[2] == "0" for line in lines)
