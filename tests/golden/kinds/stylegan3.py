"""Golden StyleGAN3: designed filters, layer tables, and networks with weights, inputs and outputs of the original.

Every default of the original is written out here, so that what is checked does not depend on those of this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from golden.check import Check, as_array, compare, compare_arrays, failure, worst
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.networks import SIZES, labels, load_state, taken
from golden.kinds.ops import case_entries
from golden.kinds.paths import every_path
from golden.tolerances import (
    ALIAS_FREE_INPUT_GRADIENT,
    ALIAS_FREE_NETWORK,
    EXACT,
    LAYER_TABLE,
    LOWPASS_TAPS,
    network_tolerance,
)

SCHEDULE_DEFAULTS: dict[str, Any] = {
    "channel_base": 32768,
    "channel_max": 512,
    "num_layers": 14,
    "num_critical": 2,
    "first_cutoff": 2.0,
    "first_stopband": 4.2870938501451725,
    "last_stopband_rel": 1.2311444133449163,
    "margin_size": 10,
    "output_scale": 0.25,
    "num_fp16_res": 4,
    "conv_kernel": 3,
    "filter_size": 6,
    "lrelu_upsampling": 2,
    "use_radial_filters": False,
    "conv_clamp": 256,
    "magnitude_ema_beta": 0.999,
}
MAPPING_DEFAULTS = {"num_layers": 2, "lr_multiplier": 0.01, "w_avg_beta": 0.998}
CONFIGS: dict[str, dict[str, Any]] = {
    "stylegan3-t": {},
    "stylegan3-r": {"channel_base": 65536, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True},
}
LAYER_FILTER = re.compile(r"(?P<config>stylegan3-[tr])-(?P<side>\d+)/(?P<layer>L\d+_\d+_\d+)/(?P<which>up|down)_filter")


def looks_like_filters(document: Document) -> bool:
    """Cases with a number of taps."""
    return bool(case_entries(document, "numtaps"))


def looks_like_layer_tables(document: Document) -> bool:
    """Tables of layers."""
    tables = document.meta.get("tables")
    entries = tables.values() if isinstance(tables, dict) else []
    return any(isinstance(table, dict) and "min_stopbands" in table for table in entries)


def generator_options(init_kwargs: Any) -> dict[str, Any]:
    """The recorded constructor arguments with all defaults filled in."""
    fields = Fields(init_kwargs, "init_kwargs")
    sizes = fields.take_given(*SIZES)
    mapping = taken(fields.take("mapping_kwargs", {}), tuple(MAPPING_DEFAULTS), "mapping_kwargs")
    given = fields.take_given(*SCHEDULE_DEFAULTS)
    fields.finish()
    return {**sizes, "mapping_kwargs": {**MAPPING_DEFAULTS, **mapping}, **SCHEDULE_DEFAULTS, **given}


def make_generator(document: Document, init_kwargs: Any, prefix: str = "state/") -> Any:
    """The recorded generator, in evaluation mode, without gradients."""
    from openstylegan.networks import GENERATORS

    network = GENERATORS["stylegan3"](**generator_options(init_kwargs)).to(document.device)
    load_state(network, document, prefix)
    return network.eval().requires_grad_(False)


def transform_of(translate: Any, rotate: float) -> np.ndarray:
    """What makes the picture turn by `rotate` degrees and then move: the inverse of that matrix."""
    angle = np.deg2rad(rotate)
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    matrix[:2, 2] = translate
    return np.linalg.inv(matrix)


def run_generator(document: Document) -> Iterator[Check]:
    """w, images, input features, the gradient with respect to w, and what `update_emas` does."""
    options = document.options()
    generator = make_generator(document, options.take("init_kwargs"))
    psi, cutoff = options.take("truncation_psi", 1), options.take("truncation_cutoff", None)
    num_ws = options.take("num_ws", generator.num_ws)
    names = options.take("layer_names", generator.synthesis.layer_names)
    posed = {"translate", "rotate"} & options.left
    pose = options.take("translate", [0.0, 0.0]), options.take("rotate", 0)
    options.finish()
    yield compare_arrays("num_ws", "", generator.num_ws, num_ws, EXACT)
    if names != generator.synthesis.layer_names:
        yield failure("layer_names", "", f"{generator.synthesis.layer_names} instead of {names}")
    if posed and document.has("in/transform"):
        transform = document.take("in/transform")
        yield compare_arrays("transform", "", transform_of(*pose), transform, ALIAS_FREE_NETWORK)
    z = document.tensor("in/z")
    c = labels(document, len(z), generator.c_dim)
    yield from check_designed_filters(document, generator)
    ws = {"": generator.mapping(z, c), "_trunc": generator.mapping(z, c, psi)}
    ws["_trunc_cutoff"] = generator.mapping(z, c, psi, cutoff)
    for suffix, rows in ws.items():
        if document.has(f"out/w{suffix}"):
            yield compare(document, f"w{suffix}", f"out/w{suffix}", rows, network_tolerance(document.device))
    yield from by_every_path(document, generator, ws)
    yield from check_update(document, generator, z, c)


def by_every_path(document: Document, generator: Any, ws: dict[str, Tensor]) -> Iterator[Check]:
    """Images, features and gradients, by every path of the operations: one line for each array."""
    checks: dict[str, list[Check]] = {}
    for _, path in every_path():
        with path:
            for check in (*check_pictures(document, generator, ws), *check_w_gradient(document, generator, ws[""])):
                checks.setdefault(check.case, []).append(check)
    for case, found in checks.items():
        yield from worst(case, found)


def check_pictures(document: Document, generator: Any, ws: dict[str, Tensor]) -> Iterator[Check]:
    """Images by their truncation; images and input features with and without the transform."""
    synthesis = generator.synthesis
    upright = synthesis.input.transform.clone()
    for suffix, rows in ws.items():
        name = f"out/img_const{suffix}"
        if document.has(name):
            image = synthesis(rows, noise_mode="const", force_fp32=True)
            yield compare(document, name[4:], name, image, ALIAS_FREE_NETWORK)
    for suffix in ("", "_transform"):
        if suffix and document.has("in/transform"):
            synthesis.input.transform.copy_(document.tensor("in/transform"))
        name = f"out/input_features{suffix}"
        if document.has(name):
            features = synthesis.input(ws[""][:, 0])[:, : document.arrays[name].shape[1]]
            yield compare(document, name[4:], name, features, ALIAS_FREE_NETWORK)
    name = "out/img_const_transform"
    if document.has(name):
        image = synthesis(ws[""], noise_mode="const", force_fp32=True)
        yield compare(document, name[4:], name, image, ALIAS_FREE_NETWORK)
    synthesis.input.transform.copy_(upright)


def check_w_gradient(document: Document, generator: Any, ws: Tensor) -> Iterator[Check]:
    """The gradient of sum(image cotangent) with respect to w."""
    if not document.has("out/grad_w"):
        return
    ws = ws.detach().requires_grad_(True)
    image = generator.synthesis(ws, noise_mode="const", force_fp32=True)
    (gradient,) = torch.autograd.grad((image * document.tensor("in/img_cotangent")).sum(), ws)
    yield compare(document, "grad_w", "out/grad_w", gradient, ALIAS_FREE_INPUT_GRADIENT)


def check_designed_filters(document: Document, generator: Any) -> Iterator[Check]:
    """The filters that the schedule designs against those recorded with the weights."""
    checks = []
    for layer in generator.synthesis.layers:
        for which in ("up", "down"):
            designed, name = (
                getattr(layer.plan, f"{which}_filter")(),
                f"state/synthesis.{layer.plan.name}.{which}_filter",
            )
            if (designed is None) == document.has(name):
                yield failure("designed filters", name, "there should be one" if designed is None else "there is none")
            elif designed is not None:
                checks.append(compare(document, "", name, designed, LOWPASS_TAPS))
    yield from worst("designed filters", checks)


def check_update(document: Document, generator: Any, z: Tensor, c: Tensor) -> Iterator[Check]:
    """The image of a pass that updates w_avg and the magnitudes, and all of them after it. Changes the generator."""
    if not document.has("out/img_with_update_emas"):
        return
    image = generator(z, c, update_emas=True, noise_mode="const", force_fp32=True)
    yield compare(document, "img_with_update_emas", "out/img_with_update_emas", image, ALIAS_FREE_NETWORK)
    prefix, state = "out/buffers_after_update_emas/", generator.state_dict()
    names = document.names(prefix)
    yield from worst(
        "buffers_after_update_emas",
        [compare(document, "", n, state[n.removeprefix(prefix)], network_tolerance(document.device)) for n in names],
    )


def run_filters(document: Document) -> Iterator[Check]:
    """Filters by their numbers, then those of all layers of whole networks."""
    from openstylegan.ops.lowpass import design_lowpass

    document.options().finish()
    for key, fields in document.cases():
        arguments = [fields.take(name) for name in ("numtaps", "cutoff", "width", "fs")]
        arguments.append(fields.take("radial", False))
        taps = design_lowpass(*arguments)
        none = fields.take("none", not document.has(f"{key}/f"))
        if none or taps is None:
            yield Check("no filter", key) if none and taps is None else failure(key, "", "None against a filter")
        else:
            yield compare(document, key, f"{key}/f", taps, LOWPASS_TAPS)
    found: dict[str, list[Check]] = {}
    for name in document.names("stylegan3-"):
        found.setdefault(name.split("/")[0], []).append(check_layer_filter(document, name))
    for config, checks in found.items():
        yield from worst(config, checks)


def check_layer_filter(document: Document, name: str) -> Check:
    """A filter of a layer of a named configuration."""
    match = LAYER_FILTER.fullmatch(name)
    if not match:
        raise NotUnderstood(f"array {name!r}: expected stylegan3-t|r-SIDE/LAYER/up_filter or down_filter")
    plans = {plan.name: plan for plan in schedule(int(match["side"]), 3, CONFIGS[match["config"]])}
    if match["layer"] not in plans:
        return failure("", name, f"no such layer among {', '.join(plans)}")
    designed = getattr(plans[match["layer"]], f"{match['which']}_filter")()
    return (
        failure("", name, "there is none") if designed is None else compare(document, "", name, designed, LOWPASS_TAPS)
    )


def schedule(side: int, channels: int, given: dict[str, Any]) -> list[Any]:
    """The layers of a network with these options and the original's defaults."""
    from openstylegan.networks.stylegan3_schedule import SynthesisOptions, make_schedule

    return make_schedule(side, channels, SynthesisOptions(**{**SCHEDULE_DEFAULTS, **given}))


