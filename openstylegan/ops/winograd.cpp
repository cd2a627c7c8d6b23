// Winograd's F(4x4, 3x3) on planes, for CPUs. Called by winograd_planes.py.
//
// A tile matrix is [36][channels][pitch]: position 6 a + b of every tile, where a is along y and b along x; what lies
// between the last tile and the pitch has no meaning. Planes stay planes: a row is dealt out by its columns modulo 4,
// so that neighbouring tiles lie beside each other in memory and all sums are over whole vectors. What a tile has
// beyond the plane's edge is zero, and is not written.

#include <cstring>

#include "vectors.h"

static const int OUT = 4, IN = 6, POSITIONS = IN * IN;  // sides of a tile of results and of one of inputs

// The points of the interpolation besides 0 and infinity are a, -a, b, -b.
static const float A = 0.75f, B = 1.5f;
static const float A2 = A * A, B2 = B * B, A3 = A2 * A, B3 = B2 * B;

// Planes of height x width, and of their tile rows (4 rows of the result each) `rows` from `first` on. Planes are
// multiplied by their channel's `scale` (null: 1), before the transform where they are read, after it where written.
struct Piece {
    int channels, height, width, padding, first, rows, across, pitch;  // across: tiles in a tile row
    const float *scale;
    size_t step() const { return (size_t)channels * pitch; }
    float factor(int channel) const { return scale ? scale[channel] : 1.0f; }
};

// Rows whose columns are dealt out by their remainder modulo 4, a whole number of vectors of each.
struct Dealt {
    const int length;
    Floats line, memory;
    float *rows[IN];
    Dealt(int width, int tiles)
        : length(padded(tiles + 1)), line(std::max(width, OUT * length)), memory((size_t)IN * OUT * length) {
        for (int k = 0; k < IN; k++) rows[k] = memory.start + (size_t)k * OUT * length;
    }
    // Row y of a plane, after `padding` zeros; rows outside of the plane are zero.
    void read(int k, const float *plane, const Piece &p, int y, float factor) {
        float *__restrict to = rows[k];
        if (y < 0 || y >= p.height) return (void)std::fill(to, to + (size_t)OUT * length, 0.0f);
        std::memcpy(line.start + p.padding, plane + (size_t)y * p.width, p.width * sizeof(float));
        const float *__restrict from = line.start;
        float *__restrict to1 = to + length, *__restrict to2 = to1 + length, *__restrict to3 = to2 + length;
        for (int j = 0; j < length; j++) {
            to[j] = factor * from[4 * j], to1[j] = factor * from[4 * j + 1];
            to2[j] = factor * from[4 * j + 2], to3[j] = factor * from[4 * j + 3];
        }
    }
    void reuse() {  // tiles overlap by two rows
        std::swap(rows[0], rows[4]), std::swap(rows[1], rows[5]);
    }
};

// The sums below are over whole vectors: `n` is rounded up.
static inline vec &at(float *p) { return *(vec *)p; }
static inline vec at(const float *p) { return *(const vec *)p; }

// B^T d along one axis: each of the six positions, `step` apart, from six stretches.
static inline void difference(const float *const *d, int n, float *v, size_t step) {
    for (int j = 0; j < n; j += LANES, v += LANES) {
        const vec d1 = at(d[1] + j), d2 = at(d[2] + j), d3 = at(d[3] + j), d4 = at(d[4] + j);
        const vec even_a = d4 - B2 * d2, odd_a = A * d3 - (A * B2) * d1;
        const vec even_b = d4 - A2 * d2, odd_b = B * d3 - (B * A2) * d1;
        at(v) = (A2 * B2) * at(d[0] + j) - (A2 + B2) * d2 + d4;
        at(v + step) = even_a + odd_a, at(v + 2 * step) = even_a - odd_a;
        at(v + 3 * step) = even_b + odd_b, at(v + 4 * step) = even_b - odd_b;
        at(v + 5 * step) = (A2 * B2) * d1 - (A2 + B2) * d3 + at(d[5] + j);
    }
}

