// filtered_lrelu in one pass over each plane (one channel of one sample), for CPUs. Made by filtered_lrelu_compiled.py.
//
// A plane is read into rows whose samples are dealt out by their phase: sample s of a layout with P phases is number
// s / P of phase s % P. With as many phases as the common multiple of both resampling factors, every FIR tap becomes a shift, and no
// zeros between samples are ever touched. One oversampled row (or as many as the filter behind it spans) exists at a
// time: it stays in the first-level cache. All filters are one primitive, `combine`: a weighted sum of shifted rows.

#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>

#include "vectors.h"

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
    float bound;  // how much larger than |x| the values before the clamp can be
    const void *x, *given;
    const float *bias;  // of every plane, or null
    void *y;
};

// What is done with a vector of results before it is stored.
struct Keep {
    vec operator()(vec v) const { return v; }
};
struct Leaky {
    float slope;
    vec operator()(vec v) const { return v < 0 ? v * slope : v; }
};

// out[0 .. n) = after(sum_k weight[k] a[k][0 .. n)); n is rounded up to whole vectors.
template <int BLOCK, class After>
static inline void combine_block(float *out, const float *const *a, const float *weight, int count, int at,
                                 After after) {
    vec sum[BLOCK] = {};
    for (int k = 0; k < count; k++) {
        const float *p = a[k] + at;
#pragma GCC unroll 8
        for (int j = 0; j < BLOCK; j++) sum[j] += weight[k] * *(const vec *)(p + j * LANES);
    }
#pragma GCC unroll 8
    for (int j = 0; j < BLOCK; j++) *(vec *)(out + at + j * LANES) = after(sum[j]);
}

template <class After>
static void combine(float *out, const float *const *a, const float *weight, int count, int n, After after) {
    int at = 0;
    for (; at + 6 * LANES <= n; at += 6 * LANES) combine_block<6>(out, a, weight, count, at, after);
    switch ((n - at + LANES - 1) / LANES) {
        case 6: return combine_block<6>(out, a, weight, count, at, after);
        case 5: return combine_block<5>(out, a, weight, count, at, after);
        case 4: return combine_block<4>(out, a, weight, count, at, after);
        case 3: return combine_block<3>(out, a, weight, count, at, after);
        case 2: return combine_block<2>(out, a, weight, count, at, after);
        case 1: return combine_block<1>(out, a, weight, count, at, after);
    }
}

struct Span {
    int first, last;
};

struct Scratch {
    std::vector<const float *> a;
    void resize(int n) { a.resize(n); }
};

// A weighted sum of whole rows. `row(k)` finds row k.
template <class Find>
static void along_y(const Map &map, int r, const Find &row, int length, float *out, Scratch &s) {
    for (int k = 0; k < map.count[r]; k++) s.a[k] = row(map.first[r] + k);
    combine(out, s.a.data(), map.row_weight + r * map.row_most, map.count[r], length, Keep());
}

template <class After = Keep>
static void along_x(const Map &map, const float *row, const Layout &to, float *out, Scratch &s, After after = After()) {
    for (int p = 0; p < to.phases; p++) {
        const int *shift = map.col_a + p * map.col_most;
        for (int k = 0; k < map.col_count[p]; k++) s.a[k] = row + shift[k];
        combine(out + p * to.stride + to.margin, s.a.data(), map.col_weight + p * map.col_most,
                map.col_count[p], to.count(p), after);
    }
}

// What one row adds to the results LO .. HI of ROWS, which share it.
template <int LO, int HI, int ROWS, int BLOCK, bool PAIRS>
static inline void both_row(vec (&sum)[ROWS][BLOCK], const float *line, const float *weights, const int *a,
                            const int *b, int columns) {
    for (int k = 0; k < columns; k++, weights += ROWS) {
#pragma GCC unroll 8
        for (int j = 0; j < BLOCK; j++) {
            vec v = *(const vec *)(line + a[k] + j * LANES);
            if (PAIRS) v += *(const vec *)(line + b[k] + j * LANES);
#pragma GCC unroll 8
            for (int q = LO; q <= HI; q++) sum[q][j] += weights[q] * v;
        }
    }
}

