"""Golden files of forms that the project's own do not have, all of them right: each must pass, or its contradiction be
named."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden.alterations import CPU, GOLDEN, Arrays, changed, copied, load, named, save, verdicts
from golden.document import read
from golden.kinds.pickles import picture, state_sum
from golden.runner import Line, check_folder
from torch import nn

from openstylegan.networks import GENERATORS


def passes(lines: list[Line]) -> bool:
    return verdicts(lines) == {"ok"}


def test_a_description_may_leave_out_what_it_has_nothing_to_say_of(tmp_path: Path) -> None:
    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        meta |= {"precision": None, "options": None}

    assert passes(changed(tmp_path, "ops_modconv_sg3.npz", change))


def test_the_rounding_of_an_array_may_not_be_known(tmp_path: Path) -> None:
    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        meta["precision"] = {"c00/y": None, "c01/y": {"f32_vs_f64": None}}

    assert passes(changed(tmp_path, "ops_modconv_sg3.npz", change))


def test_labels_of_an_unconditional_network_are_not_looked_at(tmp_path: Path) -> None:
    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        arrays["in/c"] = np.ones((len(arrays["in/z"]), 3), np.float32)

    assert passes(changed(tmp_path, "sg2_G_orig_uncond.npz", change))


def test_at_the_base_nothing_fades_in(tmp_path: Path) -> None:
    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        for what in ("img", "logits"):
            base = next(name for name in arrays if name.startswith(f"out/{what}_step0_alpha"))
            arrays[f"out/{what}_step0_alpha0.25"] = arrays[base]

    assert passes(changed(tmp_path, "sg1_thin_networks.npz", change))


def test_metrics_of_some_features_only(tmp_path: Path) -> None:
    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        for name in ("in/pr_real_features", "in/pr_gen_features", "in/probs"):
            del arrays[name]
        meta["values"] = {name: meta["values"][name] for name in ("fid", "kid")}
        for name in ("pr", "is_"):
            del meta["options"][name]

    assert passes(changed(tmp_path, "metrics.npz", change))


def test_a_penalty_of_strength_zero_leaves_nothing_behind(tmp_path: Path) -> None:
    """Both phases are then those without it, and the running mean of path lengths stays."""

    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        meta["options"] |= {"r1_gamma": 0, "pl_weight": 0, "phases": ["Gboth", "Dboth"]}
        for name in [name for name in arrays if name.startswith("out/") and not name.startswith("out/w_avg")]:
            values, (_, phase, rest) = arrays.pop(name), name.split("/", 2)
            if phase in ("Gmain", "Dmain"):
                arrays[f"out/{phase[0]}both/{rest}"] = values
        arrays["out/Gboth/pl_mean_after"] = np.float32(meta["options"]["pl_mean_initial"])
        del arrays["in/pl_noise_randn"]

    assert passes(changed(tmp_path, "loss_sg2.npz", change))


@pytest.mark.parametrize(("rows", "word"), [(1000, None), (999, "999")])
def test_classes_of_a_fastgan_may_be_counted(rows: int, word: str | None, tmp_path: Path) -> None:
    def change(arrays: Arrays, meta: dict[str, Any]) -> None:
        meta["options"]["init_kwargs"]["synthesis_kwargs"]["num_classes"] = rows

    lines = changed(tmp_path, "pg_fastgan_lite_cond.npz", change)
    assert passes(lines) if word is None else named(lines, word)


def test_a_movement_over_many_pictures(tmp_path: Path) -> None:
    meta = json.loads((GOLDEN / "seeds_to_z.json").read_text())
    matrix = np.array([[0.6, 0.8, 123.25], [-0.8, 0.6, -7.5], [0, 0, 1]])
    angle = float(np.rad2deg(np.arctan2(0.8, 0.6)))
    meta["transforms"] = {f"(123.25, -7.5),{angle}": np.linalg.inv(matrix).tolist()}
    (tmp_path / "seeds.json").write_text(json.dumps(meta))
    assert passes(list(check_folder(tmp_path, CPU)))


class TestTensorFlow:
    def lines(self, folder: Path, arrays: Arrays, meta: dict[str, Any], pickle: str) -> list[Line]:
        save(folder / "expected.npz", arrays, meta)
        copied(folder, pickle)
        return [line for line in check_folder(folder, CPU) if line.file == "expected.npz"]

    def test_whole_truncations_have_one_digit(self, tmp_path: Path) -> None:
        arrays, meta = load("tf_sg2_real_expected.npz")
        arrays["G_ema/img_const_psi1"] = arrays["G_ema/img_const"]
        assert passes(self.lines(tmp_path, arrays, meta, "tf_sg2_real.pkl"))

    def test_logits_of_a_conversion_have_its_groups(self, tmp_path: Path) -> None:
        """A batch twice over has the deviations of the batch, if all of it is one group."""
        arrays, meta = load("tf_sg2_configf_expected.npz")
        for name in ("in/img", "in/img_c", "D/logits"):
            arrays[name] = np.concatenate([arrays[name]] * 2)
        assert passes(self.lines(tmp_path, arrays, meta, "tf_sg2_configf.pkl"))

    def test_a_sum_of_what_tensorflow_stores(self) -> None:
        """Of a network of 2019 with labels: their matrix is used as it is, style biases lack their 1."""
        joint = {"num_layers": 1, "embed_features": 4, "joint_normalization": True}
        G: Any = GENERATORS["stylegan2"](
            z_dim=4, c_dim=3, w_dim=5, img_resolution=4, mapping_kwargs=joint, synthesis_kwargs={"channel_max": 2}
        )
        theirs = {name: t.double() for name, t in G.state_dict().items() if not name.endswith("resample_filter")}
        theirs["mapping.embed.weight"] = theirs["mapping.embed.weight"] / 3**0.5
        style_biases = [t - 1 for name, t in theirs.items() if name.endswith("affine.bias")]
        others = [t for name, t in theirs.items() if not name.endswith("affine.bias")]
        expected = float(sum(t.sum() for t in others + style_biases))
        assert state_sum(G, True) == pytest.approx(expected, abs=1e-6)
        assert state_sum(G, False) == pytest.approx(float(sum(t.double().sum() for t in G.state_dict().values())))


def test_noise_that_a_pickled_generator_drew(tmp_path: Path) -> None:
    """Pictures of a generator with noise come with the noise; those of one without have none."""
    G: Any = GENERATORS["fastgan"](z_dim=4, img_resolution=8, ngf=4)
    with torch.no_grad():
        for tensor in G.state_dict().values():
            if tensor.shape == (1,):
                tensor.fill_(0.5)
        z, c = torch.randn(1, 4), torch.zeros(1, 0)
        noise = [np.random.RandomState(n).randn(1, 1, 8, 8).astype(np.float32) for n in range(2)]
        save(tmp_path / "a.npz", {f"in/noise{n:02d}": values for n, values in enumerate(noise)}, {"what": ""})
        G.eval()
        found = picture(read(tmp_path / "a.npz", CPU), G, z, c)
        expected = G.synthesis.run(G.mapping(z), [torch.tensor(values) for values in noise])
    assert torch.equal(found, expected)


def spectral(layer: nn.Module) -> nn.Module:
    """PyTorch's own spectral normalisation, as the original has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.spectral_norm(layer)


