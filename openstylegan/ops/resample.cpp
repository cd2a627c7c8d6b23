// Up- and down-sampling of channels-last pictures with a separable filter, on CPUs; see upfirdn2d.py for the equation.
//
// A row is filtered along x into sums in float32 of which as many are held as the filter spans along y.

#include "vectors.h"

// Output sample o takes the sum of taps[k] x[i] with i up = o down - before + k, along each axis.
struct Axis {
    int in, out, up, down, before, count;
    const float *taps;
};

struct Resampling {
    int samples, channels, bfloat16;
    Axis x, y;
    const void *from;
    void *to;
};

// The taps of sample `o`: every `up`-th from `tap` on, for the inputs first .. last.
struct Reach {
    int first, last, tap;
    Reach(const Axis &a, int o) {
        const int start = o * a.down - a.before;
        first = start > 0 ? (start + a.up - 1) / a.up : 0;
        tap = first * a.up - start;
        last = std::min((start + a.count - 1 < 0 ? -1 : (start + a.count - 1) / a.up), a.in - 1);
    }
};

// out = sum_k weight[k] a[k] over `n` channels.
template <int N, class S, class T>
static inline void sum_of(const S *const *a, const float *weight, int n, T *__restrict out) {
    for (int c = 0; c < n; c++) {
        float sum = weight[0] * value(a[0][c]);
#pragma GCC unroll 4
        for (int k = 1; k < N; k++) sum += weight[k] * value(a[k][c]);
        put(sum, out + c);
    }
}

template <class S, class T>
static void sum(const S *const *a, const float *weight, int count, int n, T *out, std::vector<float> &many) {
    switch (count) {
        case 1: return sum_of<1>(a, weight, n, out);
        case 2: return sum_of<2>(a, weight, n, out);
        case 3: return sum_of<3>(a, weight, n, out);
        case 4: return sum_of<4>(a, weight, n, out);
    }
    std::fill(many.begin(), many.begin() + n, 0.0f);
    for (int k = 0; k < count; k++)
        for (int c = 0; c < n; c++) many[c] += weight[k] * value(a[k][c]);
    for (int c = 0; c < n; c++) put(many[c], out + c);
}

// The output rows begin .. end - 1 of all samples.
template <class S>
static void rows(const Resampling &r, int begin, int end) {
    const int n = r.channels, held = r.y.count, most = std::max(r.x.count, r.y.count);
    Floats ring((size_t)held * r.x.out * n);
    std::vector<float> many((size_t)r.x.out * n), weight(most);
    std::vector<const S *> pixels(most);
    std::vector<const float *> lines(most);
    for (int number = begin, sample = -1, next = 0; number < end; number++) {
        if (number / r.y.out != sample) sample = number / r.y.out, next = 0;
        const Reach reach(r.y, number % r.y.out);
        const S *from = (const S *)r.from + (size_t)sample * r.y.in * r.x.in * n;
        for (next = std::max(next, reach.first); next <= reach.last; next++)
            for (int o = 0; o < r.x.out; o++) {
                const Reach along(r.x, o);
                int count = 0;
                for (int i = along.first; i <= along.last; i++, count++) {
                    pixels[count] = from + ((size_t)next * r.x.in + i) * n;
                    weight[count] = r.x.taps[along.tap + count * r.x.up];
                }
                sum(pixels.data(), weight.data(), count, n, ring.start + ((size_t)(next % held) * r.x.out + o) * n, many);
            }
        int count = 0;
        for (int i = reach.first; i <= reach.last; i++, count++) {
            lines[count] = ring.start + (size_t)(i % held) * r.x.out * n;
            weight[count] = r.y.taps[reach.tap + count * r.y.up];
        }
        const int wide = r.x.out * n;
        S *to = (S *)r.to + (size_t)number * wide;
        sum(lines.data(), weight.data(), count, wide, to, many);
    }
}

extern "C" void resample(const Resampling *resampling, int threads) {
    const Resampling r = *resampling;
    in_threads(r.samples * r.y.out, threads, [&](int begin, int end) {
        r.bfloat16 ? rows<uint16_t>(r, begin, end) : rows<float>(r, begin, end);
    });
}
