// The gradient of a convolution's weights on matrix units, for channels-last bfloat16 pictures; see amx.py.
//
// It is a product over the pixels of a strip, for each tap of the kernel. Tiles want the gradient of the result with
// pixels innermost, and the source with pairs of pixels innermost: of it there is a copy for each column of taps (and for
// each of the interleaved rows, with a stride), so that a tap is an offset of whole rows. Sums are in float32.

#include "amx.h"

struct WeightGradient {
    int samples, in, out, height, width, rows, columns;  // the last two: of gy
    int stride, taps_y, taps_x, padding_y, padding_x;
    const uint16_t *x, *gy;
    uint16_t *gw;  // [out][in][taps_y][taps_x]
};

#ifdef HAS_AMX

static const int PIXELS_BYTES = 1 << 21;  // of a strip of gy, as large as the second cache

struct Strip {
    int sample, samples, first, rows;
};

// How strips lie in memory. Samples follow each other with `beyond` rows between them, in which gy is zero.
struct Plan {
    int beyond, pitch, pairs, steps;  // pixels of a row; room for pairs of pixels of x; 32 pixels of gy each
    int most_samples, most_rows;
    explicit Plan(const WeightGradient &g) : beyond((g.taps_y - 1) / g.stride), pitch(g.columns + (g.columns & 1)) {
        const int pixels = PIXELS_BYTES / 2 / g.out, whole = (g.rows + beyond) * pitch;
        most_samples = std::max(1, std::min(pixels / whole, g.samples)), most_rows = g.rows;
        if (whole > pixels) {
            const int parts = std::min((whole + pixels - 1) / pixels, g.rows);
            most_rows = (g.rows + parts - 1) / parts;
        }
        const int most = most_samples * (most_rows + beyond) * pitch;
        steps = (most + 31) / 32, pairs = (most + beyond * pitch) / 2 + TILE;
    }
    int steps_of(const Strip &s) const { return ((s.samples * (s.rows + beyond) - beyond) * pitch + 31) / 32; }
};

// 16 vectors of 16 words, rows and columns exchanged.
static inline void transpose(__m512i *rows) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#pragma GCC unroll 4
    for (int step = 8; step; step /= 2) {
        const __mmask16 upper = _mm512_test_epi32_mask(lanes, _mm512_set1_epi32(step));
        const __m512i by = _mm512_set1_epi32(step), second = _mm512_set1_epi32(16);
        const __m512i even = _mm512_mask_add_epi32(lanes, upper, _mm512_sub_epi32(lanes, by), second);
        const __m512i odd = _mm512_mask_add_epi32(_mm512_add_epi32(lanes, by), upper, lanes, second);
#pragma GCC unroll 16
        for (int k = 0; k < 16; k++)
            if (!(k & step)) {
                const __m512i a = rows[k], b = rows[k + step];
                rows[k] = _mm512_permutex2var_epi32(a, even, b), rows[k + step] = _mm512_permutex2var_epi32(a, odd, b);
            }
    }
}

// The values of two pixels in turn, of channels 0 .. 15 or 16 .. 31 of a block.
static inline __m512i in_turn(__m512i a, __m512i b, int half) {
    const __m512i words = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i low = _mm512_add_epi32(words, _mm512_set1_epi32(half * 16));
    const __m512i order = _mm512_or_si512(low, _mm512_slli_epi32(_mm512_add_epi32(low, _mm512_set1_epi32(32)), 16));
    return _mm512_permutex2var_epi16(a, order, b);
}

// gy of a strip as [out / 16][steps][16 outputs][32 pixels].
static void put_gy(const WeightGradient &g, const Plan &p, const Strip &s, const uint16_t *zeros, uint16_t *to) {
    const int high = s.rows + p.beyond, steps = p.steps_of(s);
    const uint16_t *pixels[32];
    for (int step = 0; step < steps; step++) {
        for (int k = 0; k < 32; k++) {
            const int at = step * 32 + k, column = at % p.pitch, row = at / p.pitch % high, sample = at / p.pitch / high;
            const bool inside = column < g.columns && row < s.rows && sample < s.samples;
            const size_t line = (size_t)(s.sample + sample) * g.rows + s.first + row;
            pixels[k] = inside ? g.gy + (line * g.columns + column) * g.out : zeros;
        }
        for (int block = 0; block < g.out / BLOCK; block++) {
            __m512i a[16], b[16];
            for (int k = 0; k < 16; k++) {
                const __m512i first = _mm512_loadu_si512(pixels[2 * k] + block * BLOCK);
                const __m512i second = _mm512_loadu_si512(pixels[2 * k + 1] + block * BLOCK);
                a[k] = in_turn(first, second, 0), b[k] = in_turn(first, second, 1);
            }
            transpose(a), transpose(b);
            uint16_t *low = to + ((size_t)block * 2 * p.steps + step) * TILE_VALUES, *high = low + p.steps * TILE_VALUES;
            for (int k = 0; k < 16; k++) {
                _mm512_store_si512(low + k * 32, a[k]);
                _mm512_store_si512(high + k * 32, b[k]);
            }
        }
    }
}

