"""`generate`, `style-mixing`, `project` and `video` as a user types them, and what each refuses in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_generator

from openstylegan.cli.main import main
from openstylegan.cli.video import parse_bits, parse_cells
from openstylegan.config import Component
from openstylegan.errors import InputError
from openstylegan.files import sha256_file
from openstylegan.sampling import film
from openstylegan.snapshot import write_snapshot

OPTIONS = {
    "plain": ("stylegan2", {"synthesis_kwargs": {"channel_base": 64, "channel_max": 4}}),
    "classes": ("stylegan2", {"c_dim": 3, "synthesis_kwargs": {"channel_base": 64, "channel_max": 4}}),
    "scales": ("msg_stylegan", {"channel_base": 64, "channel_max": 4, "num_layers": 2}),
    "alias_free": ("stylegan3", {"channel_base": 128, "channel_max": 4}),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot of each network of `OPTIONS`, and a picture."""
    folder = tmp_path_factory.mktemp("networks")
    for key, (name, options) in OPTIONS.items():
        component = Component(name, {"z_dim": 8, "w_dim": 8, "img_resolution": 16, **options})
        write_snapshot(folder / f"{key}.safetensors", {"G_ema": tiny_generator(name, **options)}, {"G": component}, {})
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (20, 30, 3), np.uint8)).save(folder / "tom.png")
    np.savez(folder / "wrong_w.npz", w=np.zeros((1, 3, 8), np.float32))
    return folder


def run(networks: Path, tmp_path: Path, line: str) -> int:
    """Runs a command line in which NET/ and OUT/ stand for folders."""
    words = line.replace("NET/", f"{networks}/").replace("OUT", str(tmp_path / "out")).split()
    return main([word.replace("{PLAIN}", str(networks / "plain.safetensors")) for word in words])


