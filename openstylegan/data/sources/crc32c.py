"""CRC-32C (Castagnoli), the sum of a TFRecord, computed by NumPy in lanes.

The register without its initial and final inversion is linear: it can be run over many pieces side by side and the
results joined, `register(a + b) = zeros(register(a), len(b)) ^ register(b)`, and leading zeros change nothing.
"""

from __future__ import annotations

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78
LANE_BYTES = 256
MASK_DELTA = 0xA282EAD8


@functools.cache
def byte_table() -> np.ndarray:
    """uint32 [256]: the register after one byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


def apply(columns: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """A linear map of registers over GF(2), given by what it makes of each bit: `columns` uint32 [32]."""
    out = np.zeros_like(registers)
    for bit in range(32):
        out ^= np.where(registers >> np.uint32(bit) & np.uint32(1), columns[bit], np.uint32(0)).astype(np.uint32)
    return out


@functools.cache
def lane_of_zeros() -> np.ndarray:
    """uint32 [32]: the map that `LANE_BYTES` (a power of two) zero bytes make of a register."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    columns = byte_table()[bits & np.uint32(255)] ^ (bits >> np.uint32(8))
    for _ in range(LANE_BYTES.bit_length() - 1):
        columns = apply(columns, columns)
    return columns


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`."""
    if len(data) < 4:
        return crc32c_bytewise(data)
    lanes = 1 << max(-(-len(data) // LANE_BYTES) - 1, 0).bit_length()
    padded = np.zeros(lanes * LANE_BYTES, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[len(padded) - len(data) : len(padded) - len(data) + 4] ^= 0xFF
    table, registers = byte_table(), np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, LANE_BYTES).T):
        registers = table[(registers ^ column) & np.uint32(255)] ^ (registers >> np.uint32(8))
    zeros = lane_of_zeros()
    while len(registers) > 1:
        registers = apply(zeros, registers[0::2]) ^ registers[1::2]
        zeros = apply(zeros, zeros)
    return int(registers[0]) ^ 0xFFFFFFFF


def crc32c_bytewise(data: bytes) -> int:
    """The same, byte by byte: for short data."""
    register, table = 0xFFFFFFFF, byte_table()
    for byte in data:
        register = int(table[(register ^ byte) & 255]) ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """The sum as a TFRecord stores it: rotated right by 15 bits, plus a constant."""
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF
