"""Golden network files of other programs, and what those programs computed with the networks inside.

A pickle stands beside its expected outputs, which name it. The file is read as a user's file is; then w, truncated w,
images, logits and the sum of all weights are compared. Networks that the package cannot rebuild yet are listed as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from golden.check import Check, compare, compare_arrays, failure
from golden.document import Document, Fields, NotUnderstood
from golden.kinds.networks import labels
from golden.tolerances import ALIAS_FREE_NETWORK, EXACT, STATE_SUM, network_tolerance

GENERATORS = ("G_ema", "G")
IMAGE = re.compile(
    r"img_(const|none)(?P<trunc>_trunc)?(?:_psi(\d)(\d*))?(?P<cutoff>_cutoff(\d+)?)?(?:_default)?(?:/(?P<side>\d+)x\d+)?"
)
LOGITS = re.compile(r"logits(?:_batch\d+)?")
REASONS = {"mbstd_group_size"}
"""Options in which the recorded conversion is known to differ from the program that wrote the pickle."""


def run_file(document: Document) -> Iterator[Check]:
    """A pickle: it is read whole, without a tensor left over or missing."""
    from openstylegan.interop.contents import rebuild_all
    from openstylegan.interop.reading import read_contents

    contents = read_contents(document.path)
    if not contents.networks["G_ema"].can_be_rebuilt("G_ema"):
        finite = all(bool(t.isfinite().all()) for stored in contents.networks.values() for t in stored.tensors.values())
        yield Check("read", "") if finite else failure("read", "", "a tensor is not finite")
        yield not_built(contents)
        return
    networks = rebuild_all(contents)
    for name, stored in contents.networks.items():
        module = getattr(networks, name)
        if module is None:
            yield Check(name, "", text=f"{stored.says} cannot be rebuilt yet", built=False)
        else:
            yield compare_arrays(name, "tensors", len(module.state_dict()), len(stored.tensors), EXACT)


def not_built(contents: Any) -> Check:
    """The line for networks that are read but not rebuilt."""
    return Check("all", "", text=f"rebuilding {contents.networks['G_ema'].says}", built=False)


def run_outputs(document: Document) -> Iterator[Check]:
    """What the networks of a pickle compute."""
    from openstylegan.interop.contents import rebuild_all
    from openstylegan.interop.reading import read_contents

    contents = read_contents(find_pickle(document))
    psi, cutoff = truncation(document)
    if not contents.networks["G_ema"].can_be_rebuilt("G_ema"):
        look_at_everything(document)
        yield not_built(contents)
        return
    networks = rebuild_all(contents)
    modules = {name: getattr(networks, name) for name in (*GENERATORS, "D")}
    modules = {name: module.to(document.device) for name, module in modules.items() if module is not None}
    for name in GENERATORS:
        if name in modules and document.names(f"{name}/"):
            yield from check_generator(document, name, modules[name], psi, cutoff)
    if "D" in modules and document.names("D/"):
        group_as_recorded(document, modules["D"])
        yield from check_discriminator(document, modules["D"])
    for name, module in modules.items():
        if document.has(f"{name}/sum_of_all_state"):
            total = state_sum(module, contents.source == "tensorflow" and "tensorflow" in document.reference.lower())
            yield compare(document, f"{name} sum", f"{name}/sum_of_all_state", total, STATE_SUM)
    yield from check_conversion(document, modules, networks.about["networks"])


def group_as_recorded(document: Document, D: Any) -> None:
    """Gives `D` the groups of minibatch-stddev that the recorded conversion took, where it says them (`REASONS`)."""
    stated = Fields(document.meta.get("init_kwargs") or {}, "init_kwargs").take("D", None) or {}
    epilogue = stated.get("epilogue_kwargs") or {}
    if "mbstd_group_size" in epilogue and hasattr(D.b4, "mbstd"):
        D.b4.mbstd.group_size = epilogue["mbstd_group_size"]


def find_pickle(document: Document) -> Path:
    """The pickle that a recording of outputs names, or that is called like it: beside it, else in the project."""
    named = re.search(r"\b([\w.-]+\.pkl)\b", document.what)
    names = [named[1]] if named else []
    names.append(document.path.stem.removesuffix("_expected") + ".pkl")
    for folder in (document.path.parent, Path(__file__).resolve().parents[1]):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise NotUnderstood(f"the pickle {names[0]!r} is not beside it")


def look_at_everything(document: Document) -> None:
    """Marks all of a document as looked at, since nothing in it can be checked."""
    for name in document.arrays:
        document.take(name)
    document.description.left.clear()


def truncation(document: Document) -> tuple[float | None, int | None]:
    """psi and cutoff of the truncated arrays: options, or what the notes say."""
    options, notes = document.options(), str(document.description.take("notes", ""))
    psi, cutoff = options.take("truncation_psi", None), options.take("truncation_cutoff", None)
    options.take_given("G_static_kwargs", "D_static_kwargs", "components", "cfg", "init_kwargs")
    options.finish()
    said_psi, said_cutoff = re.search(r"psi (\d*\.?\d+)", notes), re.search(r"cutoff (\d+)", notes)
    psi = float(said_psi[1]) if psi is None and said_psi else psi
    return psi, int(said_cutoff[1]) if cutoff is None and said_cutoff else cutoff


def needed(value: Any, what: str) -> Any:
    """`value`, which an array needs."""
    if value is None:
        raise NotUnderstood(f"options: {what} is not stated, and an array needs it")
    return value


def check_generator(
    document: Document, name: str, generator: Any, psi: float | None, cutoff: int | None
) -> Iterator[Check]:
    """w and images of one generator."""
    z = document.tensor("in/z")
    c = labels(document, len(z), generator.c_dim)
    tolerance = network_tolerance(document.device)
    if hasattr(generator.synthesis, "layer_names"):  # alias-free
        tolerance = ALIAS_FREE_NETWORK
    for array in document.names(f"{name}/"):
        part = array.removeprefix(f"{name}/")
        match = IMAGE.fullmatch(part)
        if part == "w":
            yield compare(document, f"{name} w", array, generator.mapping(z, c), tolerance)
        elif part in ("w_trunc", "w_trunc_cutoff"):
            own_cutoff = needed(cutoff, "truncation_cutoff") if part.endswith("cutoff") else None
            ws = generator.mapping(z, c, truncation_psi=needed(psi, "truncation_psi"), truncation_cutoff=own_cutoff)
            yield compare(document, f"{name} {part}", array, ws, tolerance)
        elif match:
            own_psi, own_cutoff = image_truncation(match, psi, cutoff)
            ws = generator.mapping(z, c, truncation_psi=own_psi, truncation_cutoff=own_cutoff)
            image = at_side(generator.synthesis(ws, noise_mode=match[1], force_fp32=True), match["side"])
            yield compare(document, f"{name} {part}", array, image, tolerance)
        elif part == "img":
            yield compare(document, f"{name} img", array, picture(document, generator, z, c), tolerance)
        elif part == "img_first_channel":
            image = picture(document, generator, z, c)[:, :1, ::2, ::2]
            yield compare(document, f"{name} {part}", array, image, tolerance)


def picture(document: Document, generator: Any, z: Tensor, c: Tensor) -> Tensor:
    """The image of a generator without options of its call, with the recorded noise where there is some."""
    noises = [document.tensor(name) for name in sorted(document.names("in/noise"))]
    return generator.synthesis.run(generator.mapping(z, c), noises) if noises else generator(z, c)


def at_side(images: Any, side: str | None) -> Tensor:
    """The picture of one side in pixels where there are several, or the only one."""
    if side is None:
        return images
    return {image.shape[-1]: image for image in images}[int(side)]


def discriminator_images(document: Document) -> Any:
    """Images [N, C, H, W], or a tuple of them by size where the file has `in/img/4x4` and so on."""
    if document.has("in/img"):
        return document.tensor("in/img")
    names = document.names("in/img/")
    return tuple(sorted((document.tensor(name) for name in names), key=lambda image: image.shape[-1]))


def image_truncation(match: re.Match[str], psi: float | None, cutoff: int | None) -> tuple[float, int | None]:
    """psi and cutoff of an image, by its name: img_const_psi07, img_const_trunc_cutoff."""
    if match[3] is not None:
        return float(f"{match[3]}.{match[4] or 0}"), int(match[6]) if match[6] else None
    if not match["trunc"]:
        return 1.0, None
    return needed(psi, "truncation_psi"), needed(cutoff, "truncation_cutoff") if match["cutoff"] else None


def check_discriminator(document: Document, discriminator: Any) -> Iterator[Check]:
    """Logits of the first images: as many as are recorded."""
    from openstylegan.images import leaves, map_images

    images = discriminator_images(document)
    c: Tensor = (
        document.tensor("in/img_c")
        if document.has("in/img_c")
        else labels(document, len(leaves(images)[0]), discriminator.c_dim)
    )
    for array in document.names("D/"):
        if LOGITS.fullmatch(array.removeprefix("D/")):
            num = len(document.take(array))
            logits = discriminator(map_images(lambda image, num=num: image[:num], images), c[:num])
            yield compare(document, f"D {array[2:]}", array, logits, network_tolerance(document.device))


def state_sum(module: nn.Module, by_tensorflow: bool) -> float:
    """The sum of all numbers of a network, here or `by_tensorflow`: there are no filters there, style biases are less
    1, and a matrix of labels is not multiplied at run time."""
    state = module.state_dict()
    if not by_tensorflow:
        return float(sum(t.double().sum() for t in state.values()))
    if getattr(getattr(module, "mapping", None), "joint_normalization", False):
        state["mapping.embed.weight"] = state["mapping.embed.weight"] / module.c_dim**0.5
    stored = {name: t for name, t in state.items() if not name.endswith("resample_filter")}
    ones = sum(t.numel() for name, t in stored.items() if name.endswith("affine.bias"))
    return float(sum(t.double().sum() for t in stored.values())) - ones


def check_conversion(document: Document, modules: dict[str, Any], described: dict[str, Any]) -> Iterator[Check]:
    """Single tensors, names, shapes and options of the recorded conversion."""
    for array in document.names("converted/"):
        _, name, tensor = array.split("/")
        yield compare(document, f"{name} {tensor}", array, modules[name].state_dict()[tensor], EXACT)
    for name, keys in by_network(document.description.take("state_keys", {})).items():
        if name in modules:
            ours = {key: list(t.shape) for key, t in modules[name].state_dict().items()}
            wrong = [key for key in ours.keys() | keys.keys() if ours.get(key) != keys.get(key)]
            yield failure(f"{name} names", "", f"{min(wrong)} differs") if wrong else Check(f"{name} names", "")
    document.description.take("own_variables", None)
    for name, recorded in document.description.take("init_kwargs", {}).items():
        ours = flat(described["D" if name == "D" else "G"]["options"])
        theirs = flat(recorded)
        wrong = [k for k in ours.keys() & theirs.keys() - REASONS if ours[k] != theirs[k]]
        yield failure(f"{name} options", "", f"{wrong[0]} differs") if wrong else Check(f"{name} options", "")


def by_network(keys: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Recorded shapes by network; a file of one generator has them for it alone."""
    return keys if all(isinstance(value, dict) for value in keys.values()) else {"G_ema": keys}


def flat(options: dict[str, Any]) -> dict[str, Any]:
    """Options without their tables, but those of a discriminator's unused label mapping."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name in ("synthesis_kwargs", "epilogue_kwargs", "block_kwargs"):
            found.update(value)
        elif name == "mapping_kwargs":
            found.update({f"mapping {key}": entry for key, entry in value.items()} if "z_dim" in options else {})
        else:
            found[name] = value
    return found
