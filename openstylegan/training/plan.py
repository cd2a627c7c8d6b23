"""What a run will cost, before it starts: parameters, arithmetic, memory and time, without training anything.

The training step of the configuration is run on tensors that have shapes but no numbers, through the very phases,
networks and optimizers of a run, while `meter.Meter` counts. So there is no second description of a network that could
be wrong. Measured for real are the machine's rates, and the augmentation, whose cost depends on the numbers drawn.

Not in the prediction: reading pictures, image grids, metrics and checkpoints.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from openstylegan.augment import AUGMENTS, Augment
from openstylegan.augment.base import NoAugment
from openstylegan.config import TrainConfig
from openstylegan.data.dataset import ImageDataset
from openstylegan.errors import InputError
from openstylegan.images import Images, leaves
from openstylegan.networks.base import PRECISIONS, Discriminator, Generator
from openstylegan.ops.paths import reference_paths
from openstylegan.randomness import NoiseSource, SampleStream
from openstylegan.registry import build
from openstylegan.training.build import make_networks, make_state, resolved, step_context
from openstylegan.training.ema import Ema
from openstylegan.training.forward_pass import Batch
from openstylegan.training.meter import Machine, Meter, Work, measure_machine, median_seconds, num_bytes
from openstylegan.training.players import Player
from openstylegan.training.schedule import SCHEDULES, Stage

ADAPTIVE_P = 0.5
"""The strength at which an augmentation that adapts is measured."""
SIMULATED_MICRO_BATCHES = 2
"""More of them cost the same again, and no more memory."""
AUGMENTED_PICTURES = 8
CPU = torch.device("cpu")
LIBRARY_BYTES, KEPT_SHARE = 100 * 2**20, 1.5
"""What training takes on a CPU beside its tensors: libraries' own memory, and freed memory that the allocator keeps, as
a multiple of the tensors' peak. Measured on the configurations of `benchmarks/plan.py`."""


@dataclass(frozen=True)
class PhasePlan:
    """A phase: how often it runs; of one step of the whole batch the floating-point operations (those of the plain
    formulation, a multiplication and an addition are two) and the seconds; and the most bytes in tensors of a process
    at once during it."""

    every: int
    flops: float
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Plan:
    """The prediction for a run. Bytes are of one process: `peak_bytes` those in tensors, to which `bytes_by_part` sums.

    `process_bytes` is what the process takes of the device: on a GPU the tensors, on a CPU its whole resident size.
    Seconds are of `processes` together (on a CPU they share its cores).
    """

    device: str
    batch_size: int
    batch_gpu: int
    processes: int
    parameters: dict[str, dict[str, int]]
    phases: dict[str, PhasePlan]
    flops_per_image: float
    bytes_by_part: dict[str, int]
    peak_bytes: int
    process_bytes: int
    augment_seconds_per_image: float
    seconds_per_kimg: float
    total_seconds: float
    machine: Machine


@dataclass(frozen=True)
class Simulated:
    """A step that was run without numbers: what each phase took of one process, parameters and bytes by part."""

    work: dict[str, Work]
    peaks: dict[str, int]
    augmented: dict[str, int]
    parameters: dict[str, dict[str, int]]
    fixed_bytes: dict[str, int]


def predict(config: TrainConfig, dataset: ImageDataset, device: torch.device, processes: int = 1) -> Plan:
    """The cost of a run of `config` on the pictures of `dataset`, in `processes` (one a GPU, or sharing a CPU).

    Raises `InputError` for what the run itself would refuse.
    """
    program_bytes = psutil.Process().memory_info().rss
    components = resolved(config, dataset)
    stage = only_stage(config)
    if stage.num_micro_batches % processes:
        raise InputError(
            f"expected micro-batches for {processes} processes, got {stage.num_micro_batches}; change --batch-gpu"
        )
    machine = measure_machine(device, PRECISIONS.get(config.precision) or torch.float32)
    networks = make_networks(config, components, CPU)
    step = StepOnPaper(config, networks, stage, machine, processes)
    own = step.run(plain=device.type != "cpu")
    plain = own if device.type != "cpu" else step.run(plain=True)
    seconds = measure_augment(config, dataset.image_shape, device)
    return summarize(config, stage, machine, device, processes, own, plain, seconds, program_bytes)


def only_stage(config: TrainConfig) -> Stage:
    """What holds for every step. Raises `InputError` for a run that grows: no one step stands for all of its steps."""
    schedule = build(SCHEDULES, config.schedule.name, config.schedule.options, "schedule")
    if len(schedule.stages) > 1:
        raise InputError(
            f"expected a schedule whose steps are alike, got '{config.schedule.name}'; it grows as it goes"
        )
    return schedule.stages[0]


