"""`openstylegan demo`: everything once, on the embedded pictures: train, look, measure, generate."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

from openstylegan.errors import InputError

SCORE = "fd_efflite0"
SIDE, GROUPS = 32, 128
SPINS = "1000"
"""How long threads wait awake for one another. Beside one busy program on two cores demo-stylegan2 is twice as fast so
(55 against 28 images a second), and a tenth slower alone (99 against 113)."""


def demo(
    *,
    outdir: Path = Path("runs"),
    cfg: Literal["demo", "demo-stylegan2"] = "demo",
    minutes: float | None = None,
    seed: int | None = None,
) -> int:
    """Train on the embedded pictures for a few minutes on two CPU cores, and show what came out.

    Parameters
    ----------
    outdir
        Where the run folder is made.
    cfg
        FastGAN-lite by groups of pictures against a projected discriminator (demo), or StyleGAN2-ADA.
    minutes
        How long to train (5).
    seed
        Decides every random draw (0).
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is imported
    from openstylegan.ops.amx_found import without_units
    from openstylegan.ops.native import make_early

    if minutes is not None and not minutes > 0:
        raise InputError(f"--minutes: expected a number above 0, got {minutes:g}")
    units = not without_units()
    if cfg == "demo":  # compiled while the pictures are looked at
        make_early(["channels_last", "fastgan", *(["amx"] if units else [])])
    import torch

    from openstylegan.cli.train import begin, make_config
    from openstylegan.cli.train_arguments import TrainArguments
    from openstylegan.data.demo import demo_path
    from openstylegan.data.prepare import PrepareOptions, prepare
    from openstylegan.sampling.generate import generate
    from openstylegan.training.plots import write_curves
    from openstylegan.training.tick import BEST_SNAPSHOT

    data = outdir / "fluent-emoji-32.zip"
    if not data.exists():
        prepare(demo_path(), data, PrepareOptions(width=SIDE, height=SIDE))
    asked = TrainArguments(cfg=cfg, data=data, outdir=outdir, minutes=minutes, seed=seed)
    drawn: dict[str, Any] = {"trunc": 0.8}
    if cfg == "demo":
        data, drawn = by_groups(data), {"class_idx": "random"}
        precision: Literal["float32", "bfloat16"] = "bfloat16" if units else "float32"
        asked = dataclasses.replace(asked, data=data, cond=True, precision=precision)
    measure_reals(data)
    if cfg == "demo":
        torch.set_num_threads(1)  # its layers are too small to share: 40 images a second, 24 with two threads
    run = begin(asked, make_config(asked, asked.typed()))
    generate(run / BEST_SNAPSHOT, seeds=range(64), outdir=run / "generated", **drawn)
    curves = write_curves(run)
    print(summary(run, curves))
    return 0


def by_groups(data: Path) -> Path:
    """The same pictures with what looks alike as classes, beside them; made when they are not there."""
    from openstylegan.cli.cluster import cluster
    from openstylegan.data.prepare import PrepareOptions, prepare

    place = data.with_name(f"{data.stem}-groups.zip")
    if not place.exists():
        groups = place.with_suffix(".csv")
        groups.unlink(missing_ok=True)
        cluster(data=data, dest=groups, num=GROUPS)
        prepare(data, place, PrepareOptions(labels=str(groups)))
    return place


def measure_reals(data: Path) -> None:
    """Takes the real pictures' half of the score, which is kept, so that training does not wait for it later."""
    import torch

    from openstylegan.data.dataset import open_dataset
    from openstylegan.metrics.evaluate import evaluate

    print(f"looking at the pictures in {data}, once ...", flush=True)
    dataset = open_dataset(data)
    black = torch.zeros(1, *dataset.image_shape, dtype=torch.uint8)
    evaluate([SCORE], lambda indices: black.expand(len(indices), -1, -1, -1), dataset, num_generated=1)


def summary(run: Path, curves: Path | None) -> str:
    """What there is to see, and the score at the start and at the end."""
    from openstylegan.files import read_lines

    scores = [line["results"][SCORE] for line in read_lines(run / f"metric-{SCORE}.jsonl")]
    first, last = scores[0], scores[-1]
    rows = [
        ("report", run / "report.html"),
        ("pictures", run / "generated" / "grid.png"),
        ("while training", run / "fakes*.png"),
        ("curves", curves or "not drawn: pip install matplotlib"),
        ("snapshots", run / "network-snapshot-*.safetensors"),
        (SCORE, f"{first:.1f} at the start, {last:.1f} at the end ({last / first:.0%}; lower is better)"),
    ]
    return "\n".join(f"{name:>16}  {value}" for name, value in rows)
