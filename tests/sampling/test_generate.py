"""Pictures from seeds: the same for a seed, whatever it is drawn beside; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from openstylegan.errors import InputError
from openstylegan.networks.stylegan2 import StyleGAN2Generator
from openstylegan.sampling.generate import generate, images_of_seeds
from openstylegan.sampling.labels import one_hot
from openstylegan.sampling.latents import latents, parse_range, z_from_seed


@pytest.fixture(scope="module")
def G() -> StyleGAN2Generator:
    torch.manual_seed(0)
    made = StyleGAN2Generator(
        z_dim=8, w_dim=8, c_dim=3, img_resolution=16, synthesis_kwargs={"channel_base": 64, "channel_max": 4}
    )
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
        made.mapping.w_avg.normal_()
    return made.eval().requires_grad_(False)


def test_latents_are_those_of_every_tool_of_the_family() -> None:
    assert z_from_seed(0, 512)[0, :2].tolist() == [1.764052345967664, 0.4001572083672233]
    assert latents([3, 4], 5).dtype == torch.float64
    with pytest.raises(InputError, match="expected a seed"):
        z_from_seed(-1, 4)


def test_ranges() -> None:
    assert parse_range("1,3-5, 9") == [1, 3, 4, 5, 9]
    assert parse_range("7-7") == [7]
    for bad in ("", "a", "3-1", "1,,2", "-3", "1-2-3"):
        with pytest.raises(InputError, match="expected"):
            parse_range(bad)


@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
def test_a_seed_gives_the_same_picture_in_any_batch(G: StyleGAN2Generator, noise_mode: str) -> None:
    seeds = [3, 17, 5, 8]
    alone = torch.cat(list(images_of_seeds(G, seeds, 0.7, 2, 1, noise_mode, batch=1)))
    together = torch.cat(list(images_of_seeds(G, seeds, 0.7, 2, 1, noise_mode, batch=3)))
    difference = (alone.int() - together.int()).abs()
    assert int(difference.max()) <= 1 and float((difference > 0).float().mean()) < 1e-3
    again = next(iter(images_of_seeds(G, [5], 0.7, 2, 1, noise_mode)))
    assert torch.equal(again, alone[2:3])
    assert int((alone[0].int() - alone[1].int()).abs().max()) > 10


def test_options_have_an_effect(G: StyleGAN2Generator) -> None:
    def picture(**options: object) -> np.ndarray:
        return generate(G, [1], **{"class_idx": 0, **options})  # type: ignore[arg-type]

    plain = picture()
    for options in ({"trunc": 0.3}, {"class_idx": 1}, {"noise_mode": "none"}, {"noise_mode": "random"}):
        assert not np.array_equal(plain, picture(**options)), options
    assert not np.array_equal(picture(trunc=0.3), picture(trunc=0.3, truncation_cutoff=2))


def test_files_are_written_as_users_know_them(G: StyleGAN2Generator, tmp_path: Path) -> None:
    pictures = generate(G, [1, 20, 300], tmp_path / "out", class_idx=2)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["grid.png", "seed0001.png", "seed0020.png", "seed0300.png"]
    assert np.array_equal(np.array(Image.open(tmp_path / "out" / "seed0020.png")), pictures[1])
    assert Image.open(tmp_path / "out" / "grid.png").size == (32, 32)


def test_projected_ws_are_drawn_without_truncation(G: StyleGAN2Generator, tmp_path: Path) -> None:
    ws = G.mapping(latents([1, 2], 8), one_hot(0, 3, 2))
    np.savez(tmp_path / "projected_w.npz", w=ws.numpy())
    pictures = generate(G, outdir=tmp_path / "out", projected_w=tmp_path / "projected_w.npz", trunc=0.1)
    assert np.array_equal(pictures, generate(G, [1, 2], class_idx=0))
    assert (tmp_path / "out" / "proj00.png").is_file() and (tmp_path / "out" / "proj01.png").is_file()


def test_wrong_ws_are_refused(G: StyleGAN2Generator, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.zeros((1, 2, 3)))
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    (tmp_path / "c.npz").write_bytes(b"nonsense")
    for name in ("a.npz", "b.npz", "c.npz", "missing.npz"):
        with pytest.raises(InputError, match="expected"):
            generate(G, projected_w=tmp_path / name)


def test_classes() -> None:
    assert one_hot(1, 3, 2).tolist() == [[0, 1, 0], [0, 1, 0]]
    assert one_hot(None, 0, 2).shape == (2, 0)
    for class_idx in (None, 3, -1):
        with pytest.raises(InputError, match="expected a class"):
            one_hot(class_idx, 3, 1)


def test_no_seeds_is_refused(G: StyleGAN2Generator) -> None:
    with pytest.raises(InputError, match="at least one seed"):
        generate(G)


def test_pictures_that_are_not_kept_are_written_only(G: StyleGAN2Generator, tmp_path: Path) -> None:
    assert generate(G, [1, 2, 3], tmp_path, class_idx=0, batch=2, keep=False).shape == (0, 16, 16, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seed0001.png", "seed0002.png", "seed0003.png"]
    assert np.array_equal(np.array(Image.open(tmp_path / "seed0002.png")), generate(G, [2], class_idx=0)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "at least 1"),
        ({"grid_columns": 0}, "at least 1"),
        ({"truncation_cutoff": 9}, "0 to 6 layers, got 9"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(G: StyleGAN2Generator, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(G, [1], class_idx=0, **options)  # type: ignore[arg-type]


def test_empty_or_broken_ws_are_refused(G: StyleGAN2Generator, tmp_path: Path) -> None:
    for name, w in (("none", np.zeros((0, 6, 8))), ("nan", np.full((1, 6, 8), np.nan))):
        np.savez(tmp_path / f"{name}.npz", w=w)
        with pytest.raises(InputError, match="at least one w, and finite"):
            generate(G, projected_w=tmp_path / f"{name}.npz")
