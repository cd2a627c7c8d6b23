// The gradient of a convolution's weights on matrix units, for channels-last bfloat16 pictures; see amx.py.
//
// It is a product over the pixels of a strip, for each tap of the kernel. Tiles want the gradient of the result with
// pixels innermost, and the source with pairs of pixels innermost: of it there is a copy for each column of taps (and
// for each of the interleaved rows, with a stride). A tile holds 32 pixels of a row, and tiles are put in columns: what
// one tap multiplies with a tile the tap below it multiplies with the next, so a tile is read once for up to three of
// them. Reading tiles is what takes the time, above all where others use the core too. Sums are in float32.

#include "amx.h"

struct WeightGradient {
    int samples, in, out, height, width, rows, columns;  // the last two: of gy
    int stride, taps_y, taps_x, padding_y, padding_x, floats;
    const uint16_t *x, *gy;
    void *gw;  // [out][in][taps_y][taps_x], in float32 if `floats`, else in bfloat16
};

#ifdef HAS_AMX

static const int PIXELS_BYTES = 1 << 21;  // of a strip of gy, as large as the second cache
static const int WIDE = 32;               // pixels of a tile

struct Strip {
    int sample, samples, first, rows;
};

// How strips lie in memory: `abreast` samples beside each other make lines of `across` tiles, where zeros fill the
// last.
struct Plan {
    int abreast, across, beyond;  // beyond: rows of x that follow those of gy
    int most_samples, most_rows;
    explicit Plan(const WeightGradient &g) : abreast(1), beyond((g.taps_y - 1) / g.stride), most_rows(g.rows) {
        for (int k = 2; k <= g.samples; k++)
            if (filled(g, k) > filled(g, abreast)) abreast = k;
        across = tiles(g, abreast);
        const int lines = std::max(1, PIXELS_BYTES / 2 / g.out / (across * WIDE));
        most_samples = std::min(std::max(1, lines / g.rows) * abreast, g.samples);
        if (g.rows > lines) {
            const int parts = (g.rows + lines - 1) / lines;
            most_rows = (g.rows + parts - 1) / parts;
        }
    }
    static int tiles(const WeightGradient &g, int samples) { return (samples * g.columns + WIDE - 1) / WIDE; }
    static float filled(const WeightGradient &g, int samples) {
        return (float)(samples * g.columns) / (tiles(g, samples) * WIDE);
    }
    int columns(int samples) const { return (samples + abreast - 1) / abreast * across; }  // of tiles
    size_t gy_size() const { return (size_t)columns(most_samples) * most_rows * TILE_VALUES; }
    size_t x_size() const { return (size_t)columns(most_samples) * (most_rows + beyond) * TILE_VALUES; }
};