// The first or the last of several results are the only ones at the first and the last rows that they take.
template <int N, int ROWS, int BLOCK, bool PAIRS, class... Rest>
static inline void both_some(int lo, int hi, vec (&sum)[ROWS][BLOCK], Rest... rest) {
    if constexpr (N < ROWS) {
        if (lo == 0 && hi == N - 1) return both_row<0, N - 1, ROWS, BLOCK, PAIRS>(sum, rest...);
        if (lo == N && hi == ROWS - 1) return both_row<N, ROWS - 1, ROWS, BLOCK, PAIRS>(sum, rest...);
        return both_some<N + 1, ROWS, BLOCK, PAIRS>(lo, hi, sum, rest...);
    } else {
        return both_row<0, ROWS - 1, ROWS, BLOCK, PAIRS>(sum, rest...);
    }
}

// Both axes at once, for a filter that is not separable: one phase of the results `r .. r + ROWS - 1`, which share most
// of the rows they need; of those that a row is none of, the weight is zero. `lines[i]` is row first[r] + i of `count`,
// `weights[i][k]` those of its stretch k for each of the results, `some[i]` the first and the last of them that take it.
template <int ROWS, int BLOCK, bool PAIRS>
static inline void both_block(float *const *out, const float *const *lines, const float *weights, const Span *some,
                              int count, const int *a, const int *b, int columns, int at) {
    vec sum[ROWS][BLOCK] = {};
    for (int i = 0; i < count; i++, weights += columns * ROWS)
        both_some<1, ROWS, BLOCK, PAIRS>(some[i].first, some[i].last, sum, lines[i] + at, weights, a, b, columns);
#pragma GCC unroll 8
    for (int q = 0; q < ROWS; q++)
#pragma GCC unroll 8
        for (int j = 0; j < BLOCK; j++) *(vec *)(out[q] + at + j * LANES) = sum[q][j];
}

// The weights of some results of a filter that is not separable.
struct Weights {
    int count;                   // rows that they take
    std::vector<float> weights;  // [phase][row][stretch][result]
    std::vector<Span> some;      // [row]
    bool operator==(const Weights &other) const { return count == other.count && weights == other.weights; }
};

template <int ROWS>
static Weights make_weights(const Map &map, int phases, int r) {
    Weights made = {0, {}, {}};
    for (int q = r; q < r + ROWS; q++) made.count = std::max(made.count, map.first[q] + map.count[q] - map.first[r]);
    made.some.resize(made.count, Span{ROWS, -1});
    for (int p = 0; p < phases; p++)
        for (int i = 0; i < made.count; i++)
            for (int k = 0; k < map.col_count[p]; k++)
                for (int q = 0; q < ROWS; q++) {
                    const int y = map.first[r] + i - map.first[r + q];
                    const bool taken = y >= 0 && y < map.count[r + q];
                    if (taken) made.some[i] = {std::min(made.some[i].first, q), std::max(made.some[i].last, q)};
                    const int row = taken ? map.row_tap[(r + q) * map.row_most + y] : 0;
                    const int tap = map.col_tap[p * map.col_most + k];
                    made.weights.push_back(taken ? map.taps[row * map.width + tap] : 0.0f);
                }
    return made;
}

// The weights of all results, made when they are first needed. Nearly all share theirs, which then stay in the cache.
struct Prepared {
    const Map &map;
    const Layout &to;
    std::vector<std::shared_ptr<const Weights>> found;  // by the first result
    Prepared(const Map &map, const Layout &to) : map(map), to(to), found(map.taps ? map.rows : 0) {}

    template <int ROWS>
    const Weights &at(int r) {
        if (!found[r]) {
            auto made = std::make_shared<const Weights>(make_weights<ROWS>(map, to.phases, r));
            for (int q = r - 1; q >= std::max(r - 2 * ROWS * to.phases, 0); q--)
                if (found[q] && *found[q] == *made) made = found[q];
            found[r] = made;
        }
        return *found[r];
    }
};

template <int ROWS, bool PAIRS, class Find>
static void both_rows(Prepared &prepared, int r, const Find &row, float *const *out, Scratch &s) {
    const Map &map = prepared.map;
    const Layout &to = prepared.to;
    const Weights &w = prepared.at<ROWS>(r);
    const float *weights = w.weights.data();
    for (int i = 0; i < w.count; i++) s.a[i] = row(map.first[r] + i);
    for (int p = 0; p < to.phases; p++) {
        const int n = map.col_count[p], *a = map.col_a + p * map.col_most;
        const int *b = PAIRS ? map.col_b + p * map.col_most : nullptr;
        float *at[ROWS];
        for (int q = 0; q < ROWS; q++) at[q] = out[q] + p * to.stride + to.margin;
        auto block = [&](auto size, int c) {
            both_block<ROWS, decltype(size)::value, PAIRS>(at, s.a.data(), weights, w.some.data(), w.count, a, b, n, c);
        };
        const int length = to.count(p);
        int c = 0;
        for (; c + 2 * LANES < length; c += 3 * LANES) block(std::integral_constant<int, 3>(), c);
        if (c + LANES < length)
            block(std::integral_constant<int, 2>(), c);
        else if (c < length)
            block(std::integral_constant<int, 1>(), c);
        weights += (size_t)w.count * n * ROWS;
    }
}

