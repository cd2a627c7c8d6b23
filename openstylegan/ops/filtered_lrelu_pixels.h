// What filtered_lrelu_pixels.cpp does with rows of pixels, 32 channels of each, in half precision.

#pragma once

#include "vectors.h"

#if defined(__AVX512FP16__) && defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAS_HALVES 1

#include <immintrin.h>

typedef __m512h halves;

static const int LINE = 32;       // channels of a vector
static const int UP_TAPS = 6;     // of a phase
static const int DOWN_TAPS = 12;
static const int MOST_RANK = 4;
static const int TOGETHER = 4;    // rows and columns of the result that are made at once
static const int AHEAD = 2 * TOGETHER + DOWN_TAPS - 2;  // oversampled rows that they take
static const int TILE = 96;        // columns of the result, at most, that are made at once
static const int ROWS_OF_X = 8;
static const int CACHE = 1 << 20;  // of the second cache, for rows of all blocks of channels that are worked on in turn
static const float SCALE = 16;    // what is below 2^-14 / SCALE loses digits

static inline halves all(float v) { return _mm512_set1_ph((_Float16)v); }
static inline halves at(const _Float16 *row, int pixel) { return _mm512_load_ph(row + pixel * LINE); }
static inline void put(halves v, _Float16 *row, int pixel) { _mm512_store_ph(row + pixel * LINE, v); }
static inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
static inline int whole(int n, int of) { return (n + of - 1) / of * of; }

// Rows of pixels that are zero.
struct Rows {
    Floats memory;
    size_t length;
    Rows(int rows, int pixels) : memory((size_t)rows * pixels * LINE / 2), length((size_t)pixels * LINE) {}
    _Float16 *operator()(int r) { return (_Float16 *)memory.start + r * length; }
};

// 32 values of bfloat16 SCALE times as large, with `low` and `high` added to the halves.
static inline halves widened(__m512i v, __m512 low, __m512 high) {
    const __m512 scale = _mm512_set1_ps(SCALE);
    const __m512i a = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)), 16);
    const __m512i b = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)), 16);
    const __m256h p = _mm512_cvtxps_ph(_mm512_fmadd_ps((__m512)a, scale, low));
    const __m256h q = _mm512_cvtxps_ph(_mm512_fmadd_ps((__m512)b, scale, high));
    return (halves)_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)p), (__m256i)q, 1);
}

// What a loop fetches into the cache meanwhile, a line at a time: `count` of them, `step` values apart.
struct Fetch {
    const uint16_t *from;
    int count;
    size_t step;
};

// Two oversampled rows of six.
static void up_along_y(const _Float16 *const *rows, const float *weights, int pixels, const Fetch &next,
                       _Float16 *const *out) {
    halves w[2][UP_TAPS];
    for (int j = 0; j < 2; j++)
        for (int k = 0; k < UP_TAPS; k++) w[j][k] = all(weights[j * UP_TAPS + k]);
    for (int c = 0; c < pixels; c++) {
        if (c < next.count) _mm_prefetch(next.from + c * next.step, _MM_HINT_T1);
        halves sum[2] = {};
#pragma GCC unroll 6
        for (int k = 0; k < UP_TAPS; k++) {
            const halves v = at(rows[k], c);
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) sum[j] = k ? _mm512_fmadd_ph(w[j][k], v, sum[j]) : _mm512_mul_ph(w[j][k], v);
        }
        put(sum[0], out[0], c);
        put(sum[1], out[1], c);
    }
}

// Two phases of an oversampled row of six pixels each, bent.
template <int UP, bool CLAMP>
static void up_along_x(const _Float16 *row, const float *weights, int groups, float slope, float clamp, _Float16 *out) {
    halves w[2][UP_TAPS];
    for (int j = 0; j < 2; j++)
        for (int k = 0; k < UP_TAPS; k++) w[j][k] = all(weights[j * UP_TAPS + k]);
    const halves slopes = all(slope), least = all(-clamp), most = all(clamp);
    for (int g = 0; g < groups; g += TOGETHER) {
        halves v[TOGETHER + UP_TAPS - 1];
#pragma GCC unroll 16
        for (int k = 0; k < TOGETHER + UP_TAPS - 1; k++) v[k] = at(row, g + k);
#pragma GCC unroll 16
        for (int n = 0; n < 2 * TOGETHER; n++) {
            const int i = n / 2, j = n % 2;
            halves sum = _mm512_mul_ph(w[j][0], v[i]);
#pragma GCC unroll 6
            for (int k = 1; k < UP_TAPS; k++) sum = _mm512_fmadd_ph(w[j][k], v[i + k], sum);
            sum = _mm512_mask_mul_ph(sum, _mm512_cmp_ph_mask(sum, all(0), _CMP_LT_OQ), sum, slopes);
            if (CLAMP) sum = _mm512_min_ph(most, _mm512_max_ph(least, sum));
            put(sum, out, UP * (g + i) + j);
        }
    }
}

