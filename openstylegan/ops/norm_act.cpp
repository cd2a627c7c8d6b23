// Batch normalisation by the batch's own statistics and what follows it, for channels-last pictures; see norm_act.py. All
// sums in float32 over a chunk of pixels, and in float64 over the chunks: the same whatever the number of threads.

#include <cmath>

#include "vectors.h"

static const int CHUNK = 128;  // pixels

// gated: the first half of the channels times the sigmoid of the second; else leaky ReLU.
struct Norm {
    int64_t pixels;
    int channels, bfloat16, gated;
    float slope;
    const void *x, *g;                            // g: the gradient of the result
    const float *scale, *shift, *mean, *inverse;  // the norm is x scale + shift, and (x - mean) inverse without weights
    const float *level, *tilt;                    // of the gradient of x
    void *to;
    float *first, *second;  // [channels]
};

// exp by its exponent and a polynomial, to 2e-7.
static inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x < -87.0f ? -87.0f : x;
    const float whole = std::floor(x * 1.44269504f + 0.5f), rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * rest + 1.3981999507e-3f, p = p * rest + 8.3334519073e-3f, p = p * rest + 4.1665795894e-2f;
    p = p * rest + 1.6666665459e-1f, p = p * rest + 5.0000001201e-1f, p = p * rest * rest + rest + 1.0f;
    const int32_t bits = ((whole == whole ? (int32_t)whole : 0) + 127) << 23;  // NaN has no integer; p stays NaN
    float power;
    std::memcpy(&power, &bits, 4);
    return p * power;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

template <class Work> static void in_chunks(const Norm &t, int threads, const Work &work) {
    const int chunks = (int)((t.pixels + CHUNK - 1) / CHUNK);
    in_threads(chunks, threads, [&](int begin, int end) {
        for (int k = begin; k < end; k++) work(k, (int64_t)k * CHUNK, std::min((int64_t)(k + 1) * CHUNK, t.pixels));
    });
}

template <class S> static void sum_chunk(const Norm &t, int64_t begin, int64_t end, float *mean, float *squares) {
    const int n = t.channels;
    const S *x = (const S *)t.x;
    for (int64_t p = begin; p < end; p++)
        for (int c = 0; c < n; c++) mean[c] += value(x[p * n + c]);
    for (int c = 0; c < n; c++) mean[c] /= (float)(end - begin);
    for (int64_t p = begin; p < end; p++)
        for (int c = 0; c < n; c++) {
            const float d = value(x[p * n + c]) - mean[c];
            squares[c] += d * d;
        }
}

// The mean and the variance of each channel.
extern "C" void norm_moments(const Norm *norm, int threads) {
    const Norm t = *norm;
    const int n = t.channels, chunks = (int)((t.pixels + CHUNK - 1) / CHUNK);
    std::vector<float> means((size_t)chunks * n), squares((size_t)chunks * n);
    in_chunks(t, threads, [&](int k, int64_t begin, int64_t end) {
        float *mean = means.data() + (size_t)k * n, *square = squares.data() + (size_t)k * n;
        t.bfloat16 ? sum_chunk<uint16_t>(t, begin, end, mean, square) : sum_chunk<float>(t, begin, end, mean, square);
    });
    std::vector<double> sum(n), total(n);
    const auto size = [&](int k) { return (double)std::min((int64_t)CHUNK, t.pixels - (int64_t)k * CHUNK); };
    for (int k = 0; k < chunks; k++)
        for (int c = 0; c < n; c++) sum[c] += means[(size_t)k * n + c] * size(k);
    for (int k = 0; k < chunks; k++)
        for (int c = 0; c < n; c++) {
            const double d = means[(size_t)k * n + c] - sum[c] / t.pixels;
            total[c] += squares[(size_t)k * n + c] + d * d * size(k);
        }
    for (int c = 0; c < n; c++) t.first[c] = (float)(sum[c] / t.pixels), t.second[c] = (float)(total[c] / t.pixels);
}

template <class S> static void apply(const Norm &t, int64_t begin, int64_t end) {
    const int n = t.channels, half = n / 2;
    const float *__restrict scale = t.scale, *__restrict shift = t.shift, slope = t.slope;
    for (int64_t p = begin; p < end; p++) {
        const S *__restrict x = (const S *)t.x + p * n;
        if (t.gated) {
            S *__restrict y = (S *)t.to + p * half;
            for (int c = 0; c < half; c++) {
                const float gate = value(x[half + c]) * scale[half + c] + shift[half + c];
                put((value(x[c]) * scale[c] + shift[c]) * sigmoid(gate), y + c);
            }
        } else {
            S *__restrict y = (S *)t.to + p * n;
            for (int c = 0; c < n; c++) {
                const float z = value(x[c]) * scale[c] + shift[c];
                put(z > 0 ? z : z * slope, y + c);
            }
        }
    }
}

