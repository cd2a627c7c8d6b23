"""`openstylegan train`: a new run, or an old one that goes on."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openstylegan.cli.train_arguments import TrainArguments
from openstylegan.errors import InputError
from openstylegan.presets import PRESETS, find_preset
from openstylegan.presets.base import parse_resize
from openstylegan.registry import nearest

if TYPE_CHECKING:
    from openstylegan.config import OutputConfig, TrainConfig
    from openstylegan.data.dataset import ImageDataset
    from openstylegan.features.weights import WeightPolicy
    from openstylegan.presets import Preset
    from openstylegan.presets.base import CommonOptions

SPARING = 8
"""Columns, and rows, of a grid that a processor draws."""
RESUME_MAY_BE_TYPED_WITH = {
    "resume",
    "gpus",
    "device",
    "backend",
    "outdir",
    "data",
    "allow_tf32",
    "nobench",
    "build_only",
    "weights",
    "allow_download",
    "allow_unverified",
}


def train(*, arguments: TrainArguments | None = None) -> int:
    """Train a network on a folder or ZIP of pictures, or go on with a run."""
    asked = arguments or TrainArguments()
    typed = asked.typed()
    from openstylegan.ops.native import make_early

    if asked.device != "cuda" and not asked.dry_run:
        make_early(["channels_last"])  # every network asks for it; torch is imported meanwhile
    from openstylegan.config import to_dict
    from openstylegan.training.run_folder import is_run_folder

    if asked.resume is not None and is_run_folder(asked.resume):
        folder = go_on(asked, typed)
    else:
        new = make_config(asked, typed)
        if asked.dry_run:
            check_buildable(new.config)
            print("\n".join(new.notes), file=sys.stderr, end="\n" if new.notes else "")
            print(json.dumps(to_dict(new.config), indent=2))
            return 0
        folder = begin(asked, new)
    print(f"finished: {folder}")
    return 0


def go_on(asked: TrainArguments, typed: dict[str, Any]) -> Path:
    """Resumes a run; its configuration is the one it began with."""
    from openstylegan.training.run import resume
    from openstylegan.training.run_folder import read_config

    refused = sorted(typed.keys() - RESUME_MAY_BE_TYPED_WITH)
    if refused:
        raise InputError(
            f"--{refused[0].replace('_', '-')} has no effect when a run goes on: a run keeps its configuration; "
            "leave it out, or give --resume a snapshot of the run to begin a new one"
        )
    folder, machine = Path(str(asked.resume)), machine_of(asked)
    config = read_config(folder)
    for name, own, given in (("data", config.data.path, asked.data), ("outdir", folder.parent, asked.outdir)):
        if given is not None and given.resolve() != Path(own).resolve():
            raise InputError(f"--{name}: expected {own}, which the run began with, got {given}; leave --{name} out")
    check_metrics(config, asked, machine["weights"])
    return resume(folder, build_only=asked.build_only, **machine)


@dataclass(frozen=True)
class NewRun:
    """A run that is about to begin: its configuration, that of its preset alone, its name, what to tell the user."""

    config: TrainConfig
    preset: TrainConfig
    name: str
    notes: tuple[str, ...] = ()


def begin(asked: TrainArguments, new: NewRun) -> Path:
    """Trains a new run and returns its folder."""
    from openstylegan.training.run import train as run

    if asked.outdir is None:
        raise InputError("expected a folder for runs, got none; give --outdir, such as --outdir runs")
    machine = machine_of(asked)
    for note in new.notes:
        print(note)
    named: dict[str, Any] = {"description": new.name, "preset": new.preset, "build_only": asked.build_only}
    return run(new.config, asked.outdir, **named, **machine)


def make_config(asked: TrainArguments, typed: dict[str, Any]) -> NewRun:
    """The configuration of a new run, checked against the data. Raises `InputError`.

    First each option alone, then networks to begin with, then the data, labels and sub-set, then options together,
    then metrics.
    """
    from openstylegan.config import with_overrides

    cfg = asked.cfg or "auto"
    preset = find_preset(cfg, typed.keys(), asked.family)
    defaults = dataclasses.replace(preset.options, cfg=cfg)
    options = options_of(asked, typed, preset, defaults)
    preset.check_values(options)
    for name in ("resume", "ckpt", "init_from"):
        check_source(getattr(options, name) if name in preset.flags else None, preset)
    path = str(asked.data or (preset.pictures and preset.pictures()) or "")
    shape = open_pictures(asked, path, options).image_shape
    config = preset.make_config(options, path, max(shape[1:]))
    check_metrics(config, asked, weights_of(asked))
    required = {name: getattr(options, name) for name in preset.required}
    plain = preset.make_config(dataclasses.replace(defaults, **required), path, max(shape[1:]))
    if defaults.output.grid is None and not on_gpu(asked):
        config, plain = config if asked.grid else sparing(config, shape), sparing(plain, shape)
    return NewRun(
        config=with_overrides(config, parse_settings(asked.settings)),
        preset=plain,
        name=preset.describe(options, path, set(typed)) + ("" if options.bmc == "none" else f"-bmc-{options.bmc}"),
        notes=tuple(notes_on(cfg, preset, config, asked.family)),
    )


def sparing(config: TrainConfig, shape: tuple[int, int, int]) -> TrainConfig:
    """`config` with grids of pictures of `shape` that a processor can draw: the usual ones, of 1,024 pictures of 64
    pixels, take it a minute, before the first step too."""
    from openstylegan.training.grids import grid_layout

    usual = grid_layout(*shape[1:], *(config.output.grid or ()))
    grid = (min(usual.columns, SPARING), min(usual.rows, SPARING))
    return dataclasses.replace(config, output=dataclasses.replace(config.output, grid=grid))


def on_gpu(asked: TrainArguments) -> bool:
    """Whether a GPU will train."""
    import torch

    return asked.device != "cpu" and torch.cuda.is_available()


def open_pictures(asked: TrainArguments, path: str, options: CommonOptions) -> ImageDataset:
    """The training pictures, all of them. Raises `InputError`, also for labels that are not there."""
    from openstylegan.cli.dataset import default_workers
    from openstylegan.data.dataset import open_dataset
    from openstylegan.data.sized import sized

    if not path:
        raise InputError("expected training pictures, got none; give --data a folder or a ZIP, or --cfg=demo")
    try:
        size, labels = parse_resize(options.resize), options.label_source
        pictures = sized(path, size, options.channels, labels, default_workers(), tell_user)
        dataset = open_dataset(pictures.path, use_labels=asked.cond, label_source=pictures.label_source, cache=False)
    except InputError as error:
        raise InputError(f"--data: {error}") from error
    if asked.cond and not dataset.has_labels:
        raise InputError(f"--cond: expected labels in {path}, found none; add a dataset.json or leave --cond out")
    if asked.subset is not None and not 1 <= asked.subset <= len(dataset):
        raise InputError(f"--subset: expected a number from 1 to {len(dataset)}, got {asked.subset}")
    return dataset


def tell_user(text: str) -> None:
    """A line to the error output."""
    print(f"openstylegan: {text}", file=sys.stderr)


def check_source(source: str | None, preset: Preset) -> None:
    """Raises `InputError` now for a network that a run could not begin with later because it is not there."""
    from openstylegan.interop.loading import find_network

    if source is None or "://" in source or source in preset.source_names:
        return
    if Path(source).exists():
        find_network(source)
        return
    names = f", or one of {', '.join(preset.source_names)}" if preset.source_names else ""
    raise InputError(
        f"expected a network snapshot or a run folder at {source}, but there is none; "
        f"give a file, a URL{names}{nearest(source, preset.source_names)}"
    )


def notes_on(cfg: str, preset: Preset, config: TrainConfig, family: str | None) -> Iterator[str]:
    """What a user should know before the run begins: which of two families was meant, what --resume FILE means."""
    others = [other.family for other in PRESETS[cfg] if other is not preset]
    if others and family is None:
        yield f"--cfg={cfg} as in {preset.family}, by the flags given; --family={others[0]} for the other"
    if config.transfer_from is not None:
        yield (
            f"a new run begins with the weights of {config.transfer_from}, at 0 kimg, without EMA ramp-up and with a "
            "fast ADA, as --resume=FILE does in the StyleGAN programs; --resume=RUN_FOLDER goes on with a run exactly, "
            "--init-from=FILE takes what fits and leaves the recipe alone"
        )


def options_of(asked: TrainArguments, typed: dict[str, Any], preset: Preset, defaults: Any) -> Any:
    """A preset's options with what was typed put in. Raises `InputError`."""
    names = {f.name for f in dataclasses.fields(defaults)}
    changes = {k: v for k, v in typed.items() if k in names}
    if changes.get("resume") == "noresume":
        changes["resume"] = None
    if "precision" in changes and changes.get("fp32") and changes["precision"] != "float32":
        raise InputError(f"--precision={changes['precision']} has no effect with --fp32; leave one of them out")
    if "precision" not in changes and on_gpu(asked):
        changes["precision"] = preset.gpu_precision
    changes["output"] = output_of(asked, defaults.output)
    return dataclasses.replace(defaults, **changes)