def run_layer_tables(document: Document) -> Iterator[Check]:
    """Every number of every layer of every table."""
    document.options().finish()
    tables = Fields(document.description.take("tables"), "tables")
    for name in tables.values:
        yield from worst(name, check_table(Fields(tables.take(name), name)))
    tables.finish()


def check_table(table: Fields) -> Iterator[Check]:
    """One table; what a network was built with is read from its options and its layers."""
    from openstylegan.networks.stylegan3_schedule import SynthesisOptions, bands

    layers = table.take("layers")
    side, channels = layers[-1]["out_size"][0], layers[-1]["out_channels"]
    options = {
        **table.take("options", {}),
        **table.take_given("num_layers", "num_critical", "margin_size", "output_scale"),
    }
    options["conv_kernel"] = layers[0]["conv_kernel"]
    options["use_radial_filters"] = any(layer["down_radial"] for layer in layers)
    plans = schedule(side, channels, options)
    yield from check_num_parameters(table, plans, SynthesisOptions(**{**SCHEDULE_DEFAULTS, **options}))
    yield compare_arrays("", "num_ws", len(plans) + 1, table.take("num_ws", len(plans) + 1), EXACT)
    stopbands = bands(side, SynthesisOptions(**{**SCHEDULE_DEFAULTS, **options}))[1]
    yield compare_arrays("", "min_stopbands", stopbands, table.take("min_stopbands", stopbands), LAYER_TABLE)
    signal = plans[0].before
    given = Fields(table.take("input"), "input")
    ours = {"channels": signal.channels, "size": [signal.size] * 2, "sampling_rate": signal.rate}
    yield from check_fields(given, {**ours, "bandwidth": signal.cutoff})
    yield compare_arrays("", "number of layers", len(plans), len(layers), EXACT)
    for plan, layer in zip(plans, layers, strict=False):
        yield from check_fields(Fields(layer, plan.name), as_recorded(plan))
    table.finish()


