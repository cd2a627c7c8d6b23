"""Exported graphs: equal to the network for every seed, batch and psi, and they say what they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from openstylegan.cli.main import main
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.interop import graphs
from openstylegan.interop.graphs import TOLERANCE, GraphDiffers, example_inputs, export
from openstylegan.networks import GENERATORS, Generator
from openstylegan.ops.modulated_conv2d import modulated_conv2d_sg3
from openstylegan.ops.paths import exportable_paths
from openstylegan.snapshot import write_snapshot

SMALL = {"z_dim": 6, "w_dim": 8, "mapping_kwargs": {"num_layers": 2}}
COMPONENTS = {
    "stylegan2": Component(
        "stylegan2",
        {
            **SMALL, "c_dim": 3, "img_resolution": [8, 16], "img_channels": 4,
            "synthesis_kwargs": {"channel_base": 64, "channel_max": 8, "conv_clamp": 4.0, "num_fp16_res": 1},
        },
    ),
    "stylegan3": Component(
        "stylegan3",
        {**SMALL, "img_resolution": 16, "channel_base": 64, "channel_max": 8, "num_layers": 4, "margin_size": 4},
    ),
}  # fmt: skip


def network(name: str) -> Generator:
    """With moved running statistics and noise, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        G = GENERATORS[name](**COMPONENTS[name].options)
        G.mapping.get_buffer("w_avg").normal_()
        for parameter_name, parameter in G.named_parameters():
            if parameter_name.endswith("noise_strength"):
                parameter.data.fill_(0.3)
    return G.eval().requires_grad_(False)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "network.safetensors"
    write_snapshot(path, {"G_ema": network("stylegan2")}, {"G": COMPONENTS["stylegan2"]}, {"cur_nimg": 1000})
    return path


def pictures(G: Generator, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    psi = float(inputs["truncation_psi"])
    images = G(inputs["z"], inputs.get("c"), truncation_psi=psi, noise_mode="const")
    assert isinstance(images, torch.Tensor)
    return images


def test_onnx_from_the_command_line(snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way, judged by our own run of onnxruntime: 20 seeds, batches of 1 and 3, psi 0, 0.7 and 1."""
    runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    target = tmp_path / "x.onnx"
    assert main(["export", f"--network={snapshot}", f"--output={target}"]) == 0
    assert "largest difference" in capsys.readouterr().out
    session, G = runtime.InferenceSession(str(target)), network("stylegan2")
    assert {i.name for i in session.get_inputs()} == {"z", "c", "truncation_psi"}
    for num in (1, 3):
        for seed in range(20):
            for psi in (0.0, 0.7, 1.0):
                inputs = example_inputs(G, [seed + k for k in range(num)], psi)
                (found,) = session.run(None, {k: v.numpy() for k, v in inputs.items()})
                assert float((torch.from_numpy(found) - pictures(G, inputs)).abs().max()) < TOLERANCE
    model = onnx.load(target)
    told = {p.key: p.value for p in model.metadata_props}
    assert json.loads(told["generator"])["options"]["img_resolution"] == [8, 16]
    assert [o.version for o in model.opset_import if not o.domain] == [int(told["opset"])]
    assert told["noise_mode"] == "const"
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert convolutions and {a.i for n in convolutions for a in n.attribute if a.name == "group"} <= {1, 4, 8}


@pytest.mark.parametrize("name", COMPONENTS)
def test_exported_programs(name: str, tmp_path: Path) -> None:
    G, target = network(name), tmp_path / "x.pt2"
    written = export(G, target, {"network": "x"}, num_seeds=4)
    assert written.largest_difference < TOLERANCE
    extra = {graphs.METADATA_NAME: ""}
    module = torch.export.load(target, extra_files=extra).module()
    assert json.loads(extra[graphs.METADATA_NAME])["network"] == "x"
    for num in (1, 2, 5):
        inputs = example_inputs(G, list(range(num)), 0.5)
        assert float((module(*inputs.values()) - pictures(G, inputs)).abs().max()) < TOLERANCE


def test_stylegan3_as_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert export(network("stylegan3"), tmp_path / "x.onnx", num_seeds=4).largest_difference < TOLERANCE


def test_a_graph_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    G = network("stylegan2")
    for wrong in (2 * TOLERANCE, float("nan")):

        def writer(G: Generator, path: Path, metadata: Any, wrong: float = wrong) -> graphs.Runner:
            path.write_bytes(b"x")
            return lambda inputs: pictures(G, inputs) + wrong * (float(inputs["truncation_psi"]) == 1)

        monkeypatch.setitem(graphs.WRITERS, ".pt2", writer)
        with pytest.raises(GraphDiffers, match="not written"):
            export(G, tmp_path / "x.pt2", num_seeds=2)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("demodulate", [True, False])
def test_the_unfused_form_is_the_op(demodulate: bool) -> None:
    random = torch.Generator().manual_seed(0)
    x, w, s = (torch.randn(shape, generator=random).double() for shape in ([2, 3, 6, 6], [4, 3, 3, 3], [2, 3]))
    gain = torch.tensor([0.5, 2.0, 3.0]).double()
    expected = modulated_conv2d_sg3(x, w, s, demodulate, padding=2, input_gain=gain)
    with exportable_paths():
        found = modulated_conv2d_sg3(x, w, s, demodulate, padding=2, input_gain=gain)
    assert torch.allclose(found, expected, atol=1e-12)


def test_what_cannot_be_exported(snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", f"--network={snapshot}", f"--output={tmp_path / 'x.pb'}"]) == 2
    assert ".onnx or .pt2" in capsys.readouterr().err
    assert main(["export", f"--network={snapshot}", f"--output={tmp_path / 'x.pt2'}", "--check-seeds=0"]) == 2
    G = GENERATORS["stylegan2"](**{**COMPONENTS["stylegan2"].options, "mapping_kwargs": {"w_avg_beta": None}})
    with pytest.raises(InputError, match="w_avg"):
        export(G, tmp_path / "x.pt2")


def test_missing_packages_are_named(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", f"--network={snapshot}", f"--output={tmp_path / 'x.onnx'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "openstylegan[onnx]" in error and "onnxruntime" in error