extern "C" void norm_apply(const Norm *norm, int threads) {
    const Norm t = *norm;
    in_chunks(t, threads, [&](int, int64_t begin, int64_t end) {
        t.bfloat16 ? apply<uint16_t>(t, begin, end) : apply<float>(t, begin, end);
    });
}

// The gradient of the norm's result at a pixel.
template <class S> static inline void bent(const Norm &t, const S *__restrict x, int64_t p, float *__restrict m) {
    const int n = t.channels, half = n / 2;
    const float *__restrict scale = t.scale, *__restrict shift = t.shift, slope = t.slope;
    if (t.gated) {
        const S *__restrict g = (const S *)t.g + p * half;
        for (int c = 0; c < half; c++) {
            const float from = value(g[c]), s = sigmoid(value(x[half + c]) * scale[half + c] + shift[half + c]);
            m[c] = from * s;
            m[half + c] = from * (value(x[c]) * scale[c] + shift[c]) * s * (1 - s);
        }
    } else {
        const S *__restrict g = (const S *)t.g + p * n;
        for (int c = 0; c < n; c++) {
            const float from = value(g[c]);
            m[c] = value(x[c]) * scale[c] + shift[c] > 0 ? from : from * slope;
        }
    }
}

template <class S>
static void sums_of_chunk(const Norm &t, int64_t begin, int64_t end, float *__restrict first, float *__restrict second) {
    const int n = t.channels;
    const float *__restrict mean = t.mean, *__restrict inverse = t.inverse;
    std::vector<float> own(n);
    float *__restrict m = own.data();
    for (int64_t p = begin; p < end; p++) {
        const S *__restrict x = (const S *)t.x + p * n;
        bent(t, x, p, m);
        for (int c = 0; c < n; c++) {
            first[c] += m[c];
            second[c] += m[c] * ((value(x[c]) - mean[c]) * inverse[c]);
        }
    }
}

// The sums of the gradient of the norm's result, and of its products with the norm without weights.
extern "C" void norm_sums(const Norm *norm, int threads) {
    const Norm t = *norm;
    const int n = t.channels, chunks = (int)((t.pixels + CHUNK - 1) / CHUNK);
    std::vector<float> sums((size_t)chunks * 2 * n);
    in_chunks(t, threads, [&](int k, int64_t begin, int64_t end) {
        float *first = sums.data() + (size_t)k * 2 * n;
        t.bfloat16 ? sums_of_chunk<uint16_t>(t, begin, end, first, first + n)
                   : sums_of_chunk<float>(t, begin, end, first, first + n);
    });
    std::vector<double> total(2 * n);
    for (int k = 0; k < chunks; k++)
        for (int c = 0; c < 2 * n; c++) total[c] += sums[(size_t)k * 2 * n + c];
    for (int c = 0; c < n; c++) t.first[c] = (float)total[c], t.second[c] = (float)total[n + c];
}

template <class S> static void gradient(const Norm &t, int64_t begin, int64_t end) {
    const int n = t.channels;
    const float *__restrict scale = t.scale, *__restrict mean = t.mean;
    const float *__restrict level = t.level, *__restrict tilt = t.tilt;
    std::vector<float> own(n);
    float *__restrict m = own.data();
    for (int64_t p = begin; p < end; p++) {
        const S *__restrict x = (const S *)t.x + p * n;
        S *__restrict gx = (S *)t.to + p * n;
        bent(t, x, p, m);
        for (int c = 0; c < n; c++) put(m[c] * scale[c] - level[c] - (value(x[c]) - mean[c]) * tilt[c], gx + c);
    }
}

// m scale - level - (x - mean) tilt, m being the gradient of the norm's result.
extern "C" void norm_gradient(const Norm *norm, int threads) {
    const Norm t = *norm;
    in_chunks(t, threads, [&](int, int64_t begin, int64_t end) {
        t.bfloat16 ? gradient<uint16_t>(t, begin, end) : gradient<float>(t, begin, end);
    });
}