def check_num_parameters(table: Fields, plans: list[Any], options: Any) -> Iterator[Check]:
    """The number of parameters of the synthesis network, for the w_dim that the table's note states."""
    from openstylegan.networks.outline import WithoutInitialWeights
    from openstylegan.networks.stylegan3 import AliasFreeSynthesis

    note, expected = table.take("params_note", ""), table.take("num_params", None)
    if expected is None:
        return
    stated = re.search(r"w_dim\s*=\s*(\d+)", note)
    if not stated:
        raise NotUnderstood(f"{table.where}: params_note {note!r} states no w_dim")
    with WithoutInitialWeights():
        network = AliasFreeSynthesis(int(stated[1]), plans, options)
    ours = sum(parameter.numel() for parameter in network.parameters())
    yield compare_arrays("", "num_params", ours, expected, EXACT)


def as_recorded(plan: Any) -> dict[str, Any]:
    """A layer under the names of a table."""
    sides = {}
    for prefix, signal in (("in", plan.before), ("out", plan.after)):
        sides[f"{prefix}_channels"], sides[f"{prefix}_size"] = signal.channels, [signal.size] * 2
        sides[f"{prefix}_sampling_rate"], sides[f"{prefix}_cutoff"] = signal.rate, signal.cutoff
        sides[f"{prefix}_half_width"], sides[f"{prefix}_stopband"] = (
            signal.half_width,
            signal.cutoff + signal.half_width,
        )
    return {
        **sides,
        "name": plan.name,
        "tmp_sampling_rate": plan.tmp_rate,
        "is_torgb": plan.is_torgb,
        "is_critically_sampled": plan.is_critically_sampled,
        "use_fp16": plan.low_precision_allowed,
        "conv_kernel": plan.conv_kernel,
        "up_factor": plan.up,
        "up_taps": plan.up_taps,
        "down_factor": plan.down,
        "down_taps": plan.down_taps,
        "down_radial": plan.down_radial,
        "padding": [*plan.padding, *plan.padding],
    }


def check_fields(recorded: Fields, ours: dict[str, Any]) -> Iterator[Check]:
    """Every recorded field against ours of the same name: the edges of bands to 1e-6, all else exactly."""
    for name, value in recorded.values.items():
        if name not in ours:
            raise NotUnderstood(f"{recorded.where}: unknown field {name!r}")
        where = f"{recorded.where} {name}"
        recorded.take(name)
        if isinstance(value, str):
            if value != ours[name]:
                yield failure("", where, f"{ours[name]} instead of {value}")
        else:
            whole = not isinstance(value, float) or value == int(value)
            yield compare_arrays(
                "", where, ours[name], as_array(value), EXACT if whole and not is_band(name) else LAYER_TABLE
            )


def is_band(name: str) -> bool:
    """Whether a field comes out of powers, and so may be a rounding away from a whole number."""
    return name.endswith(("cutoff", "half_width", "stopband", "bandwidth"))
