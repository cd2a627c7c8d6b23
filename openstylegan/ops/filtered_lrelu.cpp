// filtered_lrelu in one pass over each plane (one channel of one sample), for CPUs. Made by filtered_lrelu_compiled.py.
//
// A plane is read into rows whose samples are dealt out by their phase: sample s of a layout with P phases is number
// s / P of phase s % P. With as many phases as the common multiple of both resampling factors, every FIR tap becomes a shift, and no
// zeros between samples are ever touched. One oversampled row (or as many as the filter behind it spans) exists at a
// time: it stays in the first-level cache. All filters are one primitive, `combine`: a weighted sum of shifted rows.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef float vec __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
static const int LANES = VECTOR_BYTES / 4;

static inline int padded(int n) { return (n + LANES - 1) / LANES * LANES; }

// Rows of samples dealt out by phase: phase p starts at p * stride + margin. All but `size` samples are zero.
struct Layout {
    int phases, size, margin, stride;
    int length() const { return phases * stride; }
    int count(int phase) const { return (size - phase + phases - 1) / phases; }
};

// A linear map of rows. Along y: result row r is a sum over the rows first[r] .. first[r] + count[r] - 1. Along x:
// result phase p is a sum of `col_count[p]` shifted stretches of a row, from col_a on (plus that from col_b on).
// Separable (taps null): weights row_weight and col_weight. Otherwise weights taps[row_tap][col_tap].
struct Map {
    int rows, row_most, col_most, width;
    const int *first, *count, *row_tap, *col_count, *col_a, *col_b, *col_tap;
    const float *row_weight, *col_weight, *taps;
};

struct Job {
    Layout source, other, high, target;
    int source_rows, other_rows;
    Map up, other_up, down;
    int has_other, bfloat16;
    float slope, clamp;  // clamp < 0: none
    const void *x, *given;
    const float *bias;  // of every plane, or null
    void *y;
};

