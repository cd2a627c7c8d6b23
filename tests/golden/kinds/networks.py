"""Golden StyleGAN2 networks: weights and inputs of the originals, w, images, logits and input gradients out.

Two programs recorded them, with options in two forms and different defaults: stylegan2-ada-pytorch nests the synthesis
options in `synthesis_kwargs`, the stylegan3 repository takes them flat. Every default is written out here, so that
what is checked does not depend on the defaults of this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from golden.check import Check, compare, compare_arrays, worst
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.paths import every_path
from golden.tolerances import EXACT, INPUT_GRADIENT, network_tolerance

DEFAULTS: dict[str, dict[str, Any]] = {
    "stylegan2-ada-pytorch": {"conv_clamp": None, "num_fp16_res": 0, "w_avg_beta": 0.995},
    "stylegan3": {"conv_clamp": 256, "num_fp16_res": 4, "w_avg_beta": 0.998},
}
MAPPING = ("num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta")
SYNTHESIS = (
    "channel_base",
    "channel_max",
    "architecture",
    "resample_filter",
    "conv_clamp",
    "num_fp16_res",
    "fp16_channels_last",
    "use_noise",
    "activation",
    "kernel_size",
)
DISCRIMINATOR = ("channel_base", "channel_max", "architecture", "conv_clamp", "num_fp16_res", "cmap_dim")
BLOCK = ("activation", "resample_filter", "fp16_channels_last", "freeze_layers")
EPILOGUE = ("mbstd_group_size", "mbstd_num_channels", "activation")
SIZES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
IMAGE = re.compile(r"img_(const|none)(_trunc)?(_cutoff)?")


def reference_defaults(reference: str, nested: bool | None) -> dict[str, Any]:
    """Defaults of the program that recorded a network; `nested` tells the programs apart where no name is stated."""
    for name, defaults in DEFAULTS.items():
        if name in reference:
            return defaults
    if nested is None:
        raise NotUnderstood(f"reference {reference!r}: expected one of {', '.join(DEFAULTS)}; its defaults are needed")
    return DEFAULTS["stylegan2-ada-pytorch" if nested else "stylegan3"]


def taken(values: Any, names: tuple[str, ...], where: str) -> dict[str, Any]:
    """A table of options of which all must be among `names`."""
    fields = Fields(values, where)
    options = fields.take_given(*names)
    fields.finish()
    return options


def generator_options(init_kwargs: Any, reference: str) -> dict[str, Any]:
    """The options of either form as those of this package's generator."""
    fields = Fields(init_kwargs, "init_kwargs")
    sizes = fields.take_given(*SIZES)
    mapping = taken(fields.take("mapping_kwargs", {}), MAPPING, "mapping_kwargs")
    nested = taken(fields.take("synthesis_kwargs", {}), SYNTHESIS, "synthesis_kwargs")
    flat = fields.take_given(*SYNTHESIS)
    if nested and flat:
        raise NotUnderstood(f"init_kwargs: synthesis options both nested ({min(nested)}) and flat ({min(flat)})")
    fused = fields.take("fused_modconv_default", True)
    if fused not in (True, False, "inference_only"):
        raise NotUnderstood(f"init_kwargs: fused_modconv_default is {fused!r}")
    fields.finish()
    defaults = reference_defaults(reference, None if not nested and not flat else bool(nested))
    return {
        **sizes,
        "mapping_kwargs": {"num_layers": 8, "lr_multiplier": 0.01, "w_avg_beta": defaults["w_avg_beta"], **mapping},
        "synthesis_kwargs": {
            "channel_base": 32768,
            "channel_max": 512,
            "architecture": "skip",
            "conv_clamp": defaults["conv_clamp"],
            "num_fp16_res": defaults["num_fp16_res"],
            **nested,
            **flat,
        },
    }


def discriminator_options(init_kwargs: Any, reference: str) -> dict[str, Any]:
    """The options of a recorded discriminator as those of this package's."""
    fields = Fields(init_kwargs, "init_kwargs")
    given = fields.take_given("c_dim", "img_resolution", "img_channels", *DISCRIMINATOR)
    nested = {
        "block_kwargs": taken(fields.take("block_kwargs", {}), BLOCK, "block_kwargs"),
        "mapping_kwargs": taken(fields.take("mapping_kwargs", {}), MAPPING, "mapping_kwargs"),
        "epilogue_kwargs": taken(fields.take("epilogue_kwargs", {}), EPILOGUE, "epilogue_kwargs"),
    }
    fields.finish()
    defaults = reference_defaults(reference, None)
    return {
        "channel_base": 32768,
        "channel_max": 512,
        "architecture": "resnet",
        "conv_clamp": defaults["conv_clamp"],
        "num_fp16_res": defaults["num_fp16_res"],
        **given,
        "block_kwargs": {"freeze_layers": 0, **nested["block_kwargs"]},
        "mapping_kwargs": {"num_layers": 8, "lr_multiplier": 0.01, **nested["mapping_kwargs"]},
        "epilogue_kwargs": {"mbstd_group_size": 4, "mbstd_num_channels": 1, **nested["epilogue_kwargs"]},
    }


def load_state(network: nn.Module, document: Document, prefix: str) -> None:
    """The recorded weights and buffers, under their own names: every name and shape must fit."""
    state = document.group(prefix)
    ours = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(ours.keys() ^ theirs.keys()):
        raise NotUnderstood(f"weights: {name!r} is only in {'this package' if name in ours else 'the file'}")
    for name in sorted(ours):
        if ours[name] != theirs[name]:
            raise NotUnderstood(f"weights: {name!r} is {list(ours[name])} here and {list(theirs[name])} in the file")
    network.load_state_dict(state)


