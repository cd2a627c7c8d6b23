// Spectral normalisation of a weight that lies as a matrix [rows][columns]; see ops/spectral.py. Each sum is made in one
// order, whatever the number of threads.

#include <cmath>

#include "vectors.h"

static const int WIDE = 256;  // columns at a time
static const int TALL = 64;   // rows whose sums are in float32

struct Spectral {
    int rows, columns, bfloat16;  // bfloat16: the result, and its gradient
    const float *weight;
    float *u, *v;  // [rows], [columns]
    float *sigma, *times;  // one; [rows]
    void *result;
    const void *g;  // of the result
    float *to;      // that of the weight
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

template <class S> static void over(const Spectral &t, float sigma, int begin, int end) {
    const float *__restrict from = t.weight;
    S *__restrict to = (S *)t.result;
    for (size_t k = (size_t)begin * t.columns; k < (size_t)end * t.columns; k++) put(from[k] / sigma, to + k);
}

// A step of power iteration, sigma = u^T M v, and the weight over sigma.
extern "C" void spectral_weight(const Spectral *spectral, int threads) {
    const Spectral t = *spectral;
    transposed_times(t, threads);
    const float of_v = inverse_norm(t.v, t.columns);
    for (int c = 0; c < t.columns; c++) t.v[c] *= of_v;
    times(t, threads);
    const float of_u = inverse_norm(t.times, t.rows);
    for (int r = 0; r < t.rows; r++) t.u[r] = t.times[r] * of_u;
    const float sigma = *t.sigma = dot(t.u, t.times, t.rows);
    in_threads(t.rows, threads, [&](int begin, int end) {
        t.bfloat16 ? over<uint16_t>(t, sigma, begin, end) : over<float>(t, sigma, begin, end);
    });
}

template <class S> static void products(const Spectral &t, int begin, int end) {
    for (int r = begin; r < end; r++) {
        const S *__restrict g = (const S *)t.g + (size_t)r * t.columns;
        const float *__restrict w = t.weight + (size_t)r * t.columns;
        float lanes[64] = {};
        int k = 0;
        for (; k + 64 <= t.columns; k += 64)
            for (int h = 0; h < 64; h++) lanes[h] += value(g[k + h]) * w[k + h];
        for (int h = 0; k < t.columns; k++, h++) lanes[h] += value(g[k]) * w[k];
        float found = 0;
        for (int h = 0; h < 64; h++) found += lanes[h];
        t.times[r] = found;
    }
}

template <class S> static void gradient(const Spectral &t, float inverse, float slope, int begin, int end) {
    for (int r = begin; r < end; r++) {
        const S *__restrict g = (const S *)t.g + (size_t)r * t.columns;
        const float *__restrict v = t.v, by = slope * t.u[r];
        float *__restrict to = t.to + (size_t)r * t.columns;
        for (int c = 0; c < t.columns; c++) to[c] = value(g[c]) * inverse - v[c] * by;
    }
}

// (g - <g, weight> / sigma u v^T) / sigma.
extern "C" void spectral_gradient(const Spectral *spectral, int threads) {
    const Spectral t = *spectral;
    in_threads(t.rows, threads, [&](int begin, int end) {
        t.bfloat16 ? products<uint16_t>(t, begin, end) : products<float>(t, begin, end);
    });
    double sum = 0;
    for (int r = 0; r < t.rows; r++) sum += t.times[r];
    const float inverse = 1 / *t.sigma, slope = (float)(sum * inverse * inverse);
    in_threads(t.rows, threads, [&](int begin, int end) {
        t.bfloat16 ? gradient<uint16_t>(t, inverse, slope, begin, end)
                   : gradient<float>(t, inverse, slope, begin, end);
    });
}
