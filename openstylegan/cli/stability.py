"""`openstylegan stability`: how much the same latents' pictures still change from epoch to epoch, of several runs."""

from __future__ import annotations

from pathlib import Path

from openstylegan.errors import InputError


def stability(
    *runs: Path,
    output: Path,
    num_latents: int = 36,
    epochs: float = 1.0,
    epoch_images: int | None = None,
    seed: int = 0,
) -> None:
    """Draw how much pictures change between snapshots, one panel a run and one curve a resolution; with a table.

    Parameters
    ----------
    runs
        Folders of runs with several snapshots (train with a small --snap).
    output
        The PNG; a .csv of the same name is written beside it.
    num_latents
        Latents whose pictures are compared.
    epochs
        Epochs between two pictures that are compared, at least.
    epoch_images
        Pictures in an epoch (those of the run's dataset, mirrored ones too).
    seed
        Chooses the latents.
    """
    from openstylegan.sampling.spectra_plots import check_matplotlib
    from openstylegan.sampling.stability import draw_stability, stability_of, write_table

    if not runs:
        raise InputError("expected the folder of at least one run, got none")
    if output.suffix.lower() != ".png":
        raise InputError(f"--output: expected a file that ends in .png, got {output}")
    check_matplotlib()
    found = [
        stability_of(run, num_latents=num_latents, seed=seed, epochs=epochs, num_epoch_images=epoch_images)
        for run in runs
    ]
    draw_stability(output, found)
    write_table(output.with_suffix(".csv"), found)
    for run in found:
        ends = ", ".join(f"{curve.width} px {curve.mse[-1]:.2g}" for curve in run.curves)
        print(f"{run.name}: snapshots {run.spacing:.3g} epochs apart; MSE at the end: {ends}")
    print(output)
