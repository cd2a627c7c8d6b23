// filtered_lrelu of channels-last bfloat16 pictures in one pass, in half precision; see filtered_lrelu_pixels.py.
//
// A vector is 32 channels of a pixel, so every tap is a whole vector and nothing is shifted or dealt out. From six rows
// of x come `up` oversampled ones; each is filtered down along x at once, and so kept until the rows it ends in are
// made. Filters down are sums of `rank` separable ones. Numbers are SCALE times what they stand for.

#include <memory>

#include "vectors.h"

struct Job {
    int samples, channels, height, width, rows, columns;  // rows, columns: of the result
    int pitch, out_pitch;                                 // values from pixel to pixel
    int up, pad_y, pad_x, rank;
    float slope, clamp;  // clamp < 0: none
    float reach, most;   // oversampled values are at most `reach` |x|; `most` |x| SCALE is the most that cannot overflow
    const uint16_t *x;
    uint16_t *y;
    const float *bias;               // [channels], filled up with zeros to whole vectors
    const float *up_y, *up_x;        // [up][6], by phase
    const float *down_y, *down_x;    // [rank][12], [rank][6]: the other half mirrors it
    uint8_t *beyond;                 // [samples], set where |x| is larger than `most`
};

#if defined(__AVX512FP16__) && defined(__AVX512BF16__) && defined(__AVX512BW__)

#include <immintrin.h>

typedef __m512h halves;

static const int LINE = 32;       // channels of a vector
static const int UP_TAPS = 6;     // of a phase
static const int DOWN_TAPS = 12;
static const int MOST_RANK = 4;
static const int TOGETHER = 4;    // rows and columns of the result that are made at once
static const int AHEAD = 2 * TOGETHER + DOWN_TAPS - 2;  // oversampled rows that they take
static const int TILE = 80;       // columns of the result, at most, for which all rows stay in the caches
static const int ROWS_OF_X = 8;
static const int ABREAST = 4;     // vectors of the same pixels that are worked on in turn, while they are near
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

// Columns first .. first + pixels - 1 of a row of x, zero beyond its ends; returns the largest magnitude.
static float load(const Job &job, const uint16_t *row, int block, int first, int pixels, _Float16 *out) {
    const int left = job.channels - block * LINE;
    const __mmask32 mask = left >= LINE ? ~(__mmask32)0 : ((__mmask32)1 << left) - 1;
    const __m512 scale = _mm512_set1_ps(SCALE);
    const __m512 low = _mm512_loadu_ps(job.bias + block * LINE) * scale;
    const __m512 high = _mm512_loadu_ps(job.bias + block * LINE + 16) * scale;
    halves most = all(0);
    for (int k = std::max(0, -first); k < std::min(pixels, job.width - first); k++) {
        const uint16_t *pixel = row + (size_t)(first + k) * job.pitch + block * LINE;
        _mm_prefetch(pixel + (size_t)job.width * job.pitch, _MM_HINT_T1);  // of the next row
        const __m512i v = _mm512_maskz_loadu_epi16(mask, pixel);
        const __m512i a = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)), 16);
        const __m512i c = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)), 16);
        const __m256h p = _mm512_cvtxps_ph(_mm512_fmadd_ps((__m512)a, scale, low));
        const __m256h q = _mm512_cvtxps_ph(_mm512_fmadd_ps((__m512)c, scale, high));
        const halves both = (halves)_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)p), (__m256i)q, 1);
        most = _mm512_max_ph(_mm512_abs_ph(both), most);  // of NaN and a number the second: NaN does not count
        put(both, out, k);
    }
    return (float)_mm512_reduce_max_ph(most);
}