// Pixel k of a column of tiles: its sample, or -1 for none, and its place in the row.
struct Pixel {
    int sample, column;
    Pixel(const WeightGradient &g, const Plan &p, const Strip &s, int tiles, int k) {
        const int place = tiles % p.across * WIDE + k;
        sample = tiles / p.across * p.abreast + place / g.columns, column = place % g.columns;
        sample = place < p.abreast * g.columns && sample < s.samples ? s.sample + sample : -1;
    }
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

// gy of a strip as [out / 16][columns of tiles][rows][16 outputs][32 pixels].
static void put_gy(const WeightGradient &g, const Plan &p, const Strip &s, const uint16_t *zeros, uint16_t *to) {
    const int columns = p.columns(s.samples);
    const uint16_t *pixels[WIDE];
    for (int tile = 0; tile < columns * s.rows; tile++) {
        for (int k = 0; k < WIDE; k++) {
            const Pixel at(g, p, s, tile / s.rows, k);
            const size_t line = (size_t)at.sample * g.rows + s.first + tile % s.rows;
            pixels[k] = at.sample < 0 ? zeros : g.gy + (line * g.columns + at.column) * g.out;
        }
        for (int block = 0; block < g.out / BLOCK; block++) {
            __m512i a[16], b[16];
            for (int k = 0; k < 16; k++) {
                const __m512i first = _mm512_loadu_si512(pixels[2 * k] + block * BLOCK);
                const __m512i second = _mm512_loadu_si512(pixels[2 * k + 1] + block * BLOCK);
                a[k] = in_turn(first, second, 0), b[k] = in_turn(first, second, 1);
            }
            transpose(a), transpose(b);
            uint16_t *low = to + block * 2 * p.gy_size() + tile * TILE_VALUES, *high = low + p.gy_size();
            for (int k = 0; k < 16; k++) {
                _mm512_store_si512(low + k * 32, a[k]);
                _mm512_store_si512(high + k * 32, b[k]);
            }
        }
    }
}

// 32 channels of x of a strip as [copies][2][columns of tiles][rows][16 pairs][16 inputs][2 pixels].
static void put_x(const WeightGradient &g, const Plan &p, const Strip &s, int block, const uint16_t *zeros,
                  uint16_t *to) {
    const int columns = p.columns(s.samples), rows = s.rows + p.beyond;
    const size_t line = (size_t)g.width * g.in;
    std::vector<const uint16_t *> pixels(g.taps_x * WIDE);  // at the picture's upper edge, or null
    for (int number = 0; number < columns * g.stride; number++) {
        const int tiles = number / g.stride, phase = number % g.stride;
        for (int k = 0; k < g.taps_x * WIDE; k++) {
            const Pixel at(g, p, s, tiles, k % WIDE);
            const int x = at.column * g.stride + k / WIDE - g.padding_x;
            const bool inside = at.sample >= 0 && x >= 0 && x < g.width;
            pixels[k] = inside ? g.x + at.sample * g.height * line + (size_t)x * g.in + block * BLOCK : nullptr;
        }
        for (int k = 0; k < rows * g.taps_x; k++) {
            const int row = k / g.taps_x, tap = k % g.taps_x;
            const int y = (s.first + row) * g.stride + phase - g.padding_y;
            const bool inside = y >= 0 && y < g.height, ahead = tap < g.stride && y + g.stride < g.height;
            uint16_t *tile = to + (phase * g.taps_x + tap) * 2 * p.x_size() + (tiles * rows + row) * TILE_VALUES;
            for (int pair = 0; pair < 16; pair++) {
                __m512i two[2];
                for (int q = 0; q < 2; q++) {
                    const uint16_t *from = pixels[tap * WIDE + pair * 2 + q];
                    two[q] = _mm512_loadu_si512(inside && from ? from + y * (int64_t)line : zeros);
                    if (ahead && from) _mm_prefetch((const char *)(from + (y + g.stride) * (int64_t)line), _MM_HINT_T0);
                }
                _mm512_store_si512(tile + pair * 32, in_turn(two[0], two[1], 0));
                _mm512_store_si512(tile + p.x_size() + pair * 32, in_turn(two[0], two[1], 1));
            }
        }
    }
}

// Sums of a tap are 2 x 2 tiles: [2][2][16 outputs][16 inputs].
static const int SUMS = 4 * 256;

// Columns of tiles: gy[columns][rows], x[columns][high], of 32 outputs and inputs each, the second 16 `apart`.
struct Columns {
    const uint16_t *gy, *x;
    size_t gy_apart, x_apart;
    int count, rows, high;
};

// `command` of tiles 0 .. 3, the sums.
#define FOUR(command, a, b, c, d) \
    command(0, a, 64);            \
    command(1, b, 64);            \
    command(2, c, 64);            \
    command(3, d, 64)

// Of one tap.
static void one_tap(const Columns &c, float *sums) {
    FOUR(_tile_loadd, sums, sums + 256, sums + 512, sums + 768);
    for (int column = 0; column < c.count; column++) {
        const uint16_t *gy = c.gy + (size_t)column * c.rows * TILE_VALUES;
        const uint16_t *x = c.x + (size_t)column * c.high * TILE_VALUES;
        for (int r = 0; r < c.rows; r++, gy += TILE_VALUES, x += TILE_VALUES) {
            _tile_loadd(4, gy, 64);
            _tile_loadd(6, x, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, x + c.x_apart, 64);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(4, gy + c.gy_apart, 64);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 7);
        }
    }
    FOUR(_tile_stored, sums, sums + 256, sums + 512, sums + 768);
}

