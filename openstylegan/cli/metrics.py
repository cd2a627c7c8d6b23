"""`openstylegan metrics`: measure a network against a dataset."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.features.weights import WeightPolicy
    from openstylegan.metrics.record import MetricRecord
    from openstylegan.snapshot import Networks


@dataclass(frozen=True)
class Job:
    """What every process measures; plain values, for it is sent to the processes."""

    networks: tuple[Path, ...]
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
    network: str,
    all_snapshots: Annotated[bool, Parameter(name="--all", negative="")] = False,
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
        A network file (ours, or one of the StyleGAN programs'), a URL, or the folder of a run (its newest network).
    all_snapshots
        Measure all networks of a run folder, the earliest first.
    metrics
        Comma-separated: fid50k_full, kid50k_full, pr50k3_full, ppl2_wend, eqt50k_int, eqt50k_frac, eqr50k; fid50k,
        kid50k, pr50k3, is50k, ppl_zfull, ppl_wfull, ppl_zend, ppl_wend; and with the offline features fd_efflite0,
        kd_efflite0, pr_efflite0, pl2_efflite0_wend, pl_efflite0_zfull, pl_efflite0_wfull, pl_efflite0_zend,
        pl_efflite0_wend.
    data
        The real pictures (those the network was trained on, by its own record or its run's).
    mirror
        Count mirrored pictures as real ones where the metric does (as in training).
    num_generated
        Generated pictures (or paths, or moves) to look at, instead of the metric's own number.
    gpus
        Processes: one a GPU, or on a CPU that many sharing its cores.
    batch
        Pictures at a time, rounded up to whole groups of up to 16. It changes no number.
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
    from openstylegan.files import clear_write_errors
    from openstylegan.interop.loading import find_network, snapshots_of
    from openstylegan.metrics.evaluate import check_available
    from openstylegan.training.launch import run_processes

    job = Job(
        tuple(snapshots_of(run_folder(network))) if all_snapshots else (find_network(network),),
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
    if outdir is not None:
        with clear_write_errors(outdir):
            outdir.mkdir(parents=True, exist_ok=True)
    run_processes(measure, job, gpus, device)


def measure(job: Job) -> None:
    """Measures in this process, which may be one of several; the main one prints and writes."""
    from openstylegan.ops.allocator import configure_allocator

    configure_allocator()
    full_precision()
    for network in job.networks:
        measure_network(job, network)


def measure_network(job: Job, network: Path) -> None:
    """Measures one network."""
    from openstylegan.cli.measured_data import needs_data, open_measured_data
    from openstylegan.cli.measuring_progress import MeasuringProgress
    from openstylegan.distributed import is_main
    from openstylegan.interop.loading import load
    from openstylegan.metrics.evaluate import Setup, evaluate
    from openstylegan.sampling.measured import NumberedSampler
    from openstylegan.training.launch import pick_device

    networks, device = load(network), pick_device(job.device)
    dataset, G = None, networks.G_ema.to(device)
    if job.data is not None or needs_data(job.names, G):
        dataset = open_measured_data(networks, job.data, job.mirror)
    sample = NumberedSampler(G, job.seed, *((len(dataset), dataset.labels) if dataset is not None else ()))
    setup = Setup(
        policy=policy_of(job),
        device=device,
        seed=job.seed,
        snapshot=network.name,
        sampling={"seed": job.seed, "truncation_psi": 1, "noise_mode": "random"},
    )
    shown = MeasuringProgress() if job.verbose and is_main() else None
    with shown or contextlib.nullcontext():
        records = evaluate(
            job.names,
            sample,
            dataset,
            num_generated=job.num_generated,
            batch_size=job.batch,
            cache=job.cache,
            progress=shown,
            setup=setup,
        )
    if is_main():
        write(records, networks, job.outdir)


def run_folder(network: str) -> Path:
    """The folder of a run. Raises `InputError` when `network` is none."""
    if not Path(network).is_dir():
        raise InputError(
            f"--all: expected the folder of a run as --network, got {network}; leave --all out for one file"
        )
    return Path(network)


def full_precision() -> None:
    """Switches TF32 off: metrics are taken in float32, on any GPU."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def policy_of(job: Job) -> WeightPolicy:
    """Which weights may be used, from the options. Raises `InputError`."""
    from openstylegan.cli.weight_options import detector_weights

    return detector_weights(job.weights, job.allow_download, job.allow_unverified)


def write(records: list[MetricRecord], networks: Networks, outdir: Path | None) -> None:
    """Prints the records and adds them to `outdir`, or to the folder of the run that the snapshot lies in."""
    from openstylegan.cli.measured_data import TRAINING_OPTIONS

    folder = outdir or networks.path.parent
    images_seen = networks.about.get("cur_nimg")
    more = {} if images_seen is None else {"kimg": images_seen // 1000}
    for record in records:
        print(record.to_json(), flush=True)
        if outdir is not None or any((folder / name).is_file() for name in ("config.json", TRAINING_OPTIONS)):
            record.append_to(folder, **more)
