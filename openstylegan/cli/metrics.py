"""`openstylegan metrics`: measure a network against a dataset."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.data.dataset import ImageDataset
    from openstylegan.features.weights import WeightPolicy
    from openstylegan.metrics.record import MetricRecord
    from openstylegan.snapshot import Networks


@dataclass(frozen=True)
class Job:
    """What every process measures; plain values, for it is sent to the processes."""

    network: Path
    names: tuple[str, ...]
    data: Path | None
    mirror: bool | None
    num_generated: int | None
    batch: int
    seed: int
    device: str
    verbose: bool
    cache: bool
    outdir: Path | None
    weights: tuple[str, ...]
    allow_download: bool
    allow_unverified: bool


def metrics(
    *,
    network: Path,
    metrics: str = "fid50k_full",
    data: Path | None = None,
    mirror: bool | None = None,
    num_generated: int | None = None,
    gpus: int = 1,
    batch: int = 64,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    verbose: bool = True,
    cache: bool = True,
    outdir: Path | None = None,
    weights: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    allow_download: Annotated[bool, Parameter(negative="")] = False,
    allow_unverified: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure a network; prints a line of JSON a metric, also added to metric-NAME.jsonl of its run folder.

    Parameters
    ----------
    network
        A network snapshot, or the folder of a run (its newest snapshot).
    metrics
        Comma-separated: fid50k_full, kid50k_full, pr50k3_full, is50k, fid50k, kid50k, pr50k3, fd_efflite0,
        kd_efflite0, pr_efflite0.
    data
        The real pictures (those the network was trained on).
    mirror
        Count mirrored pictures as real ones where the metric does (as in training).
    num_generated
        Generated pictures to look at, instead of the metric's own number.
    gpus
        Processes: one a GPU, or on a CPU that many sharing its cores.
    batch
        Pictures at a time.
    seed
        Decides the generated pictures and the sub-sets of KID.
    device
        Where to compute.
    verbose
        Show progress.
    cache
        Keep the statistics of the real pictures for the next time.
    outdir
        Folder for metric-NAME.jsonl, instead of the run folder.
    weights
        A file of detector weights: inception=FILE, vgg16=FILE or efficientnet-lite0=FILE; a URL may stand for the
        file, and #sha256=HEX may follow it.
    allow_download
        Let missing weights be downloaded.
    allow_unverified
        Use weights whose SHA-256 is neither known nor given.
    """
    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    if not names:
        raise InputError("expected at least one metric, got none; give --metrics, such as --metrics fd_efflite0")
    from openstylegan.metrics.evaluate import check_available
    from openstylegan.snapshot import find_snapshot
    from openstylegan.training.launch import run_processes

    job = Job(
        find_snapshot(network),
        names,
        data,
        mirror,
        num_generated,
        batch,
        seed,
        device,
        verbose,
        cache,
        outdir,
        weights,
        allow_download,
        allow_unverified,
    )
    check_available(names, policy_of(job))
    run_processes(measure, job, gpus, device)


def measure(job: Job) -> None:
    """Measures in this process, which may be one of several; the main one prints and writes."""
    from openstylegan.distributed import is_main
    from openstylegan.metrics.evaluate import Setup, evaluate
    from openstylegan.ops.allocator import configure_allocator
    from openstylegan.sampling.measured import NumberedSampler
    from openstylegan.snapshot import load
    from openstylegan.training.launch import pick_device

    configure_allocator()
    networks = load(job.network)
    dataset = open_reals(job, networks)
    device = pick_device(job.device)
    setup = Setup(
        policy=policy_of(job),
        device=device,
        seed=job.seed,
        snapshot=job.network.name,
        sampling={"seed": job.seed, "truncation_psi": 1, "noise_mode": "random"},
    )
    sample = NumberedSampler(networks.G_ema.to(device), job.seed, len(dataset), dataset.labels)
    records = evaluate(
        job.names,
        sample,
        dataset,
        num_generated=job.num_generated,
        batch_size=job.batch,
        cache=job.cache,
        progress=show_progress if job.verbose and is_main() else None,
        setup=setup,
    )
    if is_main():
        write(records, networks, job.outdir)


def policy_of(job: Job) -> WeightPolicy:
    """Which weights may be used, from the options. Raises `InputError`."""
    from openstylegan.features import EXTRACTORS
    from openstylegan.features.weights import WeightPolicy
    from openstylegan.registry import lookup

    keys = {kind.weights.key: kind for kind in EXTRACTORS.values()}
    files = {}
    for entry in job.weights:
        key, equals, place = entry.partition("=")
        if not equals or not place:
            raise InputError(f"--weights: expected NAME=FILE, such as inception=inception-2015-12-05.pt, got '{entry}'")
        lookup(keys, key, "file of weights")
        files[key] = place
    return WeightPolicy(files, job.allow_download, job.allow_unverified)


def open_reals(job: Job, networks: Networks) -> ImageDataset:
    """The dataset to compare with, of the network's shape. Raises `InputError`."""
    from openstylegan.data.dataset import open_dataset

    G, config = networks.G_ema, networks.config
    path = job.data or (config.data.path if config is not None else None)
    if path is None:
        raise InputError(f"expected real pictures: {job.network} does not say what it was trained on; give --data")
    mirror = job.mirror if job.mirror is not None else config is not None and config.data.xflip
    channels, height, width = G.image_shape
    dataset = open_dataset(path, use_labels=G.c_dim > 0, xflip=mirror, resolution=(height, width))
    if dataset.image_shape[0] != channels:
        raise InputError(
            f"expected pictures of {channels} channels like the network's in {path}, got {dataset.image_shape[0]}; "
            "make them with `openstylegan dataset --mode`"
        )
    if dataset.label_dim != G.c_dim:
        raise InputError(
            f"expected labels of length {G.c_dim} like the network's in {path}, got {dataset.label_dim}; "
            "use the data it was trained on"
        )
    return dataset


def show_progress(done: int, total: int, what: str) -> None:
    """A counter on the error output: rewritten on a terminal, else a line at every tenth."""
    if sys.stderr.isatty():
        print(f"\r{what}: batch {done} of {total} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
    elif done * 10 // total != (done - 1) * 10 // total:
        print(f"{what}: batch {done} of {total}", file=sys.stderr, flush=True)


def write(records: list[MetricRecord], networks: Networks, outdir: Path | None) -> None:
    """Prints the records and adds them to `outdir`, or to the run folder the snapshot lies in."""
    folder = outdir or networks.path.parent
    if outdir is not None:
        outdir.mkdir(parents=True, exist_ok=True)
    images_seen = networks.about.get("cur_nimg")
    more = {} if images_seen is None else {"kimg": images_seen // 1000}
    for record in records:
        print(record.to_json(), flush=True)
        if outdir is not None or (folder / "config.json").is_file():
            record.append_to(folder, **more)
