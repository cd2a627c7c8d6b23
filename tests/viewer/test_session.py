"""What a view shows, against the formulas it is defined by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contracts.test_networks import SMALL_GENERATORS, generator
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.images import leaves, to_uint8
from openstylegan.metrics.shifting import resample
from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import generate
from openstylegan.sampling.transform import transform_of
from openstylegan.viewer.session import Cancelled, Session
from openstylegan.viewer.state import Offset, View, changed, from_json, to_json


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(tiny_generator())


@pytest.fixture(scope="module")
def conditional() -> Session:
    return Session(tiny_generator(c_dim=3))


@pytest.fixture(scope="module")
def moving() -> Session:
    options = {"channel_base": 256, "channel_max": 8, "num_layers": 5, "margin_size": 3}
    return Session(tiny_generator("stylegan3", img_resolution=32, **options))


def ws_of(G: Generator, seed: int, psi: float = 1, cutoff: int | None = None, class_idx: int | None = None) -> Any:
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, G.z_dim))
    c = torch.zeros(1, G.c_dim)
    if class_idx is not None:
        c[0, class_idx] = 1
    return G.mapping(z, c, truncation_psi=psi, truncation_cutoff=cutoff)


@pytest.mark.parametrize(
    "options", [{}, {"psi": 0.5, "cutoff": 2}, {"noise_mode": "none"}, {"noise_mode": "random", "noise_seed": 205}]
)
def test_a_whole_seed_is_what_generate_draws(session: Session, options: dict[str, Any]) -> None:
    drawn = session.render(View(x=5.0, y=2.0, **options)).image
    expected = generate(
        session.G,
        [205],
        trunc=options.get("psi", 1),
        truncation_cutoff=options.get("cutoff"),
        noise_mode=options.get("noise_mode", "const"),
    )
    assert (drawn == expected[0]).all()
    if options:
        assert (drawn != session.render(View(x=5.0, y=2.0)).image).any()


def test_between_seeds_w_is_the_bilinear_blend_around_w_avg(session: Session) -> None:
    G, view = session.G, View(x=-2.25, y=1.5, psi=0.6, cutoff=3)
    average, expected = G.mapping.w_avg, G.mapping.w_avg
    for seed, weight in ((97, 0.125), (98, 0.375), (197, 0.125), (198, 0.375)):
        expected = expected + weight * (ws_of(G, seed, 0.6, 3) - average)
    assert torch.allclose(session.ws(view), expected, atol=1e-6)
    assert not torch.allclose(session.ws(view), session.ws(changed(view, x=-2.0)), atol=1e-2)


def test_seeds_are_masked_to_32_bits_and_corners_of_no_weight_are_not_drawn(session: Session) -> None:
    own = Session(session.G)
    assert torch.equal(own.ws(View(x=-1.0)), ws_of(session.G, 2**32 - 1))
    assert len(own.latents.kept) == 1
    own.ws(View(x=2.0, y=0.5))
    assert len(own.latents.kept) == 3


def test_a_seed_draws_its_class_after_its_latent(conditional: Session) -> None:
    random = np.random.RandomState(7)
    random.randn(conditional.G.z_dim)
    own_class = random.randint(3)
    assert torch.equal(conditional.ws(View(x=7.0)), ws_of(conditional.G, 7, class_idx=own_class))
    other = (own_class + 1) % 3
    assert torch.equal(conditional.ws(View(x=7.0, class_idx=other)), ws_of(conditional.G, 7, class_idx=other))
    with pytest.raises(InputError, match="class from 0 to 2, got 3"):
        conditional.render(View(class_idx=3))


def test_mixed_layers_take_the_other_seeds_w(session: Session) -> None:
    ws = session.ws(View(x=4.5, psi=0.7, mix_seed=9, mix_layers=(1, 3, 200)))
    plain, other = session.ws(View(x=4.5, psi=0.7)), ws_of(session.G, 9, 0.7)
    for n in range(session.G.num_ws):
        assert torch.equal(ws[:, n], (other if n in (1, 3) else plain)[:, n])
    assert "from" in session.render(View(mix_layers=(200,))).notes[0]


def test_offsets_step_along_directions(session: Session) -> None:
    found = session.directions("pca")
    ws = session.ws(View(x=1.0, offsets=(Offset("pca", 1, 2.5, (0, 2)), Offset("pca", 0, -1.0))))
    expected = session.ws(View(x=1.0)).clone()
    expected[:, [0, 2]] += (2.5 * found.scales[1] * found.vectors[1]).float()
    expected -= (found.scales[0] * found.vectors[0]).float()
    assert torch.allclose(ws, expected, atol=1e-5)
    with pytest.raises(InputError, match="direction from 0 to"):
        session.ws(View(offsets=(Offset("pca", 1000, 1.0),)))


def test_principal_components_are_those_of_w(session: Session) -> None:
    found = session.directions("pca")
    w = torch.cat([ws_of(session.G, seed)[:, 0] for seed in range(600)]).double()
    spread = ((w - w.mean(0)) @ found.vectors.T).std(0)
    assert torch.allclose(spread, found.scales, rtol=0.15)
    assert (found.scales.diff() <= 1e-9).all()
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(len(found.vectors)).double(), atol=1e-9)
    assert float(found.shares.sum()) == pytest.approx(1)


def test_sefa_is_the_eigenvectors_of_the_affine_weights(session: Session) -> None:
    G = session.G
    parts = {f"b{r}.{name}" for r in (4, 8, 16) for name in ("conv0", "conv1", "torgb")} - {"b4.conv0"}
    weights = [G.synthesis.get_submodule(f"{name}.affine").weight.double() / G.w_dim**0.5 for name in sorted(parts)]
    A = torch.cat(weights)
    values = torch.linalg.eigvalsh(A.T @ A).flip(0)
    found = session.directions("sefa")
    for n, vector in enumerate(found.vectors):
        assert torch.allclose(A.T @ (A @ vector), values[n] * vector, atol=1e-5)
        assert float(vector[vector.abs().argmax()]) > 0
    assert torch.allclose(found.shares, values / values.sum(), atol=1e-6)
    first = G.synthesis.b4.conv1.affine.weight.double() / G.w_dim**0.5
    top = session.directions("sefa", (0,)).vectors[0]
    assert float((first @ top).norm()) == pytest.approx(float(torch.linalg.matrix_norm(first, 2)), rel=1e-5)
    with pytest.raises(InputError, match="none such"):
        session.directions("sefa", (99,))


def test_movement_is_that_of_generate_and_leaves_no_trace(moving: Session) -> None:
    view = View(x=3.0, translate_x=0.125, translate_y=-0.25, rotate=0.1)
    before = transform_of(moving.G).clone()
    expected = generate(moving.G, [3], translate=(0.125, -0.25), rotate=36.0)
    assert (moving.render(view).image == expected[0]).all()
    assert torch.equal(transform_of(moving.G), before)
    assert (moving.render(View(x=3.0)).image != expected[0]).any()


def test_stretching_comes_first_and_the_matrix_is_inverted(moving: Session) -> None:
    stored = moving.movement(View(stretch_x=2.0, stretch_y=0.5, rotate=0.25, translate_x=0.1)).inverse()
    turned = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(stored[:2, :2], turned @ torch.diag(torch.tensor([2.0, 0.5], dtype=torch.float64)))
    assert torch.allclose(stored[:2, 2], torch.tensor([0.1, 0.0], dtype=torch.float64))
    # Three times as wide, a pixel's third is where the pixel was: 3 j + 1 - n for column j of n.
    plain, wide = (
        moving.value(view, moving.ws(view))[0]
        for view in (View(mode="layer", layer="input"), View(mode="layer", layer="input", stretch_x=3.0))
    )
    n = plain.shape[2]
    columns = [j for j in range(n) if 0 <= 3 * j + 1 - n < n]
    assert torch.allclose(wide[:, :, [3 * j + 1 - n for j in columns]], plain[:, :, columns], atol=1e-4)
    assert len(columns) > 3 and not torch.allclose(wide, plain, atol=0.1)


def test_untransform_resamples_with_the_stored_transform(moving: Session) -> None:
    view = View(x=3.0, rotate=0.05, translate_x=0.1, untransform=True)
    raw = moving.value(changed(view, untransform=False), moving.ws(view))[0][None]
    expected = to_uint8(resample(raw, moving.movement(view))[0][0]).permute(1, 2, 0).numpy()
    assert (moving.render(view).image == expected).all()
    assert (moving.render(changed(view, untransform=False)).image != expected).any()
    still = View(x=3.0, untransform=True)
    assert (moving.render(still).image == moving.render(View(x=3.0)).image).all()


def test_the_strength_of_noise(session: Session) -> None:
    def drawn(**options: Any) -> np.ndarray:
        return session.render(View(x=1.0, **options)).image

    assert (drawn(noise_strength=0.0) == drawn(noise_mode="none")).all()
    assert (drawn() != drawn(noise_mode="none")).any()
    own = Session(tiny_generator())
    for name, parameter in own.G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.mul_(2)
    for options in ({}, {"noise_mode": "random", "noise_seed": 5}):
        doubled = own.render(View(x=1.0, **options)).image
        assert np.abs(drawn(noise_strength=2.0, **options).astype(int) - doubled).max() <= 1
    assert "noises" not in vars(session.G.synthesis)


def test_differences_from_the_pinned_view(session: Session) -> None:
    own, a, b = Session(session.G), View(x=1.0), View(x=2.5)
    assert own.render(changed(b, difference="image")).notes == ("difference: nothing is pinned",)
    own.pin(a)
    images = [own.value(v, own.ws(v))[0] for v in (a, b)]
    frame = own.render(changed(b, difference="image", scale_db=6.0))
    expected = to_uint8((images[1] - images[0]) * 10**0.3).permute(1, 2, 0).numpy()
    assert (frame.image == expected).all()
    distance = (own.ws(b) - own.ws(a)).norm(dim=2)[0]
    assert frame.w_distance == pytest.approx(distance.tolist())
    plain = own.render(changed(b, difference="w"))
    assert (plain.image == own.render(b).image).all() and plain.w_distance == frame.w_distance
    same = own.render(changed(a, difference="image", mode="layer", layer="b8.conv1"))
    assert (same.image == 128).all()
    own.pin(None)
    assert own.pinned is None


def test_a_pin_of_another_network_must_match(session: Session, moving: Session) -> None:
    with pytest.raises(InputError, match="expected a pinned picture"):
        moving.render(View(difference="image"), session.make_pin(View()))


def test_drawing_can_be_broken_off_between_layers(session: Session) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        session.render(View(x=77.0), check=check)
    assert calls == 4
    assert session.render(View(x=77.0)).image.shape == (16, 16, 3)


@pytest.mark.parametrize("name", sorted(SMALL_GENERATORS))
@pytest.mark.parametrize("c_dim", [0, 3])
def test_every_family_can_be_looked_at(name: str, c_dim: int) -> None:
    session = Session(generator(name, c_dim=c_dim))
    layers = session.layers()
    assert layers[-1].name.startswith("output") and len({entry.name for entry in layers}) == len(layers)
    view = View(x=0.5, y=0.25, psi=0.7, rotate=0.1, noise_mode="random", noise_strength=2.0, mix_layers=(0,))
    frame = session.render(view)
    assert frame.image.shape == (16, 16, 3) and frame.shown.not_finite == 0
    assert any("truncation" in note for note in frame.notes) != session.truncates
    assert any("movement" in note for note in frame.notes) != session.transforms
    assert len(layers) > 5
    middle = layers[len(layers) // 2]
    shown = session.render(View(mode="layer", layer=middle.name, fft=True)).shown
    assert shown.shape == middle.shape
    kinds = session.direction_kinds()
    assert {kind: len(session.directions(kind).vectors) for kind in kinds} == kinds
    assert ("sefa" in kinds) == (name != "fastgan")


@pytest.mark.parametrize(("channels", "shape"), [(1, (16, 24, 1)), (2, (16, 24, 2)), (4, (16, 24, 4))])
def test_other_channels_and_shapes(channels: int, shape: tuple[int, int, int]) -> None:
    G = generator("stylegan2", (16, 24), channels)
    session = Session(G)
    assert (session.render(View(x=1.0)).image == generate(G, [1])[0]).all()
    assert session.render(View(fft=True)).image.shape == (16, 48, 3)
    session.pin(View(x=2.0))
    assert session.render(View(difference="image")).image.shape == (16, 24, channels - (channels % 2 == 0))


def test_the_largest_picture_is_shown(tmp_path: Path) -> None:
    G = generator("msg_stylegan")
    ws = ws_of(G, 4)
    assert len(leaves(G.synthesis(ws, noise_mode="const"))) > 1
    session = Session(G)
    whole = session.render(View(x=4.0)).image
    assert whole.shape == (16, 16, 3)
    last = session.layers()[-1].name
    assert last == "output:2"
    for layer in ("", "output", last):
        assert (session.render(View(x=4.0, mode="layer", layer=layer)).image == whole).all()
    assert session.render(View(x=4.0, mode="layer", layer="output:0")).image.shape == (4, 4, 3)


def test_a_view_travels_as_json_and_is_checked() -> None:
    view = View(model="ab", x=1.5, offsets=(Offset("sefa", 2, -3.0, (1, 2)),), mode="layer", layer="b4.conv1")
    assert from_json(to_json(view)) == view
    for wrong in (b"", b"[]", b"\xff", b'{"x": "a"}', b'{"psi": 2.5}', b'{"nonsense": 1}', b'{"mix_seed": 4294967296}'):
        with pytest.raises(InputError, match="expected the state"):
            from_json(wrong)
    for fields in ({"psi": 3.0}, {"x": float("nan")}, {"x": float("inf")}, {"mix_seed": -1}, {"fft_range_db": 0.0}):
        with pytest.raises(InputError, match="cannot be drawn"):
            Session(tiny_generator()).render(View(**fields))