// A row of x for two taps: tiles NEW of gy with the upper one's sums, and OLD, of the row above, with the lower one's.
#define TWO_TAPS(NEW, OLD)                \
    x += TILE_VALUES;                     \
    _tile_loadd(NEW, gy += TILE_VALUES, 64); \
    _tile_loadd(6, x, 64);                \
    _tile_dpbf16ps(0, NEW, 6);            \
    _tile_dpbf16ps(2, OLD, 6);            \
    _tile_loadd(7, x + c.x_apart, 64);    \
    _tile_dpbf16ps(1, NEW, 7);            \
    _tile_dpbf16ps(3, OLD, 7)
#define LAST_OF_TWO(OLD)                             \
    _tile_loadd(6, x + TILE_VALUES, 64);             \
    _tile_dpbf16ps(2, OLD, 6);                       \
    _tile_loadd(7, x + TILE_VALUES + c.x_apart, 64); \
    _tile_dpbf16ps(3, OLD, 7)

// Of two taps below each other, whose sums lie `below` apart: 16 outputs at a time.
static void two_taps(const Columns &c, size_t below, float *sums) {
    for (int half = 0; half < 2; half++, sums += 512) {
        FOUR(_tile_loadd, sums, sums + 256, sums + below, sums + below + 256);
        for (int column = 0; column < c.count; column++) {
            const uint16_t *gy = c.gy + half * c.gy_apart + (size_t)column * c.rows * TILE_VALUES;
            const uint16_t *x = c.x + (size_t)column * c.high * TILE_VALUES;
            _tile_loadd(4, gy, 64);
            _tile_loadd(6, x, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, x + c.x_apart, 64);
            _tile_dpbf16ps(1, 4, 7);
            for (int r = 2; r < c.rows; r += 2) {
                TWO_TAPS(5, 4);
                TWO_TAPS(4, 5);
            }
            if (c.rows % 2) {
                LAST_OF_TWO(4);
            } else {
                TWO_TAPS(5, 4);
                LAST_OF_TWO(5);
            }
        }
        FOUR(_tile_stored, sums, sums + 256, sums + below, sums + below + 256);
    }
}

// A row of gy for three taps: with rows A, B and C of x, of which the last is read now. One tile is left over, as in
// amx_convolution.cpp.
#define THREE_TAPS(A, B, C)                                \
    _tile_loadd(C, x + (size_t)(r + 2) * TILE_VALUES, 64); \
    _tile_loadd(6, gy + (size_t)r * TILE_VALUES, 64);      \
    _tile_dpbf16ps(0, 6, A);                               \
    _tile_dpbf16ps(1, 6, B);                               \
    _tile_dpbf16ps(2, 6, C);                               \
    if (++r == c.rows) break

// Of three taps below each other: 16 outputs and 16 inputs at a time.
static void three_taps(const Columns &c, size_t below, float *sums) {
    for (int part = 0; part < 4; part++, sums += 256) {
        _tile_loadd(0, sums, 64);
        _tile_loadd(1, sums + below, 64);
        _tile_loadd(2, sums + 2 * below, 64);
        for (int column = 0; column < c.count; column++) {
            const uint16_t *gy = c.gy + part / 2 * c.gy_apart + (size_t)column * c.rows * TILE_VALUES;
            const uint16_t *x = c.x + part % 2 * c.x_apart + (size_t)column * c.high * TILE_VALUES;
            _tile_loadd(3, x, 64);
            _tile_loadd(4, x + TILE_VALUES, 64);
            for (int r = 0;;) {
                THREE_TAPS(3, 4, 5);
                THREE_TAPS(4, 5, 3);
                THREE_TAPS(5, 3, 4);
            }
        }
        _tile_stored(0, sums, 64);
        _tile_stored(1, sums + below, 64);
        _tile_stored(2, sums + 2 * below, 64);
    }
}

