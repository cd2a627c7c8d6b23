"""Golden MSG-StyleGAN: networks, the pyramid of reals, losses, R1 and gradients, as the TensorFlow program gives them.

Variables and their gradients have TensorFlow's names and layouts; they are read as those of its pickles are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from golden.check import Check, compare, compare_arrays, failure, worst
from golden.document import Document, Fields, NotUnderstood
from golden.tolerances import GRADIENT, GRADIENT_NORM, LOSS, network_tolerance

IMAGE = re.compile(r"out/(img\w*)/(\d+)x\d+")
COMPONENTS = {"G_synthesis": "synthesis", "G_mapping": "mapping"}
SIDES = re.compile(r"/(\d+)x\d+$")


def component_names(variables: dict[str, Any]) -> dict[str, Any]:
    """Names inside a running graph as they are in pickles: by component instead of by its name."""
    return {re.sub(r"^G_(synthesis|mapping)/", r"\1/", name): value for name, value in variables.items()}


def side_of(name: str) -> int:
    """The side in pixels that ends an array's name."""
    match = SIDES.search(name)
    if match is None:
        raise NotUnderstood(f"array {name!r}: no resolution in its name")
    return int(match[1])


def by_side(document: Document, prefix: str) -> tuple[Tensor, ...]:
    """The arrays of a picture at every resolution, the smallest first."""
    return tuple(document.tensor(name) for name in sorted(document.names(prefix), key=side_of))


def level(images: tuple[Tensor, ...], side: int) -> Tensor:
    """The picture of one side."""
    return {image.shape[-1]: image for image in images}[side]


@dataclass
class Setting:
    """Both networks, what was asked of the program, and the batch of the losses."""

    document: Document
    options: dict[str, dict[str, Any]]
    truncations: dict[str, dict[str, Any]]
    r1_gamma: float

    def tensors(self, variables: dict[str, Any], network: str, **options: Any) -> dict[str, Tensor]:
        """Variables of a network, or gradients of them, under our names."""
        from openstylegan.interop import tensorflow_msg as reader

        if network == "D":
            return reader.discriminator_tensors(variables, "the recorded D")
        return reader.generator_tensors(component_names(variables), {**self.options["G"], **options}, "the recorded G")

    def state(self, network: str) -> dict[str, Any]:
        """The recorded variables of a network."""
        prefix = f"state_{network}/"
        return {name[len(prefix) :]: self.document.take(name) for name in self.document.names(prefix)}

    def made(self, network: str, **options: Any) -> Any:
        """A network with its recorded weights, trainable, in eval mode."""
        from openstylegan.interop import tensorflow_msg as reader
        from openstylegan.networks import DISCRIMINATORS, GENERATORS
        from openstylegan.registry import build

        make = {"G": reader.generator_component, "D": reader.discriminator_component}[network]
        component = make(self.options[network])
        module = build({"G": GENERATORS, "D": DISCRIMINATORS}[network], component.name, component.options, network)
        module.load_state_dict(self.tensors(self.state(network), network, **options))
        return module.to(self.document.device).eval()

    @cached_property
    def G(self) -> Any:
        return self.made("G")

    @cached_property
    def D(self) -> Any:
        return self.made("D")

    @cached_property
    def reals(self) -> tuple[Tensor, ...]:
        """The pyramid of the recorded pictures, inside the graph."""
        from openstylegan.images import from_uint8

        return self.D.prepare_reals(from_uint8(self.document.tensor("in/reals_u8_nchw")).requires_grad_())

    def fake_logits(self, labels: str) -> Tensor:
        """D of pictures with stored noise, not truncated."""
        z, c = self.document.tensor("in/loss_z"), self.document.tensor(labels)
        return self.D(self.G(z, c, noise_mode="const"), c)

    def real_logits(self, reals: tuple[Tensor, ...]) -> Tensor:
        """D of real pictures with their labels."""
        return self.D(reals, self.document.tensor("in/reals_c"))