class StepOnPaper:
    """The training step of a configuration, run on tensors without numbers."""

    def __init__(
        self,
        config: TrainConfig,
        networks: tuple[Generator, Discriminator],
        stage: Stage,
        machine: Machine,
        processes: int,
    ):
        self.config, self.stage, self.machine = config, stage, machine
        self.middle = round(config.total_kimg * 500)
        self.num_local = stage.num_micro_batches // processes
        self.num_simulated = min(self.num_local, SIMULATED_MICRO_BATCHES)
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.networks, self.ema = networks, Ema(networks[0], config.ema)
        self.parameters = {"G": count_by_block(networks[0]), "D": count_by_block(networks[1])}
        for module in (*networks, self.ema.module):
            forget_numbers(module, self.mode)
        self.frozen = [p for network in networks for p in network.parameters() if not p.requires_grad]

    def run(self, plain: bool) -> Simulated:
        """Every phase once, with optimizers that have taken a step before.

        plain: ops in their plain formulation, else on the paths they take on a CPU.
        """
        meter, augment = Meter(self.machine), CountedAugment()
        work, peaks, augmented = {}, {}, {}
        with reference_paths() if plain else nullcontext(), self.mode, meter:
            for tensor in self.tensors():
                meter.watch(tensor)
            weights = meter.live
            self.let_all_train()
            state = make_state(self.config, self.networks, self.ema, augment)
            context, batch = step_context(self.config, state), self.batch()
            before = meter.live
            phases = [phase for phase in state.phases if phase.terms]
            for player in state.players.values():
                take_first_step(player)
            moments = sum(num_bytes(t) for player in state.players.values() for t in player.moments().values())
            for phase in phases:
                meter.start()
                augment.num = 0
                phase.step(context, batch, self.middle, self.num_simulated, self.num_simulated)
                work[phase.name] = scaled(meter.work, self.num_local / self.num_simulated)
                peaks[phase.name] = meter.peak
                augmented[phase.name] = augment.num * self.num_local // self.num_simulated
        fixed = {"weights": weights, "optimizers": moments, "batch": before - weights}
        return Simulated(work, peaks, augmented, self.parameters, fixed)

    def let_all_train(self) -> None:
        """What an earlier run's players have turned off, but what is frozen; and its gradients are forgotten."""
        for parameter in (p for network in self.networks for p in network.parameters()):
            parameter.grad = None
            parameter.requires_grad_(all(parameter is not p for p in self.frozen))

    def tensors(self) -> list[Tensor]:
        """All parameters and buffers, also the averaged generator's."""
        modules = (*self.networks, self.ema.module)
        return [t for module in modules for t in (*module.parameters(), *module.buffers())]

    def batch(self) -> Batch:
        """As many samples as are simulated."""
        G, num = self.networks[0], self.num_simulated * self.stage.batch_gpu
        dtype = torch.float64 if self.config.precision == "float64" else torch.float32
        labels = torch.zeros(num, G.c_dim, dtype=dtype)
        return Batch(torch.zeros(num, *G.image_shape, dtype=dtype), labels, labels, range(num))


def take_first_step(player: Player) -> None:
    """Lets the optimizer make its moments."""
    for parameter in player.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    player.move()


class CountedAugment(NoAugment):
    """Leaves pictures alone and counts them: what augmenting them costs is measured apart."""

    num = 0

    def forward(self, images: Images, stream: NoiseSource | None = None) -> Images:
        self.num += len(leaves(images)[-1])
        return images


def forget_numbers(module: nn.Module, mode: FakeTensorMode) -> None:
    """Gives `module` parameters that have shapes only. Buffers, which are small, keep what filters are made of."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part.register_parameter(
                name, nn.Parameter(mode.from_tensor(parameter.detach()), requires_grad=parameter.requires_grad)
            )


def count_by_block(network: nn.Module) -> dict[str, int]:
    """Parameters of each part of a network, and of each part of a generator's synthesis."""
    counts: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        parts = name.split(".")
        counts[".".join(parts[:2]) if parts[0] == "synthesis" else parts[0]] += parameter.numel()
    return dict(counts)


def scaled(work: Work, factor: float) -> Work:
    """The work of `factor` times as many micro-batches."""
    return Work(work.flops * factor, work.num_bytes * factor, round(work.operations * factor), work.seconds * factor)


def measure_augment(config: TrainConfig, image_shape: tuple[int, int, int], device: torch.device) -> float:
    """Seconds to augment a picture and take the gradient, measured on `device` at the configuration's strength."""
    augment = build(AUGMENTS, config.augment.name, config.augment.options, "augmentation").to(device)
    if type(augment).update is not Augment.update:
        augment.p.fill_(max(float(augment.p), ADAPTIVE_P))
    images = torch.zeros(AUGMENTED_PICTURES, *image_shape, device=device, requires_grad=True)

    def once() -> None:
        augmented = augment(images, SampleStream(0, "plan", (0,), range(AUGMENTED_PICTURES)))
        torch.autograd.grad(augmented.sum(), images)

    return median_seconds(once, device) / AUGMENTED_PICTURES


def summarize(
    config: TrainConfig,
    stage: Stage,
    machine: Machine,
    device: torch.device,
    processes: int,
    own: Simulated,
    plain: Simulated,
    augment_seconds: float,
    program_bytes: int,
) -> Plan:
    """The prediction from a step's parts."""
    # Processes on a CPU share its cores: the whole batch is computed by them all.
    shared = processes if device.type == "cpu" else 1
    every = {phase.name: phase.every for phase in config.phases}
    phases = {
        name: PhasePlan(
            every[name],
            plain.work[name].flops * processes,
            (work.seconds + own.augmented[name] * augment_seconds) * shared,
            own.peaks[name],
        )
        for name, work in own.work.items()
    }
    step_seconds = sum(phase.seconds / phase.every for phase in phases.values())
    peak = max(own.peaks.values())
    rest = peak - sum(own.fixed_bytes.values())
    per_kimg = step_seconds * 1000 / stage.batch_size
    total = per_kimg * config.total_kimg
    return Plan(
        device=str(device),
        batch_size=stage.batch_size,
        batch_gpu=stage.batch_gpu,
        processes=processes,
        parameters=own.parameters,
        phases=phases,
        flops_per_image=sum(p.flops / p.every for p in phases.values()) / stage.batch_size,
        bytes_by_part={**own.fixed_bytes, "gradients, activations, temporaries": rest},
        peak_bytes=peak,
        process_bytes=program_bytes + round(LIBRARY_BYTES + KEPT_SHARE * peak) if device.type == "cpu" else peak,
        augment_seconds_per_image=augment_seconds,
        seconds_per_kimg=per_kimg,
        total_seconds=total if config.max_minutes is None else min(total, config.max_minutes * 60),
        machine=machine,
    )
