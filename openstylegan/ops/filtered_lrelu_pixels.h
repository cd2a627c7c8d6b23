// What filtered_lrelu_pixels.cpp does with rows of pixels, a vector of the channels of each: in float32, or in half
// precision what is given and taken as bfloat16.

#pragma once

#include "vectors.h"

#if defined(__AVX512FP16__) && defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAS_HALVES 1
#include <immintrin.h>
#endif

static const int UP_TAPS = 6;     // of a phase
static const int DOWN_TAPS = 12;
static const int MOST_RANK = DOWN_TAPS / 2;  // of what mirrors itself
static const int TOGETHER = 4;    // rows and columns of the result that are made at once
static const int AHEAD = 2 * TOGETHER + DOWN_TAPS - 2;  // oversampled rows that they take
static const int TILE = 96;        // columns of the result, at most, that are made at once
static const int ROWS_OF_X = 8;
static const int CACHE = 1 << 20;  // of the second cache, for rows of all blocks of channels that are worked on in turn

static inline int whole(int n, int of) { return (n + of - 1) / of * of; }

// How numbers are computed with: `Vector` of `LINE` values, which are SCALE times what they stand for; `Given` is the
// type of x and of the result, and `Weight` what `spread` fills a vector with.
struct Singles {
    typedef float Value;
    typedef float Given;
    typedef float Weight;
    typedef vec Vector;
    static const int LINE = LANES;
    static constexpr float SCALE = 1;

    struct Bias {
        vec values;
        explicit Bias(const float *from) { std::memcpy(&values, from, sizeof values); }
    };

    static Vector all(float v) { return vec{} + v; }
    static Weight weight(float v) { return v; }
    static Vector spread(Weight v) { return all(v); }
    static Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }
    static Vector largest(Vector most, Vector v) {  // NaN does not count
        const Vector size = v < 0 ? -v : v;
        return size > most ? size : most;
    }
    static float largest(Vector v) {
        float found = 0;
        for (int k = 0; k < LINE; k++) found = std::max(found, v[k]);
        return found;
    }
    static Vector bent(Vector v, Vector slope) { return v < 0 ? v * slope : v; }
    static Vector clamped(Vector v, Vector least, Vector most) {
        v = v < least ? least : v;
        return v > most ? most : v;
    }
    // The first `count` values, of which there may be more than a vector's.
    static Vector given(const Given *from, int count, const Bias &bias) {
        Vector v = {};
        if (count >= LINE) std::memcpy(&v, from, sizeof v);
        else std::memcpy(&v, from, count * sizeof(Given));
        return v + bias.values;
    }
    static void finish(Vector v, Given *to) { std::memcpy(to, &v, sizeof v); }
};

#ifdef HAS_HALVES
struct Halves {
    typedef _Float16 Value;
    typedef uint16_t Given;
    typedef int Weight;  // a pair of equal ones
    typedef __m512h Vector;
    static const int LINE = 32;
    static constexpr float SCALE = 16;  // what is below 2^-14 / SCALE loses digits

    struct Bias {
        __m512 low, high;
        explicit Bias(const float *from) {
            const __m512 scale = _mm512_set1_ps(SCALE);
            low = _mm512_loadu_ps(from) * scale, high = _mm512_loadu_ps(from + 16) * scale;
        }
    };