def read_setting(document: Document) -> Setting:
    """The options of a recording, all of them."""
    options = document.options()
    statics = {name: dict(options.take(f"{name}_static_kwargs")) for name in ("G", "D")}
    truncations = {name: options.take(name) for name in sorted(options.left) if name.startswith("img_")}
    gamma, beta = options.take("r1_gamma", 10), options.take("dlatent_avg_beta", 0.995)
    options.finish()
    if statics["G"].setdefault("dlatent_avg_beta", beta) != beta:
        raise NotUnderstood(f"options: dlatent_avg_beta is {beta}, and {statics['G']['dlatent_avg_beta']} of G")
    return Setting(document, statics, {name: dict(value) for name, value in truncations.items()}, gamma)


def run(document: Document) -> Iterator[Check]:
    """Everything that is recorded, part by part."""
    setting = read_setting(document)
    yield from check_names(setting)
    yield from check_pictures(setting)
    yield from check_logits(setting)
    for name in document.names("out/reals_pyramid/"):
        yield compare(document, "", name, level(setting.reals, side_of(name)), network_tolerance(document.device))
    yield from check_statistics(setting)
    yield from check_losses(setting)
    yield from check_r1(setting)


def check_names(setting: Setting) -> Iterator[Check]:
    """Our parameters are the recorded trainable variables, and G makes the recorded outputs in their order."""
    take = setting.document.description.take
    for network in ("G", "D"):
        listed = take(f"{network}_trainables", None)
        if listed is not None:
            state = {name: value for name, value in setting.state(network).items() if name in listed}
            theirs = set(setting.tensors(state, network))
            wrong = theirs ^ {name for name, _ in getattr(setting, network).named_parameters()}
            yield failure(f"{network} names", "", min(wrong)) if wrong else Check(f"{network} names", "")
    listed = take("G_output_names", None)
    if listed is not None:
        sides = [image.shape[-1] for image in setting.reals]
        same = listed == [f"images_out_{side}x{side}" for side in sides]
        yield Check("G outputs", "") if same else failure("G outputs", "", f"ours are {sides}")


def check_pictures(setting: Setting) -> Iterator[Check]:
    """w, and pictures of every size: plain, truncated, and with the kernels of up-sampling layers taken as fused."""
    document, tolerance = setting.document, network_tolerance(setting.document.device)
    z, c = document.tensor("in/z"), document.tensor("in/c")
    yield compare(document, "", "out/w", setting.G.mapping(z, c), tolerance)
    made: dict[str, tuple[Tensor, ...]] = {}
    for name in document.names("out/img"):
        match = IMAGE.fullmatch(name)
        if match is None:
            raise NotUnderstood(f"no rule for array {name!r}")
        if match[1] not in made:
            made[match[1]] = pictures(setting, match[1], z, c)
        yield compare(document, "", name, level(made[match[1]], int(match[2])), tolerance)
    missing = setting.truncations.keys() - made.keys()
    if missing:
        raise NotUnderstood(f"options: {min(missing)!r} has no pictures")