static const int TOGETHER = VECTOR_BYTES == 64 ? 6 : 3;  // as registers allow, beside three vectors of columns

template <bool PAIRS, class Find>
static void along_both(Prepared &prepared, int r, int rows, const Find &row, float *const *out, Scratch &s) {
    if (rows == TOGETHER) return both_rows<TOGETHER, PAIRS>(prepared, r, row, out, s);
    for (; rows >= 2; r += 2, rows -= 2, out += 2) both_rows<2, PAIRS>(prepared, r, row, out, s);
    if (rows) both_rows<1, PAIRS>(prepared, r, row, out, s);
}

// The results `r .. r + rows - 1`, at most TOGETHER, and always as many for the same `r`.
template <class Find>
static void along_both(Prepared &prepared, int r, int rows, const Find &row, float *const *out, Scratch &s) {
    prepared.map.col_b ? along_both<true>(prepared, r, rows, row, out, s)
                       : along_both<false>(prepared, r, rows, row, out, s);
}

// Sets what `combine` wrote beyond the last sample back to zero.
static void clear_tails(float *row, const Layout &layout) {
    for (int p = 0; p < layout.phases; p++) {
        float *phase = row + p * layout.stride + layout.margin;
        int n = layout.count(p);
        std::fill(phase + n, phase + padded(n), 0.0f);
    }
}

static void limit(float *z, int n, float clamp) {
    for (int i = 0; i < n; i++) z[i] = z[i] > clamp ? clamp : (z[i] < -clamp ? -clamp : z[i]);
}

static void bend(float *g, const float *z, int n, float slope, float clamp) {
    if (clamp >= 0)
        for (int i = 0; i < n; i++) g[i] = std::fabs(z[i] < 0 ? z[i] * slope : z[i]) <= clamp ? g[i] : 0.0f;
    for (int i = 0; i < n; i++) g[i] = z[i] > 0 ? g[i] : g[i] * slope;
}

// The largest magnitude of `n` values, a multiple of LANES; NaN does not count.
static float largest(const float *x, int n) {
    vec most = {};
    for (int i = 0; i < n; i += LANES) {
        vec v = *(const vec *)(x + i);
        v = v < 0 ? -v : v;
        most = v > most ? v : most;
    }
    float found = 0;
    for (int k = 0; k < LANES; k++) found = std::max(found, most[k]);
    return found;
}

template <class S>
static void load(const S *__restrict row, const Layout &to, float bias, float *__restrict out) {
    const int step = to.phases;
    float *first = out + to.margin, *second = first + to.stride;
    if (step == 1) {
        for (int i = 0; i < to.size; i++) first[i] = value(row[i]) + bias;
        return;
    }
    if (step > 2) {
        for (int i = 0; i < to.size; i++) first[i % step * to.stride + i / step] = value(row[i]) + bias;
        return;
    }
    for (int i = 0; i < to.count(1); i++) {
        first[i] = value(row[2 * i]) + bias;
        second[i] = value(row[2 * i + 1]) + bias;
    }
    if (to.size % 2) first[to.count(1)] = value(row[to.size - 1]) + bias;
}

template <class S>
static void store(const float *__restrict row, const Layout &from, S *__restrict out) {
    const int step = from.phases;
    const float *first = row + from.margin, *second = first + from.stride;
    if (step == 1) {
        for (int i = 0; i < from.size; i++) put(first[i], out + i);
        return;
    }
    if (step > 2) {
        for (int i = 0; i < from.size; i++) put(first[i % step * from.stride + i / step], out + i);
        return;
    }
    for (int i = 0; i < from.count(1); i++) {
        put(first[i], out + 2 * i);
        put(second[i], out + 2 * i + 1);
    }
    if (from.size % 2) put(first[from.count(1)], out + from.size - 1);
}

// Rows of memory that start on a cache line and are zero.
struct Rows {
    Floats memory;
    int length;
    float *start;
    Rows(int rows, int length) : memory((size_t)rows * length), length(length), start(memory.start) {}
    float *operator()(int r) const { return start + (size_t)r * length; }
};

