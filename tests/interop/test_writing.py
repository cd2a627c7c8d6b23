"""Networks from one layout to another and back: bit for bit, with what is said of what is left behind."""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_files import nvidia_generator, nvidia_pickle
from helpers import GOLDEN
from safetensors.torch import save_file

import openstylegan
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.interop import loading
from openstylegan.interop.inspect import inspect
from openstylegan.interop.loading import find_network
from openstylegan.interop.writing import FORMATS, write
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.registry import build
from openstylegan.snapshot import Networks, write_snapshot

SIZE = {"img_resolution": 16, "img_channels": 3, "c_dim": 0}
NARROW = {"channel_base": 64, "channel_max": 6}
MIXED = {"mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.01}, "synthesis_kwargs": NARROW}
G = Component("stylegan2", {"z_dim": 8, "w_dim": 7, **MIXED, **SIZE})
D = Component("stylegan2", {**NARROW, **SIZE})
ENDINGS = {"snapshot": ".safetensors", "pickle": ".pkl", "rosinality": ".pt"}
NAMES = ("G_ema", "G", "D")


def snapshot(path: Path, G: Component = G, D: Component = D) -> Path:
    torch.manual_seed(0)
    made: dict[str, Any] = {name: build(GENERATORS, G.name, G.options, "generator") for name in ("G", "G_ema")}
    made["D"] = build(DISCRIMINATORS, D.name, D.options, "discriminator")
    with torch.no_grad():
        for network in made.values():
            for name, tensor in network.state_dict().items():
                if not name.endswith("resample_filter"):
                    tensor += torch.randn(tensor.shape)
    write_snapshot(path, made, {"G": G, "D": D}, {"cur_nimg": 4000, "augment_p": 0.25})
    return path


def same(a: Networks, b: Networks) -> bool:
    pairs = [(getattr(a, name).state_dict(), getattr(b, name).state_dict()) for name in NAMES]
    return all(list(x) == list(y) and all(torch.equal(x[n], y[n]) for n in x) for x, y in pairs)


@pytest.mark.parametrize("second", FORMATS)
@pytest.mark.parametrize("first", FORMATS)
def test_there_and_back_bit_for_bit(first: str, second: str, tmp_path: Path) -> None:
    """From ours to each layout, from that to each other one, and home: G, D, G_ema, w_avg, options, facts."""
    start = openstylegan.load(snapshot(tmp_path / "start.safetensors"))
    path = start.path
    for step, name in enumerate((first, second, "snapshot")):
        target = tmp_path / f"{step}{ENDINGS[name]}"
        write(openstylegan.load(path), target)
        path = target
    end = openstylegan.load(path)
    assert same(start, end) and end.about["networks"] == start.about["networks"]
    assert (end.about["cur_nimg"], end.about["augment_p"]) == (4000, 0.25)
    z = torch.randn(2, 8)
    assert torch.equal(
        start.G_ema(z, truncation_psi=0.5, noise_mode="const"), end.G_ema(z, None, 0.5, noise_mode="const")
    )


@pytest.mark.parametrize("name", ["pkl_sg2ada_cond", "pkl_sg3_r", "tf_sg2_real"])
def test_files_of_other_programs_become_ours(name: str, tmp_path: Path) -> None:
    foreign = openstylegan.load(GOLDEN / f"{name}.pkl")
    write(foreign, tmp_path / "a.safetensors")
    write(openstylegan.load(tmp_path / "a.safetensors"), tmp_path / "b.pkl")
    ours = openstylegan.load(tmp_path / "b.pkl")
    assert same(foreign, ours) and ours.about["source"] == foreign.about["source"]


def test_a_plain_pickle_is_read_by_pickle(tmp_path: Path) -> None:
    start = openstylegan.load(snapshot(tmp_path / "a.safetensors"))
    assert "openstylegan installed" in write(start, tmp_path / "b.pkl")[0]
    code = (
        "import pickle, sys\n"
        "with open(sys.argv[1], 'rb') as f:\n    G = pickle.load(f)['G_ema']\n"
        "print(G.z_dim, G.training, next(G.parameters()).requires_grad, len(G.state_dict()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "b.pkl")], capture_output=True, text=True)
    assert done.stdout.split() == ["8", "False", "False", str(len(start.G_ema.state_dict()))], done.stderr
    content = pickle.loads((tmp_path / "b.pkl").read_bytes())
    assert list(content) == ["G", "D", "G_ema", "training_set_kwargs", "augment_pipe", "openstylegan"]


class TestRosinality:
    def content(self, tmp_path: Path) -> dict[str, Any]:
        """A checkpoint as its own program writes one: without our entry."""
        write(openstylegan.load(snapshot(tmp_path / "a.safetensors")), tmp_path / "a.pt")
        content = torch.load(tmp_path / "a.pt", weights_only=True)
        del content["openstylegan"]
        return content

    def test_names_and_shapes_are_theirs(self, tmp_path: Path) -> None:
        content = self.content(tmp_path)
        shapes = {name: list(tensor.shape) for name, tensor in content["g_ema"].items()}
        assert shapes["style.1.weight"] == [7, 8] and shapes["input.input"] == [1, 6, 4, 4]
        assert shapes["convs.2.conv.weight"] == [1, 4, 6, 3, 3] and shapes["to_rgbs.1.bias"] == [1, 3, 1, 1]
        assert shapes["conv1.noise.weight"] == [1] and shapes["noises.noise_4"] == [1, 1, 16, 16]
        assert float(content["g_ema"]["convs.0.conv.blur.kernel"].sum()) == 4
        assert float(content["d"]["convs.1.conv2.0.kernel"].sum()) == 1
        assert content["latent_avg"].shape == (7,)

    def test_options_are_seen_from_the_tensors(self, tmp_path: Path) -> None:
        start = openstylegan.load(snapshot(tmp_path / "s.safetensors"))
        torch.save(self.content(tmp_path), tmp_path / "b.pt")
        found = openstylegan.load(tmp_path / "b.pt")
        z, images = torch.randn(2, 8), torch.randn(8, 3, 16, 16)
        assert torch.equal(found.G_ema(z, None, 0.5, noise_mode="const"), start.G_ema(z, None, 0.5, noise_mode="const"))
        assert torch.equal(found.D(images), start.D(images))
        assert found.about["source"] == "rosinality"

    def test_a_training_checkpoint(self, tmp_path: Path) -> None:
        """It has no mean of w, its command's options and optimizers."""
        content = {**self.content(tmp_path), "ada_aug_p": 0.5, "g_optim": {"state": {}}, "iteration": 7}
        del content["latent_avg"]
        content["args"] = argparse.Namespace(size=16, r1=10)
        torch.save(content, tmp_path / "b.pt")
        found = openstylegan.load(tmp_path / "b.pt")
        assert found.about["augment_p"] == 0.5 and found.about["training_options"] == {"size": 16, "r1": 10}
        assert found.about["unread"].keys() == {"g_optim", "iteration"} and "4096" in found.about["w_avg"]
        torch.manual_seed(5)
        ws = found.G_ema.mapping.map(torch.randn(20000, 8), None)
        error = (found.G_ema.mapping.w_avg - ws.mean(dim=0)).abs().max()
        assert error < 6 * ws.std() / 64
        assert any("g_optim" in remark for remark in write(found, tmp_path / "c.safetensors"))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda g: g.pop("conv1.noise.weight"), "1 tensors missing"),
            (lambda g: g.update(extra=torch.zeros(1)), "1 more"),
            (lambda g: g.update({"conv1.noise.weight": torch.zeros(2)}), "of shape"),
            (lambda g: g.update({"to_rgbs.0.upsample.kernel": torch.ones(4, 4)}), "another filter"),
            (lambda g: g.update({"convs.2.conv.weight": torch.ones(1, 9, 6, 3, 3)}), "no StyleGAN2 has"),
            (lambda g: g.update({"style.1.weight": "text"}), "expected a tensor"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change: Any, message: str, tmp_path: Path) -> None:
        content = self.content(tmp_path)
        change(content["g_ema"])
        torch.save(content, tmp_path / "b.pt")
        with pytest.raises(InputError, match=message) as error:
            openstylegan.load(tmp_path / "b.pt")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("part", "options", "message"),
        [
            ("G", {"c_dim": 2}, "c_dim = 0"),
            ("G", {"img_channels": 1}, "img_channels = 3"),
            ("G", {"img_resolution": [16, 24]}, "img_resolution"),
            ("G", {"synthesis_kwargs": {**NARROW, "architecture": "resnet"}}, "architecture = 'skip'"),
            ("G", {"synthesis_kwargs": {**NARROW, "resample_filter": [1, 2, 1]}}, "resample_filter"),
            ("G", {"mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1}}, "lr_multiplier"),
            ("D", {"architecture": "skip"}, "architecture = 'resnet'"),
            ("D", {"epilogue_kwargs": {"mbstd_num_channels": 2}}, "mbstd_num_channels"),
        ],
    )
    def test_what_the_layout_cannot_hold(self, part: str, options: Any, message: str, tmp_path: Path) -> None:
        component = Component("stylegan2", {**(G if part == "G" else D).options, **options})
        both = (component, D) if part == "G" else (G, component)
        networks = openstylegan.load(snapshot(tmp_path / "a.safetensors", *both))
        with pytest.raises(InputError, match=message):
            write(networks, tmp_path / "a.pt")
        assert not (tmp_path / "a.pt").exists()

    def test_what_its_program_makes_differently_is_said(self, tmp_path: Path) -> None:
        clamped = Component("stylegan2", {**D.options, "conv_clamp": 256, "epilogue_kwargs": {"mbstd_group_size": 8}})
        networks = openstylegan.load(snapshot(tmp_path / "a.safetensors", G, clamped))
        remarks = " ".join(write(networks, tmp_path / "a.pt"))
        assert "D clamps activations at 256" in remarks and "D groups 8 samples" in remarks


class TestFinding:
    def test_by_file_url_and_hash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = snapshot(tmp_path / "a.safetensors")
        assert openstylegan.load(path.as_uri()).path == path
        assert find_network(Path(path.as_uri())) == path
        asked: list[str] = []
        monkeypatch.setattr(loading, "download", lambda url, sha256: asked.append(url))
        find_network(Path("https://host/a.pkl"))  # pathlib makes one slash of two
        assert asked == ["https://host/a.pkl"]
        with pytest.raises(InputError, match="expected SHA-256 00"):
            openstylegan.load(path, sha256="00" * 32)

    def test_a_run_folder_of_another_program(self, tmp_path: Path) -> None:
        kwargs = {"z_dim": 8, "c_dim": 0, "w_dim": 7, "img_resolution": 16, "img_channels": 3, **MIXED}
        record = nvidia_generator(build(GENERATORS, "stylegan2", kwargs, "generator"), kwargs)
        for number in ("000010", "000200"):
            (tmp_path / f"network-snapshot-{number}.pkl").write_bytes(nvidia_pickle({"G_ema": record}))
        assert openstylegan.load(tmp_path).path.name == "network-snapshot-000200.pkl"
        newest = snapshot(tmp_path / "network-snapshot-000001.safetensors")
        assert openstylegan.load(tmp_path).path == newest

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"GAN": {}, "version": "1.9.0"}, "lucidrains"),
            ({"g_ema": {"a": 1}}, "another program than rosinality's StyleGAN2"),
            ({"layer.weight": torch.zeros(2)}, "the tensors of a network"),
            ([1, 2], "a list of 2"),
        ],
    )
    def test_other_checkpoints_are_named(self, content: Any, message: str, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(InputError, match=f"expected networks, got a PyTorch file with .*{message}"):
            openstylegan.load(tmp_path / "a.pt")

    def test_other_files_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.pkl").write_text("<!doctype html><title>404</title>")
        with pytest.raises(InputError, match="an HTML page"):
            openstylegan.load(tmp_path / "a.pkl")
        save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
        with pytest.raises(InputError, match="a safetensors file of another program"):
            openstylegan.load(tmp_path / "b.safetensors")

    def test_an_unknown_ending(self, tmp_path: Path) -> None:
        networks = openstylegan.load(snapshot(tmp_path / "a.safetensors"))
        with pytest.raises(InputError, match=r"\.safetensors \(snapshot\)"):
            write(networks, tmp_path / "a.bin")
        write(networks, tmp_path / "a.bin", "rosinality")
        assert openstylegan.load(tmp_path / "a.bin").about["source"] == "rosinality"


class TestInspect:
    def test_counts_of_parameters_and_buffers(self, tmp_path: Path) -> None:
        path = snapshot(tmp_path / "a.safetensors")
        networks, report = openstylegan.load(path), inspect(path).json()
        for name in NAMES:
            module, found = getattr(networks, name), report["networks"][name]
            assert found["parameters"] == sum(p.numel() for p in module.parameters())
            assert found["buffers"] == sum(b.numel() for b in module.buffers())
            assert found["tensors"] == {n: list(t.shape) for n, t in module.state_dict().items()}
            assert found["can_be_loaded"] and found["name"] == "stylegan2"

    def test_text_says_what_json_says(self) -> None:
        report = inspect(GOLDEN / "pkl_sg2ada_cond.pkl")
        text = "\n".join(report.text())
        assert "G_ema: a StyleGAN2 generator, 19,502 parameters, 816 numbers in buffers" in text
        for words in ("mapping_kwargs.num_layers: 2", "training_set_kwargs.resolution: 16", "synthesis.b16"):
            assert words in text
        assert "synthesis.b16.conv1.weight" in "\n".join(report.text(tensors=True))
