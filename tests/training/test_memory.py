"""Out of memory in a step: smaller micro-batches, the same batch, the same network to rounding, on all processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import make_pictures, small_config
from torch import Tensor, nn

from openstylegan.config import TrainConfig
from openstylegan.distributed import is_main, rank
from openstylegan.errors import InputError
from openstylegan.losses import LOSS_TERMS, LossTerm
from openstylegan.losses.base import ForwardPass
from openstylegan.losses.path_length import PathLength
from openstylegan.networks.layers import MinibatchStddev
from openstylegan.training.build import Run, build_run
from openstylegan.training.checkpoint import read_checkpoint, write_checkpoint
from openstylegan.training.launch import run_processes
from openstylegan.training.loop import train_step
from openstylegan.training.memory import equal_cuts, is_out_of_memory, next_smaller, within
from openstylegan.training.schedule import Stage

CPU = torch.device("cpu")
STEPS = 6


class Greedy(LossTerm):
    """Adds nothing to the loss, and runs out of memory on more than `most` samples, on one process or on all."""

    def __init__(self, most: int, kind: str = "cpu", on_rank: int | None = None):
        super().__init__()
        self.most, self.kind, self.on_rank = most, kind, on_rank

    def forward(self, f: ForwardPass) -> Tensor:
        nothing = (f.real_logits + f.fake_logits).sum() * 0
        if f.num_samples > self.most and self.on_rank in (None, rank()):
            if self.kind == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 PiB.")
            torch.empty(2**60, dtype=torch.uint8)  # what the CPU's allocator itself says then
        return nothing


@pytest.fixture(autouse=True)
def greedy_term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSS_TERMS, "greedy", Greedy)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def greedy_config(pictures: Path, most: int, batch_gpu: int = 8, **options: object) -> TrainConfig:
    """The greedy term stands in Dmain, so that the generator's phases of the step are done when it fails."""
    terms = [{"name": "logistic_d", "options": {}}, {"name": "greedy", "options": {"most": most, **options}}]
    overrides = {"precision": "float64", "schedule.options.batch_gpu": batch_gpu, "phases.2.terms": terms}
    return small_config(pictures, **overrides)


def trained(config: TrainConfig, steps: int = STEPS) -> tuple[Run, list[str]]:
    run = build_run(config, CPU)
    told = list[str]()
    run.tell = told.append
    for _ in range(steps):
        train_step(run)
    run.loader.close()
    return run, told


def weights(run: Run) -> Tensor:
    tensors = sorted(run.state.network_tensors().items())
    return torch.cat([t.double().flatten() for _, t in tensors if t.is_floating_point()])


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("most", "kind"), [(4, "cpu"), (3, "cuda")])
def test_the_result_is_that_of_a_run_that_began_with_the_cut(pictures: Path, most: int, kind: str) -> None:
    run, told = trained(greedy_config(pictures, most, kind=kind))
    smaller = 4 if most == 4 else 2
    assert run.state.counters.micro_batch == smaller and run.stage().batch_gpu == smaller
    assert run.stage().batch_size == 8 and run.state.counters.cur_nimg == 8 * STEPS
    assert [line.split(":")[0] for line in told] == [
        f"out of memory in Dmain with micro-batches of {n}" for n in ([8] if most == 4 else [8, 4])
    ]
    began, silence = trained(greedy_config(pictures, 8, batch_gpu=smaller))
    assert silence == []
    assert distance(weights(run), weights(began)) < 1e-10
    untrained, _ = trained(greedy_config(pictures, 8), 0)
    assert distance(weights(untrained), weights(began)) > 1e-3


def test_a_run_goes_on_with_the_cut_exactly(pictures: Path, tmp_path: Path) -> None:
    config = greedy_config(pictures, 4)
    whole, _ = trained(config, 4)
    half, told = trained(config, 2)
    assert len(told) == 1
    folder = write_checkpoint(tmp_path, half.state, {"config": {}})
    resumed = build_run(config, CPU)
    read_checkpoint(folder, resumed.state, CPU)
    resumed.tell = lambda text: pytest.fail(text)
    for _ in range(2):
        train_step(resumed)
    resumed.loader.close()
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.state.numbers() == whole.state.numbers()


def processes_job(job: tuple[TrainConfig, Path]) -> None:
    config, target = job
    torch.set_num_threads(1)
    LOSS_TERMS["greedy"] = Greedy  # in this process, which does nothing else
    run, told = trained(config)
    assert len(told) == 1 and run.state.counters.micro_batch == 2, (told, run.state.counters)
    if is_main():
        torch.save(weights(run), target)


def test_processes_act_alike_when_one_of_them_fails(pictures: Path, tmp_path: Path) -> None:
    run_processes(processes_job, (greedy_config(pictures, 2, batch_gpu=4, on_rank=1), tmp_path / "two.pt"), 2, "cpu")
    one, _ = trained(greedy_config(pictures, 8, batch_gpu=2))
    assert distance(torch.load(tmp_path / "two.pt", weights_only=True), weights(one)) < 1e-10


def test_where_no_cut_gives_the_same_the_run_ends(pictures: Path) -> None:
    with pytest.raises(InputError, match=r"micro-batches of 2 in Dmain.*change the result"):
        trained(greedy_config(pictures, 1))


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(ValueError("memory"))
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_equal_cuts_keep_groups_whole() -> None:
    stage, group_of_4 = Stage(0, 64, 32), [MinibatchStddev(4)]
    assert equal_cuts(stage, group_of_4, 1) == [4, 8, 16, 32]
    assert equal_cuts(stage, [*group_of_4, PathLength(batch_shrink=2)], 1) == [4, 8, 16, 32]
    assert equal_cuts(stage, [PathLength(batch_shrink=2)], 2) == [2, 4, 8, 16, 32]
    assert equal_cuts(stage, [MinibatchStddev(None)], 1) == [32]
    assert equal_cuts(Stage(0, 12, 12), [MinibatchStddev(2)], 2) == [2, 6]
    assert next_smaller(stage, group_of_4, 1) == 16 and next_smaller(Stage(0, 8, 4), group_of_4, 1) is None
    assert next_smaller(Stage(0, 6, 6), [MinibatchStddev(2)], 1) == 2
    assert next_smaller(Stage(0, 9, 9), [], 1) == 3
    assert next_smaller(stage, [nn.BatchNorm2d(3).train()], 1) is None
    assert within(stage, 12, group_of_4, 1).batch_gpu == 8 and within(stage, 1, group_of_4, 1).batch_gpu == 4
    assert within(stage, None, group_of_4, 1) == within(stage, 64, group_of_4, 1) == stage