// How many rows of the other side `together` rows need at most.
static int needed(const Map &map, int together) {
    int found = 1;
    for (int r = 0; r < map.rows; r++)
        for (int q = r; q < std::min(r + together, map.rows); q++)
            found = std::max(found, map.first[q] + map.count[q] - map.first[r]);
    return found;
}

// The memory of one thread, and what it does with a plane.
struct Worker {
    const Job &job;
    const bool whole_rows;  // the rows that the last filter takes are oversampled ones, else already down along x
    const int together, kept;
    Rows source, other, middle, z, g, ring, result;
    Prepared other_up, down;
    Scratch s;
    float clamp = -1;

    explicit Worker(const Job &job)
        : job(job), whole_rows(job.down.taps), together(whole_rows ? TOGETHER : 1), kept(needed(job.down, together)),
          source(job.source_rows, job.source.length()), other(job.has_other ? job.other_rows : 0, job.other.length()),
          middle(1, std::max(job.source.length(), job.other.length())), z(1, job.high.length()),
          g(1, job.high.length()), ring(kept, whole_rows ? job.high.length() : job.target.length()),
          result(together, job.target.length()), other_up(job.other_up, job.high), down(job.down, job.target) {
        int terms = 1;
        for (const Map *map : {&job.up, &job.other_up, &job.down})
            terms = std::max({terms, needed(*map, TOGETHER), map->col_most});
        s.resize(terms);
    }

    // Makes row `i` of the oversampled picture (down along x already, unless whole_rows) and keeps it in the ring.
    void make(int i) {
        float *place = ring(i % kept), *row = whole_rows && !job.has_other ? place : z.start;
        along_y(job.up, i, source, job.source.length(), middle.start, s);
        if (job.has_other) {
            along_x(job.up, middle.start, job.high, row, s);
            float *slopes = whole_rows ? place : g.start;
            if (job.other_up.taps) {
                along_both(other_up, i, 1, other, &slopes, s);
            } else {
                along_y(job.other_up, i, other, job.other.length(), middle.start, s);
                along_x(job.other_up, middle.start, job.high, slopes, s);
            }
            bend(slopes, row, job.high.length(), job.slope, clamp);
            row = slopes;
        } else {
            along_x(job.up, middle.start, job.high, row, s, Leaky{job.slope});
            if (clamp >= 0) limit(row, job.high.length(), clamp);
        }
        clear_tails(row, job.high);
        if (!whole_rows) along_x(job.down, row, job.target, place, s);
    }

    template <class S>
    static void read(const S *x, int number, int rows, const Layout &layout, float bias, Rows &out) {
        x += (size_t)number * rows * layout.size;
        for (int r = 0; r < rows; r++) load(x + (size_t)r * layout.size, layout, bias, out(r));
    }

    template <class S>
    void plane(int number) {
        read((const S *)job.x, number, job.source_rows, job.source, job.bias ? job.bias[number] : 0.0f, source);
        if (job.has_other) read((const S *)job.given, number, job.other_rows, job.other, 0.0f, other);
        // Where the oversampled values cannot reach the clamp, its pass is spared.
        const float reach = largest(source.start, job.source_rows * job.source.length()) * job.bound;
        clamp = reach < job.clamp ? -1.0f : job.clamp;
        S *y = (S *)job.y + (size_t)number * job.down.rows * job.target.size;
        auto recent = [this](int i) { return ring(i % kept); };
        for (int r = 0, next = 0; r < job.down.rows; r += together) {
            const int rows = std::min(together, job.down.rows - r);
            next = std::max(next, job.down.first[r]);
            for (int q = r; q < r + rows; q++)
                for (; next < job.down.first[q] + job.down.count[q]; next++) make(next);
            float *out[TOGETHER];
            for (int q = 0; q < rows; q++) out[q] = result(q);
            if (whole_rows)
                along_both(down, r, rows, recent, out, s);
            else
                along_y(job.down, r, recent, job.target.length(), result.start, s);
            for (int q = 0; q < rows; q++, y += job.target.size) store(out[q], job.target, y);
        }
    }
};

extern "C" void filtered_lrelu(const Job *job, int count, int threads) {
    in_threads(count, threads, [job](int begin, int end) {
        Worker worker(*job);
        for (int plane = begin; plane < end; plane++)
            job->bfloat16 ? worker.plane<uint16_t>(plane) : worker.plane<float>(plane);
    });
}
