"""Golden losses: what each phase of StyleGAN2's training reports, and the gradients it leaves in the parameters.

The terms of this package run on the recorded batch through a forward pass that serves recorded numbers where a trainer
would draw: constant noise, no style mixing, no augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from golden.check import Check, compare, failure, worst
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.networks import make_discriminator, make_generator
from golden.tolerances import EXACT, GRADIENT, GRADIENT_NORM, LOSS

PHASES: dict[str, tuple[str, ...]] = {
    "Gmain": ("logistic_g",),
    "Greg": ("path_length",),
    "Gboth": ("logistic_g", "path_length"),
    "Dmain": ("logistic_d",),
    "Dreg": ("r1",),
    "Dboth": ("logistic_d", "r1"),
}


@dataclass
class Setting:
    """Networks, batch and strengths of a recording."""

    generator: Any
    discriminator: Any
    batch: dict[str, Tensor]
    strengths: dict[str, dict[str, Any]]
    off: frozenset[str]
    """Terms of strength 0: the original leaves them out, with all that they report and keep."""
    pl_mean: float
    gain: float


@dataclass
class GivenNoise:
    """A noise source that gives one recorded array."""

    values: Tensor

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        if tuple(shape) != tuple(self.values.shape):
            raise NotUnderstood(f"in/pl_noise_randn: {list(shape)} wanted, {list(self.values.shape)} recorded")
        return self.values.to(dtype)


@dataclass
class RecordedPass:
    """The forward pass of one phase on the recorded batch, which is one micro-batch and the whole batch."""

    setting: Setting
    needs: frozenset[str]
    reports: dict[str, Tensor] = field(default_factory=dict)
    tracked: list[tuple[Any, Tensor]] = field(default_factory=list)

    @property
    def num_samples(self) -> int:
        return len(self.setting.batch["gen_z"])

    def generate(self, num: int) -> tuple[Tensor, Tensor]:
        batch, generator = self.setting.batch, self.setting.generator
        ws = generator.mapping(batch["gen_z"][:num], batch["gen_c"][:num])
        return generator.synthesis(ws, noise_mode="const"), ws

    @cached_property
    def reals(self) -> Tensor:
        return self.setting.batch["real_img"].clone().requires_grad_("real_images" in self.needs)

    @cached_property
    def fakes(self) -> Tensor:
        return self.generate(self.num_samples)[0]

    @cached_property
    def real_logits(self) -> Tensor:
        logits = self.setting.discriminator(self.reals, self.setting.batch["real_c"])
        self.report_logits("real", logits)
        return logits

    @cached_property
    def fake_logits(self) -> Tensor:
        logits = self.setting.discriminator(self.fakes, self.setting.batch["gen_c"])
        self.report_logits("fake", logits)
        return logits

    def report_logits(self, name: str, logits: Tensor) -> None:
        self.report(f"Loss/scores/{name}", logits)
        self.report(f"Loss/signs/{name}", logits.sign())

    def images_with_gradient(self, need: str) -> Tensor:
        return {"real_images": self.reals, "fake_images": self.fakes}[need]

    def stream(self, purpose: str, num: int) -> GivenNoise:
        return GivenNoise(self.setting.batch["pl_noise_randn"][:num])

    def report(self, name: str, values: Tensor) -> None:
        self.reports[name] = values.detach()

    def batch_mean(self, term: Any, values: Tensor) -> Tensor:
        return values.detach().mean()

    def track(self, owner: Any, values: Tensor) -> None:
        self.tracked.append((owner, values.detach()))


def read_batch(document: Document, phases: Sequence[str], off: set[str]) -> dict[str, Tensor]:
    """What the phases look at: latents always, real images in D's, the noise of path lengths where they are taken."""
    needed = {"gen_z", "gen_c"}
    if any(phase.startswith("D") for phase in phases):
        needed |= {"real_img", "real_c"}
    if "path_length" not in off and any("path_length" in PHASES[phase] for phase in phases):
        needed |= {"pl_noise_randn"}
    there = {name for name in ("real_img", "real_c", "pl_noise_randn") if document.has(f"in/{name}")}
    return {name: document.tensor(f"in/{name}") for name in sorted(needed | there)}


def read_setting(document: Document, options: Fields, phases: Sequence[str]) -> Setting:
    """Networks and batch of the file, and the options as those of this package's terms."""
    generator = make_generator(document, options.take("G"), "state_G/")
    discriminator = make_discriminator(document, options.take("D"), "state_D/")
    path_length = {
        "weight": options.take("pl_weight", 2),
        "batch_shrink": options.take("pl_batch_shrink", 2),
        "decay": options.take("pl_decay", 0.01),
    }
    if options.take("style_mixing_prob", 0):
        raise NotUnderstood("options: style_mixing_prob above 0 needs the recorded random draws")
    strengths = {"r1": {"gamma": options.take("r1_gamma", 10)}, "path_length": path_length}
    off = {"r1"} if not strengths["r1"]["gamma"] else set()
    off |= {"path_length"} if not path_length["weight"] else set()
    pl_mean, gain = options.take("pl_mean_initial", 0), options.take("gain", 1)
    return Setting(
        generator, discriminator, read_batch(document, phases, off), strengths, frozenset(off), pl_mean, gain
    )


