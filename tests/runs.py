"""Runs small enough to test with: 16 px pictures, thin networks, every kind of term, augmentation and randomness; what
two runs are compared by; and the laws of training: resume, micro-batch cut, processes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from openstylegan.config import (
    Component,
    DataConfig,
    EmaConfig,
    OutputConfig,
    PhaseConfig,
    PlayerConfig,
    TrainConfig,
    to_dict,
    with_overrides,
)
from openstylegan.distributed import is_main
from openstylegan.training.build import Run, build_run
from openstylegan.training.checkpoint import read_checkpoint, write_checkpoint
from openstylegan.training.launch import run_processes
from openstylegan.training.loop import train_step

CPU = torch.device("cpu")
Measure = Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], float]

WIDTHS = {"channel_base": 128, "channel_max": 8}


def make_pictures(path: Path, num: int = 24, size: tuple[int, int] = (16, 16), channels: int = 3) -> Path:
    """A ZIP of random smooth pictures in three classes."""
    random = np.random.RandomState(0)
    labels = []
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(num):
            small = random.randint(0, 256, (4, 4, channels), np.uint8)
            image = Image.fromarray(small[:, :, 0] if channels == 1 else small).resize(
                size[::-1], Image.Resampling.BICUBIC
            )
            data = BytesIO()
            image.save(data, "PNG")
            archive.writestr(f"{n:03d}.png", data.getvalue())
            labels.append([f"{n:03d}.png", n % 3])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def small_config(data: Path, **overrides: Any) -> TrainConfig:
    """Everything on: classes, mirroring, mixing, ADA, lazy path length and R1, minibatch-std groups of 2."""
    config = TrainConfig(
        data=DataConfig(path=str(data), use_labels=True, xflip=True, num_workers=1),
        generator=PlayerConfig(
            Component(
                "stylegan2",
                {"z_dim": 12, "w_dim": 12, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": dict(WIDTHS)},
            )
        ),
        discriminator=PlayerConfig(
            Component(
                "stylegan2", {**WIDTHS, "epilogue_kwargs": {"mbstd_group_size": 2}, "mapping_kwargs": {"num_layers": 2}}
            )
        ),
        phases=(
            PhaseConfig("Gmain", "G", (Component("logistic_g"),)),
            PhaseConfig("Greg", "G", (Component("path_length"),), 2, lazy=True),
            PhaseConfig("Dmain", "D", (Component("logistic_d"),)),
            PhaseConfig("Dreg", "D", (Component("r1", {"gamma": 1.0}),), 2, lazy=True),
        ),
        schedule=Component("constant", {"batch_size": 8, "batch_gpu": 8}),
        augment=Component("ada", {"preset": "bgc", "kimg": 0.05, "initial_p": 0.3}),
        ema=EmaConfig(0.05, 0.05),
        output=OutputConfig(
            kimg_per_tick=0.016,
            image_ticks=1000,
            snapshot_ticks=1000,
            checkpoint_ticks=1,
            grid=(2, 1),
            tensorboard=False,
        ),
        total_kimg=0.08,
        seed=3,
    )
    return with_overrides(config, overrides)


def alias_free_config(data: Path, rotates: bool = False, **overrides: Any) -> TrainConfig:
    """As `small_config`, with a StyleGAN3 generator (R when it `rotates`), magnitudes that move fast, and a blur."""
    rotation = {"conv_kernel": 1, "use_radial_filters": True} if rotates else {}
    options = {
        "z_dim": 12,
        "w_dim": 12,
        "channel_base": 128,
        "channel_max": 8,
        "num_layers": 4,
        "margin_size": 2,
        "magnitude_ema_beta": 0.9,
        **rotation,
    }
    phases = (
        PhaseConfig("Gmain", "G", (Component("logistic_g"),), updates_statistics=False),
        PhaseConfig("Dmain", "D", (Component("logistic_d"),)),
        PhaseConfig("Dreg", "D", (Component("r1", {"gamma": 1.0}),), 2, lazy=True),
    )
    changes = {
        "generator.network": {"name": "stylegan3", "options": options},
        "phases": [to_dict(phase) for phase in phases],
        "style_mixing_prob": 0.0,
        "blur": {"sigma_px": 2.0, "fade_kimg": 0.1},
    }
    return small_config(data, **{**changes, **overrides})


def projected_config(
    data: Path, generator: str = "fastgan", augment: str = "diffaugment", **overrides: Any
) -> TrainConfig:
    """As `small_config`, with a projected discriminator, hinge losses, and any generator."""
    options = {
        "fastgan": {"z_dim": 12, "ngf": 2, "num_classes": 5},
        "stylegan2": small_config(data).generator.network.options,
        "stylegan3": alias_free_config(data).generator.network.options,
    }
    policies = {"diffaugment": {"policy": "color,translation,cutout"}, "ada": small_config(data).augment.options}
    judge = {"cout": 4, "width": 4, "feature_side": 64, "num_classes": 5}
    phases = (
        PhaseConfig("Gmain", "G", (Component("hinge_g"),), updates_statistics=False),
        PhaseConfig("Dmain", "D", (Component("hinge_d"),)),
        PhaseConfig("Dreg", "D", (), 16, lazy=True),
    )
    changes = {
        "generator.network": {"name": generator, "options": options[generator]},
        "discriminator.network": {"name": "projected", "options": judge},
        "phases": [to_dict(phase) for phase in phases],
        "augment": {"name": augment, "options": policies[augment]},
        "style_mixing_prob": 0.0,
    }
    return small_config(data, **{**changes, **overrides})


def growing_config(data: Path, loss: str = "wgan-gp", **overrides: Any) -> TrainConfig:
    """As `small_config`, with StyleGAN1's networks growing from 8 to 16 px: five steps, then two of a fade."""
    sizes = {"channels": [8, 6, 4], "fused_resolution": 16}
    players = {"wgan-gp": ("wasserstein", "gradient_penalty"), "r1": ("logistic", "r1")}[loss]
    phases = (
        PhaseConfig("Dmain", "D", (Component(f"{players[0]}_d"), Component(players[1]))),
        PhaseConfig("Gmain", "G", (Component(f"{players[0]}_g"),)),
    )
    levels = [
        {"lod": 1, "batch_size": 8, "batch_gpu": 8},
        {"lod": 0, "batch_size": 4, "batch_gpu": 4, "lr_scale": 1.5},
    ]
    changes = {
        "generator": {
            "network": {"name": "stylegan1", "options": {"z_dim": 12, "w_dim": 12, "num_layers": 2, **sizes}},
            "lr_factors": {"style.": 0.01, "mapping.": 0.01},
        },
        "discriminator.network": {"name": "stylegan1", "options": {"mbstd_group_size": 2, **sizes}},
        "phases": [to_dict(phase) for phase in phases],
        "schedule": {"name": "growing", "options": {"levels": levels, "phase": 16}},
        "augment": {"name": "none", "options": {}},
        "ema": {"beta": 0.9},
    }
    return small_config(data, **{**changes, **overrides})