// A g along one axis, likewise, from four stretches.
static inline void spread(const float *const *g, int n, float *v, size_t step) {
    for (int j = 0; j < n; j += LANES, v += LANES) {
        const vec g0 = at(g[0] + j), g1 = at(g[1] + j), g2 = at(g[2] + j), g3 = at(g[3] + j);
        const vec even_a = g0 + A2 * g2, odd_a = A * g1 + A3 * g3;
        const vec even_b = g0 + B2 * g2, odd_b = B * g1 + B3 * g3;
        at(v) = g0, at(v + 5 * step) = g3;
        at(v + step) = even_a + odd_a, at(v + 2 * step) = even_a - odd_a;
        at(v + 3 * step) = even_b + odd_b, at(v + 4 * step) = even_b - odd_b;
    }
}

// A^T m along one axis: four results, `to` apart, from the six positions, `step` apart.
static inline void gather(const float *m, size_t step, int n, float *s, size_t to) {
    for (int j = 0; j < n; j += LANES, m += LANES, s += LANES) {
        const vec m1 = at(m + step), m2 = at(m + 2 * step), m3 = at(m + 3 * step), m4 = at(m + 4 * step);
        const vec plus_a = m1 + m2, minus_a = m1 - m2, plus_b = m3 + m4, minus_b = m3 - m4;
        at(s) = at(m) + plus_a + plus_b;
        at(s + to) = A * minus_a + B * minus_b;
        at(s + 2 * to) = A2 * plus_a + B2 * plus_b;
        at(s + 3 * to) = A3 * minus_a + B3 * minus_b + at(m + 5 * step);
    }
}

// The tiles of channels begin .. end - 1 of planes x with a margin of `padding` zeros, as a tile matrix v: B^T d B.
static void make_tiles(const Piece &p, const float *x, float *v, int begin, int end) {
    Dealt dealt(p.width + 2 * p.padding, p.across);
    const int length = dealt.length;
    Floats middle((size_t)IN * OUT * length);
    for (int c = begin; c < end; c++)
        for (int r = 0; r < p.rows; r++) {
            if (r) dealt.reuse();
            for (int k = r ? IN - OUT : 0; k < IN; k++) {
                const int y = OUT * (p.first + r) + k - p.padding;
                dealt.read(k, x + (size_t)c * p.height * p.width, p, y, p.factor(c));
            }
            difference(dealt.rows, OUT * length, middle.start, (size_t)OUT * length);
            float *to = v + (size_t)c * p.pitch + r * p.across;
            for (int a = 0; a < IN; a++) {
                const float *s = middle.start + (size_t)a * OUT * length;
                const float *columns[IN] = {s, s + length, s + 2 * length, s + 3 * length, s + 1, s + length + 1};
                difference(columns, p.across, to + a * IN * p.step(), p.step());
            }
        }
}

// The tiles of results gy, as a tile matrix v: A g A^T.
static void make_spread(const Piece &p, const float *gy, float *v, int begin, int end) {
    Dealt dealt(p.width, p.across);
    const int length = dealt.length;
    Floats middle((size_t)IN * OUT * length);
    for (int c = begin; c < end; c++)
        for (int r = 0; r < p.rows; r++) {
            for (int k = 0; k < OUT; k++)
                dealt.read(k, gy + (size_t)c * p.height * p.width, p, OUT * (p.first + r) + k, p.factor(c));
            spread(dealt.rows, OUT * length, middle.start, (size_t)OUT * length);
            float *to = v + (size_t)c * p.pitch + r * p.across;
            for (int a = 0; a < IN; a++) {
                const float *s = middle.start + (size_t)a * OUT * length;
                const float *columns[OUT] = {s, s + length, s + 2 * length, s + 3 * length};
                spread(columns, p.across, to + a * IN * p.step(), p.step());
            }
        }
}

