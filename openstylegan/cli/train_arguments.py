"""The options of `openstylegan train`, under the names users of the StyleGAN programs know, and a few of ours."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from openstylegan.presets import FAMILIES, PRESETS

Augpipe = Literal["blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"]


@Parameter(name="*")
@dataclass(frozen=True)
class TrainArguments:
    """What was typed; None where nothing was."""

    outdir: Path | None = None
    """Where run folders are made."""
    data: Path | None = None
    """The training pictures: a folder or a ZIP. With --cfg=demo: the demo pictures."""
    gpus: int | None = None
    """Processes: one a GPU, or on a CPU that many sharing its cores (1)."""
    cfg: Annotated[str | None, Parameter(help=f"Configuration: {', '.join(PRESETS)} (auto).")] = None
    family: Annotated[str | None, Parameter(help=f"Where two have a --cfg of that name: {', '.join(FAMILIES)}.")] = None
    cond: bool = False
    """Train on the labels in dataset.json."""
    label_source: Literal["dataset.json", "folders"] = "dataset.json"
    """Where labels come from: dataset.json, or the names of the first folders."""
    cache: bool | None = None
    """Decode all pictures once into a file that is read faster (used when it is there)."""
    resize: str | None = None
    """Crop and resize pictures of any size to squares of so many pixels; nearest: the nearest power of two (plain)."""
    channels: Literal[1, 3, 4] | None = None
    """Convert pictures to grey, RGB or RGBA (as they are; RGB where a folder to be resized is mixed)."""
    subset: int | None = None
    """Train on N pictures, chosen by the seed."""
    mirror: bool = False
    """Add every picture mirrored."""
    gamma: float | None = None
    """Weight of R1."""
    kimg: float | None = None
    """Length of the run, in thousands of real pictures shown."""
    steps: int | None = None
    """Length of the run in steps of the generator, instead of --kimg."""
    minutes: float | None = None
    """End the run after so many minutes, even if --kimg is not reached."""
    batch: int | None = None
    """Pictures a step, over all processes."""
    batch_gpu: int | None = None
    """Pictures a micro-batch; gradients are accumulated up to the batch."""
    aug: Literal["noaug", "ada", "fixed"] | None = None
    """Augmentation: none, adaptive, or of fixed strength (ada)."""
    p: float | None = None
    """Strength of --aug=fixed."""
    target: float | None = None
    """Target of --aug=ada (0.6)."""
    augpipe: Augpipe | None = None
    """Which augmentations (bgc)."""
    resume: str | None = None
    """A run folder: go on with it, exactly. A network (file, URL, or name, as ffhq256): a new run with its weights."""
    init_from: str | None = None
    """Begin a new run with what fits of a network (file or URL): other sizes and classes too; the recipe stays."""
    freezed: int | None = None
    """Freeze the first N layers of the discriminator."""
    cbase: int | None = None
    """A layer at resolution r has cbase / r channels, at most cmax."""
    cmax: int | None = None
    """Largest number of channels (512)."""
    map_depth: int | None = None
    """Layers of the mapping network."""
    mbstd_group: int | None = None
    """Samples that the discriminator's minibatch standard deviation compares (4)."""
    glr: float | None = None
    """Learning rate of the generator."""
    dlr: float | None = None
    """Learning rate of the discriminator."""
    bmc: Literal["none", "g", "d", "both"] | None = None
    """Brownian Motion Controller: on the generator, the discriminator, or both (none)."""
    bmc_rho1: float | None = None
    """Strength of its linear part (0.1)."""
    bmc_rho2: float | None = None
    """Strength of its superlinear part (0.01)."""
    bmc_beta: float | None = None
    """Exponent of its superlinear part (2)."""
    bmc_mean: float | None = None
    """Mean of its noise; a negative one pulls the discriminator's logits to zero (0)."""
    bmc_std: float | None = None
    """Standard deviation of its noise (1)."""
    bmc_noise: Literal["step", "image"] | None = None
    """One draw of its noise a step, or one an image (step)."""
    sched: bool = False
    """Growing: the batch and learning rate of each size, from 256 pictures at 8 px (batch 32, rate 0.001)."""
    phase: int | None = None
    """Growing: pictures in which a size fades in, and as many again that it stays (600000)."""
    init_size: int | None = None
    """Growing: the first size in pixels (8)."""
    max_size: int | None = None
    """Growing: the last size in pixels (that of the pictures)."""
    mixing: bool = False
    """Mix the styles of two latents in nine steps of ten."""
    loss: Literal["wgan-gp", "r1", "vanilla", "wasserstein"] | None = None
    """Growing: Wasserstein with gradient penalty, or non-saturating with R1 (wgan-gp); plain: likewise (vanilla)."""
    gp_weight: float | None = None
    """Weight of the gradient penalty of --loss=wasserstein (10)."""
    gp_every: int | None = None
    """Steps of the discriminator from one gradient penalty to the next (wasserstein: 1, vanilla: 16)."""
    plr_weight: float | None = None
    """Weight of path length regularization; 0 leaves it out (2)."""
    plr_every: int | None = None
    """Steps of the generator from one path length regularization to the next (4)."""
    d_steps: int | None = None
    """Steps of the discriminator for each of the generator (1)."""
    latent_dim: int | None = None
    """Numbers in z and in w (512)."""
    map_lr: float | None = None
    """Learning rate of the mapping network, relative to the others (0.01)."""
    capacity: int | None = None
    """Width: the generator has 2 capacity channels at full size, twice as many at every half, at most cmax (16)."""
    d_widths: Literal["rising", "mirrored"] | None = None
    """The discriminator's channels: 2 capacity at 4 px, twice as many at every double; or the generator's (rising)."""
    tanh: Annotated[bool, Parameter(negative="")] = False
    """End the generator with tanh."""
    mbstd_channels: int | None = None
    """Channels of minibatch standard deviation; 0 leaves it out (1)."""
    fir: str | None = None
    """Taps of the filter that resampling uses (1,3,3,1)."""
    ema_beta: float | None = None
    """What the averaged generator keeps in a step of the generator (0.999)."""
    ema_start: int | None = None
    """Step of the generator from which it is averaged (0)."""
    w_mean: Literal["ema", "samples"] | None = None
    """What truncation moves w to: a running mean, or one estimated when pictures are drawn (ema)."""
    w_samples: int | None = None
    """Latents from which --w-mean=samples estimates it (20000)."""
    mixing_prob: float | None = None
    """Share of the steps in which the styles of two latents are mixed (0.9)."""
    sample_psi: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Truncations that grids are drawn with, such as 1,0.7 (1)."""
    sample_mixing: str | None = None
    """Probabilities of mixing that grids are drawn with, such as 0,0.9 (0)."""
    sample_every: int | None = None
    """Steps of the generator between grids, instead of --tick and --snap."""
    save_every: int | None = None
    """Steps of the generator between snapshots, and between checkpoints, instead of --tick and --snap."""
    ckpt: str | None = None
    """Growing: a network (file or URL) to begin with; then the first size fades in too."""
    no_from_rgb_activate: Annotated[bool, Parameter(negative="")] = False
    """Leave out the discriminator's activation after the layer that reads a picture."""
    desc: str | None = None
    """Text at the end of the run folder's name."""
    metrics: str | None = None
    """Metrics to take with each snapshot, comma-separated, or none (none; demo: fd_efflite0)."""
    metric_images: int | None = None
    """Generated pictures a metric looks at, instead of its own number."""
    weights: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A file of detector weights for --metrics: inception=FILE, vgg16=FILE; a URL may stand for the file, and
    #sha256=HEX may follow it."""
    allow_download: Annotated[bool, Parameter(negative="")] = False
    """Let missing detector weights be downloaded."""
    allow_unverified: Annotated[bool, Parameter(negative="")] = False
    """Use detector weights whose SHA-256 is neither known nor given."""
    snap: int | None = None
    """Ticks between snapshots, and between picture grids (50)."""
    tick: float | None = None
    """Thousands of pictures a tick (4)."""
    tick_seconds: float | None = None
    """Longest duration of a tick."""
    keep_checkpoints: int | None = None
    """Newest checkpoints kept, beside the best; 0 keeps all (2)."""
    keep_snapshots: int | None = None
    """Newest snapshots kept, beside the best (all)."""
    grid: str | None = None
    """Size of the picture grids, columns x rows, such as 8x8 (what an 8K screen holds; on a CPU at most 8x8)."""
    seed: int | None = None
    """Decides initial weights, order of the data and every random draw (0)."""
    fp32: bool = False
    """Everything in float32, without clamping."""
    nhwc: bool = False
    """Channels-last layout for half-precision blocks on GPUs."""
    allow_tf32: bool = False
    """Let GPUs round float32 products to TF32."""
    nobench: bool = False
    """Do not let cuDNN try its algorithms first."""
    precision: Literal["float32", "bfloat16", "float16", "float64"] | None = None
    """Of the convolutions (float16 on GPUs, float32 on CPUs)."""
    nonfinite: Literal["skip", "stop"] | None = None
    """What to do with a step whose gradient is not finite (skip)."""
    workers: int | None = None
    """Threads that read pictures (3)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    backend: Literal["auto", "nccl", "gloo"] = "auto"
    """What several processes talk by (nccl between GPUs, gloo on CPUs)."""
    dry_run: Annotated[bool, Parameter(name=["--dry-run", "-n"], negative="")] = False
    """Print the whole configuration and exit."""
    build_only: Annotated[bool, Parameter(negative="")] = False
    """Make the networks, or with --resume load them, write a snapshot and a checkpoint, and do not train."""
    settings: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = ()
    """Any setting of the configuration, as --dry-run prints it: --set ema.half_life_kimg=5."""

    def typed(self) -> dict[str, Any]:
        """The options that differ from their defaults, by field name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