    static Vector all(float v) { return _mm512_set1_ph((_Float16)v); }
    static Weight weight(float v) {
        const _Float16 half = (_Float16)v;
        uint16_t bits;
        std::memcpy(&bits, &half, 2);
        return (int)((uint32_t)bits << 16 | bits);
    }
    static Vector spread(Weight v) { return (Vector)_mm512_set1_epi32(v); }
    static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ph(a, b, c); }
    static Vector largest(Vector most, Vector v) {  // of NaN and a number the second: NaN does not count
        return _mm512_max_ph(_mm512_abs_ph(v), most);
    }
    static float largest(Vector v) { return (float)_mm512_reduce_max_ph(v); }
    static Vector bent(Vector v, Vector slope) {
        return _mm512_mask_mul_ph(v, _mm512_cmp_ph_mask(v, all(0), _CMP_LT_OQ), v, slope);
    }
    static Vector clamped(Vector v, Vector least, Vector most) {
        return _mm512_min_ph(most, _mm512_max_ph(least, v));
    }
    static Vector given(const Given *from, int count, const Bias &bias) {
        const __mmask32 mask = count >= LINE ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1;
        const __m512i v = _mm512_maskz_loadu_epi16(mask, from);
        const __m512 scale = _mm512_set1_ps(SCALE);
        const __m512i a = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)), 16);
        const __m512i b = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)), 16);
        const __m256h p = _mm512_cvtxps_ph(_mm512_fmadd_ps((__m512)a, scale, bias.low));
        const __m256h q = _mm512_cvtxps_ph(_mm512_fmadd_ps((__m512)b, scale, bias.high));
        return (Vector)_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)p), (__m256i)q, 1);
    }
    static void finish(Vector v, Given *to) {
        const __m512 scale = _mm512_set1_ps(1 / SCALE);
        const __m512 low = _mm512_cvtxph_ps((__m256h)_mm512_castsi512_si256((__m512i)v));
        const __m512 high = _mm512_cvtxph_ps((__m256h)_mm512_extracti64x4_epi64((__m512i)v, 1));
        _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(high, scale), _mm512_mul_ps(low, scale)));
    }
};
#endif

// Rows of pixels that are zero.
template <class K>
struct Rows {
    Floats memory;
    size_t length;
    Rows(int rows, int pixels)
        : memory((size_t)rows * pixels * K::LINE * sizeof(typename K::Value) / sizeof(float)),
          length((size_t)pixels * K::LINE) {}
    typename K::Value *operator()(int r) { return (typename K::Value *)memory.start + r * length; }
};

// A row of pixels at a time, of each of which it takes or makes a vector.
template <class K>
struct Passes {
    typedef typename K::Value Value;
    typedef typename K::Given Given;
    typedef typename K::Weight Weight;
    typedef typename K::Vector Vector;

    static Vector at(const Value *row, int pixel) { return *(const Vector *)(row + pixel * K::LINE); }
    static void put(Vector v, Value *row, int pixel) { *(Vector *)(row + pixel * K::LINE) = v; }

    // What a loop fetches into the cache meanwhile, a line at a time: `count` of them, `step` values apart.
    struct Fetch {
        const Given *from;
        int count;
        size_t step;
    };

    // Two oversampled rows of six.
    static void up_along_y(const Value *const *rows, const float *weights, int pixels, const Fetch &next,
                           Value *const *out) {
        Vector w[2][UP_TAPS];
        for (int j = 0; j < 2; j++)
            for (int k = 0; k < UP_TAPS; k++) w[j][k] = K::all(weights[j * UP_TAPS + k]);
        for (int c = 0; c < pixels; c++) {
            if (c < next.count) __builtin_prefetch(next.from + c * next.step, 0, 2);
            Vector sum[2] = {};
#pragma GCC unroll 6
            for (int k = 0; k < UP_TAPS; k++) {
                const Vector v = at(rows[k], c);
#pragma GCC unroll 2
                for (int j = 0; j < 2; j++) sum[j] = k ? K::fma(w[j][k], v, sum[j]) : w[j][k] * v;
            }
            put(sum[0], out[0], c);
            put(sum[1], out[1], c);
        }
    }

    // Two phases of an oversampled row of six pixels each, bent.
    template <int UP, bool CLAMP>
    static void up_along_x(const Value *row, const float *weights, int groups, float slope, float clamp, Value *out) {
        Vector w[2][UP_TAPS];
        for (int j = 0; j < 2; j++)
            for (int k = 0; k < UP_TAPS; k++) w[j][k] = K::all(weights[j * UP_TAPS + k]);
        const Vector slopes = K::all(slope), least = K::all(-clamp), most = K::all(clamp);
        for (int g = 0; g < groups; g += TOGETHER) {
            Vector v[TOGETHER + UP_TAPS - 1];
#pragma GCC unroll 16
            for (int k = 0; k < TOGETHER + UP_TAPS - 1; k++) v[k] = at(row, g + k);
#pragma GCC unroll 16
            for (int n = 0; n < 2 * TOGETHER; n++) {
                const int i = n / 2, j = n % 2;
                Vector sum = w[j][0] * v[i];
#pragma GCC unroll 6
                for (int k = 1; k < UP_TAPS; k++) sum = K::fma(w[j][k], v[i + k], sum);
                sum = K::bent(sum, slopes);
                if (CLAMP) sum = K::clamped(sum, least, most);
                put(sum, out, UP * (g + i) + j);
            }
        }
    }

