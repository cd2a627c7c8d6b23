"""A generator as a graph that other programs run: ONNX, and PyTorch's own exported programs (`torch.export`).

The graph takes z [N, z_dim] (and c [N, c_dim] where the generator is conditional) of any batch size and the scalar
truncation_psi, and gives image [N, C, H, W], nominally in [-1, 1], float32. Noise is the network's own ("const").
Modulated convolutions are in their unfused form: input and output are scaled around one convolution for all samples.

The file says what it holds in its metadata, and is compared with the network before it gets its name.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan import __version__
from openstylegan.errors import InputError
from openstylegan.files import atomic_path
from openstylegan.networks.base import Generator
from openstylegan.ops.paths import exportable_paths

OPSET = 18
TOLERANCE = 1e-4
NUM_SEEDS, BATCHES, PSIS = 20, (1, 3), (0.0, 0.7, 1.0)
"""On what a graph is compared with its network: every seed in a batch of each size, at every truncation_psi."""
METADATA_NAME = "openstylegan.json"

Inputs = dict[str, Tensor]
Runner = Callable[[Inputs], Tensor]


class GraphDiffers(RuntimeError):
    """An exported graph computes something else than its network; its file was not kept."""

    exit_code = 1


@dataclass(frozen=True)
class Exported:
    """A file that was written, and the largest difference between its images and the network's."""

    path: Path
    largest_difference: float
    num_seeds: int


class ConditionalGraph(nn.Module):
    """z, c and truncation_psi to images."""

    def __init__(self, G: Generator):
        super().__init__()
        self.G = G

    def forward(self, z: Tensor, c: Tensor | None, truncation_psi: Tensor) -> Tensor:
        """w_avg + psi (w - w_avg) for every layer, then the synthesis with the network's own noise."""
        mapping: Any = self.G.mapping
        # `mapping` itself branches on psi == 1, which a graph cannot.
        ws = mapping.truncate(mapping(z, c, update_w_avg=False), truncation_psi)
        return self.G.synthesis(ws, noise_mode="const", force_fp32=True)


class UnconditionalGraph(ConditionalGraph):
    """z and truncation_psi to images."""

    def forward(self, z: Tensor, truncation_psi: Tensor) -> Tensor:  # type: ignore[override]
        """As `ConditionalGraph`, without c."""
        return super().forward(z, None, truncation_psi)


def export(
    G: Generator,
    path: str | os.PathLike[str],
    about: Mapping[str, Any] | None = None,
    num_seeds: int = NUM_SEEDS,
) -> Exported:
    """Writes `G` to `path`: an ONNX model (.onnx) or an exported program (.pt2), compared with `G` on `num_seeds`.

    `about`: what else the file should say of the network, plain values. Raises `InputError` for another ending, a
    generator that cannot truncate or a missing package, and `GraphDiffers`.
    """
    target = Path(path)
    if target.suffix not in WRITERS:
        raise InputError(f"expected an output that ends in {' or '.join(WRITERS)}, got '{target.name}'")
    if num_seeds < 1:
        raise InputError(f"expected at least 1 seed to compare on, got {num_seeds}")
    if not getattr(G.mapping, "tracks_w", True):
        raise InputError("expected a generator that keeps w_avg, got one without; truncation_psi would have no effect")
    G = G.cpu().eval().requires_grad_(False)
    metadata = {**describe(G), **(about or {})}
    with atomic_path(target) as temporary:
        run = WRITERS[target.suffix](G, temporary, metadata)
        largest = largest_difference(G, run, num_seeds)
        # Written so that a difference that is not a number fails too.
        if not largest <= TOLERANCE:
            raise GraphDiffers(
                f"the exported graph differs from the network by {largest:.2g}; {target} was not written"
            )
    return Exported(target, largest, num_seeds)


