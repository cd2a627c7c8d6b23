"""What every augmentation of the table, and every preset of the pipe, must keep."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch

from openstylegan.augment import AUGMENT_PRESETS, AUGMENTS, Augment
from openstylegan.errors import InputError
from openstylegan.images import leaves
from openstylegan.randomness import SampleStream, generator
from openstylegan.registry import build

OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "ada": {"initial_p": 0.8, "interval": 2, "preset": "bgcfnc"},
    "fixed": {"p": 0.8, "preset": "bgcfnc"},
    "diffaugment": {"policy": "color,translation,cutout"},
}
"""Options that make each entry do something; a new entry brings its own."""

every = pytest.mark.parametrize("name", AUGMENTS)


def make(name: str) -> Augment:
    return build(AUGMENTS, name, OPTIONS[name], "augmentation")


def images(num: int = 4, channels: int = 3, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.randn(num, channels, height, width, generator=generator(0, "images"))


def stream(num: int = 4) -> SampleStream:
    return SampleStream(0, "augment", [1], range(num))


def test_every_entry_is_reached():
    assert set(OPTIONS) == set(AUGMENTS)


@every
def test_it_is_documented_and_its_options_are_json(name: str):
    assert AUGMENTS[name].__doc__
    assert json.loads(json.dumps(OPTIONS[name])) == OPTIONS[name]


@every
def test_an_unknown_option_is_one_line(name: str):
    with pytest.raises(InputError, match=r"no option 'banana'") as caught:
        build(AUGMENTS, name, {**OPTIONS[name], "banana": 1}, "augmentation")
    assert "\n" not in str(caught.value)


@every
def test_state_is_in_buffers_and_nothing_is_trained(name: str):
    augment = make(name)
    assert not list(augment.parameters())
    assert augment.p.shape == ()
    assert any(augment.p is buffer for buffer in augment.buffers())
    assert augment.p.item() in (0, pytest.approx(0.8), 1)


@every
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 16, 16), (1, 8, 12), (4, 20, 6), (2, 4, 4)])
def test_shape_and_dtype_stay(name: str, channels: int, height: int, width: int):
    x = images(4, channels, height, width)
    for images_in in (x, x.double()):
        y = make(name)(images_in, stream())
        assert y.shape == x.shape
        assert y.dtype == images_in.dtype
        assert y.isfinite().all()


@every
def test_the_stream_alone_decides(name: str):
    augment, x = make(name), images()
    state = torch.random.get_rng_state()
    first, second = augment(x, stream()), augment(x, stream())
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())
    assert augment(x).shape == x.shape, "without a stream it draws from torch's global generator"


@every
def test_forward_leaves_images_and_state(name: str):
    augment, x = make(name), images()
    before, state = x.clone(), copy.deepcopy(augment.state_dict())
    augment(x, stream())
    assert torch.equal(x, before)
    assert all(torch.equal(state[k], v) for k, v in augment.state_dict().items())


@every
def test_a_sample_does_not_depend_on_those_beside_it(name: str):
    augment, x = make(name), images()
    whole = augment(x, stream())
    for i in range(4):
        alone = augment(x[i : i + 1], SampleStream(0, "augment", [1], [i]))
        torch.testing.assert_close(alone[0], whole[i], rtol=0, atol=2e-6)


@every
def test_several_resolutions_come_back_as_several(name: str):
    top = images()
    scales = (torch.nn.functional.avg_pool2d(top, 2), top)
    out = make(name)(scales, stream())
    assert isinstance(out, tuple)
    assert [tuple(x.shape) for x in leaves(out)] == [tuple(x.shape) for x in scales]
    assert torch.equal(out[-1], make(name)(top, stream()))


@every
def test_gradients_to_second_order(name: str):
    augment, x = make(name).double(), images(2, 3, 5, 6).double().requires_grad_()

    def augmented(x: torch.Tensor) -> torch.Tensor:
        return augment(x, stream(2))

    assert torch.autograd.gradcheck(augmented, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(augmented, (x,), fast_mode=True)


@every
def test_a_run_goes_on_from_its_state(name: str):
    first, second = make(name), make(name)
    for step in range(3):
        first.observe(torch.ones(4, 1))
        first.update(4 * step, 4)
    second.load_state_dict(first.state_dict())
    for augment in (first, second):
        augment.observe(-torch.ones(4, 1))
        augment.update(16, 4)
    assert all(torch.equal(second.state_dict()[k], v) for k, v in first.state_dict().items())


@pytest.mark.parametrize("preset", AUGMENT_PRESETS)
def test_every_preset_changes_pictures(preset: str):
    x = images()
    augment = build(AUGMENTS, "fixed", {"p": 1, "preset": preset}, "augmentation")
    assert (augment(x, stream()) - x).abs().max() > 0.01
