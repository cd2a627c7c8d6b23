"""`openstylegan convert` and `openstylegan inspect`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import GOLDEN

import openstylegan
from openstylegan.cli.main import main


def test_convert_by_ending_and_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(GOLDEN / "tf_sg2_real.pkl"), str(tmp_path / "a.pt")]) == 0
    assert "wrote a checkpoint of rosinality's StyleGAN2" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "a.pt"), str(tmp_path / "a.bin"), "--to", "snapshot"]) == 0
    start, end = openstylegan.load(GOLDEN / "tf_sg2_real.pkl"), openstylegan.load(tmp_path / "a.bin")
    assert all(torch.equal(a, b) for a, b in zip(start.G_ema.parameters(), end.G_ema.parameters(), strict=True))
    assert main(["convert", str(GOLDEN / "tf_sg2_real.pkl"), str(tmp_path / "a.png")]) == 2
    assert ".safetensors (snapshot)" in capsys.readouterr().err
    assert main(["convert", str(GOLDEN / "pkl_sg3_t.pkl"), str(tmp_path / "b.pt")]) == 2
    assert "expected the network = 'stylegan2'" in capsys.readouterr().err


def test_inspect_prints_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(GOLDEN / "pkl_sg3_t.pkl")]) == 0
    text = capsys.readouterr().out
    assert "G_ema: a StyleGAN3 generator" in text and "synthesis.L0_36_16 " in text
    assert main(["inspect", str(GOLDEN / "pkl_sg3_t.pkl"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["kind"] == "nvidia-pytorch" and report["networks"]["D"]["options"]["img_resolution"] == 32
    assert main(["inspect", str(GOLDEN / "tf_msg.pkl"), "--tensors"]) == 0
    assert "synthesis.b16.torgb.weight" in capsys.readouterr().out


def test_a_picture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    assert main(["inspect", str(tmp_path / "a.pkl")]) == 2
    assert capsys.readouterr().err == f"openstylegan: expected a network, got a PNG picture: {tmp_path / 'a.pkl'}\n"