// The results of a tile matrix m, as planes y: A^T m A.
static void take_results(const Piece &p, const float *m, int channels, float *y) {
    const int n = padded(p.across);
    Floats middle((size_t)OUT * IN * n), dealt((size_t)OUT * n), line((size_t)OUT * n);
    for (int c = 0; c < channels; c++)
        for (int r = 0; r < p.rows; r++) {
            const float *from = m + (size_t)c * p.pitch + r * p.across;
            for (int b = 0; b < IN; b++)
                gather(from + b * p.step(), IN * p.step(), n, middle.start + (size_t)b * n, (size_t)IN * n);
            const int first = OUT * (p.first + r);
            for (int q = 0; q < std::min(OUT, p.height - first); q++) {
                gather(middle.start + (size_t)q * IN * n, n, n, dealt.start, n);
                const float *__restrict d = dealt.start;
                const float factor = p.factor(c);
                float *__restrict out = line.start;
                for (int j = 0; j < n; j++) {
                    out[4 * j] = factor * d[j], out[4 * j + 1] = factor * d[n + j];
                    out[4 * j + 2] = factor * d[2 * n + j], out[4 * j + 3] = factor * d[3 * n + j];
                }
                std::memcpy(y + ((size_t)c * p.height + first + q) * p.width, out, p.width * sizeof(float));
            }
        }
}

// Rows of a product held in registers beside three vectors of columns.
static const int ROWS = VECTOR_BYTES == 64 ? 8 : 4;

template <int N>
static inline void multiply_block(const float *u, const float *v, int depth, size_t pitch, float *m) {
    vec sum[ROWS][N] = {};
    for (int k = 0; k < depth; k++, u += ROWS, v += pitch) {
        vec b[N];
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) b[j] = at(v + j * LANES);
#pragma GCC unroll 8
        for (int q = 0; q < ROWS; q++)
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) sum[q][j] += u[q] * b[j];
    }
#pragma GCC unroll 8
    for (int q = 0; q < ROWS; q++)
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) at(m + q * pitch + j * LANES) = sum[q][j];
}

// m [out][pitch] = u v for v [depth][pitch] and u in blocks of rows, [out / ROWS][depth][ROWS].
static void multiply(const float *u, const float *v, int out, int depth, int columns, size_t pitch, float *m) {
    for (int c = 0; c < columns;) {
        const int left = (columns - c + LANES - 1) / LANES, taken = left == 4 ? 2 : std::min(left, 3);
        for (int r = 0; r < out; r += ROWS) {
            const float *rows = u + (size_t)r * depth;
            float *to = m + r * pitch + c;
            if (taken == 3) multiply_block<3>(rows, v + c, depth, pitch, to);
            if (taken == 2) multiply_block<2>(rows, v + c, depth, pitch, to);
            if (taken == 1) multiply_block<1>(rows, v + c, depth, pitch, to);
        }
        c += taken * LANES;
    }
}

// G g along one axis: three values of a kernel, `from` apart, to six, `to` apart; ROWS kernels at once.
static inline void evaluate(const float (*g)[ROWS], int from, float (*u)[ROWS], int to) {
    const float at_zero = 1 / (A2 * B2), at_a = 1 / (2 * A2 * (A2 - B2)), at_b = 1 / (2 * B2 * (B2 - A2));
    for (int q = 0; q < ROWS; q++) {
        const float g0 = g[0][q], g1 = g[from][q], g2 = g[2 * from][q];
        const float even_a = at_a * g0 + at_a * A2 * g2, odd_a = at_a * A * g1;
        const float even_b = at_b * g0 + at_b * B2 * g2, odd_b = at_b * B * g1;
        u[0][q] = at_zero * g0, u[5 * to][q] = g2;
        u[to][q] = even_a + odd_a, u[2 * to][q] = even_a - odd_a;
        u[3 * to][q] = even_b + odd_b, u[4 * to][q] = even_b - odd_b;
    }
}

extern "C" int winograd_row_block() { return ROWS; }

// ROWS kernels w, `apart` floats from each other, to all positions, `to` floats apart. Where not `inside`, zero.
static inline void make_kernels(const float *w, int apart, int inside, float *u, int to) {
    float g[9][ROWS] = {}, middle[3 * IN][ROWS], made[POSITIONS][ROWS];
    for (int q = 0; q < inside; q++)
        for (int k = 0; k < 9; k++) g[k][q] = w[(size_t)q * apart + k];
    for (int k = 0; k < 3; k++) evaluate(g + k, 3, middle + k, 3);
    for (int a = 0; a < IN; a++) evaluate(middle + 3 * a, 1, made + IN * a, 1);
    for (int p = 0; p < POSITIONS; p++) std::memcpy(u + (size_t)p * to, made[p], sizeof(made[p]));
}