def output_of(asked: TrainArguments, defaults: OutputConfig) -> OutputConfig:
    """What is written and kept. Raises `InputError`."""
    wanted: dict[str, Any] = {
        "kimg_per_tick": asked.tick,
        "seconds_per_tick": asked.tick_seconds,
        "image_ticks": asked.snap,
        "snapshot_ticks": asked.snap,
        "keep_checkpoints": asked.keep_checkpoints,
        "keep_snapshots": asked.keep_snapshots,
        "metric_images": asked.metric_images,
        "grid": parse_grid(asked.grid),
        "metrics": None if asked.metrics is None else parse_metrics(asked.metrics),
    }
    if asked.snap is not None and asked.snap < 1:
        raise InputError(f"--snap: expected at least 1 tick, got {asked.snap}")
    if asked.tick is not None and asked.tick <= 0:
        raise InputError(f"--tick: expected more than 0 kimg, got {asked.tick:g}")
    if asked.tick_seconds is not None and asked.tick_seconds <= 0:
        raise InputError(f"--tick-seconds: expected more than 0 seconds, got {asked.tick_seconds:g}")
    if asked.metric_images is not None and asked.metric_images < 1:
        raise InputError(f"--metric-images: expected at least 1 picture, got {asked.metric_images}")
    return dataclasses.replace(defaults, **{k: v for k, v in wanted.items() if v is not None})