def make_generator(document: Document, init_kwargs: Any, prefix: str = "state/") -> Any:
    """The recorded generator, in evaluation mode, without gradients."""
    from openstylegan.networks import GENERATORS

    network = GENERATORS["stylegan2"](**generator_options(init_kwargs, document.reference)).to(document.device)
    load_state(network, document, prefix)
    return network.eval().requires_grad_(False)


def make_discriminator(document: Document, init_kwargs: Any, prefix: str = "state/") -> Any:
    """The recorded discriminator, in evaluation mode, without gradients."""
    from openstylegan.networks import DISCRIMINATORS

    network = DISCRIMINATORS["stylegan2"](**discriminator_options(init_kwargs, document.reference)).to(document.device)
    load_state(network, document, prefix)
    return network.eval().requires_grad_(False)


def labels(document: Document, num: int, c_dim: int) -> Tensor:
    """The recorded labels [num, c_dim]; an unconditional network looks at none, and its file may leave them out."""
    if c_dim == 0:
        document.used |= {"in/c"}
        return torch.zeros(num, 0, device=document.device)
    return document.tensor("in/c")


def run_generator(document: Document) -> Iterator[Check]:
    """w with and without truncation, images, the gradient with respect to w, the running mean of w."""
    options = document.options()
    generator = make_generator(document, options.take("init_kwargs"))
    psi, cutoff = options.take("truncation_psi", 1), options.take("truncation_cutoff", None)
    num_ws = options.take("num_ws", generator.num_ws)
    options.finish()
    yield compare_arrays("num_ws", "", generator.num_ws, num_ws, EXACT)
    z = document.tensor("in/z")
    c = labels(document, len(z), generator.c_dim)
    ws = {"": generator.mapping(z, c)}
    ws["_trunc"] = generator.mapping(z, c, truncation_psi=psi)
    ws["_trunc_cutoff"] = generator.mapping(z, c, truncation_psi=psi, truncation_cutoff=cutoff)
    tolerance = network_tolerance(document.device)
    for suffix, rows in ws.items():
        if document.has(f"out/w{suffix}"):
            yield compare(document, f"w{suffix}", f"out/w{suffix}", rows, tolerance)
    for name in document.names("out/img_"):
        yield from check_image(document, generator, ws, name)
    if document.has("out/grad_w"):
        yield check_w_gradient(document, generator, ws[""])
    yield from check_w_avg(document, generator, z, c)


def check_image(document: Document, generator: Any, ws: dict[str, Tensor], name: str) -> Iterator[Check]:
    """An image by every path and in both forms of the modulated convolution; `name` states noise and truncation."""
    match = IMAGE.fullmatch(name.removeprefix("out/"))
    if not match:
        return
    noise_mode, suffix = match[1], (match[2] or "") + (match[3] or "")
    checks = []
    for _, path in every_path():
        with path:
            for fused in (True, False):
                image = generator.synthesis(ws[suffix], noise_mode=noise_mode, force_fp32=True, fused_modconv=fused)
                checks.append(compare(document, match[0], name, image, network_tolerance(document.device)))
    yield from worst(match[0], checks)


def check_w_gradient(document: Document, generator: Any, ws: Tensor) -> Check:
    """The gradient of sum(image cotangent) with respect to w, constant noise."""
    ws = ws.detach().requires_grad_(True)
    image = generator.synthesis(ws, noise_mode="const", force_fp32=True)
    (gradient,) = torch.autograd.grad((image * document.tensor("in/img_cotangent")).sum(), ws)
    return compare(document, "grad_w", "out/grad_w", gradient, INPUT_GRADIENT)


def check_w_avg(document: Document, generator: Any, z: Tensor, c: Tensor) -> Iterator[Check]:
    """The running mean of w after one pass in training mode."""
    name = "out/w_avg_after_train_forward"
    if document.has(name):
        generator.mapping.train()(z, c)
        tolerance = network_tolerance(document.device)
        yield compare(document, "w_avg_after_train_forward", name, generator.mapping.w_avg, tolerance)


def run_discriminator(document: Document) -> Iterator[Check]:
    """Logits of the batch and of its first half, and the gradient of the sum of logits with respect to the images."""
    options = document.options()
    discriminator = make_discriminator(document, options.take("init_kwargs"))
    options.finish()
    checks: dict[str, list[Check]] = {}
    for _, path in every_path():
        with path:
            for check in check_discriminator(document, discriminator):
                checks.setdefault(check.case, []).append(check)
    for case, found in checks.items():
        yield from worst(case, found)


def check_discriminator(document: Document, discriminator: Any) -> Iterator[Check]:
    """The checks of `run_discriminator` by one path."""
    images = document.tensor("in/img", requires_grad=True)
    c = labels(document, len(images), discriminator.c_dim)
    logits = discriminator(images, c)
    tolerance = network_tolerance(document.device)
    yield compare(document, "logits", "out/logits", logits, tolerance)
    name = "out/grad_sum_logits_wrt_img"
    if document.has(name):
        (gradient,) = torch.autograd.grad(logits.sum(), images)
        yield compare(document, "grad_sum_logits_wrt_img", name, gradient, INPUT_GRADIENT)
    name = "out/logits_first_half"
    if document.has(name):
        half = len(images) // 2
        yield compare(document, "logits_first_half", name, discriminator(images[:half], c[:half]), tolerance)
