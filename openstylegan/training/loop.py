"""The one training loop. It knows phases, not models.

A step: stage = schedule.at(images seen), the next global batch, each phase that is due, the averaged generator, the
counters, the augmentation's strength. Now and then a tick, whose actions read the run and do not change the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from openstylegan.data.loader import random_labels
from openstylegan.distributed import agree, rank, world_size
from openstylegan.errors import InputError
from openstylegan.images import from_uint8
from openstylegan.randomness import SampleStream
from openstylegan.training.build import Run
from openstylegan.training.forward_pass import Batch, local_positions
from openstylegan.training.memory import OutOfMemory, next_smaller, release_memory
from openstylegan.training.phase import Phase
from openstylegan.training.schedule import Stage
from openstylegan.training.signals import Stopped, StopRequest


def fetch(run: Run, stage: Stage) -> Batch:
    """This process's share of the next global batch, on the run's device."""
    nimg = run.state.counters.cur_nimg
    positions = local_positions(stage.batch_size, stage.num_micro_batches, rank(), world_size()).tolist()
    images, labels = run.loader.fetch(nimg, positions, stage.batch_size, stage.lod)
    stream = SampleStream(run.config.seed, "fake_labels", (nimg,), positions)
    fake_labels = random_labels(run.dataset, stream, len(positions))
    reals = from_uint8(images.to(run.device)).to(run.dtype)
    return Batch(reals, labels.to(run.device, run.dtype), fake_labels.to(run.device, run.dtype), positions)


def train_step(run: Run) -> None:
    """One step: every phase that is due, on the same real pictures."""
    state, counters = run.state, run.state.counters
    stage = run.stage()
    state.set_lod(stage.lod)
    state.renew_optimizers(stage.renewals)
    counters.milestone = stage.milestone
    for player in state.players.values():
        player.set_lr_scale(stage.lr_scale)
    batch = fetch(run, stage)
    for phase in state.phases:
        if phase.is_due(counters.step):
            step_phase(run, phase, batch)
    state.ema.update(counters.cur_nimg, stage.batch_size)
    counters.cur_nimg += stage.batch_size
    counters.step += 1
    state.augment.update(counters.cur_nimg, stage.batch_size)


def step_phase(run: Run, phase: Phase, batch: Batch) -> None:
    """One step of a phase, begun anew on smaller micro-batches where memory runs out. Raises `InputError`."""
    while True:
        stage = run.stage()
        num_local = stage.num_micro_batches // world_size()
        try:
            return phase.step(run.context, batch, run.state.counters.cur_nimg, stage.num_micro_batches, num_local)
        except OutOfMemory:
            pass  # only here does the failed attempt let go of its tensors
        release_memory()
        cut_finer(run, stage, phase.name)


def cut_finer(run: Run, stage: Stage, phase: str) -> None:
    """Notes that micro-batches must be smaller from now on. Raises `InputError` when none would give the same."""
    smaller = next_smaller(stage, run.state.modules().values(), world_size())
    if smaller is None:
        raise InputError(
            f"expected memory for micro-batches of {stage.batch_gpu} in {phase}, got less, and smaller ones would "
            "change the result; choose another --batch and --batch-gpu, a lower --precision or fewer channels (--cmax)"
        )
    run.state.counters.micro_batch = smaller
    run.tell(
        f"out of memory in {phase} with micro-batches of {stage.batch_gpu}: going on with micro-batches of {smaller}, "
        f"the batch stays {stage.batch_size} (--batch-gpu {smaller} begins a run so)"
    )


def is_done(run: Run) -> bool:
    """Whether all images have been seen, or the time that the run may take is over."""
    counters, minutes = run.state.counters, run.config.max_minutes
    in_time = minutes is None or counters.seconds < minutes * 60
    return counters.cur_nimg >= run.config.total_kimg * 1000 or not in_time


def tick_is_due(run: Run, seconds_in_tick: float) -> bool:
    """After the first step, every `kimg_per_tick` and at milestones; or by the clock where the run asks for it."""
    counters, output = run.state.counters, run.config.output
    if counters.tick == 0 or run.at_milestone():
        return True
    if output.seconds_per_tick is not None and seconds_in_tick >= output.seconds_per_tick:
        return True
    return counters.cur_nimg >= counters.tick_start_nimg + output.kimg_per_tick * 1000


def train_loop(
    run: Run,
    stop: StopRequest,
    on_step: Callable[[Run], None],
    on_tick: Callable[[Run, float, bool], None],
    on_stop: Callable[[Run], None],
) -> None:
    """Trains until the run is done; `on_tick` gets the tick's seconds and whether it is the last.

    Raises `Stopped` after `on_stop` when a signal asked for it.
    """
    counters = run.state.counters
    done = is_done(run)
    tick_start = last = time.monotonic()
    while not done:
        train_step(run)
        now = time.monotonic()
        counters.seconds, last = counters.seconds + now - last, now
        stopping, due, done = agree(run.device, stop.requested, tick_is_due(run, now - tick_start), is_done(run))
        on_step(run)
        if due or done:
            on_tick(run, now - tick_start, done)
            counters.seconds += time.monotonic() - last
            tick_start = last = time.monotonic()
        if stopping and not done:
            on_stop(run)
            raise Stopped(stop.signal)
