"""Golden projector: its schedules, the mean and spread of w, and the regularization of noise maps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from golden.check import Check, as_array, compare, compare_arrays, worst
from golden.document import Document, Fields, NotUnderstood, read_npz
from golden.kinds.mixing import GOLDEN_FOLDER, find_generator
from golden.tolerances import (
    LEARNING_RATE,
    NOISE_NORMALIZED,
    NOISE_REGULARIZATION,
    PROJECTOR_W_SCALE,
    PROJECTOR_W_STATISTICS,
)


def looks_like_schedule(document: Document) -> bool:
    """A table of steps, each with a learning rate."""
    steps = document.meta.get("steps")
    return isinstance(steps, dict) and bool(steps) and all(isinstance(s, dict) and "lr" in s for s in steps.values())


def looks_like_noise(document: Document) -> bool:
    """Noise maps of steps, with the loss of each step or normalized."""
    return any(re.match(r"in/(step\d+|unnormalized)/.*noise_const$", name) for name in document.arrays)


def projector_options(values: Any) -> Any:
    """Our options from the recorded ones; those that we do not know are named."""
    from openstylegan.errors import InputError
    from openstylegan.registry import check_options
    from openstylegan.sampling.projector import ProjectorOptions

    try:
        check_options(ProjectorOptions, values, "projector")
    except InputError as error:
        raise NotUnderstood(f"defaults: {error}") from error
    return ProjectorOptions(**values)


def run_schedule(document: Document) -> Iterator[Check]:
    """Rates and scales of the recorded steps, then losses and statistics where they are recorded."""
    options = projector_options(document.description.take("defaults"))
    for step, entry in document.description.take("steps").items():
        yield from worst(f"step {step}", check_step(options, int(step), Fields(entry, f"step {step}")))
    for step, value in (document.description.take("reg_loss", None) or {}).items():
        yield check_recorded_loss(document, step, float(value))
    statistics = document.description.take("w_stats", None)
    if statistics is not None:
        yield from check_statistics(document, Fields(statistics, "w_stats"))


def check_step(options: Any, step: int, fields: Fields) -> Iterator[Check]:
    """Learning rate and noise scale of one step."""
    from openstylegan.sampling.projector import learning_rate, noise_scale

    yield compare_arrays("", "lr", learning_rate(options, step), fields.take("lr"), LEARNING_RATE)
    scale = fields.take("w_noise_scale_over_w_std", None)
    if scale is not None:
        yield compare_arrays("", "noise scale", noise_scale(options, step), scale, PROJECTOR_W_SCALE)
    fields.finish()


def check_recorded_loss(document: Document, step: str, value: float) -> Check:
    """A loss whose noise maps are in a file beside this one, else in the project's own folder."""
    prefix, errors = f"in/step{step}/", []
    for folder in (document.path.parent, GOLDEN_FOLDER):
        for path in sorted(folder.glob("*.npz")):
            with np.load(path, allow_pickle=False) as file:
                if not any(name.startswith(prefix) for name in file.files):
                    continue
            maps = Document(path, *read_npz(path), device=document.device).group(prefix)
            errors.append(compare_arrays(f"reg_loss {step}", "", loss_of(maps), value, NOISE_REGULARIZATION))
        if errors:
            return min(errors, key=lambda check: check.error)
    raise NotUnderstood(f"reg_loss: no file with the noise maps {prefix}... is beside it")


def loss_of(maps: dict[str, torch.Tensor]) -> torch.Tensor:
    """The regularization of noise maps [H, W]."""
    from openstylegan.sampling.projector import noise_regularization

    return noise_regularization([noise[None, None] for noise in maps.values()])[0]


def check_statistics(document: Document, fields: Fields) -> Iterator[Check]:
    """The first values of the mean w, and the spread."""
    from openstylegan.sampling.projector import W_SEED, w_statistics

    fields.expect("seed", W_SEED)
    generator = find_generator(document, fields.take("generator"))
    mean, std = w_statistics(generator, fields.take("samples"))
    for name in [name for name in fields.left if re.fullmatch(r"w_avg(_first\d+)?", name)]:
        expected = np.array(fields.take(name))
        yield compare_arrays(name, "", as_array(mean)[: len(expected)], expected, PROJECTOR_W_STATISTICS)
    yield compare_arrays("w_std", "", std, fields.take("w_std"), PROJECTOR_W_SCALE)
    fields.finish()


def run_noise(document: Document) -> Iterator[Check]:
    """The loss of every recorded step, and every map after normalization."""
    from openstylegan.sampling.projector import normalized_noise

    options = document.options()
    projector_options(options.take_given("regularize_noise_weight"))
    options.finish()
    losses = {name: document.group(f"in/{name.removeprefix('out/reg_loss_')}/") for name in document.names("out/reg_")}
    if len({frozenset(maps) for maps in losses.values()}) > 1:
        raise NotUnderstood("the steps do not have the same noise maps")
    for name, maps in losses.items():
        yield compare(
            document, f"reg_loss {name.removeprefix('out/reg_loss_')}", name, loss_of(maps), NOISE_REGULARIZATION
        )
    for name in document.names("out/normalized/"):
        buffer = name.removeprefix("out/normalized/")
        noise = document.tensor(f"in/unnormalized/{buffer}")
        yield compare(
            document, f"normalized {buffer}", name, normalized_noise(noise[None, None])[0, 0], NOISE_NORMALIZED
        )
