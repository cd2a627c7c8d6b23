"""PyTorch pickles of NVIDIA's programs and of Projected GAN: options of every form, defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_files import Persistent, module_state, nvidia_generator, nvidia_network, nvidia_pickle
from helpers import GOLDEN
from torch import nn

import openstylegan
from openstylegan.errors import InputError
from openstylegan.interop.inspect import inspect
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.registry import build
from openstylegan.snapshot import Networks

SIZES = {"z_dim": 6, "c_dim": 0, "w_dim": 7, "img_resolution": 8, "img_channels": 3}
NARROW = {"channel_base": 32, "channel_max": 5}
PICKLES = sorted(path.name for path in GOLDEN.glob("pkl_s*.pkl")) + sorted(p.name for p in GOLDEN.glob("tf_sg2*.pkl"))


def generator(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    nested = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": NARROW}
    return build(GENERATORS, "stylegan2", {**SIZES, **nested, **options}, "generator")


def written(path: Path, **content: Any) -> Path:
    path.write_bytes(nvidia_pickle(content))
    return path


@pytest.mark.parametrize("name", PICKLES)
def test_the_python_that_users_know_works_word_for_word(name: str) -> None:
    """Row by row what users of StyleGAN2-ADA write, on every recorded file."""
    networks = openstylegan.load(GOLDEN / name)
    G = networks.G_ema
    assert isinstance(networks, Networks) and isinstance(G, nn.Module)
    for network in (networks.G_ema, networks.G, networks.D):
        assert network is not None and not network.training
        assert {p.device.type for p in network.parameters()} == {"cpu"}
        assert not any(p.requires_grad for p in network.parameters())
    z = torch.randn([2, G.z_dim])
    c = torch.eye(G.c_dim)[:1].repeat(2, 1) if G.c_dim else None
    img = G(z, c)
    assert img.dtype == torch.float32 and img.shape == (2, G.img_channels, G.img_resolution, G.img_resolution)
    w = G.mapping(z, c, truncation_psi=0.5, truncation_cutoff=2)
    assert w.shape == (2, G.num_ws, G.w_dim)
    img = G.synthesis(w, noise_mode="const", force_fp32=True)
    torch.testing.assert_close(img, G(z, c, 0.5, 2, noise_mode="const"), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(w[:, 2:], G.mapping(z, c)[:, 2:])
    labels = torch.eye(networks.D.c_dim)[:1].repeat(2, 1) if networks.D.c_dim else None
    assert networks.D(img, labels).shape == (2, 1)


FORMS = {
    "nested": {**SIZES, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {**NARROW, "conv_clamp": 3}},
    "flat": {**SIZES, "mapping_kwargs": {"num_layers": 2}, **NARROW, "conv_clamp": 3, "fused_modconv_default": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_options_nested_and_flat_mean_the_same(form: str, tmp_path: Path) -> None:
    G = generator(synthesis_kwargs={**NARROW, "conv_clamp": 3}).eval().requires_grad_(False)
    path = written(tmp_path / "a.pkl", G_ema=nvidia_generator(G, FORMS[form]))
    loaded = openstylegan.load(path)
    z = torch.randn(3, 6) * 3
    assert torch.equal(loaded.G_ema(z, noise_mode="const"), G(z, noise_mode="const"))
    options = loaded.about["networks"]["G"]["options"]["synthesis_kwargs"]
    assert (options["conv_clamp"], options["channel_base"], options["architecture"]) == (3, 32, "skip")
    assert loaded.G is None and loaded.D is None


def test_what_the_call_left_out_is_taken_from_the_object(tmp_path: Path) -> None:
    kwargs = {**SIZES, "mapping_kwargs": {"num_layers": 2}, **NARROW}
    ada = nvidia_generator(
        generator(), kwargs, mapping={"w_avg_beta": 0.995}, synthesis__b4__conv1={"conv_clamp": None}
    )
    sg3 = nvidia_generator(
        generator(),
        kwargs,
        mapping={"w_avg_beta": 0.998},
        synthesis={"num_fp16_res": 4},
        synthesis__b4__conv1={"conv_clamp": 256},
    )
    found = []
    for name, record in {"ada": ada, "sg3": sg3}.items():
        options = openstylegan.load(written(tmp_path / name, G_ema=record)).about["networks"]["G"]["options"]
        synthesis = options["synthesis_kwargs"]
        found.append((synthesis["conv_clamp"], synthesis["num_fp16_res"], options["mapping_kwargs"]["w_avg_beta"]))
    assert found == [(None, 0, 0.995), (256, 4, 0.998)]


def test_options_by_position(tmp_path: Path) -> None:
    record = nvidia_generator(generator(), {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": NARROW})
    record.meta["state"]["_init_args"] = (6, 0, 7, 8, 3)
    assert openstylegan.load(written(tmp_path / "a.pkl", G_ema=record)).G_ema.w_dim == 7


def discriminator_record(**init: Any) -> Persistent:
    torch.manual_seed(0)
    D = build(DISCRIMINATORS, "stylegan2", {"img_resolution": 8, **NARROW, **init}, "discriminator")
    layers = {"": {"block_resolutions": [8]}, "b8": {"use_fp16": True}, "b4.conv": {"conv_clamp": 2}}
    return nvidia_network(
        D, "Discriminator", {"img_resolution": 8, "c_dim": 0, "img_channels": 3, **NARROW, **init}, layers
    )


def test_a_discriminator_s_missing_options_and_frozen_layers(tmp_path: Path) -> None:
    """Frozen weights are buffers, in the file and here."""
    record = discriminator_record(block_kwargs={"freeze_layers": 2})
    G = nvidia_generator(generator(), FORMS["nested"])
    D = openstylegan.load(written(tmp_path / "a.pkl", G_ema=G, D=record)).D
    assert D is not None and D.b8.fromrgb.conv_clamp == 2 and D.b8.low_precision_allowed
    assert {"b8.fromrgb.weight", "b8.conv0.weight"} <= {name for name, _ in D.named_buffers()}
    assert D.b4.mbstd.group_size == 4


def test_what_else_is_in_the_file_is_found(tmp_path: Path) -> None:
    pipe = nn.Module()
    pipe.register_buffer("p", torch.tensor(0.375))
    state = {**module_state(pipe, {}), "_init_args": (), "_init_kwargs": {"xflip": 1, "scale": 1}}
    path = written(
        tmp_path / "a.pkl",
        G_ema=nvidia_generator(generator(), FORMS["nested"]),
        augment_pipe=Persistent("AugmentPipe", state),
        training_set_kwargs={"path": "cats.zip", "xflip": True, "resolution": 8},
        progress={"cur_nimg": torch.tensor([25000]), "best_fid": 12.5},
        surprise=[1, 2],
    )
    about = openstylegan.load(path).about
    assert about["source"] == "nvidia-pytorch" and about["augment_p"] == 0.375
    assert about["augment_kwargs"] == {"xflip": 1, "scale": 1}
    assert about["training_set_kwargs"] == {"path": "cats.zip", "xflip": True, "resolution": 8}
    assert about["cur_nimg"] == 25000 and about["progress"]["best_fid"] == 12.5
    assert about["unread"] == {"surprise": "a list of 2"}


def renamed(G: nn.Module) -> None:
    G.synthesis.b4.torgb.extra = nn.Parameter(torch.zeros(2))


def without_bias(G: nn.Module) -> None:
    G.synthesis.b8.conv1.bias = None


def of_another_shape(G: nn.Module) -> None:
    G.mapping.fc0.bias = nn.Parameter(torch.zeros(8))


@pytest.mark.parametrize(
    ("change", "message"),
    [(renamed, "1 unknown"), (without_bias, "1 tensors missing"), (of_another_shape, "1 of another shape")],
)
def test_every_tensor_must_fit(change: Any, message: str, tmp_path: Path) -> None:
    G = generator()
    change(G)
    path = written(tmp_path / "a.pkl", G_ema=nvidia_generator(G, FORMS["nested"]))
    with pytest.raises(InputError, match=message) as error:
        openstylegan.load(path)
    assert "\n" not in str(error.value)


BAD_OPTIONS = {
    "unknown": ({"sharpness": 1}, "'sharpness'"),
    "endless": ({"mapping_kwargs": {"num_layers": 10**9}}, "which no network has"),
    "huge": ({"w_dim": 10**15}, "which no network has"),
    "of another type": ({"channel_base": "wide"}, "no network can be made"),
    "a size that is a text": ({"z_dim": "6"}, "z_dim of Generator as an integer"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_options_that_make_no_network(case: str, tmp_path: Path) -> None:
    options, message = BAD_OPTIONS[case]
    record = nvidia_generator(generator(), {**FORMS["flat"], **options})
    with pytest.raises(InputError, match=message) as error:
        openstylegan.load(written(tmp_path / "a.pkl", G_ema=record))
    assert "\n" not in str(error.value)


def test_tensors_that_repeat_their_memory_are_refused(tmp_path: Path) -> None:
    G = generator()
    G.mapping.fc0.weight = nn.Parameter(torch.zeros(1).expand(7, 6))
    with pytest.raises(InputError):
        openstylegan.load(written(tmp_path / "a.pkl", G_ema=nvidia_generator(G, FORMS["nested"])))


def test_an_unknown_network_is_named(tmp_path: Path) -> None:
    G = nvidia_generator(generator(), FORMS["nested"])
    other = nvidia_network(nn.Linear(2, 2), "Critic", {}, {})
    assert openstylegan.load(written(tmp_path / "a.pkl", G_ema=G, D=other)).about["unread"]["D"].endswith("(Critic)")
    with pytest.raises(InputError, match="as G_ema a network of a kind that is not known"):
        openstylegan.load(written(tmp_path / "b.pkl", G_ema=other, G=G))
    with pytest.raises(InputError, match="without G_ema"):
        openstylegan.load(written(tmp_path / "c.pkl", G=G))


def test_networks_without_an_entry_in_our_tables_are_inspected_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(GENERATORS, "fastgan", raising=False)
    path = GOLDEN / "pkl_pg_fastgan_lite.pkl"
    with pytest.raises(
        InputError, match="holds a FastGAN generator .Projected GAN., which this version reads but cannot"
    ):
        openstylegan.load(path)
    report = inspect(path).json()
    assert report["networks"]["G_ema"]["can_be_loaded"] is False
    assert report["networks"]["G_ema"]["options"]["ngf"] == 2 and report["networks"]["G_ema"]["options"]["lite"] is True
    assert report["networks"]["G_ema"]["parameters"] == 31982 and report["about"]["cur_nimg"] == 4000


def test_old_protocols(tmp_path: Path) -> None:
    for protocol in (2, 3, 5):
        path = tmp_path / f"{protocol}.pkl"
        path.write_bytes(nvidia_pickle({"G_ema": nvidia_generator(generator(), FORMS["nested"])}, protocol))
        assert torch.equal(openstylegan.load(path).G_ema.mapping.fc0.weight, generator().mapping.fc0.weight)