// Every second pixel of each of the filters, whose pairs of equal taps are added first.
template <int RANK>
static void down_along_x(const _Float16 *row, const float *weights, int columns, const Fetch &next,
                         _Float16 *const *out) {
    static const int HALF = DOWN_TAPS / 2, MANY = RANK > 3 ? 1 : RANK > 2 ? 2 : TOGETHER;  // as registers allow
    halves w[RANK][HALF];
    for (int r = 0; r < RANK; r++)
        for (int k = 0; k < HALF; k++) w[r][k] = all(weights[r * HALF + k]);
    for (int c = 0; c < columns; c += MANY) {
        for (int i = c / 2; i < std::min((c + MANY) / 2, next.count); i++)
            __builtin_prefetch(next.from + i * next.step, 1, 3);
        halves sum[RANK][MANY];
#pragma GCC unroll 6
        for (int k = 0; k < HALF; k++)
#pragma GCC unroll 4
            for (int i = 0; i < MANY; i++) {
                const int first = 2 * (c + i);
                const halves v = _mm512_add_ph(at(row, first + k), at(row, first + DOWN_TAPS - 1 - k));
#pragma GCC unroll 4
                for (int r = 0; r < RANK; r++)
                    sum[r][i] = k ? _mm512_fmadd_ph(w[r][k], v, sum[r][i]) : _mm512_mul_ph(w[r][k], v);
            }
#pragma GCC unroll 4
        for (int r = 0; r < RANK; r++)
#pragma GCC unroll 4
            for (int i = 0; i < MANY; i++) put(sum[r][i], out[r], c + i);
    }
}

// 32 channels of a result, as bfloat16.
static inline __m512i finished(halves v) {
    const __m512 scale = _mm512_set1_ps(1 / SCALE);
    const __m512 low = _mm512_cvtxph_ps((__m256h)_mm512_castsi512_si256((__m512i)v));
    const __m512 high = _mm512_cvtxph_ps((__m256h)_mm512_extracti64x4_epi64((__m512i)v, 1));
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(high, scale), _mm512_mul_ps(low, scale));
}

// What the rows begin .. end - 1 of AHEAD add to the results LO .. HI of TOGETHER, which take them.
template <int RANK, int LO, int HI>
static inline __attribute__((always_inline)) void add_rows(halves (&sum)[TOGETHER][TOGETHER], int begin, int end,
                                                           const _Float16 *const *lines, const int *weights, int c) {
    for (int i = begin * RANK; i < end * RANK; i++) {
        const int *w = weights + i;
        halves v[TOGETHER];
#pragma GCC unroll 4
        for (int k = 0; k < TOGETHER; k++) v[k] = at(lines[i], c + k);
#pragma GCC unroll 4
        for (int q = LO; q <= HI; q++) {
            const halves weight = (halves)_mm512_set1_epi32(w[-2 * q * RANK]);
#pragma GCC unroll 4
            for (int k = 0; k < TOGETHER; k++) sum[q][k] = _mm512_fmadd_ph(weight, v[k], sum[q][k]);
        }
    }
}

// TOGETHER rows and columns (from c on) of the result, of which only `rows` x `columns` are there.
// `lines[i * RANK + r]`: row i of AHEAD, by filter r. `weights[tap * RANK + r]` are pairs of equal ones.
template <int RANK>
static void down_along_y(const _Float16 *const *lines, const int *weights, int c, int rows, int columns, uint16_t *y,
                         size_t of_row, size_t of_column) {
    halves sum[TOGETHER][TOGETHER] = {};
    add_rows<RANK, 0, 0>(sum, 0, 2, lines, weights, c);
    add_rows<RANK, 0, 1>(sum, 2, 4, lines, weights, c);
    add_rows<RANK, 0, 2>(sum, 4, 6, lines, weights, c);
    add_rows<RANK, 0, 3>(sum, 6, 12, lines, weights, c);
    add_rows<RANK, 1, 3>(sum, 12, 14, lines, weights, c);
    add_rows<RANK, 2, 3>(sum, 14, 16, lines, weights, c);
    add_rows<RANK, 3, 3>(sum, 16, 18, lines, weights, c);
#pragma GCC unroll 4
    for (int q = 0; q < TOGETHER; q++)
#pragma GCC unroll 4
        for (int k = 0; k < TOGETHER; k++)
            if (q < rows && k < columns) _mm512_storeu_si512(y + q * of_row + k * of_column, finished(sum[q][k]));
}

#endif
