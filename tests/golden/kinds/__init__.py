"""The kinds of golden files: how each is recognised, and what is run for it.

A kind is known by its content (the arrays, case fields and options it has), else by what its description says it is,
else by its name. A new kind is one file here and one line in `KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from golden.check import Check
from golden.document import Document, NotUnderstood
from golden.kinds import (
    augment,
    latents,
    losses,
    metrics,
    mixing,
    msg,
    networks,
    ops,
    pickles,
    projected,
    projector,
    stylegan1,
    stylegan3,
    video,
)

Run = Callable[[Document], Iterable[Check]]


@dataclass(frozen=True)
class Kind:
    """`run` None: a kind that is known, but whose part of the package is not built yet; `note` says what it needs."""

    name: str
    run: Run | None
    says: str
    """Regular expression for the beginning of a description's `what`."""
    file_names: str
    """Regular expression for the beginning of the file name."""
    looks: Callable[[Document], bool] = lambda document: False
    """Whether the content is that of this kind."""
    note: str = ""


def has_arrays(*names: str) -> Callable[[Document], bool]:
    """Recognises a file by arrays it must have."""
    return lambda document: all(document.has(name) for name in names)


def pickled_names(*words: str) -> Callable[[Document], bool]:
    """Recognises a pickle by one of the names that occur in it."""
    return lambda document: not document.pickled.isdisjoint(words)


def unbuilt(name: str, says: str, file_names: str, note: str, looks: Callable[[Document], bool] | None = None) -> Kind:
    """A kind for later."""
    return Kind(name, None, says, file_names, looks or (lambda document: False), note)


KINDS: tuple[Kind, ...] = (
    Kind("ops_upfirdn2d", ops.run_upfirdn2d, "upfirdn2d", "ops_upfirdn2d", ops.looks_like_upfirdn2d),
    Kind("ops_bias_act", ops.run_bias_act, "bias_act", "ops_bias_act", ops.looks_like_bias_act),
    Kind("ops_conv2d_resample", ops.run_conv2d_resample, "conv2d_resample", "ops_conv2d_resample", ops.looks_like_conv),
    Kind("ops_filtered_lrelu", ops.run_filtered_lrelu, "filtered_lrelu", "ops_filtered_lrelu", ops.looks_like_lrelu),
    Kind(
        "ops_modconv_sg2",
        ops.run_modconv_sg2,
        "StyleGAN2 modulated_conv2d",
        "ops_modconv_sg2",
        ops.looks_like_modconv_sg2,
    ),
    Kind(
        "ops_modconv_sg3",
        ops.run_modconv_sg3,
        "StyleGAN3 modulated_conv2d",
        "ops_modconv_sg3",
        ops.looks_like_modconv_sg3,
    ),
    Kind(
        "sg2_G",
        networks.run_generator,
        "StyleGAN2 generator",
        "sg2_G",
        has_arrays("state/synthesis.b4.const", "in/z", "out/w"),
    ),
    Kind(
        "sg2_D",
        networks.run_discriminator,
        "StyleGAN2 discriminator",
        "sg2_D",
        has_arrays("state/b4.out.weight", "in/img", "out/logits"),
    ),
    Kind("style_mixing", mixing.run, "style_mixing", "style_mixing", has_arrays("out/seeds", "out/mix_w")),
    Kind(
        "loss_sg2",
        losses.run,
        "StyleGAN2 losses",
        "loss_sg2",
        has_arrays("state_G/synthesis.b4.const", "state_D/b4.out.weight"),
    ),
    Kind("ada", augment.run, "ADA AugmentPipe", "ada_", has_arrays("in/images", "buf/Hz_geom")),
    Kind(
        "metrics",
        metrics.run_arrays,
        "metric values of the reference code for fixed features",
        r"metrics.*\.npz",
        has_arrays("in/real_features", "in/gen_features"),
    ),
    Kind("metrics_values", metrics.run_values, "metric values for", r"metrics.*\.json", metrics.looks_like_values),
    Kind("seeds_to_z", latents.run, r"z = numpy\.random\.RandomState", "seeds_to_z", latents.looks_like_latents),
    Kind(
        "sg1_networks",
        stylegan1.run_networks,
        "StyleGAN1 StyledGenerator",
        "sg1_thin",
        stylegan1.looks_like_networks,
    ),
    Kind("sg1_units", stylegan1.run_units, "StyleGAN1 building blocks", "sg1_units", stylegan1.looks_like_units),
    Kind(
        "sg1_names",
        stylegan1.run_names,
        "state_dict names and shapes of the rosinality StyleGAN1",
        "sg1_checkpoint",
        stylegan1.looks_like_names,
    ),
    Kind(
        "sg3_G",
        stylegan3.run_generator,
        "StyleGAN3 generator",
        "sg3_G",
        has_arrays("state/synthesis.input.freqs", "in/z", "out/w"),
    ),
    Kind(
        "sg3_filters",
        stylegan3.run_filters,
        "StyleGAN3 design_lowpass_filter",
        "sg3_filters",
        stylegan3.looks_like_filters,
    ),
    Kind(
        "sg3_layer_table",
        stylegan3.run_layer_tables,
        "per-layer design table of full-size StyleGAN3",
        "sg3_layer",
        stylegan3.looks_like_layer_tables,
    ),
    Kind(
        "pg_fastgan",
        projected.run_generator,
        "projected_gan fastgan",
        "pg_fastgan",
        has_arrays("state/synthesis.init.init.0.weight_orig", "in/z", "out/img"),
    ),
    Kind("pg_units", projected.run_units, "projected_gan pieces", "pg_units", has_arrays("diffaug/in")),
    Kind(
        "msg",
        msg.run,
        "MSG-StyleGAN: ",
        "msg_",
        has_arrays("state_G/G_synthesis/4x4/Const/const", "state_D/FromRGB_lod0/weight"),
    ),
    Kind("gen_video", video.run, "gen_video", "gen_video", video.looks_like_video),
    Kind(
        "projector_schedule",
        projector.run_schedule,
        r"projector\.project\(\)",
        "projector_schedule",
        projector.looks_like_schedule,
    ),
    Kind(
        "projector_noise",
        projector.run_noise,
        "projector noise",
        "projector_noise",
        projector.looks_like_noise,
    ),
    Kind(
        "network_file",
        pickles.run_file,
        r"$^",
        r"$^",
        pickled_names("dnnlib.tflib.network", "torch_utils.persistence", "pg_modules.networks_fastgan"),
    ),
    Kind(
        "network_outputs",
        pickles.run_outputs,
        r"(expected )?outputs (for|of) \w+\.pkl",
        r"(pkl|tf)_\w+_expected",
        lambda document: bool(document.names("G_ema/")),
    ),
)


def identify(document: Document) -> Kind:
    """The kind of a document, by content, else by its description, else by its name; raises `NotUnderstood`."""
    for kind in KINDS:
        if kind.looks(document):
            return kind
    for kind in KINDS:
        if document.what and re.match(kind.says, document.what):
            return kind
    for kind in KINDS:
        if document.path.suffix != ".pkl" and re.match(kind.file_names, document.path.name):
            return kind
    what = f"a description that says {document.what[:60]!r}" if document.what else "no description of what it is"
    raise NotUnderstood(f"no known kind of golden file: {what}")