def together(**parts: nn.Module) -> nn.Module:
    """A module of parts with names."""
    whole = nn.Module()
    for name, part in parts.items():
        whole.add_module(name, part)
    return whole


def init_layer(x: torch.Tensor) -> tuple[dict[str, Any], nn.Module, torch.Tensor]:
    layers = nn.Sequential(spectral(nn.ConvTranspose2d(5, 6, 4, bias=False)), nn.BatchNorm2d(6), nn.GLU(1)).eval()
    return {"cls": "InitLayer", "args": [5, 3, 4]}, together(init=layers), layers(x[:, :5, None, None])


def down_block(x: torch.Tensor) -> tuple[dict[str, Any], nn.Module, torch.Tensor]:
    layers = nn.Sequential(spectral(nn.Conv2d(6, 4, 4, 2, 1)), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)).eval()
    return {"cls": "DownBlock", "args": [6, 4]}, together(main=layers), layers(maps(x))


def separable_block(x: torch.Tensor) -> tuple[dict[str, Any], nn.Module, torch.Tensor]:
    parts = {
        "depthwise": spectral(nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)),
        "pointwise": spectral(nn.Conv2d(6, 4, 1, bias=False)),
    }
    tail = nn.Sequential(nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.AvgPool2d(2))
    whole = together(main=nn.Sequential(together(**parts), *tail)).eval()
    y = tail(parts["pointwise"](parts["depthwise"](maps(x))))
    return {"cls": "DownBlock", "args": [6, 4], "separable": True}, whole, y


def swish(x: torch.Tensor) -> tuple[dict[str, Any], nn.Module, torch.Tensor]:
    return {"cls": "Swish"}, nn.Module(), x * x.sigmoid()


def maps(x: torch.Tensor) -> torch.Tensor:
    return x[:, :, None, None] * torch.linspace(-1, 1, 64).reshape(8, 8)


@pytest.mark.parametrize("made", [init_layer, down_block, separable_block, swish])
def test_other_pieces_of_projected_gan(made: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6)
    with torch.no_grad():
        case, module, y = made(x)
    given = {"InitLayer": x[:, :5], "DownBlock": maps(x)}.get(case["cls"], x)
    arrays = {f"a/state/{name}": tensor.numpy() for name, tensor in module.state_dict().items()}
    arrays |= {"a/in0": given.numpy(), "a/y": y.numpy()}
    meta = {"what": "projected_gan pieces: one", "reference": "projected_gan", "cases": [{"key": "a", **case}]}
    save(tmp_path / "pg_units.npz", arrays, meta)
    assert passes(list(check_folder(tmp_path, CPU)))
