// The tail of a layer in one pass, for channels-last pictures on CPUs; see tail.py for the equation. All sums in float32.

#include <cmath>
#include <cstring>

#include "vectors.h"

// `samples` pictures of `pixels` pixels of `channels`. The gain is part of scale, shift and noise already.
struct Tail {
    int samples, pixels, channels, bfloat16, noises;  // noises: 1 for all samples, or as many as samples
    float gain, slope, clamp;  // clamp < 0: none
    const void *y;
    const float *scale, *noise, *shift;  // [samples][channels], [noises][pixels], [channels], or null
    void *z;
};

// clip(lrelu(y scale + shift + noise)) of one pixel.
template <class S>
static inline void pixel(const S *__restrict y, const float *__restrict scale, const float *__restrict shift,
                         float noise, int channels, float slope, float clamp, S *__restrict z) {
    for (int c = 0; c < channels; c++) {
        float v = value(y[c]) * scale[c] + (shift[c] + noise);
        v = v < 0 ? v * slope : v;
        v = v > clamp ? clamp : v;
        put(v < -clamp ? -clamp : v, z + c);
    }
}

template <class S>
static void rows(const Tail &t, int64_t begin, int64_t end) {
    const float clamp = t.clamp < 0 ? INFINITY : t.clamp;
    std::vector<float> gains(t.channels, t.gain), zeros(t.channels, 0.0f);
    for (int64_t p = begin; p < end; p++) {
        const int64_t sample = p / t.pixels;
        const float noise = t.noise ? t.noise[t.noises == 1 ? p % t.pixels : p] : 0.0f;
        pixel((const S *)t.y + p * t.channels, t.scale ? t.scale + sample * t.channels : gains.data(),
              t.shift ? t.shift : zeros.data(), noise, t.channels, t.slope, clamp, (S *)t.z + p * t.channels);
    }
}

static const int AT_ONCE = 64;  // pixels

extern "C" void tail(const Tail *tail, int threads) {
    const Tail t = *tail;
    const int64_t all = (int64_t)t.samples * t.pixels;
    in_threads((int)((all + AT_ONCE - 1) / AT_ONCE), threads, [&](int begin, int end) {
        const int64_t first = (int64_t)begin * AT_ONCE, last = std::min((int64_t)end * AT_ONCE, all);
        t.bfloat16 ? rows<uint16_t>(t, first, last) : rows<float>(t, first, last);
    });
}

// The gradient g of the result z, to y: m = g times the slope at z (0 where it was clipped), and m scale. Of each `chunk`
// of a sample's pixels the sums of m and of m y, and of each pixel the sum of m, where they are wanted.
struct Gradient {
    int samples, pixels, channels, bfloat16, chunk;
    float slope, clamp;  // clamp < 0: none
    const void *g, *z, *y;
    const float *scale;  // [samples][channels]
    void *gy;
    float *sums, *dots, *by_pixel;  // [samples][chunks][channels] twice, [samples][pixels]; or null
};

template <class S>
static inline void bend(const S *__restrict g, const S *__restrict z, int channels, float slope, float clamp,
                        float *__restrict m) {
    for (int c = 0; c < channels; c++) {
        const float at = value(z[c]), from = value(g[c]), bent = at > 0 ? from : from * slope;
        m[c] = std::fabs(at) >= clamp ? 0.0f : bent;
    }
}

template <class S>
static inline void add_dots(const float *__restrict m, const S *__restrict y, int channels, float *__restrict dots) {
    for (int c = 0; c < channels; c++) dots[c] += m[c] * value(y[c]);
}

template <class S>
static inline void write_scaled(const float *__restrict m, const float *__restrict scale, int channels,
                                S *__restrict gy) {
    for (int c = 0; c < channels; c++) put(m[c] * scale[c], gy + c);
}

static float total(const float *m, int channels) {
    vec sum = {};
    int c = 0;
    for (; c + LANES <= channels; c += LANES) sum += *(const vec *)(m + c);
    float found = 0;
    for (; c < channels; c++) found += m[c];
    for (int k = 0; k < LANES; k++) found += sum[k];
    return found;
}

template <class S>
static void gradient_of_chunk(const Gradient &t, int number) {
    const int chunks = (t.pixels + t.chunk - 1) / t.chunk, sample = number / chunks, n = t.channels;
    const int first = number % chunks * t.chunk, last = std::min(first + t.chunk, t.pixels);
    const float clamp = t.clamp < 0 ? NAN : t.clamp;  // which nothing reaches
    std::vector<float> m(n), sums(n), dots(n);
    for (int p = first; p < last; p++) {
        const size_t at = ((size_t)sample * t.pixels + p) * n;
        bend((const S *)t.g + at, (const S *)t.z + at, n, t.slope, clamp, m.data());
        if (t.sums)
            for (int c = 0; c < n; c++) sums[c] += m[c];
        if (t.dots) add_dots(m.data(), (const S *)t.y + at, n, dots.data());
        if (t.by_pixel) t.by_pixel[(size_t)sample * t.pixels + p] = total(m.data(), n);
        write_scaled(m.data(), t.scale + (size_t)sample * n, n, (S *)t.gy + at);
    }
    if (t.sums) std::copy(sums.begin(), sums.end(), t.sums + (size_t)number * n);
    if (t.dots) std::copy(dots.begin(), dots.end(), t.dots + (size_t)number * n);
}

extern "C" void tail_gradient(const Gradient *gradient, int threads) {
    const Gradient t = *gradient;
    in_threads(t.samples * ((t.pixels + t.chunk - 1) / t.chunk), threads, [&](int begin, int end) {
        for (int number = begin; number < end; number++)
            t.bfloat16 ? gradient_of_chunk<uint16_t>(t, number) : gradient_of_chunk<float>(t, number);
    });
}
