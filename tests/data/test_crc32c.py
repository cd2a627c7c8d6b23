"""CRC-32C against its published check value and its bytewise form."""

from __future__ import annotations

import numpy as np
import pytest

from openstylegan.data.sources.crc32c import crc32c, crc32c_bytewise, masked


def test_published_values():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 255, 256, 257, 511, 512, 513, 4096, 5000])
def test_lanes_equal_bytes(size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    assert crc32c(data) == crc32c_bytewise(data)


def test_the_mask_is_that_of_tensorboards_writer():
    """An independent implementation of the same file format."""
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    for data in (b"", b"12345678", bytes(range(200)) * 5):
        assert masked(crc32c(data)) == writer.masked_crc32c(data)
