"""Metrics of a run: one that its generator cannot take is refused before the first step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import make_pictures, small_config

from openstylegan.config import with_overrides
from openstylegan.errors import InputError
from openstylegan.training.build import build_run
from openstylegan.training.progress import Progress
from openstylegan.training.tick import Ticks


def test_a_metric_that_the_generator_cannot_take_is_refused_at_the_start(tmp_path: Path) -> None:
    config = small_config(make_pictures(tmp_path / "pictures.zip", num=12))
    run = build_run(with_overrides(config, {"output.metrics": ["eqt50k_int"]}), torch.device("cpu"))
    with pytest.raises(InputError, match="'eqt50k_int' moves the generator's input"):
        Ticks(run, tmp_path, Progress(1.0), print)
    run.loader.close()
