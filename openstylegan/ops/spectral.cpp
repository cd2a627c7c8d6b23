// A step of power iteration for a weight that lies as a matrix [rows][columns]; see ops/spectral.py. Each sum is made in
// one order, whatever the number of threads.

#include <cmath>

#include "vectors.h"

static const int WIDE = 256;  // columns at a time
static const int TALL = 64;   // rows whose sums are in float32

struct Spectral {
    int rows, columns;
    const float *weight;
    float *u, *v;  // [rows], [columns]
    float *times, *sigma;  // [rows]; one
};

// 1 / max(|x|, 1e-12).
static float inverse_norm(const float *x, int n) {
    double sum = 0;
    for (int k = 0; k < n; k++) sum += (double)x[k] * x[k];
    return (float)(1 / std::max(std::sqrt(sum), 1e-12));
}

static inline float dot(const float *__restrict a, const float *__restrict b, int n) {
    vec sums[2] = {};
    int k = 0;
    for (; k + 2 * LANES <= n; k += 2 * LANES)
        for (int h = 0; h < 2; h++) sums[h] += *(const vec *)(a + k + h * LANES) * *(const vec *)(b + k + h * LANES);
    float found = 0;
    for (; k < n; k++) found += a[k] * b[k];
    sums[0] += sums[1];
    for (int h = 0; h < LANES; h++) found += sums[0][h];
    return found;
}

// v = M^T u, a band of columns at a time.
static void transposed_times(const Spectral &t, int threads) {
    in_threads((t.columns + WIDE - 1) / WIDE, threads, [&](int begin, int end) {
        for (int first = begin * WIDE; first < std::min(end * WIDE, t.columns); first += WIDE) {
            const int wide = std::min(WIDE, t.columns - first);
            float total[WIDE] = {};
            for (int top = 0; top < t.rows; top += TALL) {
                float sums[WIDE] = {};
                for (int r = top; r < std::min(top + TALL, t.rows); r++) {
                    const float *__restrict row = t.weight + (size_t)r * t.columns + first, factor = t.u[r];
                    for (int c = 0; c < wide; c++) sums[c] += row[c] * factor;
                }
                for (int c = 0; c < wide; c++) total[c] += sums[c];
            }
            std::copy(total, total + wide, t.v + first);
        }
    });
}

static void times(const Spectral &t, int threads) {
    in_threads(t.rows, threads, [&](int begin, int end) {
        for (int r = begin; r < end; r++) t.times[r] = dot(t.weight + (size_t)r * t.columns, t.v, t.columns);
    });
}

// A step of power iteration, and sigma = u^T M v.
extern "C" void power_iteration(const Spectral *spectral, int threads) {
    const Spectral t = *spectral;
    transposed_times(t, threads);
    const float of_v = inverse_norm(t.v, t.columns);
    for (int c = 0; c < t.columns; c++) t.v[c] *= of_v;
    times(t, threads);
    const float of_u = inverse_norm(t.times, t.rows);
    for (int r = 0; r < t.rows; r++) t.u[r] = t.times[r] * of_u;
    *t.sigma = dot(t.u, t.times, t.rows);
}
