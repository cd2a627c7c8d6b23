// Sums of the squares of kernels; see power.py.

#include "vectors.h"

static const int AT_ONCE = 4096;  // kernels

template <int TAPS>
static void squares(const float *from, int begin, int end, int taps, float *to) {
    const int count = TAPS ? TAPS : taps;
    for (int k = begin; k < end; k++) {
        float sum = 0;
        for (int t = 0; t < count; t++) sum += from[(size_t)k * count + t] * from[(size_t)k * count + t];
        to[k] = sum;
    }
}

// `kernels` of `taps` values each, one after the other.
extern "C" void power(const float *from, float *to, int kernels, int taps, int threads) {
    in_threads((kernels + AT_ONCE - 1) / AT_ONCE, threads, [=](int begin, int end) {
        const auto sum = taps == 9 ? squares<9> : squares<0>;
        sum(from, begin * AT_ONCE, std::min(end * AT_ONCE, kernels), taps, to);
    });
}