def describe(G: Generator) -> dict[str, Any]:
    """What a user of the file must know of the graph."""
    c = {"c": f"float32 [N, {G.c_dim}], one-hot"} if G.c_dim else {}
    return {
        "openstylegan": __version__,
        "inputs": {"z": f"float32 [N, {G.z_dim}], standard normal", **c, "truncation_psi": "float32 scalar"},
        "outputs": {"image": f"float32 [N, {', '.join(map(str, G.image_shape))}], nominally in [-1, 1]"},
        "noise_mode": "const",
    }


def example_inputs(G: Generator, seeds: Sequence[int], psi: float) -> Inputs:
    """A sample of each seed, of a class of its own where the generator is conditional, and psi."""
    z = torch.stack([torch.randn(G.z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    classes = torch.tensor([seed % max(G.c_dim, 1) for seed in seeds])
    c = {"c": nn.functional.one_hot(classes, G.c_dim).float()} if G.c_dim else {}
    return {"z": z, **c, "truncation_psi": torch.tensor(psi)}


@torch.no_grad()
def largest_difference(G: Generator, run: Runner, num_seeds: int) -> float:
    """Largest absolute difference between the images of `run`, in batches of all `BATCHES`, and of `G` one by one.

    Not a number when an image of either holds one.
    """
    differences = []
    for psi in PSIS:
        mine = torch.cat([images_of(G, example_inputs(G, [seed], psi)) for seed in range(num_seeds)])
        for size in BATCHES:
            for first in range(0, num_seeds, size):
                seeds = [(first + k) % num_seeds for k in range(size)]
                differences.append((run(example_inputs(G, seeds, psi)) - mine[seeds]).abs().max())
    return float(torch.stack(differences).max())


def images_of(G: Generator, inputs: Inputs) -> Tensor:
    """The network's own images of a graph's inputs."""
    psi = float(inputs["truncation_psi"])
    images = G(inputs["z"], inputs.get("c"), truncation_psi=psi, noise_mode="const", force_fp32=True)
    assert isinstance(images, Tensor)
    return images


def exported_program(G: Generator) -> Any:
    """`G` as a `torch.export.ExportedProgram` with a free batch size."""
    graph = (ConditionalGraph if G.c_dim else UnconditionalGraph)(G).eval()
    inputs = example_inputs(G, [0, 1], 0.7)  # two: sizes of 0 and 1 would be taken for constants
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} if value.dim() else {} for name, value in inputs.items()}
    with torch.no_grad(), exportable_paths(), quiet():
        return torch.export.export(graph, tuple(inputs.values()), dynamic_shapes=shapes, strict=False)


def write_program(G: Generator, path: Path, metadata: Mapping[str, Any]) -> Runner:
    """Writes a `.pt2` and returns what runs it, read back from the file."""
    program = exported_program(G)
    with quiet(), open(path, "wb") as file:
        torch.export.save(program, file, extra_files={METADATA_NAME: json.dumps(metadata)})
    with quiet(), open(path, "rb") as file:
        module = torch.export.load(file).module()
    return lambda inputs: module(*inputs.values())


def write_onnx(G: Generator, path: Path, metadata: Mapping[str, Any]) -> Runner:
    """Writes an ONNX model of opset `OPSET`, weights inside, and returns what runs it by onnxruntime."""
    runtime, onnx, _ = (needed(name) for name in ("onnxruntime", "onnx", "onnxscript"))
    program = exported_program(G)
    with torch.no_grad(), exportable_paths(), quiet():
        converted = torch.onnx.export(
            program,
            input_names=list(example_inputs(G, [0, 1], 0.7)),
            output_names=["image"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert converted is not None
    model = converted.model_proto
    described = {**metadata, "opset": OPSET}
    onnx.helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v) for k, v in described.items()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(["image"], {k: v.numpy() for k, v in inputs.items()})[0])


WRITERS: dict[str, Callable[[Generator, Path, Mapping[str, Any]], Runner]] = {
    ".onnx": write_onnx,
    ".pt2": write_program,
}


def needed(module: str) -> Any:
    """A module of the extra 'onnx'. Raises `InputError` when it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"expected the package {module} for an ONNX export, but it is not installed; "
            "run pip install 'openstylegan[onnx]', or export to .pt2"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' warnings about themselves, which nobody here can act upon."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
