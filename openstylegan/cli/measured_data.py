"""The real pictures that a network is measured with: those that are named, or those it was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.data.dataset import ImageDataset
    from openstylegan.networks.base import Generator
    from openstylegan.snapshot import Networks

TRAINING_OPTIONS = "training_options.json"
"""What the StyleGAN programs write into a run's folder."""


@dataclass(frozen=True)
class TrainingData:
    """What a network was trained on, as far as its file or its run's folder says."""

    path: str
    xflip: bool = False
    label_source: str = "dataset.json"
    resize: int | Literal["nearest"] | None = None
    channels: int | None = None


def training_data(networks: Networks) -> TrainingData | None:
    """From the run's configuration in the file, the `training_set_kwargs` of a foreign one, or its folder's options."""
    config = networks.config
    if config is not None:
        data = config.data
        return TrainingData(data.path, data.xflip, data.label_source, data.resize, data.channels)
    options = networks.about.get("training_set_kwargs") or folder_options(networks.path.parent)
    if not options.get("path"):
        return None
    return TrainingData(str(options["path"]), bool(options.get("xflip", False)))


def folder_options(folder: Path) -> dict[str, Any]:
    """`training_set_kwargs` of a folder's training_options.json; empty without. Raises `InputError`."""
    path = folder / TRAINING_OPTIONS
    if not path.is_file():
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
        return dict(options.get("training_set_kwargs") or {})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"expected training options as JSON in {path}, got something else ({error})") from error


def located(path: str, folder: Path) -> Path | None:
    """Where a run's data lie: a relative path is tried from here, then from the run's folder and those above it.

    Runs usually lie below the folder that they were started from.
    """
    from openstylegan.data.lmdb_storage import is_lmdb_path

    place = Path(path)
    tried = [place] if place.is_absolute() else [place, *(above / place for above in (folder, *folder.parents))]
    return next((candidate for candidate in tried if candidate.exists() or is_lmdb_path(candidate)), None)


def own_pictures(own: TrainingData | None, network: Path) -> Path:
    """Where the pictures lie that a network was trained on. Raises `InputError`."""
    if own is None:
        raise InputError(f"expected real pictures: {network} does not say what it was trained on; give --data")
    path = located(own.path, network.resolve().parent)
    if path is None:
        raise InputError(f"expected the pictures {network.name} was trained on at {own.path}, found none; give --data")
    return path


def needs_data(names: Sequence[str], G: Generator) -> bool:
    """Whether some metric looks at real pictures, or the generator needs their labels."""
    from openstylegan.metrics import METRICS, Metric

    chosen = [METRICS[name] for name in names]
    return G.c_dim > 0 or any(isinstance(metric, Metric) and metric.max_reals != 0 for metric in chosen)


def open_measured_data(networks: Networks, data: Path | None, mirror: bool | None) -> ImageDataset:
    """The dataset `data`, or that of the run, in the network's shape and with labels if it has any.

    `mirror` None: as in training. Raises `InputError`.
    """
    from openstylegan.data.dataset import open_dataset
    from openstylegan.data.sized import Sized, sized

    G, own = networks.G_ema, training_data(networks)
    path = data or own_pictures(own, networks.path)
    if own is not None:
        pictures = sized(path, own.resize, own.channels, own.label_source)
    else:
        pictures = Sized(str(path), "dataset.json")
    dataset = open_dataset(
        pictures.path,
        use_labels=G.c_dim > 0,
        xflip=mirror if mirror is not None else own is not None and own.xflip,
        resolution=G.image_shape[1:],
        label_source=pictures.label_source,
    )
    check_form(dataset, G, path)
    return dataset


def check_form(dataset: ImageDataset, G: Generator, path: str | Path) -> None:
    """Raises `InputError` unless the dataset has the generator's channels and labels."""
    if dataset.image_shape[0] != G.image_shape[0]:
        raise InputError(
            f"expected pictures of {G.image_shape[0]} channels like the network's in {path}, got "
            f"{dataset.image_shape[0]}; make them with `openstylegan dataset --mode`"
        )
    if dataset.label_dim != G.c_dim:
        raise InputError(
            f"expected labels of length {G.c_dim} like the network's in {path}, got {dataset.label_dim}; "
            "use the data it was trained on"
        )
