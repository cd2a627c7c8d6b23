"""`openstylegan export`: a generator as a graph that other programs run."""

from __future__ import annotations

from pathlib import Path


def export(*, network: str, output: Path, check_seeds: int = 20) -> None:
    """Write a generator as ONNX (.onnx) or as a PyTorch exported program (.pt2), and compare it with the network.

    Parameters
    ----------
    network
        A network file, the folder of a run (its newest snapshot), or a URL; files of other programs are read too.
    output
        The file to write: NAME.onnx or NAME.pt2.
    check_seeds
        How many seeds the graph is compared on: in batches of 1 and 3, at truncation psi 0, 0.7 and 1.
    """
    from openstylegan.interop import load
    from openstylegan.interop.graphs import OPSET
    from openstylegan.interop.graphs import export as write
    from openstylegan.ops.allocator import configure_allocator

    configure_allocator()
    networks = load(network)
    described = networks.about.get("networks", {}).get("G")
    about = {"network": networks.path.name, **({} if described is None else {"generator": described})}
    written = write(networks.G_ema, output, about, check_seeds)
    form = f"ONNX opset {OPSET}" if output.suffix == ".onnx" else "torch.export program"
    print(f"wrote {output}: {form}, inputs {', '.join(inputs_of(networks.G_ema.c_dim))}, output image, any batch size")
    print(f"largest difference from the network on {check_seeds} seeds: {written.largest_difference:.2g}")


def inputs_of(c_dim: int) -> list[str]:
    """The names of the graph's inputs."""
    return ["z", "c", "truncation_psi"] if c_dim else ["z", "truncation_psi"]