// Blocks begin .. end - 1 of x of a strip as [copies][blocks][2][pairs][16 inputs][2 pixels].
static void put_x(const WeightGradient &g, const Plan &p, const Strip &s, int begin, int end, const uint16_t *zeros,
                  uint16_t *to) {
    const int high = s.rows + p.beyond;
    for (int copy = 0; copy < g.stride * g.taps_x; copy++) {
        uint16_t *start = to + (size_t)copy * (end - begin) * 2 * p.pairs * 32;
        for (int pair = 0; pair < p.pairs; pair++) {
            const uint16_t *pixels[2];
            for (int k = 0; k < 2; k++) {
                const int at = pair * 2 + k, row = at / p.pitch % high, sample = at / p.pitch / high;
                const int x = at % p.pitch * g.stride + copy % g.taps_x - g.padding_x;
                const int y = (s.first + row) * g.stride + copy / g.taps_x - g.padding_y;
                const bool inside = x >= 0 && x < g.width && y >= 0 && y < g.height && sample < s.samples;
                const size_t line = (size_t)(s.sample + sample) * g.height + y;
                pixels[k] = inside ? g.x + (line * g.width + x) * g.in : zeros;
            }
            for (int block = begin; block < end; block++) {
                const __m512i a = _mm512_loadu_si512(pixels[0] + block * BLOCK);
                const __m512i b = _mm512_loadu_si512(pixels[1] + block * BLOCK);
                uint16_t *low = start + ((size_t)(block - begin) * 2 * p.pairs + pair) * 32;
                _mm512_store_si512(low, in_turn(a, b, 0));
                _mm512_store_si512(low + (size_t)p.pairs * 32, in_turn(a, b, 1));
            }
        }
    }
}

// sums[2 x 2 tiles] (+)= gy[32 outputs][pixels] x[pixels][32 inputs].
static inline void products(const uint16_t *gy, size_t gy_apart, const uint16_t *x, size_t x_apart, int steps, bool add,
                            float *sums) {
    if (add) {
        _tile_loadd(0, sums, 64);
        _tile_loadd(1, sums + 256, 64);
        _tile_loadd(2, sums + 512, 64);
        _tile_loadd(3, sums + 768, 64);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int k = 0; k < steps; k++, gy += TILE_VALUES, x += TILE_VALUES) {
        _tile_loadd(4, gy, 64);
        _tile_loadd(6, x, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, x + x_apart, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, gy + gy_apart, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

// Sums [taps][2][2][16 outputs][16 inputs] to the weights' own order, [32 of out][32 of in][taps].
static void write_out(const WeightGradient &g, int output, int input, const float *sums) {
    const int taps = g.taps_y * g.taps_x;
    std::vector<int> places(BLOCK * taps);
    for (int k = 0; k < BLOCK * taps; k++) places[k] = k % taps * 1024 + k / taps / 16 * 256 + k / taps % 16;
    for (int o = 0; o < BLOCK; o++) {
        const float *from = sums + o / 16 * 512 + o % 16 * 16;
        uint16_t *to = g.gw + ((size_t)(output + o) * g.in + input) * taps;
        for (int k = 0; k < BLOCK * taps; k += 32) {
            const __m512 a = _mm512_i32gather_ps(_mm512_loadu_si512(&places[k]), from, 4);
            const __m512 b = _mm512_i32gather_ps(_mm512_loadu_si512(&places[k + 16]), from, 4);
            _mm512_storeu_si512(to + k, halves(a, b));
        }
    }
}

static std::vector<Strip> strips(const WeightGradient &g, const Plan &p) {
    std::vector<Strip> found;
    for (int s = 0; s < g.samples; s += p.most_samples)
        for (int r = 0; r < g.rows; r += p.most_rows)
            found.push_back({s, std::min(p.most_samples, g.samples - s), r, std::min(p.most_rows, g.rows - r)});
    return found;
}

extern "C" void amx_weight_gradient(const WeightGradient *gradient, int threads) {
    const WeightGradient &g = *gradient;
    const Plan p(g);
    const std::vector<Strip> all = strips(g, p);
    const int taps = g.taps_y * g.taps_x, outs = g.out / BLOCK;
    const std::vector<uint16_t> zeros(std::max(g.in, g.out) + 32);
    in_threads(g.in / BLOCK, threads, [&](int begin, int end) {
        const Tiles tiles;
        const int blocks = end - begin;
        const size_t gy_apart = (size_t)p.steps * TILE_VALUES, x_apart = (size_t)p.pairs * 32;
        Halves gy(gy_apart * 2 * outs), x(x_apart * 2 * blocks * g.stride * g.taps_x);
        Halves memory((size_t)blocks * outs * taps * 1024 * 2);
        float *sums = (float *)memory.start;
        for (const Strip &strip : all) {
            put_gy(g, p, strip, zeros.data(), gy.start);
            put_x(g, p, strip, begin, end, zeros.data(), x.start);
            for (int i = 0; i < blocks; i++)
                for (int o = 0; o < outs; o++)
                    for (int t = 0; t < taps; t++) {
                        const int y = t / g.taps_x, copy = y % g.stride * g.taps_x + t % g.taps_x;
                        const size_t shift = (size_t)(y / g.stride) * p.pitch / 2;
                        products(gy.start + o * 2 * gy_apart, gy_apart,
                                 x.start + ((size_t)copy * blocks + i) * 2 * x_apart + shift * 32, x_apart,
                                 p.steps_of(strip), &strip != &all[0],
                                 sums + (((size_t)i * outs + o) * taps + t) * 1024);
                    }
        }
        for (int i = 0; i < blocks; i++)
            for (int o = 0; o < outs; o++)
                write_out(g, o * BLOCK, (begin + i) * BLOCK, sums + ((size_t)i * outs + o) * taps * 1024);
    });
}

#else

extern "C" void amx_weight_gradient(const void *, int) {}

#endif