// Adds to the sums [taps][SUMS] of one block of outputs and one of inputs; c: of the first copy of x.
static void products(const WeightGradient &g, Columns c, float *sums) {
    const uint16_t *const x = c.x;
    const size_t below = (size_t)g.stride * g.taps_x * SUMS;
    for (int copy = 0; copy < g.stride * g.taps_x; copy++) {
        const int first = copy / g.taps_x;
        for (int tap = first, left; tap < g.taps_y; tap += left * g.stride) {
            float *to = sums + (size_t)(tap * g.taps_x + copy % g.taps_x) * SUMS;
            c.x = x + copy * 2 * c.x_apart + (size_t)(tap - first) / g.stride * TILE_VALUES;
            left = std::min((g.taps_y - tap + g.stride - 1) / g.stride, 3);
            left == 3 ? three_taps(c, below, to) : left == 2 ? two_taps(c, below, to) : one_tap(c, to);
        }
    }
}

// Sums [taps][2][2][16 outputs][16 inputs] to the weights' own order, [32 of out][32 of in][taps].
static void write_out(const WeightGradient &g, int output, int input, const float *sums) {
    const int taps = g.taps_y * g.taps_x;
    std::vector<int> places(BLOCK * taps);
    for (int k = 0; k < BLOCK * taps; k++) places[k] = k % taps * 1024 + k / taps / 16 * 256 + k / taps % 16;
    for (int o = 0; o < BLOCK; o++) {
        const float *from = sums + o / 16 * 512 + o % 16 * 16;
        const size_t at = ((size_t)(output + o) * g.in + input) * taps;
        for (int k = 0; k < BLOCK * taps; k += 32) {
            const __m512 a = _mm512_i32gather_ps(_mm512_loadu_si512(&places[k]), from, 4);
            const __m512 b = _mm512_i32gather_ps(_mm512_loadu_si512(&places[k + 16]), from, 4);
            if (g.floats) {
                _mm512_storeu_ps((float *)g.gw + at + k, a);
                _mm512_storeu_ps((float *)g.gw + at + k + 16, b);
            } else {
                _mm512_storeu_si512((uint16_t *)g.gw + at + k, halves(a, b));
            }
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
    const int outs = g.out / BLOCK;
    const size_t size = (size_t)g.taps_y * g.taps_x * SUMS;  // of the sums of two blocks
    const std::vector<uint16_t> zeros(std::max(g.in, g.out) + 32);
    in_threads(g.in / BLOCK, threads, [&](int begin, int end) {
        const Tiles tiles;
        Halves gy(p.gy_size() * 2 * outs), x(p.x_size() * 2 * g.stride * g.taps_x);
        Floats sums(all.size() > 1 ? (end - begin) * outs * size : size);  // of one strip they are written at once
        for (const Strip &s : all) {
            put_gy(g, p, s, zeros.data(), gy.start);
            for (int i = begin; i < end; i++) {
                put_x(g, p, s, i, zeros.data(), x.start);
                for (int o = 0; o < outs; o++) {
                    float *to = sums.start + (all.size() > 1 ? ((i - begin) * outs + o) * size : 0);
                    if (all.size() == 1) std::fill(to, to + size, 0.0f);
                    products(g,
                             {gy.start + o * 2 * p.gy_size(), x.start, p.gy_size(), p.x_size(), p.columns(s.samples),
                              s.rows, s.rows + p.beyond},
                             to);
                    if (&s == &all.back()) write_out(g, o * BLOCK, i * BLOCK, to);
                }
            }
        }
    });
}

#else

extern "C" void amx_weight_gradient(const void *, int) {}

#endif
