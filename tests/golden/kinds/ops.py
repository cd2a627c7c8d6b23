"""Golden cases of single operations: inputs, output, and the gradients of sum(y gy) with respect to the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from golden.check import Check, compare, compare_arrays, failure, worst
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.paths import every_path
from golden.tolerances import EXACT, OPS, OPS_ZERO, SETUP_FILTER

Operation = Callable[[dict[str, Tensor], dict[str, Any]], Tensor]
"""The operation on the tensors of a case and its options."""
Run = Callable[[Document], Iterator[Check]]


RESAMPLING_OPTIONS = {
    "upfirdn2d": ("up", "down", "padding", "flip_filter", "gain"),
    "filter2d": ("padding", "flip_filter", "gain"),
    "upsample2d": ("up", "padding", "flip_filter", "gain"),
    "downsample2d": ("down", "padding", "flip_filter", "gain"),
}


def suffixes(document: Document) -> set[str]:
    """The tensor names that occur in the cases of a file: `c00/x` gives `x`."""
    return {name.split("/", 1)[1] for name in document.arrays if "/" in name}


def case_entries(document: Document, name: str) -> set[str]:
    """What the cases of a file say for the field `name`."""
    cases = document.meta.get("cases")
    entries = cases if isinstance(cases, list) else []
    return {str(entry[name]) for entry in entries if isinstance(entry, dict) and name in entry}


def looks_like_upfirdn2d(document: Document) -> bool:
    """Cases with an `op` of this family."""
    return bool(case_entries(document, "op") & {*RESAMPLING_OPTIONS, "setup_filter"})


def looks_like_bias_act(document: Document) -> bool:
    """x and y, no filter or weight, and cases with an `act`."""
    return {"x", "y"} <= suffixes(document) <= {"x", "b", "y", "gy", "gx", "gb"} and bool(case_entries(document, "act"))


def looks_like_lrelu(document: Document) -> bool:
    """Filters called fu and fd."""
    return bool(suffixes(document) & {"fu", "fd"})


def looks_like_conv(document: Document) -> bool:
    """A weight, and no styles."""
    return {"x", "w", "y"} <= suffixes(document) and "s" not in suffixes(document)


def looks_like_modconv_sg2(document: Document) -> bool:
    """A weight and styles, in full words."""
    return {"x", "weight", "styles", "y"} <= suffixes(document)


def looks_like_modconv_sg3(document: Document) -> bool:
    """A weight and styles, by one letter."""
    return {"x", "w", "s", "y"} <= suffixes(document)


def case_tensors(
    document: Document, key: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, Tensor]:
    """The inputs of a case; those whose gradient is recorded require one."""
    names = [*required, *(name for name in optional if document.has(f"{key}/{name}"))]
    return {name: document.tensor(f"{key}/{name}", document.has(f"{key}/g{name}")) for name in names}


def check_case(
    document: Document, key: str, tensors: dict[str, Tensor], operation: Callable[[], Tensor]
) -> Iterator[Check]:
    """Output and gradients of one case, by every path."""
    for word, path in every_path():
        with path:
            for check in check_path(document, key, tensors, operation):
                yield replace(check, part=f"{check.part} {word}".strip())


def check_path(
    document: Document, key: str, tensors: dict[str, Tensor], operation: Callable[[], Tensor]
) -> Iterator[Check]:
    """Output, with a graph and without one (which may take yet another path), and gradients."""
    y = operation()
    yield compare_op(document, key, "y", y)
    with torch.no_grad():
        yield replace(compare_op(document, key, "y", operation()), part="y without a graph")
    wanted = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
    if not document.has(f"{key}/gy"):
        return
    cotangent = document.tensor(f"{key}/gy")
    if y.shape != cotangent.shape or not wanted:
        return
    gradients = torch.autograd.grad((y * cotangent).sum(), list(wanted.values()), allow_unused=True)
    for name, gradient in zip(wanted, gradients, strict=True):
        if gradient is None:
            yield failure(key, f"g{name}", "no gradient reaches it")
        else:
            yield compare_op(document, key, f"g{name}", gradient)


def compare_op(document: Document, key: str, name: str, actual: Tensor) -> Check:
    """A relative comparison, or an absolute one where the recorded array is zero everywhere."""
    expected = document.take(f"{key}/{name}")
    return compare(document, key, f"{key}/{name}", actual, OPS if expected.any() else OPS_ZERO)


def run_cases(
    required: tuple[str, ...], optional: tuple[str, ...], options: tuple[str, ...], operation: Operation
) -> Run:
    """A run over all cases of a file with these inputs and these options."""

    def run(document: Document) -> Iterator[Check]:
        document.options().finish()
        for key, fields in document.cases():
            tensors = case_tensors(document, key, required, optional)
            check_stated_facts(fields, tensors)
            given = fields.take_given(*options)
            yield from worst(key, check_case(document, key, tensors, partial(operation, tensors, given)))

    return run


def check_stated_facts(fields: Fields, tensors: dict[str, Tensor]) -> None:
    """A case also states what its arrays show: kernel size, whether there is a bias, the name of its filter."""
    weight = tensors.get("w", tensors.get("weight"))
    if weight is not None:
        fields.expect("kernel", weight.shape[-1])
    if "x" in tensors:
        fields.expect("bias", "b" in tensors)
    filter_name = fields.take("filter", None)
    if filter_name is not None and (filter_name == "none") == ("f" in tensors):
        raise NotUnderstood(f"{fields.where}: filter {filter_name!r}, but array 'f' says otherwise")


def bias_act(tensors: dict[str, Any], options: dict[str, Any]) -> Tensor:
    from openstylegan.ops.bias_act import bias_act

    return bias_act(**tensors, **options)


def run_bias_act(document: Document) -> Iterator[Check]:
    """All cases, then the table of activations that the file states."""
    yield from run_cases(("x",), ("b",), ("act", "dim", "alpha", "gain", "clamp"), bias_act)(document)
    stated = document.description.take("activation_defaults", {})
    yield from worst("activation_defaults", [check_defaults(name, Fields(stated[name], name)) for name in stated])


def check_defaults(name: str, fields: Fields) -> Check:
    """Slope and gain of one activation, when none are given."""
    from openstylegan.ops.bias_act import ACTIVATIONS

    if name not in ACTIVATIONS:
        return failure("", name, "there is no such activation")
    ours = ACTIVATIONS[name]
    expected = [fields.take("def_alpha", ours.alpha), fields.take("def_gain", ours.gain)]
    fields.finish()
    return compare_arrays("", name, [ours.alpha, ours.gain], expected, EXACT)


def conv2d_resample(tensors: dict[str, Any], options: dict[str, Any]) -> Tensor:
    from openstylegan.ops.conv2d_resample import conv2d_resample

    return conv2d_resample(**tensors, **options)


def filtered_lrelu(tensors: dict[str, Any], options: dict[str, Any]) -> Tensor:
    from openstylegan.ops.filtered_lrelu import filtered_lrelu

    return filtered_lrelu(**tensors, **options)


def modulated_conv2d(tensors: dict[str, Any], options: dict[str, Any]) -> Tensor:
    from openstylegan.ops.modulated_conv2d import modulated_conv2d

    renamed: dict[str, Any] = {"resample_filter" if name == "f" else name: tensor for name, tensor in tensors.items()}
    return modulated_conv2d(**renamed, **options)


def modulated_conv2d_sg3(tensors: dict[str, Any], options: dict[str, Any]) -> Tensor:
    from openstylegan.ops.modulated_conv2d import modulated_conv2d_sg3

    return modulated_conv2d_sg3(**tensors, **options)


def run_upfirdn2d(document: Document) -> Iterator[Check]:
    """All cases of the four resampling operations and of `setup_filter`."""
    document.options().finish()
    for key, fields in document.cases():
        name = fields.take("op")
        if name == "setup_filter":
            yield check_setup_filter(document, key, fields)
        elif name in RESAMPLING_OPTIONS:
            yield from worst(key, check_resampling(document, key, fields, name))
        else:
            raise NotUnderstood(f"{fields.where}: unknown op {name!r}")


def check_setup_filter(document: Document, key: str, fields: Fields) -> Check:
    """The taps that a list of numbers becomes."""
    from openstylegan.ops.upfirdn2d import setup_filter

    taps = fields.take("f")
    options = fields.take_given("normalize", "flip_filter", "gain", "separable")
    return compare(document, key, f"{key}/f", setup_filter(taps, **options), SETUP_FILTER)


def check_resampling(document: Document, key: str, fields: Fields, name: str) -> Iterator[Check]:
    """Output and gradient of one resampling operation."""
    from openstylegan.ops import upfirdn2d

    tensors = case_tensors(document, key, ("x",), ("f",))
    check_stated_facts(fields, tensors)
    options = fields.take_given(*RESAMPLING_OPTIONS[name])
    operation = partial(getattr(upfirdn2d, name), tensors["x"], tensors.get("f"), **options)
    yield from check_case(document, key, tensors, operation)


run_conv2d_resample = run_cases(
    ("x", "w"), ("f",), ("up", "down", "padding", "groups", "flip_weight", "flip_filter"), conv2d_resample
)
run_filtered_lrelu = run_cases(
    ("x",), ("b", "fu", "fd"), ("up", "down", "padding", "gain", "slope", "clamp", "flip_filter"), filtered_lrelu
)
run_modconv_sg2 = run_cases(
    ("x", "weight", "styles"),
    ("noise", "f"),
    ("up", "down", "padding", "demodulate", "flip_weight", "fused_modconv"),
    modulated_conv2d,
)
run_modconv_sg3 = run_cases(("x", "w", "s"), ("input_gain",), ("demodulate", "padding"), modulated_conv2d_sg3)
