"""`openstylegan project`: the w whose picture is nearest to a given one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from openstylegan.errors import InputError

if TYPE_CHECKING:
    from openstylegan.sampling.project import Projected


def project(
    *,
    network: str,
    outdir: Path,
    target: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    num_steps: int = 1000,
    seed: int = 303,
    save_video: bool | None = None,
    space: Literal["w", "w+"] = "w",
    control: int | None = None,
    features: Literal["efficientnet-lite0", "vgg16"] = "efficientnet-lite0",
    class_idx: Annotated[int | None, Parameter(name=["--class", "--class-idx"])] = None,
    batch: int = 1,
    weights: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    allow_download: Annotated[bool, Parameter(negative="")] = False,
    allow_unverified: Annotated[bool, Parameter(negative="")] = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Find the w whose picture is nearest to a given one: target.png, proj.png, projected_w.npz and proj.mp4.

    Parameters
    ----------
    network
        A network file, the folder of a run (its newest snapshot), or a URL; files of other programs are read too.
    outdir
        Folder for the files; with several targets each gets a folder of its own in it.
    target
        A picture, or a folder of pictures; may be given several times.
    num_steps
        Steps of the optimization.
    seed
        Decides the noise that is added to w and the noise maps.
    save_video
        Write proj.mp4 (when the package av is installed).
    space
        w: one w for all layers; w+: one for each, which comes nearer but is less like a picture of the network.
    control
        Project the picture of this seed first: what is reached with it is the most that can be hoped for.
    features
        What measures how alike two pictures look; vgg16 is the original's and needs its file.
    class_idx
        Class of a conditional network.
    batch
        Targets projected together.
    weights
        A file of weights: vgg16=FILE or efficientnet-lite0=FILE; a URL may stand for the file, and #sha256=HEX may
        follow it.
    allow_download
        Let missing weights be downloaded.
    allow_unverified
        Use weights whose SHA-256 is neither known nor given.
    device
        Where to compute.
    """
    from openstylegan.cli.open_generator import open_generator
    from openstylegan.cli.weight_options import weight_policy
    from openstylegan.data.progress import progress_line
    from openstylegan.features.lpips import PERCEPTUAL, check_perceptual, perceptual_distance
    from openstylegan.sampling.film import can_write_mp4, check_film
    from openstylegan.sampling.project import control_target, project_targets
    from openstylegan.sampling.projector import ProjectorOptions
    from openstylegan.sampling.targets import read_targets

    if not target and control is None:
        raise InputError("expected --target PICTURE, or --control SEED; got neither")
    if save_video:
        check_film("proj.mp4")
    elif save_video is None and not can_write_mp4():
        print("openstylegan: no proj.mp4, for the package av is not installed: pip install 'openstylegan[video]'")
    known = [kind.weights.key for kind in PERCEPTUAL.values()]
    policy = weight_policy(weights, known, allow_download, allow_unverified)
    check_perceptual(features, policy)
    options = ProjectorOptions(num_steps=num_steps, space=space, seed=seed)
    G = open_generator(network, class_idx, device)
    targets = read_targets(target, G.image_shape)
    if control is not None:
        targets.insert(0, control_target(G, control, class_idx))
    found = project_targets(
        G,
        targets,
        perceptual_distance(features, policy, next(G.parameters()).device),
        outdir,
        options,
        class_idx=class_idx,
        save_video=can_write_mp4() if save_video is None else save_video,
        batch=batch,
        watch=progress_line,
    )
    for one in found:
        print(described(one), flush=True)
    print(f"{len(targets)} projected in {outdir}")


def described(one: Projected) -> str:
    """A line on what was reached with one target."""
    text = f"{one.target.name}: PSNR {one.psnr:.2f} dB, distance {one.distance:.4f}"
    if one.w_error is not None:
        text += f"; its w is {one.w_error:.2f} times as far from the true one as the mean w is"
    return text