// Kernels w, those of an output channel `of_out` floats apart, of an input channel `of_in`, to u as `multiply` takes it.
extern "C" void winograd_kernels(const float *w, int out, int in, int of_out, int of_in, float *u, int threads) {
    const int blocks = (out + ROWS - 1) / ROWS, together = 32;
    in_threads(blocks, threads, [=](int begin, int end) {
        // Positions may be a power of two apart, and share a line of the cache: so a stretch of each at a time.
        Floats held(POSITIONS * together * ROWS);
        for (int block = begin; block < end; block++)
            for (int first = 0; first < in; first += together) {
                const int count = std::min(together, in - first);
                const float *from = w + (size_t)block * ROWS * of_out + (size_t)first * of_in;
                for (int i = 0; i < count; i++)
                    make_kernels(from + (size_t)i * of_in, of_out, std::min(ROWS, out - block * ROWS),
                                 held.start + i * ROWS, together * ROWS);
                float *to = u + ((size_t)block * in + first) * ROWS;
                for (int p = 0; p < POSITIONS; p++, to += (size_t)blocks * in * ROWS)
                    std::memcpy(to, held.start + p * together * ROWS, sizeof(float) * count * ROWS);
            }
    });
}

// samples [in][height][width] to [out][height + 2 padding - 2][...]; of each, `rows` tile rows at a time.
struct Convolution {
    int samples, in, out, height, width, padding, rows;
    const float *x, *u, *before, *after;  // u: [36][out / ROWS, rounded up][in][ROWS]; scales [samples][channels] or null
    float *y;
};

extern "C" void winograd_correlate(const Convolution *convolution, int threads) {
    const Convolution c = *convolution;
    const int height = c.height + 2 * c.padding - 2, width = c.width + 2 * c.padding - 2;
    const int down = (height + OUT - 1) / OUT, across = (width + OUT - 1) / OUT, cuts = (down + c.rows - 1) / c.rows;
    const int whole = (c.out + ROWS - 1) / ROWS * ROWS;
    // An odd number of vectors: rows then do not fall onto the same lines of the first-level cache.
    const int pitch = padded((c.rows - 1) * across + padded(across)) / LANES / 2 * 2 * LANES + LANES;
    in_threads(c.samples * cuts, threads, [&](int begin, int end) {
        Floats v((size_t)POSITIONS * c.in * pitch), m((size_t)POSITIONS * whole * pitch);
        for (int k = begin; k < end; k++) {
            const int sample = k / cuts, first = k % cuts * c.rows, rows = std::min(c.rows, down - first);
            Piece from = {c.in, c.height, c.width, c.padding, first, rows, across, pitch, nullptr};
            Piece to = {whole, height, width, 0, first, rows, across, pitch, nullptr};
            if (c.before) from.scale = c.before + (size_t)sample * c.in;
            if (c.after) to.scale = c.after + (size_t)sample * c.out;
            make_tiles(from, c.x + (size_t)sample * c.in * c.height * c.width, v.start, 0, c.in);
            for (int p = 0; p < POSITIONS; p++)
                multiply(c.u + (size_t)p * whole * c.in, v.start + p * from.step(), whole, c.in, rows * across, pitch,
                         m.start + p * to.step());
            take_results(to, m.start, c.out, c.y + (size_t)sample * c.out * height * width);
        }
    });
}

// The tile matrices of planes (of their results with `spread`), by channels on several threads.
extern "C" void winograd_tiles(const Piece *piece, const float *x, float *v, int threads) {
    in_threads(piece->channels, threads, [=](int begin, int end) { make_tiles(*piece, x, v, begin, end); });
}

extern "C" void winograd_spread(const Piece *piece, const float *gy, float *v, int threads) {
    in_threads(piece->channels, threads, [=](int begin, int end) { make_spread(*piece, gy, v, begin, end); });
}
