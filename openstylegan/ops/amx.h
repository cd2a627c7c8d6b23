// What the convolutions on matrix units (AMX: 8 tiles of 16 rows of 64 bytes a core) have in common.

#pragma once

#include "vectors.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__linux__)
#define HAS_AMX 1

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

static const int BLOCK = 32;            // channels of a pixel in a tile row, and outputs made at once
static const int TILE = 16;             // rows of a tile
static const int TILE_VALUES = 16 * 32;  // in bfloat16

// The tiles of this thread, as long as it lives: all of the largest size.
struct Tiles {
    Tiles() {
        struct alignas(64) {
            uint8_t palette, start, reserved[14];
            uint16_t bytes[16];
            uint8_t rows[16];
        } shape = {};
        shape.palette = 1;
        for (int k = 0; k < 8; k++) shape.bytes[k] = 64, shape.rows[k] = TILE;
        _tile_loadconfig(&shape);
    }
    Tiles(const Tiles &) = delete;
    ~Tiles() { _tile_release(); }
};

// Values in bfloat16, from a cache line on; not cleared.
struct Halves {
    uint16_t *start;
    explicit Halves(size_t size) : start((uint16_t *)std::aligned_alloc(64, (size / 32 + 1) * 64)) {
        if (!start) throw std::bad_alloc();
    }
    Halves(const Halves &) = delete;
    ~Halves() { std::free(start); }
};

static inline __m512 low(__m512i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)), 16));
}
static inline __m512 high(__m512i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)), 16));
}
static inline __m512i halves(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

#endif