def parse_grid(text: str | None) -> tuple[int, int] | None:
    """`"8x4"` as (8, 4): columns and rows. Raises `InputError`."""
    if text is None:
        return None
    columns, _, rows = text.lower().partition("x")
    if not (columns.isdigit() and rows.isdigit() and int(columns) and int(rows)):
        raise InputError(f"--grid: expected columns x rows such as 8x8, got '{text}'")
    return int(columns), int(rows)


def parse_metrics(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list; none for "none" or nothing."""
    return () if text.strip().lower() in ("", "none") else tuple(name.strip() for name in text.split(","))


def check_metrics(config: TrainConfig, asked: TrainArguments, weights: WeightPolicy) -> None:
    """Raises `InputError` now for a metric that could not be taken later, and for options of metrics without any."""
    if config.output.metrics:
        from openstylegan.metrics.evaluate import check_available

        check_available(config.output.metrics, weights)
        return
    for name in ("metric_images", "weights", "allow_download", "allow_unverified"):
        if name in asked.typed():
            raise InputError(f"--{name.replace('_', '-')} has no effect without --metrics; leave it out")


def check_buildable(config: TrainConfig) -> None:
    """Makes the run that will only be printed, and forgets it. Raises `InputError` when it cannot be made."""
    import torch

    from openstylegan.training.build import build_run

    build_run(config, torch.device("cpu")).loader.close()


def weights_of(asked: TrainArguments) -> WeightPolicy:
    """Which weights metrics may use. Raises `InputError`."""
    from openstylegan.cli.weight_options import detector_weights

    return detector_weights(asked.weights, asked.allow_download, asked.allow_unverified)


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """`("ema.half_life_kimg=5",)` as `{"ema.half_life_kimg": 5}`; values are JSON or text. Raises `InputError`."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set: expected NAME=VALUE, got '{setting}'")
        try:
            found[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            found[name.strip()] = value
    return found


def machine_of(asked: TrainArguments) -> dict[str, Any]:
    """On what to compute, and how. Raises `InputError` for an option that only means something on a GPU."""
    import torch

    if not torch.cuda.is_available() or asked.device == "cpu":
        for name in ("allow_tf32", "nobench", "nhwc"):
            if getattr(asked, name):
                raise InputError(f"--{name.replace('_', '-')} has no effect without a GPU; leave it out")
    return {
        "gpus": 1 if asked.gpus is None else asked.gpus,
        "device": asked.device,
        "backend": asked.backend,
        "allow_tf32": asked.allow_tf32,
        "cudnn_benchmark": not asked.nobench,
        "weights": weights_of(asked),
    }