def pictures(setting: Setting, name: str, z: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """Pictures of one recorded way to make them."""
    psi, cutoff = 1.0, None
    G = setting.G
    if name in setting.truncations:
        fields = Fields(setting.truncations[name], f"options: {name}")
        psi, cutoff = fields.take("psi"), fields.take("cutoff", None)
        fields.finish()
    elif name == "img_fused":
        G = setting.made("G", fused_scale=True)
    elif name != "img":
        raise NotUnderstood(f"no rule for array 'out/{name}'")
    with torch.no_grad():
        return G(z, c, truncation_psi=psi, truncation_cutoff=cutoff, noise_mode="const")


def check_logits(setting: Setting) -> Iterator[Check]:
    """Logits of the first images, as many as are recorded; whole groups of the batch's statistics and a part of one."""
    document = setting.document
    images, c = by_side(document, "in/D_img/"), document.tensor("in/D_c")
    for name in document.names("out/D_logits"):
        num = len(document.take(name))
        logits = setting.D(tuple(image[:num] for image in images), c[:num])
        yield compare(document, "", name, logits, network_tolerance(document.device))


def check_statistics(setting: Setting) -> Iterator[Check]:
    """The mean w after one evaluation of G in training mode."""
    name = "out/dlatent_avg_after_G_loss"
    if setting.document.has(name):
        G = setting.made("G").train()
        G.mapping(setting.document.tensor("in/loss_z"), setting.document.tensor("in/loss_random_labels"))
        yield compare(setting.document, "", name, G.mapping.w_avg, LOSS)


def check_losses(setting: Setting) -> Iterator[Check]:
    """Both losses of every sample, and the gradients of their means in the parameters of their player."""
    from openstylegan.losses.adversarial import logistic_d_fake, logistic_d_real, logistic_g
    from openstylegan.losses.multi_scale import r1_penalty_of_scales

    document = setting.document
    loss = logistic_g(setting.fake_logits("in/loss_random_labels"))
    yield compare(document, "", "out/G_loss", loss, LOSS)
    yield from check_gradients(setting, "G", loss)
    real_logits = setting.real_logits(setting.reals)
    plain = logistic_d_fake(setting.fake_logits("in/reals_c")) + logistic_d_real(real_logits)
    yield compare(document, "", "out/D_loss_without_r1", plain, LOSS)
    loss = plain + r1_penalty_of_scales(real_logits, setting.reals).mean() * (setting.r1_gamma / 2)
    yield compare(document, "", "out/D_loss", loss, LOSS)
    yield from check_gradients(setting, "D", loss)


def check_gradients(setting: Setting, network: str, loss: Tensor) -> Iterator[Check]:
    """Norm of the gradient of every parameter, and some gradients in full."""
    parameters = dict(getattr(setting, network).named_parameters())
    found = torch.autograd.grad(loss.mean(), list(parameters.values()), retain_graph=True)
    gradients = dict(zip(parameters, found, strict=True))
    yield from worst(f"{network} gradients", recorded_gradients(setting, network, "grad", gradients, lambda g: g))
    norms = list(recorded_gradients(setting, network, "gradnorm", gradients, torch.linalg.vector_norm))
    yield from worst(f"{network} gradient norms", norms)
    if norms and len(norms) != len(gradients):
        yield failure(f"{network} gradient norms", "", f"{len(norms)} are recorded of {len(gradients)} parameters")


def recorded_gradients(
    setting: Setting, network: str, kind: str, gradients: dict[str, Tensor], of: Callable[[Tensor], Tensor]
) -> Iterator[Check]:
    """Each recorded gradient, or number `of` it, against ours."""
    document, prefix = setting.document, f"out/{network}_loss_{kind}/"
    state = setting.state(network)
    for name in document.names(prefix):
        variable = name.removeprefix(prefix)
        (ours,) = setting.tensors({variable: state[variable]}, network)
        expected = document.take(name)
        if kind == "grad":
            expected = setting.tensors({variable: expected}, network)[ours]
        tolerance = GRADIENT if kind == "grad" else GRADIENT_NORM
        yield compare_arrays(variable, ours, of(gradients[ours]), expected, tolerance, document.rounding(name))


def check_r1(setting: Setting) -> Iterator[Check]:
    """Gradients with respect to every level, total and with the levels cut apart, and the penalty."""
    from openstylegan.losses.multi_scale import r1_penalty_of_scales

    document, reals = setting.document, setting.reals
    logits = setting.real_logits(reals)
    total = torch.autograd.grad(logits.sum(), reals, retain_graph=True)
    for name in document.names("out/R1_grad_total/"):
        yield compare(document, "", name, level(total, side_of(name)), LOSS)
    yield compare(document, "", "out/R1_sq_total", squares(total), LOSS)
    yield compare(document, "", "out/R1_penalty", r1_penalty_of_scales(logits, reals).mean(), LOSS)
    if document.has("out/R1_sq_partial"):
        apart = tuple(image.detach().requires_grad_() for image in reals)
        partial = torch.autograd.grad(setting.real_logits(apart).sum(), apart)
        yield compare(document, "", "out/R1_sq_partial", squares(partial), LOSS)


def squares(gradients: tuple[Tensor, ...]) -> Tensor:
    """Squared sums [scales, N]."""
    return torch.stack([gradient.square().sum([1, 2, 3]) for gradient in gradients])