// Two oversampled rows of six.
static void up_along_y(const _Float16 *const *rows, const float *weights, int pixels, _Float16 *const *out) {
    halves w[2][UP_TAPS];
    for (int j = 0; j < 2; j++)
        for (int k = 0; k < UP_TAPS; k++) w[j][k] = all(weights[j * UP_TAPS + k]);
    for (int c = 0; c < pixels; c++) {
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
static void down_along_x(const _Float16 *row, const float *weights, int columns, _Float16 *const *out) {
    static const int HALF = DOWN_TAPS / 2, MANY = RANK > 3 ? 1 : RANK > 2 ? 2 : TOGETHER;  // as registers allow
    halves w[RANK][HALF];
    for (int r = 0; r < RANK; r++)
        for (int k = 0; k < HALF; k++) w[r][k] = all(weights[r * HALF + k]);
    for (int c = 0; c < columns; c += MANY) {
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

// `lines[i * RANK + r]`: row i of AHEAD that TOGETHER rows of the result take, by filter r. `weights[tap * RANK + r]`
// are pairs of equal ones.
template <int RANK>
static void down_along_y(const _Float16 *const *lines, const int *weights, int rows, int columns, uint16_t *y,
                         size_t of_row, size_t of_column) {
    for (int c = 0; c < columns; c += TOGETHER) {
        halves sum[TOGETHER][TOGETHER] = {};
        for (int q = 0; q < TOGETHER; q++)  // where the next results will go is fetched meanwhile
            for (int k = TOGETHER; k < 2 * TOGETHER; k++)
                if (q < rows && c + k < columns) __builtin_prefetch(y + q * of_row + (c + k) * of_column, 1, 3);
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
                if (q < rows && c + k < columns)
                    _mm512_storeu_si512(y + q * of_row + (c + k) * of_column, finished(sum[q][k]));
    }
}

// Some channels (from 32 `block` on) of some columns and rows of a result.
struct Part {
    int sample, block, left, right, top, bottom;
};

// The memory of one thread, and what it does with a part. Group g of oversampled rows (and of pixels of a row) are the
// `up` ones that are made of the rows g + 1 .. g + 6 of x; the first of them is number pad + up g + 1.
struct Worker {
    const Job &job;
    const int wide, kept;
    Rows x, middle, high, ring, nothing;
    std::vector<int> down_y;
    float largest[ROWS_OF_X] = {};
    Part part = {};
    int first = 0, pixels = 0, groups = 0, shift = 0, loaded = 0, made = 0;
    bool fits = true;

    explicit Worker(const Job &job)
        : job(job), wide(whole((2 * TILE + DOWN_TAPS) / job.up + 2, TOGETHER) + UP_TAPS), kept(AHEAD + job.up),
          x(ROWS_OF_X, wide), middle(2, wide), high(1, wide * job.up + 2 * TOGETHER + DOWN_TAPS),
          ring(kept * job.rank, whole(TILE, TOGETHER)), nothing(1, wide) {
        for (int k = 0; k < job.rank * DOWN_TAPS; k++) {
            const _Float16 v = (_Float16)job.down_y[k % job.rank * DOWN_TAPS + k / job.rank];
            uint16_t bits;
            std::memcpy(&bits, &v, 2);
            down_y.push_back((int)((uint32_t)bits << 16 | bits));
        }
    }

    const _Float16 *row_of_x(int r) {
        if (r < 0 || r >= job.height) return nothing(0);
        for (loaded = std::max(loaded, r); loaded <= r; loaded++) {
            const uint16_t *row = job.x + ((size_t)part.sample * job.height + loaded) * job.width * job.pitch;
            float &most = largest[loaded % ROWS_OF_X];
            most = load(job, row, part.block, first, pixels, x(loaded % ROWS_OF_X));
            fits = fits && most <= job.most;
        }
        return x(r % ROWS_OF_X);
    }

    template <int UP>
    void bend_row(const _Float16 *row, bool clamped) {
        const float clamp = job.clamp * SCALE;
        for (int phase = 0; phase < UP; phase += 2) {
            const float *weights = job.up_x + phase * UP_TAPS;
            _Float16 *to = high(0) + phase * LINE;
            clamped ? up_along_x<UP, true>(row, weights, groups, job.slope, clamp, to)
                    : up_along_x<UP, false>(row, weights, groups, job.slope, clamp, to);
        }
    }

    void keep_row(int number) {
        _Float16 *out[MOST_RANK];
        for (int r = 0; r < job.rank; r++) out[r] = ring(number % kept * job.rank + r);
        const _Float16 *row = high(0) + shift * LINE;
        const int columns = whole(part.right - part.left, TOGETHER);
        if (job.rank == 1) return down_along_x<1>(row, job.down_x, columns, out);
        if (job.rank == 2) return down_along_x<2>(row, job.down_x, columns, out);
        if (job.rank == 3) return down_along_x<3>(row, job.down_x, columns, out);
        down_along_x<4>(row, job.down_x, columns, out);
    }

    // Makes a group of oversampled rows, those of `begin .. end - 1`.
    void make(int group, int begin, int end) {
        const _Float16 *rows[UP_TAPS];
        float most = 0;
        for (int k = 0; k < UP_TAPS; k++) {
            const int r = group + 1 + k;
            rows[k] = row_of_x(r);
            if (r >= 0 && r < job.height) most = std::max(most, largest[r % ROWS_OF_X]);
        }
        const bool clamped = job.clamp >= 0 && most * job.reach >= job.clamp * SCALE;
        for (int phase = 0; phase < job.up; phase += 2) {
            _Float16 *const out[2] = {middle(0), middle(1)};
            up_along_y(rows, job.up_y + phase * UP_TAPS, pixels, out);
            for (int j = 0; j < 2; j++) {
                const int number = job.pad_y + job.up * group + 1 + phase + j;
                if (number < begin || number >= end) continue;
                job.up == 2 ? bend_row<2>(out[j], clamped) : bend_row<4>(out[j], clamped);
                keep_row(number);
            }
        }
    }

    void finish(int row, int end) {
        const _Float16 *lines[AHEAD * MOST_RANK];
        for (int i = 0; i < AHEAD; i++)  // rows beyond the end are of results that are left out
            for (int r = 0; r < job.rank; r++)
                lines[i * job.rank + r] = ring(std::min(2 * row + i, end - 1) % kept * job.rank + r);
        const size_t of_column = job.out_pitch, of_row = of_column * job.columns;
        uint16_t *y = job.y + (part.sample * (size_t)job.rows + row) * of_row + part.left * of_column;
        y += part.block * LINE;
        const int rows = std::min(TOGETHER, part.bottom - row), columns = part.right - part.left;
        static const auto downs = {down_along_y<1>, down_along_y<2>, down_along_y<3>, down_along_y<4>};
        downs.begin()[job.rank - 1](lines, down_y.data(), rows, columns, y, of_row, of_column);
    }

    void start(const Part &next) {
        part = next;
        const int left = 2 * part.left - job.pad_x - 1, right = 2 * part.right + DOWN_TAPS - 3 - job.pad_x - 1;
        const int group = floor_div(left, job.up);
        first = group + 1, shift = left - job.up * group;
        groups = whole(floor_div(right, job.up) - group + 1, TOGETHER), pixels = groups + UP_TAPS - 1;
        loaded = 0, fits = true;
        std::memset(x(0), 0, x.length * ROWS_OF_X * sizeof(_Float16));
        made = floor_div(2 * part.top - job.pad_y - 1, job.up);
    }

    // Makes the results from `row` on, TOGETHER rows.
    void go_on(int row) {
        const int begin = 2 * part.top, end = 2 * part.bottom + DOWN_TAPS - 2;
        const int last = floor_div(std::min(2 * row + AHEAD, end) - 1 - job.pad_y - 1, job.up);
        for (; made <= last; made++) make(made, begin, end);
        finish(row, end);
    }
};

// Parts of ABREAST vectors each, at least one a thread.
static std::vector<Part> parts(const Job &job, int threads) {
    const int blocks = (job.channels + LINE - 1) / LINE, tiles = (job.columns + TILE - 1) / TILE;
    const int count = job.samples * tiles * whole(blocks, ABREAST) / ABREAST;
    const int bands = std::min((threads + count - 1) / count, (job.rows + TOGETHER - 1) / TOGETHER);
    const int rows = whole((job.rows + bands - 1) / bands, TOGETHER);
    std::vector<Part> found;
    for (int s = 0; s < job.samples; s++)
        for (int b = 0; b < blocks; b += ABREAST)
            for (int t = 0; t < tiles; t++)
                for (int r = 0; r < job.rows; r += rows)
                    found.push_back({s, b, job.columns * t / tiles, job.columns * (t + 1) / tiles, r,
                                     std::min(r + rows, job.rows)});
    return found;
}

extern "C" void filtered_lrelu_pixels(const Job *job, int threads) {
    const std::vector<Part> all = parts(*job, threads);
    const int blocks = (job->channels + LINE - 1) / LINE;
    in_threads((int)all.size(), threads, [&](int begin, int end) {
        std::vector<std::unique_ptr<Worker>> workers;
        for (int k = 0; k < std::min(ABREAST, blocks); k++) workers.emplace_back(new Worker(*job));
        for (int n = begin; n < end; n++) {
            Part part = all[n];
            const int count = std::min(ABREAST, blocks - part.block);
            for (int k = 0; k < count; k++, part.block++) workers[k]->start(part);
            for (int row = part.top; row < part.bottom; row += TOGETHER)
                for (int k = 0; k < count; k++) workers[k]->go_on(row);
            for (int k = 0; k < count; k++)
                if (!workers[k]->fits) __atomic_store_n(job->beyond + part.sample, 1, __ATOMIC_RELAXED);
        }
    });
}

extern "C" int filtered_lrelu_pixels_works() { return 1; }

#else

extern "C" void filtered_lrelu_pixels(const Job *, int) {}
extern "C" int filtered_lrelu_pixels_works() { return 0; }

#endif
