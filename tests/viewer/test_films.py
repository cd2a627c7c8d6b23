"""Paths of views and the films along them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_generator

from openstylegan.errors import InputError
from openstylegan.viewer.commands import command_of
from openstylegan.viewer.film import path
from openstylegan.viewer.session import Session
from openstylegan.viewer.state import Offset, View


def test_numbers_go_evenly_and_the_rest_at_the_keyframe() -> None:
    a, b = View(x=0.0, rotate=1.0, psi=1.0, mix_seed=1), View(x=4.0, rotate=0.0, psi=0.5, mix_seed=2)
    along = path([a, b], 4)
    assert [view.x for view in along] == [0, 1, 2, 3, 4] and along[0] == a and along[-1] == b
    assert [view.psi for view in along] == [1, 0.875, 0.75, 0.625, 0.5]
    assert [view.mix_seed for view in along] == [1, 1, 1, 1, 2]
    assert [view.rotate for view in path([a, b], 2, closed=True)] == [1, 0.5, 0, 0.5]
    assert path([a, b, a]) == [a, b, a]


def test_offsets_go_evenly_too() -> None:
    a = View(offsets=(Offset("pca", 0, 2.0), Offset("sefa", 1, 1.0, (0,))))
    b = View(offsets=(Offset("pca", 0, 4.0), Offset("pca", 1, 8.0)))
    middle = path([a, b], 2)[1].offsets
    assert middle == (Offset("pca", 0, 3.0), Offset("sefa", 1, 0.5, (0,)), Offset("pca", 1, 4.0))


def test_paths_that_make_no_film() -> None:
    with pytest.raises(InputError, match="at least 2"):
        path([View()])
    with pytest.raises(InputError, match="one network, mode and layer"):
        path([View(), View(mode="layer")])
    with pytest.raises(InputError, match="at most 20000 frames, got 20001"):
        path([View()] * 21, 1000)


def test_a_session_films_without_a_server(tmp_path: Path) -> None:
    session, counted = Session(tiny_generator()), []
    views = [View(x=0.0), View(x=1.0)]
    num = session.film(tmp_path / "path.gif", views, frames=3, fps=10, advance=counted.append)
    film = Image.open(tmp_path / "path.gif")
    assert num == film.n_frames == sum(counted) == 4
    film.seek(3)
    last = np.asarray(film.convert("RGB")).astype(int)
    assert np.abs(last - session.render(views[1]).image).max() <= 16
    with pytest.raises(InputError, match="ends in"):
        session.film(tmp_path / "path.avi", views)
    assert [p.name for p in tmp_path.iterdir()] == ["path.gif"]


def test_a_command_says_what_it_leaves_out() -> None:
    session = Session(tiny_generator())
    plain = command_of(View(x=3.0, y=1.0), session, "my net.pkl")
    assert plain.text == "openstylegan generate '--network=my net.pkl' --seeds=103 --outdir=out" and not plain.left_out
    view = View(x=2.6, mix_layers=(0,), noise_mode="random", noise_strength=2.0, fft=True, scale_db=3.0, psi=0.7)
    command = command_of(view, session, "net.pkl")
    assert "--seeds=3 " in command.text and command.text.endswith("--trunc=0.7 --noise-mode=random")
    assert len(command.left_out) == 6 and command.left_out[0].startswith("the place between seeds (2.6, 0)")
    conditional = Session(tiny_generator(c_dim=3))
    own_class = conditional.latents.class_of(3, View())
    assert f"--class={own_class}" in command_of(View(x=3.0), conditional, "net.pkl").text
    assert "--class=1" in command_of(View(x=3.0, class_idx=1), conditional, "net.pkl").text
