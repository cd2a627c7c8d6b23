"""`openstylegan cluster`: classes for pictures that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError


def cluster(
    *,
    data: Path,
    dest: Path,
    num: int = 128,
    features: Literal["efficientnet-lite0", "inception", "vgg16"] = "efficientnet-lite0",
    seed: int = 0,
    weights: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    allow_download: Annotated[bool, Parameter(negative="")] = False,
    allow_unverified: Annotated[bool, Parameter(negative="")] = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Sort pictures into groups that look alike; writes lines of file,class, which `dataset --labels` reads.

    Parameters
    ----------
    data
        A dataset: a folder, ZIP or LMDB of pictures of one size.
    dest
        A new .csv.
    num
        How many groups.
    features
        The network whose features decide what looks alike.
    seed
        Decides where the search begins.
    weights
        A file of the network's weights: inception=FILE, vgg16=FILE or efficientnet-lite0=FILE; or a URL.
    allow_download
        Let missing weights be downloaded.
    allow_unverified
        Use weights whose SHA-256 is neither known nor given.
    device
        Where to compute the features.
    """
    import csv
    import io

    import numpy as np
    import torch

    from openstylegan.cli.weight_options import detector_weights
    from openstylegan.data.dataset import open_dataset
    from openstylegan.data.progress import progress_line
    from openstylegan.features import load_extractor
    from openstylegan.features.clusters import check_number, k_means
    from openstylegan.files import clear_write_errors, write_text
    from openstylegan.training.launch import pick_device

    if dest.exists() or dest.suffix != ".csv":
        raise InputError(f"--dest: expected a new .csv, got {dest}; give another name")
    dataset, place = open_dataset(data), pick_device(device)
    check_number(num, len(dataset))
    with clear_write_errors(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
    extractor = load_extractor(features, detector_weights(weights, allow_download, allow_unverified), place)
    rows = []
    with progress_line("features", len(dataset)) as advance:
        for first in range(0, len(dataset), 64):
            indices = np.arange(first, min(first + 64, len(dataset)))
            rows.append(extractor(torch.from_numpy(dataset.images(indices)).to(place)).cpu())
            advance(len(indices))
    classes = k_means(torch.cat(rows), num, seed)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([("file", "class"), *zip(dataset.names, classes.tolist(), strict=True)])
    write_text(dest, text.getvalue())
    sizes = torch.bincount(classes)
    print(f"{dest}: {num} groups of {sizes.min()} to {sizes.max()} pictures (median {int(sizes.median())})")