    // Every second pixel of each of RANK filters, whose pairs of equal taps are added first.
    template <int RANK>
    static void down_along_x(const Value *row, const float *weights, int columns, const Fetch &next,
                             Value *const *out) {
        static const int HALF = DOWN_TAPS / 2, MANY = RANK > 3 ? 1 : RANK > 2 ? 2 : TOGETHER;  // as registers allow
        Vector w[RANK][HALF];
        for (int r = 0; r < RANK; r++)
            for (int k = 0; k < HALF; k++) w[r][k] = K::all(weights[r * HALF + k]);
        for (int c = 0; c < columns; c += MANY) {
            for (int i = c / 2; i < std::min((c + MANY) / 2, next.count); i++)
                __builtin_prefetch(next.from + i * next.step, 1, 3);
            Vector sum[RANK][MANY];
#pragma GCC unroll 6
            for (int k = 0; k < HALF; k++)
#pragma GCC unroll 4
                for (int i = 0; i < MANY; i++) {
                    const int first = 2 * (c + i);
                    const Vector v = at(row, first + k) + at(row, first + DOWN_TAPS - 1 - k);
#pragma GCC unroll 4
                    for (int r = 0; r < RANK; r++)
                        sum[r][i] = k ? K::fma(w[r][k], v, sum[r][i]) : w[r][k] * v;
                }
#pragma GCC unroll 4
            for (int r = 0; r < RANK; r++)
#pragma GCC unroll 4
                for (int i = 0; i < MANY; i++) put(sum[r][i], out[r], c + i);
        }
    }

    // What the rows begin .. end - 1 of AHEAD add to the results LO .. HI of TOGETHER, which take them.
    template <int LO, int HI>
    static inline __attribute__((always_inline)) void add_rows(Vector (&sum)[TOGETHER][TOGETHER], int begin, int end,
                                                               const Value *const *lines, const Weight *weights,
                                                               int rank, int c) {
        for (int i = begin * rank; i < end * rank; i++) {
            Vector v[TOGETHER];
#pragma GCC unroll 4
            for (int k = 0; k < TOGETHER; k++) v[k] = at(lines[i], c + k);
#pragma GCC unroll 4
            for (int q = LO; q <= HI; q++) {
                const Vector weight = K::spread(weights[i - 2 * q * rank]);
#pragma GCC unroll 4
                for (int k = 0; k < TOGETHER; k++) sum[q][k] = K::fma(weight, v[k], sum[q][k]);
            }
        }
    }

    // TOGETHER rows and columns (from c on) of the result, of which only `rows` x `columns` are there.
    // `lines[i * rank + r]`: row i of AHEAD, by filter r. `weights[tap * rank + r]`.
    static void down_along_y(const Value *const *lines, const Weight *weights, int rank, int c, int rows, int columns,
                             Given *y, size_t of_row, size_t of_column) {
        Vector sum[TOGETHER][TOGETHER] = {};
        add_rows<0, 0>(sum, 0, 2, lines, weights, rank, c);
        add_rows<0, 1>(sum, 2, 4, lines, weights, rank, c);
        add_rows<0, 2>(sum, 4, 6, lines, weights, rank, c);
        add_rows<0, 3>(sum, 6, 12, lines, weights, rank, c);
        add_rows<1, 3>(sum, 12, 14, lines, weights, rank, c);
        add_rows<2, 3>(sum, 14, 16, lines, weights, rank, c);
        add_rows<3, 3>(sum, 16, 18, lines, weights, rank, c);
#pragma GCC unroll 4
        for (int q = 0; q < TOGETHER; q++)
#pragma GCC unroll 4
            for (int k = 0; k < TOGETHER; k++)
                if (q < rows && k < columns) K::finish(sum[q][k], y + q * of_row + k * of_column);
    }
};