def files(tmp_path: Path) -> set[str]:
    out = tmp_path / "out"
    return {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        "generate --seeds 0-3 --outdir OUT",
        "samples --grid 2x2 --outdir OUT",
        "style-mixing --rows 0,1 --cols 2 --styles 0-1 --outdir OUT",
        "video --seeds 0-1 --w-frames 2 --output OUT/a.gif",
    ],
)
def test_precision(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    made: dict[str, np.ndarray] = {}
    for precision in ("float32", "bfloat16"):
        line = f"{command} --network NET/alias_free.safetensors --precision {precision}"
        assert run(networks, tmp_path / precision, line) == 0
        out = tmp_path / precision / "out"
        first = next(path for name in ("grid.png", "a.gif", "0.png", "*/*/0.png") for path in out.glob(name))
        with Image.open(first) as picture:
            made[precision] = np.asarray(picture.convert("RGB")).astype(int)
    off = np.abs(made["float32"] - made["bfloat16"])
    assert 0 < off.mean() < 3
    assert run(networks, tmp_path, f"{command} --network {{PLAIN}} --precision bfloat16") == 2
    error = capsys.readouterr().err
    assert "--precision bfloat16: none of this network's layers may run in it" in error and error.count("\n") == 1


def test_generate_moves_and_turns(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = []
    for words in ("", "--translate 0.25,0", "--translate -0.25,0", "--rotate -30", "--rotate=90"):
        assert (
            run(networks, tmp_path, f"generate --network NET/alias_free.safetensors --seeds 3 --outdir OUT {words}")
            == 0
        )
        pictures.append((tmp_path / "out" / "seed0003.png").read_bytes())
    assert len(set(pictures)) == 5 and files(tmp_path) == {"seed0003.png"}


def test_many_pictures_are_not_held(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openstylegan.cli.generate.LARGEST_GRID", 3)
    assert run(networks, tmp_path, "generate --network {PLAIN} --seeds 0-3 --outdir OUT") == 0
    assert "no grid.png" in (said := capsys.readouterr().out) and "4 pictures of 16x16" in said
    assert files(tmp_path) == {f"seed000{n}.png" for n in range(4)}


def test_style_mixing(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "style-mixing --network {PLAIN} --rows 1,2 --cols 5-6 --styles 0-2 --trunc 0.8 --noise-mode none --outdir OUT"
    )
    assert run(networks, tmp_path, line) == 0
    pairs = {f"{r}-{c}.png" for r in (1, 2) for c in (5, 6)}
    assert files(tmp_path) == {"grid.png", *pairs, *(f"{s}-{s}.png" for s in (1, 2, 5, 6))}
    assert "2 x 2 pairs" in capsys.readouterr().out
    assert Image.open(tmp_path / "out" / "grid.png").size == (48, 48)


def test_project(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "project --network {PLAIN} --target NET/tom.png --num-steps 2 --seed 1 --save-video 0 --outdir OUT"
    assert run(networks, tmp_path, line) == 0
    assert files(tmp_path) == {"target.png", "proj.png", "projected_w.npz"}
    assert re.search(r"^tom: PSNR \d+\.\d\d dB, distance \d\.\d{4}$", capsys.readouterr().out, re.M)
    first = (tmp_path / "out" / "projected_w.npz").read_bytes()
    assert run(networks, tmp_path, line) == 0
    assert (tmp_path / "out" / "projected_w.npz").read_bytes() == first
    assert run(networks, tmp_path, "generate --network {PLAIN} --projected-w OUT/projected_w.npz --outdir OUT") == 0
    assert "proj00.png" in files(tmp_path)


def test_project_begins_with_the_control(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "project --network {PLAIN} --target NET/tom.png --control 4 --num-steps 1 --space w+ --outdir OUT"
    assert run(networks, tmp_path, f"{line} --no-save-video") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("control-seed0004: PSNR")
        and "the true one" in lines[0]
        and lines[1].startswith("tom: PSNR")
    )
    assert "control-seed0004/proj.png" in files(tmp_path) and "tom/proj.png" in files(tmp_path)


class Lpips(torch.nn.Module):
    """Takes what NVIDIA's VGG16 file takes; its features are the picture."""

    def forward(self, img: torch.Tensor, resize_images: bool = True, return_lpips: bool = False) -> torch.Tensor:
        assert return_lpips and not resize_images
        return (img / 1000).flatten(1)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_project_with_the_original_s_features_from_a_file(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.jit.script(Lpips()).save(str(tmp_path / "vgg16.pt"))
    line = "project --network {PLAIN} --target NET/tom.png --num-steps 2 --no-save-video --outdir OUT --features vgg16"
    assert run(networks, tmp_path, f"{line} --weights vgg16={tmp_path}/vgg16.pt") == 2
    assert "expected SHA-256" in capsys.readouterr().err
    digest = sha256_file(tmp_path / "vgg16.pt")
    assert run(networks, tmp_path, f"{line} --weights vgg16={tmp_path}/vgg16.pt#sha256={digest}") == 0
    assert "proj.png" in files(tmp_path)


def test_project_without_pyav_says_so(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "can_write_mp4", lambda: False)
    line = "project --network {PLAIN} --target NET/tom.png --num-steps 1 --outdir OUT"
    assert run(networks, tmp_path, line) == 0
    assert "no proj.mp4" in capsys.readouterr().out and "proj.mp4" not in files(tmp_path)
    assert run(networks, tmp_path, f"{line} --save-video 1") == 2
    assert "pip install" in capsys.readouterr().err


def test_video(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "video --network {PLAIN} --seeds 0-3 --grid 2x1 --w-frames 3 --trunc 0.7 --shuffle-seed 1 --output OUT/a.webp"
    )
    assert run(networks, tmp_path, line) == 0
    assert "6 frames (0.1 s at 60 a second)" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "a.webp") as image:
        assert image.n_frames == 6 and image.size == (32, 16)


def test_seeds_left_over_are_told(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "video --network {PLAIN} --seeds 0-9 --num-keyframes 2 --w-frames 1 --output OUT/a.gif"
    assert run(networks, tmp_path, line) == 0
    assert "2 of 10 seeds are used" in capsys.readouterr().out


def test_scales_in_pictures_and_along_a_walk(networks: Path, tmp_path: Path) -> None:
    line = "generate --network NET/scales.safetensors --seeds 1,2 --scales 4,16 --scale-columns 1 --outdir OUT"
    assert run(networks, tmp_path, line) == 0
    with Image.open(tmp_path / "out" / "seed0001.png") as picture:
        assert picture.size == (16, 32)
    line = "video --network NET/scales.safetensors --num-points 3 --transition-points 2 --smoothing 0.5"
    assert (
        run(
            networks,
            tmp_path,
            f"{line} --random-state 9 --scales all --resize 20x60 --noise-mode random --output OUT/a.gif",
        )
        == 0
    )
    with Image.open(tmp_path / "out" / "a.gif") as film:
        assert film.size == (60, 20) and film.n_frames == 6


def test_a_class_without_effect_is_told(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(networks, tmp_path, "style-mixing --network {PLAIN} --rows 1 --cols 2 --class 1 --outdir OUT") == 0
    assert "--class is ignored" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("generate --network {PLAIN} --seeds 1 --outdir OUT --rotate 10", "StyleGAN3"),
        ("generate --network {PLAIN} --seeds 1 --outdir OUT --translate 1", "two numbers X,Y"),
        ("generate --network {PLAIN} --seeds 1 --outdir OUT --translate a,b", "two numbers X,Y"),
        ("generate --network {PLAIN} --seeds 1;2 --outdir OUT", "numbers and ranges"),
        ("generate --network {PLAIN} --seeds 5-1 --outdir OUT", "write 1-5"),
        ("generate --network {PLAIN} --seeds 1 --truncation-cutoff 99 --outdir OUT", "cutoff from 0 to"),
        ("generate --network {PLAIN} --seeds 1 --trunc nan --outdir OUT", "--trunc: expected a finite number"),
        ("generate --network {PLAIN} --seeds 1 --batch 0 --outdir OUT", "at least 1"),
        ("generate --network {PLAIN} --seeds 1 --outdir NET/tom.png", "a file is where a folder must be"),
        ("generate --network {PLAIN} --seeds 1 --outdir /dev/null/out", "a file is where a folder must be"),
        ("generate --network {PLAIN} --projected-w NET/wrong_w.npz --outdir OUT", "w of shape"),
        ("generate --network NET/classes.safetensors --seeds 1 --outdir OUT", "--class a number from 0 to 2"),
        ("generate --network NET/classes.safetensors --seeds 1 --class 3 --outdir OUT", "from 0 to 2, got 3"),
        ("style-mixing --network {PLAIN} --rows 1 --cols 2 --styles 4-6 --outdir OUT", "--styles from 0 to 5"),
        ("style-mixing --network {PLAIN} --rows x --cols 2 --outdir OUT", "numbers and ranges"),
        ("style-mixing --network {PLAIN} --cols 2 --outdir OUT", "--rows"),
        ("style-mixing --network NET/classes.safetensors --rows 1 --cols 2 --outdir OUT", "--class"),
        ("project --network {PLAIN} --outdir OUT", "--target PICTURE, or --control"),
        ("project --network {PLAIN} --target NET/none.png --outdir OUT", "nothing is there"),
        ("project --network {PLAIN} --target NET/wrong_w.npz --outdir OUT", "cannot be decoded"),
        ("project --network {PLAIN} --target NET/tom.png --num-steps 0 --outdir OUT", "at least 1 step"),
        ("project --network {PLAIN} --target NET/tom.png --features vgg16 --outdir OUT", "vgg16.pt"),
        ("project --network {PLAIN} --target NET/tom.png --weights vgg19=x --outdir OUT", "vgg16"),
        ("project --network {PLAIN} --target NET/tom.png --weights vgg16 --outdir OUT", "NAME=FILE"),
        ("project --network NET/classes.safetensors --target NET/tom.png --outdir OUT", "--class"),
        ("video --network {PLAIN} --seeds 0-2 --grid 2x1 --output OUT/a.gif", "divisible by the 2"),
        ("video --network {PLAIN} --seeds 0-2 --grid 2 --output OUT/a.gif", "WIDTHxHEIGHT"),
        ("video --network {PLAIN} --output OUT/a.gif", "--num-points, got neither"),
        ("video --network {PLAIN} --seeds 0 --num-points 2 --output OUT/a.gif", "got both"),
        (
            "video --network {PLAIN} --seeds 0 --smoothing 2 --output OUT/a.gif",
            "--smoothing has no effect without",
        ),
        (
            "video --network {PLAIN} --num-points 2 --w-frames 2 --output OUT/a.gif",
            "--w-frames has no effect without",
        ),
        ("video --network {PLAIN} --seeds 0 --w-frames 0 --output OUT/a.gif", "at least 1 frame a keyframe"),
        ("video --network {PLAIN} --seeds 0 --resize 3 --output OUT/a.gif", "--resize: expected HEIGHTxWIDTH"),
        ("video --network {PLAIN} --seeds 0 --scales all --output OUT/a.gif", "makes one"),
        ("generate --network {PLAIN} --seeds 0 --scale-columns 2 --outdir OUT", "no effect without --scales"),
        ("generate --network NET/scales.safetensors --seeds 0 --scales 5 --outdir OUT", "some of 4, 8, 16"),
        ("video --network {PLAIN} --seeds 0-2 --bitrate fast --output OUT/a.gif", "--bitrate"),
        ("video --network {PLAIN} --seeds 0-2 --output OUT/a.mov", "ends in .mp4, .gif, .webp"),
        ("video --network {PLAIN} --seeds 0-2 --fps 60 --output OUT/a.gif", "1 to 50"),
        ("video --network NET/none.pkl --seeds 0-2 --output OUT/a.gif", "none.pkl"),
    ],
)
def test_refused_in_one_line(
    networks: Path,
    tmp_path: Path,
    line: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(tmp_path / "cache"))
    assert run(networks, tmp_path, line) == 2
    error = capsys.readouterr().err
    assert error.startswith("openstylegan: ") and error.count("\n") == 1 and message in error, error
    assert not (tmp_path / "out").exists() or not files(tmp_path)


def test_small_parsers() -> None:
    assert parse_cells("4x2") == parse_cells("4,2") == (4, 2)
    assert [parse_bits(t) for t in ("12M", "1.5m", "800k", "9000")] == [12_000_000, 1_500_000, 800_000, 9000]
    for text in ("0x2", "4", "axb", "-1x2"):
        with pytest.raises(InputError, match="--grid"):
            parse_cells(text)
    for text in ("", "M", "0", "-3M", "1e6"):
        with pytest.raises(InputError, match="--bitrate"):
            parse_bits(text)
