// The transforms of Winograd's F(2x2, 3x3) between planes and tile matrices, for CPUs. Called by winograd_planes.py,
// which multiplies in between (see winograd.py for the equation).
//
// A tile matrix is [16][channels][tiles]: position 4 a + b of every tile, where a is along y and b along x. Planes stay
// planes: neighbouring tiles lie beside each other in memory, so that all sums here are over whole vectors.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

// `channels` planes of height x width; of their tile rows (2 rows of the result each) those from `first` on.
struct Piece {
    int channels, height, width, padding, first, rows, across;  // across: tiles in a tile row
    size_t step() const { return (size_t)channels * rows * across; }
};

template <class Work>
static void each_channel(int channels, int threads, const Work &work) {
    threads = std::max(1, std::min(threads, channels));
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++) others.emplace_back(work, channels * t / threads, channels * (t + 1) / threads);
    work(0, channels / threads);
    for (auto &thread : others) thread.join();
}

static inline void deal(const float *__restrict row, int count, float *__restrict even, float *__restrict odd) {
    for (int j = 0; j < count; j++) even[j] = row[2 * j], odd[j] = row[2 * j + 1];
}

// B^T d B of one row of tiles, from four rows dealt out into even and odd columns.
static inline void difference(const float *const *even, const float *const *odd, int n, size_t step,
                              float *__restrict v) {
    const int plus[4] = {0, 1, 2, 1}, other[4] = {2, 2, 1, 3};
    for (int a = 0; a < 4; a++) {
        const float *e0 = even[plus[a]], *o0 = odd[plus[a]], *e1 = even[other[a]], *o1 = odd[other[a]];
        const float sign = a == 1 ? 1.0f : -1.0f;
        float *__restrict v0 = v + (4 * a) * step, *__restrict v1 = v0 + step;
        float *__restrict v2 = v1 + step, *__restrict v3 = v2 + step;
        for (int j = 0; j < n; j++) {
            const float d0 = e0[j] + sign * e1[j], d1 = o0[j] + sign * o1[j];
            const float d2 = e0[j + 1] + sign * e1[j + 1], d3 = o0[j + 1] + sign * o1[j + 1];
            v0[j] = d0 - d2, v1[j] = d1 + d2, v2[j] = d2 - d1, v3[j] = d1 - d3;
        }
    }
}

// The tiles of planes x with a margin of `padding` zeros, as a tile matrix v.
extern "C" void winograd_tiles(const Piece *piece, const float *x, float *v, int threads) {
    const Piece p = *piece;
    each_channel(p.channels, threads, [p, x, v](int begin, int end) {
        const int count = p.across + 1;
        std::vector<float> line(p.width + 2 * p.padding + 2, 0.0f), dealt((size_t)8 * count);
        for (int c = begin; c < end; c++) {
            const float *plane = x + (size_t)c * p.height * p.width;
            float *even[4], *odd[4];
            for (int k = 0; k < 4; k++) even[k] = dealt.data() + 2 * k * count, odd[k] = even[k] + count;
            for (int r = 0; r < p.rows; r++) {
                if (r) {  // tiles overlap by two rows
                    std::swap(even[0], even[2]), std::swap(odd[0], odd[2]);
                    std::swap(even[1], even[3]), std::swap(odd[1], odd[3]);
                }
                for (int k = r ? 2 : 0; k < 4; k++) {
                    const int y = 2 * (p.first + r) + k - p.padding;
                    if (y < 0 || y >= p.height) {
                        std::fill(even[k], even[k] + 2 * count, 0.0f);
                        continue;
                    }
                    std::memcpy(line.data() + p.padding, plane + (size_t)y * p.width, p.width * sizeof(float));
                    deal(line.data(), count, even[k], odd[k]);
                }
                difference(even, odd, p.across, p.step(), v + ((size_t)c * p.rows + r) * p.across);
            }
        }
    });
}

// A g A^T of a row of 2x2 tiles: along y first, from_top * top + from_low * low, then along x.
static void spread(const float *__restrict top, const float *__restrict low, float from_top, float from_low, int n,
                   size_t step, float *__restrict v) {
    float *__restrict v0 = v, *__restrict v1 = v + step, *__restrict v2 = v1 + step, *__restrict v3 = v2 + step;
    for (int j = 0; j < n; j++) {
        const float g0 = from_top * top[2 * j] + from_low * low[2 * j];
        const float g1 = from_top * top[2 * j + 1] + from_low * low[2 * j + 1];
        v0[j] = g0, v1[j] = g0 + g1, v2[j] = g0 - g1, v3[j] = -g1;
    }
}

// One row of the results of a row of tiles, whose positions lie `step` apart: a sum of three rows of each column.
static void gather(const float *__restrict m, float sign, int n, size_t step, float *__restrict out) {
    const float *a = m, *b = m + 4 * step, *c = b + 4 * step;
    for (int j = 0; j < n; j++) {
        const float s0 = a[j] + sign * b[j] + sign * c[j];
        const float s1 = a[j + step] + sign * b[j + step] + sign * c[j + step];
        const float s2 = a[j + 2 * step] + sign * b[j + 2 * step] + sign * c[j + 2 * step];
        const float s3 = a[j + 3 * step] + sign * b[j + 3 * step] + sign * c[j + 3 * step];
        out[2 * j] = s0 + s1 + s2;
        out[2 * j + 1] = s1 - s2 - s3;
    }
}

// A g A^T of every 2x2 tile of planes gy, as a tile matrix v.
extern "C" void winograd_spread(const Piece *piece, const float *gy, float *v, int threads) {
    const Piece p = *piece;
    each_channel(p.channels, threads, [p, gy, v](int begin, int end) {
        const float from_top[4] = {1, 1, 1, 0}, from_low[4] = {0, 1, -1, -1};
        for (int c = begin; c < end; c++)
            for (int r = 0; r < p.rows; r++) {
                const float *top = gy + ((size_t)c * p.height + 2 * (p.first + r)) * p.width;
                float *to = v + ((size_t)c * p.rows + r) * p.across;
                for (int a = 0; a < 4; a++)
                    spread(top, top + p.width, from_top[a], from_low[a], p.across, p.step(), to + 4 * a * p.step());
            }
    });
}

// A^T m A of a tile matrix m, as planes y.
extern "C" void winograd_gather(const Piece *piece, const float *m, float *y, int threads) {
    const Piece p = *piece;
    each_channel(p.channels, threads, [p, m, y](int begin, int end) {
        for (int c = begin; c < end; c++)
            for (int r = 0; r < p.rows; r++) {
                const float *from = m + ((size_t)c * p.rows + r) * p.across;
                float *out = y + ((size_t)c * p.height + 2 * (p.first + r)) * p.width;
                gather(from, 1.0f, p.across, p.step(), out);
                gather(from + 4 * p.step(), -1.0f, p.across, p.step(), out + p.width);
            }
    });
}
