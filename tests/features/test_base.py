"""What happens to pictures before an extractor sees them."""

from __future__ import annotations

import pytest
import torch

from openstylegan.errors import InputError
from openstylegan.features.base import CHUNK_ON_CPU, as_rgb, in_chunks, one_thread_an_operation


def test_grey_is_repeated() -> None:
    grey = torch.arange(12, dtype=torch.uint8).view(1, 1, 3, 4)
    assert torch.equal(as_rgb(grey), torch.cat([grey] * 3, 1))


def test_rgb_is_left_alone() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(as_rgb(images), images)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_laid_on_white(channels: int) -> None:
    images = torch.full((3, channels, 1, 1), 100, dtype=torch.uint8)
    images[:, -1, 0, 0] = torch.tensor([0, 255, 51], dtype=torch.uint8)
    assert as_rgb(images)[:, :, 0, 0].tolist() == [[255] * 3, [100] * 3, [224] * 3]


@pytest.mark.parametrize(
    "images", [torch.zeros(1, 3, 4, 4), torch.zeros(1, 5, 4, 4).byte(), torch.zeros(3, 4, 4).byte()]
)
def test_anything_else_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="to_uint8"):
        as_rgb(images)


@pytest.mark.parametrize("num", [1, CHUNK_ON_CPU, 2 * CHUNK_ON_CPU + 1])
def test_chunks_have_one_size_and_nothing_of_the_filling_is_left(num: int) -> None:
    sizes = []

    def double(chunk: torch.Tensor) -> torch.Tensor:
        sizes.append(len(chunk))
        return 2 * chunk.flatten(1)

    images = torch.arange(num * 3).view(num, 3, 1, 1)
    assert torch.equal(in_chunks(double, images), 2 * images.flatten(1))
    assert set(sizes) == {CHUNK_ON_CPU}


def test_chunks_run_without_gradients_and_with_one_thread_each() -> None:
    weight = torch.ones(3, requires_grad=True)
    threads = []

    def weigh(chunk: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return chunk.flatten(1) * weight

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = in_chunks(weigh, torch.ones(3 * CHUNK_ON_CPU, 3, 1, 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not found.requires_grad
    assert threads == [1, 1, 1]


def test_the_number_of_threads_comes_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="on purpose"), one_thread_an_operation():
        raise RuntimeError("on purpose")
    assert torch.get_num_threads() == before