def run(document: Document) -> Iterator[Check]:
    """Every phase, from the recorded weights, and the running mean of w that one pass of G leaves."""
    options = document.options()
    phases = options.take("phases")
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown:
        raise NotUnderstood(f"options: unknown phase {unknown[0]!r}; known: {', '.join(PHASES)}")
    setting = read_setting(document, options, phases)
    options.finish()
    w_avg = setting.generator.mapping.w_avg.clone()
    for phase in phases:
        setting.generator.mapping.w_avg.copy_(w_avg)
        yield from run_phase(document, setting, phase)
    if document.has("out/w_avg_after_one_G_forward"):
        setting.generator.mapping.w_avg.copy_(w_avg)
        setting.generator.train().mapping(setting.batch["gen_z"], setting.batch["gen_c"])
        name = "out/w_avg_after_one_G_forward"
        yield compare(document, "w_avg_after_one_G_forward", name, setting.generator.mapping.w_avg, LOSS)


def run_phase(document: Document, setting: Setting, phase: str) -> Iterator[Check]:
    """Reports and gradients of one phase."""
    from openstylegan.losses import LOSS_TERMS

    names = [name for name in PHASES[phase] if name not in setting.off]
    terms: dict[str, Any] = {name: LOSS_TERMS[name](**setting.strengths.get(name, {})) for name in names}
    pl_mean = torch.tensor(float(setting.pl_mean), device=document.device)
    if "path_length" in terms:
        pl_mean = terms["path_length"].to(document.device).pl_mean.fill_(setting.pl_mean)
    forward_pass = RecordedPass(setting, frozenset().union(*(term.needs for term in terms.values())))
    player = setting.generator if phase.startswith("G") else setting.discriminator
    step(setting, player, list(terms.values()), forward_pass)
    yield from check_reports(document, phase, forward_pass.reports)
    if document.has(f"out/{phase}/pl_mean_after"):
        name = f"out/{phase}/pl_mean_after"
        yield compare(document, f"{phase}/pl_mean_after", name, pl_mean, LOSS)
    yield from check_gradients(document, phase, player)


def step(setting: Setting, player: Any, terms: list[Any], forward_pass: RecordedPass) -> None:
    """One phase of training but for the optimizer: the gradient of the sum of terms in the player's parameters."""
    for network in (setting.generator, setting.discriminator):
        network.train().requires_grad_(network is player).zero_grad(set_to_none=True)
    if terms:
        (torch.stack([term(forward_pass) for term in terms]).sum() * setting.gain).backward()
    for owner, values in forward_pass.tracked:
        owner.update_statistics(values.double().mean(0), values.new_tensor(float(len(values))))
    for network in (setting.generator, setting.discriminator):
        network.requires_grad_(False)


def check_reports(document: Document, phase: str, reports: dict[str, Tensor]) -> Iterator[Check]:
    """Every statistic the file records for the phase."""
    for name in document.names(f"out/{phase}/Loss/"):
        statistic = name.removeprefix(f"out/{phase}/")
        case = f"{phase}/{statistic}"
        if statistic not in reports:
            document.take(name)
            yield failure(case, "", "this package does not report it in this phase")
            continue
        tolerance = EXACT if "/signs/" in statistic else LOSS
        yield compare(document, case, name, reports[statistic], tolerance)


def check_gradients(document: Document, phase: str, player: Any) -> Iterator[Check]:
    """Norm of the gradient of every parameter, and some gradients in full. No gradient counts as zero."""
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in player.named_parameters()
    }
    for kind, tolerance in (("gradnorm", GRADIENT_NORM), ("grad", GRADIENT)):
        checks = []
        for name in document.names(f"out/{phase}/{kind}/"):
            parameter = name.removeprefix(f"out/{phase}/{kind}/")
            if parameter not in gradients:
                raise NotUnderstood(f"array {name!r}: no such parameter here")
            gradient = gradients[parameter].norm() if kind == "gradnorm" else gradients[parameter]
            checks.append(compare(document, f"{phase}/{kind}", name, gradient, tolerance))
        if kind == "gradnorm" and checks and len(checks) != len(gradients):
            left = sorted(set(gradients) - {n.removeprefix(f"out/{phase}/{kind}/") for n in document.arrays})
            yield failure(f"{phase}/{kind}", left[0], "is a parameter here, but not in the file")
        yield from worst(f"{phase}/{kind}", checks)
