"""`openstylegan spectra`: average power spectra of a dataset or of a network's pictures, and drawings of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.sampling.spectra import PictureSource

spectra = App(name="spectra", help="Average power spectra of a dataset or of a network's pictures.")
NETWORK_ENDINGS = (".safetensors", ".pkl", ".pt", ".pth")


@spectra.command(name="stats")
def stats_command(
    *,
    source: str,
    num: int | None = None,
    seed: int = 0,
    batch: int = 16,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Mean and deviation of pictures, printed as the options that `calc` takes.

    Parameters
    ----------
    source
        A dataset (a folder or ZIP), or a network (a file, URL or run folder).
    num
        Pictures to look at: of a network needed, of a dataset all.
    seed
        Chooses the pictures.
    batch
        Pictures at a time.
    device
        Where to draw a network's pictures.
    """
    from openstylegan.data.progress import progress_line
    from openstylegan.sampling.spectra import mean_and_deviation

    pictures = open_source(source, num, seed, batch, device)
    with progress_line("pictures", pictures.num) as advance:
        mean, std = mean_and_deviation(pictures, advance)
    print(f"--mean={mean:g} --std={std:g}")


@spectra.command(name="calc")
def calc_command(
    *,
    source: str,
    dest: Path,
    mean: float,
    std: float,
    num: int | None = None,
    seed: int = 0,
    beta: float = 8.0,
    interp: int = 4,
    batch: int = 16,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """The average spectrum of pictures, as an .npz file.

    Parameters
    ----------
    source
        A dataset (a folder or ZIP), or a network (a file, URL or run folder).
    dest
        The file to write: arrays spectrum and image_size.
    mean
        Mean of the data's values, 0 to 255, as `stats` prints it. Give the data's for a network, too.
    std
        Standard deviation of the data's values.
    num
        Pictures to look at: of a network needed, of a dataset all.
    seed
        Chooses the pictures.
    beta
        Shape of the Kaiser window.
    interp
        How many times finer the spectrum is than the picture's size gives.
    batch
        Pictures at a time.
    device
        Where to compute.
    """
    from openstylegan.data.progress import progress_line
    from openstylegan.sampling.spectra import average_spectrum, check_options
    from openstylegan.training.launch import pick_device

    if dest.suffix != ".npz":
        raise InputError(f"--dest: expected a file that ends in .npz, got {dest}")
    check_options(std, beta, interp)
    pictures = open_source(source, num, seed, batch, device)
    with progress_line("pictures", pictures.num) as advance:
        found = average_spectrum(pictures, mean, std, beta, interp, advance, pick_device(device))
    found.save(dest)
    side = len(found.power)
    print(f"{dest}: {side} x {side}, of {pictures.num} pictures of {found.image_size} x {found.image_size}")


@spectra.command(name="heatmap")
def heatmap_command(path: Path, *, save: Path | None = None, dpi: int = 100, smooth: float = 1.25) -> None:
    """Draw a spectrum over both frequencies.

    Parameters
    ----------
    path
        A file of `calc`.
    save
        The PNG to write (beside the file, NAME-heatmap.png).
    dpi
        Pixels an inch of 6 x 4.8 inches.
    smooth
        Deviation of a Gaussian, in 1 / image width; 0 for none.
    """
    from openstylegan.sampling.spectra import load_spectrum
    from openstylegan.sampling.spectra_plots import draw_heatmap

    place = save or path.with_name(f"{path.stem}-heatmap.png")
    check_drawing(dpi, smooth)
    draw_heatmap(load_spectrum(path), place, path.stem, smooth, dpi)
    print(place)


@spectra.command(name="slices")
def slices_command(*paths: Path, save: Path | None = None, dpi: int = 100, smooth: float = 0.0) -> None:
    """Draw several spectra along 0 and 45 degrees.

    Parameters
    ----------
    paths
        Files of `calc`, of pictures of one size.
    save
        The PNG to write (beside the first file, NAME-slices.png).
    dpi
        Pixels an inch of 12 x 4.6 inches.
    smooth
        Deviation of a Gaussian, in 1 / image width; 0 for none.
    """
    from openstylegan.sampling.spectra import load_all
    from openstylegan.sampling.spectra_plots import draw_slices

    if not paths:
        raise InputError("expected at least one file of `spectra calc`, got none")
    place = save or paths[0].with_name(f"{paths[0].stem}-slices.png")
    check_drawing(dpi, smooth)
    draw_slices(load_all(list(paths)), [path.stem for path in paths], place, smooth, dpi)
    print(place)


def check_drawing(dpi: int, smooth: float) -> None:
    """Raises `InputError` for what cannot be drawn."""
    if dpi < 1 or smooth < 0:
        raise InputError(f"expected --dpi from 1 and --smooth from 0, got {dpi} and {smooth:g}")


def is_network(source: str) -> bool:
    """Whether a source is a network: by its ending, as a URL, or as a folder that holds one."""
    if source.startswith(("http://", "https://", "file://")) or source.lower().endswith(NETWORK_ENDINGS):
        return True
    folder = Path(source)
    return folder.is_dir() and any(any(folder.glob(f"network-snapshot-*{ending}")) for ending in NETWORK_ENDINGS)


def open_source(source: str, num: int | None, seed: int, batch: int, device: str) -> PictureSource:
    """The pictures to look at. Raises `InputError`."""
    from openstylegan.sampling.spectra import pictures_of_dataset, pictures_of_network

    if batch < 1 or (num is not None and num < 1):
        raise InputError(f"expected --num and --batch from 1, got {num} and {batch}")
    if is_network(source):
        from openstylegan.cli.open_generator import open_generator

        if num is None:
            raise InputError("expected --num, how many pictures of the network to look at (70000 for FFHQ)")
        return pictures_of_network(open_generator(source, None, device), num, seed, batch)
    from openstylegan.data.dataset import open_dataset

    dataset = open_dataset(source, max_size=num, seed=seed)
    if num is not None and num > len(dataset):
        raise InputError(f"expected at most {len(dataset)} pictures, so many are in {source}, got --num {num}")
    return pictures_of_dataset(dataset, batch)