def trained(config: TrainConfig, steps: int) -> Run:
    """A new run after some steps, on the CPU."""
    run = build_run(config, CPU)
    for _ in range(steps):
        train_step(run)
    run.loader.close()
    return run


def everything(run: Run) -> dict[str, torch.Tensor]:
    """All tensors that the state of a run owns."""
    return run.state.network_tensors() | run.state.optimizer_tensors()


def weights(run: Run) -> dict[str, torch.Tensor]:
    """The numbers of a run's networks."""
    return {n: t for n, t in run.state.network_tensors().items() if t.is_floating_point()}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Largest difference of any tensor, relative to that tensor's norm; constant tensors must be equal."""
    assert a.keys() == b.keys()
    worst = 0.0
    for name in a:
        x, y = a[name].double(), b[name].double()
        worst = max(worst, float((x - y).norm() / x.norm().clamp_min(1e-6)))
    return worst


def overall_distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The norm of all differences, relative to the norm of all numbers."""
    assert a.keys() == b.keys()
    x, y = (torch.cat([t.double().flatten() for _, t in sorted(w.items())]) for w in (a, b))
    return float((x - y).norm() / x.norm())


def check_resume(config: TrainConfig, folder: Path, steps: int, more: int) -> Run:
    """`steps`, a checkpoint in `folder`, and `more` steps of a new process give what all of them give at once, bit for
    bit. Returns the run that went on."""
    whole, half = trained(config, steps + more), trained(config, steps)
    resumed = build_run(config, CPU)
    read_checkpoint(write_checkpoint(folder, half.state, {"config": {}}), resumed.state, CPU)
    assert unequal(everything(half), everything(resumed)) == []
    for _ in range(more):
        train_step(resumed)
    resumed.loader.close()
    assert unequal(everything(whole), everything(resumed)) == []
    assert whole.state.numbers() == resumed.state.numbers()
    return resumed


def unequal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    """The names of tensors that are not the same bits."""
    assert a.keys() == b.keys()
    return [n for n in a if not torch.equal(a[n], b[n])]


def check_cut(
    whole: TrainConfig, micro: dict[str, Any], steps: int, tolerance: float, measure: Measure = distance
) -> None:
    """With the settings `micro`, which make micro-batches smaller, training gives the same weights."""
    apart = measure(weights(trained(whole, steps)), weights(trained(with_overrides(whole, micro), steps)))
    assert apart < tolerance, f"{apart} apart"


PROCESS_TOLERANCES = {"float64": 1e-12, "float32": 1e-6}
"""How far, relative to the norm of all weights, runs on other numbers of processes may be apart."""


def train_and_save(job: tuple[TrainConfig, int, Path]) -> None:
    """A process of `check_processes`: trains in every precision; the main one keeps the weights in a folder."""
    config, steps, folder = job
    torch.set_num_threads(1)
    for precision in PROCESS_TOLERANCES:
        run = trained(with_overrides(config, {"precision": precision}), steps)
        if is_main():
            torch.save(weights(run), folder / f"{precision}.pt")


def check_processes(config: TrainConfig, steps: int, folder: Path, nums: tuple[int, ...] = (2,)) -> None:
    """1 process and each of `nums` processes, on the micro-batches of `config`, give the same weights to rounding."""
    for num in (1, *nums):
        (folder / str(num)).mkdir()
        run_processes(train_and_save, (config, steps, folder / str(num)), num, "cpu")
    for precision, tolerance in PROCESS_TOLERANCES.items():
        one, *others = (torch.load(folder / str(n) / f"{precision}.pt", weights_only=True) for n in (1, *nums))
        for num, other in zip(nums, others, strict=True):
            apart = overall_distance(one, other)
            assert apart <= tolerance, f"{num} processes in {precision}: {apart}"