// out[0 .. n) = sum_k weight[k] (a[k][0 .. n) + b[k][0 .. n)); n is rounded up to whole vectors.
template <int BLOCK, bool PAIRS>
static inline void combine_block(float *out, const float *const *a, const float *const *b, const float *weight,
                                 int count, int at) {
    vec sum[BLOCK] = {};
    for (int k = 0; k < count; k++) {
        const float *p = a[k] + at;
#pragma GCC unroll 8
        for (int j = 0; j < BLOCK; j++) {
            vec v = *(const vec *)(p + j * LANES);
            if (PAIRS) v += *(const vec *)(b[k] + at + j * LANES);
            sum[j] += weight[k] * v;
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < BLOCK; j++) *(vec *)(out + at + j * LANES) = sum[j];
}

template <bool PAIRS>
static void combine(float *out, const float *const *a, const float *const *b, const float *weight, int count, int n) {
    int at = 0;
    for (; at + 6 * LANES <= n; at += 6 * LANES) combine_block<6, PAIRS>(out, a, b, weight, count, at);
    switch ((n - at + LANES - 1) / LANES) {
        case 6: return combine_block<6, PAIRS>(out, a, b, weight, count, at);
        case 5: return combine_block<5, PAIRS>(out, a, b, weight, count, at);
        case 4: return combine_block<4, PAIRS>(out, a, b, weight, count, at);
        case 3: return combine_block<3, PAIRS>(out, a, b, weight, count, at);
        case 2: return combine_block<2, PAIRS>(out, a, b, weight, count, at);
        case 1: return combine_block<1, PAIRS>(out, a, b, weight, count, at);
    }
}

struct Scratch {
    std::vector<const float *> a, b;
    std::vector<float> weight;
    void resize(int n) { a.resize(n), b.resize(n), weight.resize(n); }
};

// A weighted sum of whole rows. `row(k)` finds row k.
template <class Find>
static void along_y(const Map &map, int r, const Find &row, int length, float *out, Scratch &s) {
    for (int k = 0; k < map.count[r]; k++) s.a[k] = row(map.first[r] + k);
    combine<false>(out, s.a.data(), nullptr, map.row_weight + r * map.row_most, map.count[r], length);
}

static void along_x(const Map &map, const float *row, const Layout &to, float *out, Scratch &s) {
    for (int p = 0; p < to.phases; p++) {
        const int *shift = map.col_a + p * map.col_most;
        for (int k = 0; k < map.col_count[p]; k++) s.a[k] = row + shift[k];
        combine<false>(out + p * to.stride + to.margin, s.a.data(), nullptr, map.col_weight + p * map.col_most,
                       map.col_count[p], to.count(p));
    }
}

// Both axes at once, for a filter that is not separable.
template <class Find>
static void along_both(const Map &map, int r, const Find &row, const Layout &to, float *out, Scratch &s) {
    for (int p = 0; p < to.phases; p++) {
        int n = 0;
        for (int i = 0; i < map.count[r]; i++) {
            const float *line = row(map.first[r] + i), *taps = map.taps + map.row_tap[r * map.row_most + i] * map.width;
            for (int k = p * map.col_most; k < p * map.col_most + map.col_count[p]; k++, n++) {
                s.a[n] = line + map.col_a[k];
                if (map.col_b) s.b[n] = line + map.col_b[k];
                s.weight[n] = taps[map.col_tap[k]];
            }
        }
        float *at = out + p * to.stride + to.margin;
        if (map.col_b)
            combine<true>(at, s.a.data(), s.b.data(), s.weight.data(), n, to.count(p));
        else
            combine<false>(at, s.a.data(), nullptr, s.weight.data(), n, to.count(p));
    }
}

// Sets what `combine` wrote beyond the last sample back to zero.
static void clear_tails(float *row, const Layout &layout) {
    for (int p = 0; p < layout.phases; p++) {
        float *phase = row + p * layout.stride + layout.margin;
        int n = layout.count(p);
        std::fill(phase + n, phase + padded(n), 0.0f);
    }
}

static void activate(float *z, int n, float slope, float clamp) {
    for (int i = 0; i < n; i++) z[i] = z[i] < 0 ? z[i] * slope : z[i];
    if (clamp >= 0)
        for (int i = 0; i < n; i++) z[i] = z[i] > clamp ? clamp : (z[i] < -clamp ? -clamp : z[i]);
}

static void bend(float *g, const float *z, int n, float slope, float clamp) {
    if (clamp >= 0)
        for (int i = 0; i < n; i++) g[i] = std::fabs(z[i] < 0 ? z[i] * slope : z[i]) <= clamp ? g[i] : 0.0f;
    for (int i = 0; i < n; i++) g[i] = z[i] > 0 ? g[i] : g[i] * slope;
}

static inline float value(float v) { return v; }
static inline float value(uint16_t v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}
static inline void put(float v, float *to) { *to = v; }
static inline void put(float v, uint16_t *to) {  // to the nearest, ties to even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *to = (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (uint16_t)rounded;
}

template <class S>
static void load(const S *plane, int rows, const Layout &to, float bias, float *out) {
    for (int r = 0; r < rows; r++, plane += to.size, out += to.length())
        for (int p = 0; p < to.phases; p++) {
            float *phase = out + p * to.stride + to.margin;
            const int step = to.phases, n = to.count(p);
            if (step == 1)
                for (int i = 0; i < n; i++) phase[i] = value(plane[i]) + bias;
            else
                for (int i = 0; i < n; i++) phase[i] = value(plane[i * step + p]) + bias;
        }
}

template <class S>
static void store(const float *row, const Layout &from, S *out) {
    for (int p = 0; p < from.phases; p++) {
        const float *phase = row + p * from.stride + from.margin;
        const int step = from.phases, n = from.count(p);
        if (step == 1)
            for (int i = 0; i < n; i++) put(phase[i], out + i);
        else
            for (int i = 0; i < n; i++) put(phase[i], out + i * step + p);
    }
}

// Rows of memory that start on a cache line and are zero.
struct Rows {
    std::vector<float> memory;
    float *start;
    int length;
    Rows(const Rows &) = delete;
    Rows(int rows, int length) : memory((size_t)rows * length + 2 * LANES + 16), length(length) {
        start = (float *)(((uintptr_t)memory.data() + 63) & ~(uintptr_t)63);
    }
    float *operator()(int r) const { return start + (size_t)r * length; }
};

static int most(const int *values, int n) { return n ? *std::max_element(values, values + n) : 0; }

// How many rows of the other side a row needs at most.
static int needed(const Map &map) { return std::max(1, most(map.count, map.rows)); }

template <class S>
static void planes(const Job &job, int begin, int end) {
    const Layout &high = job.high, &target = job.target;
    const bool whole_rows = job.down.taps;  // the rows of the last filter are oversampled ones, or already down along x
    const int kept = needed(job.down), length = whole_rows ? high.length() : target.length();
    Rows source(job.source_rows, job.source.length()), other(job.has_other ? job.other_rows : 0, job.other.length());
    Rows middle(1, std::max(job.source.length(), job.other.length())), z(1, high.length()), g(1, high.length());
    Rows ring(kept, length), result(1, target.length());
    Scratch s;
    int terms = 1;
    for (const Map *map : {&job.up, &job.other_up, &job.down})
        if (map->rows) terms = std::max(terms, std::max(needed(*map), 1) * std::max(map->col_most, 1));
    s.resize(terms);
    for (int plane = begin; plane < end; plane++) {
        load((const S *)job.x + (size_t)plane * job.source_rows * job.source.size, job.source_rows, job.source,
             job.bias ? job.bias[plane] : 0.0f, source.start);
        if (job.has_other)
            load((const S *)job.given + (size_t)plane * job.other_rows * job.other.size, job.other_rows, job.other, 0.0f,
                 other.start);
        S *y = (S *)job.y + (size_t)plane * job.down.rows * target.size;
        int next = 0;
        for (int r = 0; r < job.down.rows; r++, y += target.size) {
            next = std::max(next, job.down.first[r]);
            for (; next < job.down.first[r] + job.down.count[r]; next++) {
                along_y(job.up, next, source, job.source.length(), middle.start, s);
                float *row = whole_rows && !job.has_other ? ring(next % kept) : z.start;
                along_x(job.up, middle.start, high, row, s);
                if (job.has_other) {
                    float *slopes = whole_rows ? ring(next % kept) : g.start;
                    if (job.other_up.taps) {
                        along_both(job.other_up, next, other, high, slopes, s);
                    } else {
                        along_y(job.other_up, next, other, job.other.length(), middle.start, s);
                        along_x(job.other_up, middle.start, high, slopes, s);
                    }
                    bend(slopes, row, high.length(), job.slope, job.clamp);
                    row = slopes;
                } else {
                    activate(row, high.length(), job.slope, job.clamp);
                }
                clear_tails(row, high);
                if (!whole_rows) along_x(job.down, row, target, ring(next % kept), s);
            }
            auto recent = [&](int k) { return ring(k % kept); };
            if (whole_rows)
                along_both(job.down, r, recent, target, result.start, s);
            else
                along_y(job.down, r, recent, target.length(), result.start, s);
            store(result.start, target, y);
        }
    }
}

extern "C" void filtered_lrelu(const Job *job, int count, int threads) {
    auto work = [job](int begin, int end) {
        if (job->bfloat16)
            planes<uint16_t>(*job, begin, end);
        else
            planes<float>(*job, begin, end);
    };
    threads = std::max(1, std::min(threads, count));
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++)
        others.emplace_back(work, (int)((int64_t)count * t / threads), (int)((int64_t)count * (t + 1) / threads));
    work(0, count / threads);
    for (auto &thread : others) thread.join();
}
