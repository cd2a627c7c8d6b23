"""StyleGAN2's networks once more, in NumPy float64: functions of a state dict, composed of `oracles`.

Papers: arXiv 1912.04958 and 2006.06676. As slow and as plain as it can be; no module, no caching, no fast path.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from golden import oracles
from golden.oracles import Array

State = dict[str, Array]
HALF = 0.5**0.5


def part(state: State, prefix: str) -> State:
    """The tensors under `prefix`, a dot after it left out."""
    return {name[len(prefix) + 1 :]: value for name, value in state.items() if name.startswith(f"{prefix}.")}


def default_gain(activation: str) -> float:
    return oracles.DEFAULT_GAIN.get(activation, 1.0)


def dense(x: Array, state: State, activation: str = "linear", lr_multiplier: float = 1.0) -> Array:
    """x W^T m / sqrt(inputs) + b m, then the activation with its own gain."""
    weight = state["weight"] * lr_multiplier / np.sqrt(state["weight"].shape[1])
    return oracles.bias_act(x @ weight.T, state["bias"] * lr_multiplier, act=activation)


def normalize(x: Array) -> Array:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def mapping(z: Array | None, c: Array, state: State, options: dict[str, Any]) -> Array:
    """w [N, w_dim]; z and the embedded c normalized one by one."""
    inputs = [] if z is None else [normalize(z)]
    if "embed.weight" in state:
        inputs.append(normalize(dense(c, part(state, "embed"))))
    x = np.concatenate(inputs, axis=1)
    for i in range(options.get("num_layers", 8)):
        x = dense(x, part(state, f"fc{i}"), options.get("activation", "lrelu"), options.get("lr_multiplier", 0.01))
    return x


def truncate(w: Array, w_avg: Array, num_ws: int, psi: float, cutoff: int | None) -> Array:
    """ws [N, num_ws, w_dim]; rows before the cutoff are moved towards w_avg."""
    ws = np.repeat(w[:, None], num_ws, axis=1)
    for i in range(num_ws if cutoff is None else cutoff):
        ws[:, i] = w_avg + psi * (ws[:, i] - w_avg)
    return ws


def fir(options: dict[str, Any]) -> Array:
    return oracles.setup_filter(list(options.get("resample_filter", [1, 3, 3, 1])), True, False, 1, None)


def resized(img: Array, options: dict[str, Any], up: int, down: int) -> Array:
    """An image twice or half as large, brightness kept."""
    f = fir(options)
    sides = oracles.resampling_sides(f, up, down, (0, 0, 0, 0))
    return oracles.upfirdn2d(img, f, (up, up), (down, down), sides, gain=up**2)


def modulated(x: Array, w: Array, state: State, noise: Array | None, up: int, gain: float, o: dict[str, Any]) -> Array:
    """A layer of the synthesis: a true convolution when it enlarges, a correlation when it does not."""
    kernel = state["weight"].shape[-1]

    def convolve(image: Array, weight: Array) -> Array:
        return oracles.conv2d_resample(image, weight, fir(o), up, 1, (kernel // 2,) * 4, flip_weight=up == 1)

    styles = dense(w, part(state, "affine"))
    x = oracles.modulated_conv2d(x, state["weight"], styles, noise, True, convolve)
    act, clamp = o.get("activation", "lrelu"), o.get("conv_clamp")
    clamp = None if clamp is None else clamp * gain
    return oracles.bias_act(x, state["bias"], act=act, gain=default_gain(act) * gain, clamp=clamp)


def to_rgb(x: Array, w: Array, state: State, o: dict[str, Any]) -> Array:
    styles = dense(w, part(state, "affine")) / np.sqrt(x.shape[1])
    y = oracles.modulated_conv2d(x, state["weight"], styles, None, demodulate=False)
    return oracles.bias_act(y, state["bias"], clamp=o.get("conv_clamp"))


def synthesis(ws: Array, state: State, resolution: int, noise_mode: str, options: dict[str, Any]) -> Array:
    """Images [N, C, R, R] with constant noise or none."""
    architecture = options.get("architecture", "skip")
    x = np.repeat(state["b4.const"][None], len(ws), axis=0)
    img, row, r = np.zeros(0), 0, 4
    while r <= resolution:
        block = part(state, f"b{r}")
        residual = architecture == "resnet" and r > 4
        skip = plain_conv(x, part(block, "skip"), up=2, gain=HALF, options=options) if residual else None
        for name in ["conv1"] if r == 4 else ["conv0", "conv1"]:
            layer = part(block, name)
            noise = layer["noise_const"] * layer["noise_strength"] if noise_mode == "const" else None
            gain = HALF if residual and name == "conv1" else 1.0
            x = modulated(x, ws[:, row], layer, noise, 2 if name == "conv0" else 1, gain, options)
            row += 1
        x = x if skip is None else x + skip
        img = resized(img, options, 2, 1) if img.size else img
        if architecture == "skip" or r == resolution:
            y = to_rgb(x, ws[:, row], part(block, "torgb"), options)
            img = img + y if img.size else y
        r *= 2
    return img


def plain_conv(
    x: Array,
    state: State,
    up: int = 1,
    down: int = 1,
    gain: float = 1.0,
    act: str = "linear",
    clamp: float | None = None,
    options: dict[str, Any] | None = None,
) -> Array:
    """A convolution of weights / sqrt(fan in), then bias, activation, gain, clamp."""
    weight = state["weight"]
    kernel = weight.shape[-1]
    weight = weight / np.sqrt(weight[0].size)
    sides = (kernel // 2,) * 4
    x = oracles.conv2d_resample(x, weight, fir(options or {}), up, down, sides, flip_weight=up == 1)
    clamp = None if clamp is None else clamp * gain
    return oracles.bias_act(x, state.get("bias"), act=act, gain=default_gain(act) * gain, clamp=clamp)


def minibatch_stddev(x: Array, group_size: int | None, num_channels: int) -> Array:
    """x with the deviation within every strided group as more channels, one value per group and channel set."""
    n, c, h, w = x.shape
    size = n if group_size is None else min(group_size, n)
    groups = n // size
    extra = np.zeros((n, num_channels, h, w))
    for j in range(groups):
        members = [j + g * groups for g in range(size)]
        deviation = np.sqrt(((x[members] - x[members].mean(axis=0)) ** 2).mean(axis=0) + 1e-8)
        for f in range(num_channels):
            width = c // num_channels
            extra[members, f] = deviation[f * width : (f + 1) * width].mean()
    return np.concatenate([x, extra], axis=1)


def discriminator(img: Array, c: Array, state: State, resolution: int, options: dict[str, Any]) -> Array:
    """Logits [N, 1]."""
    architecture, clamp = options.get("architecture", "resnet"), options.get("conv_clamp")
    block_options = options.get("block_kwargs", {})
    act = block_options.get("activation", "lrelu")
    x, r = np.zeros(0), resolution
    while r > 4:
        block = part(state, f"b{r}")
        if r == resolution or architecture == "skip":
            y = plain_conv(img, part(block, "fromrgb"), act=act, clamp=clamp)
            x = x + y if x.size else y
            img = resized(img, block_options, 1, 2) if architecture == "skip" else img
        gain = HALF if architecture == "resnet" else 1.0
        skip = plain_conv(x, part(block, "skip"), down=2, gain=HALF, options=block_options) if gain == HALF else None
        x = plain_conv(x, part(block, "conv0"), act=act, clamp=clamp)
        x = plain_conv(x, part(block, "conv1"), down=2, gain=gain, act=act, clamp=clamp, options=block_options)
        x = x if skip is None else x + skip
        r //= 2
    return epilogue(x, img, c, state, options)


def epilogue(x: Array, img: Array, c: Array, state: State, options: dict[str, Any]) -> Array:
    """The last block: deviation, convolution, two dense layers, projection on the mapped label."""
    epilogue_options, last = options.get("epilogue_kwargs", {}), part(state, "b4")
    act = epilogue_options.get("activation", "lrelu")
    if options.get("architecture", "resnet") == "skip":
        x = x + plain_conv(img, part(last, "fromrgb"), act=act)
    if epilogue_options.get("mbstd_num_channels", 1):
        group_size = epilogue_options.get("mbstd_group_size", 4)
        x = minibatch_stddev(x, group_size, epilogue_options.get("mbstd_num_channels", 1))
    x = plain_conv(x, part(last, "conv"), act=act, clamp=options.get("conv_clamp"))
    x = dense(x.reshape(len(x), -1), part(last, "fc"), act)
    x = dense(x, part(last, "out"))
    if not c.shape[1]:
        return x
    cmap = mapping(None, c, part(state, "mapping"), options.get("mapping_kwargs", {}))
    return (x * cmap).sum(axis=1, keepdims=True) / np.sqrt(cmap.shape[1])
