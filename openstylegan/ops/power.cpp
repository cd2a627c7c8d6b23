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

// What is added to the gradient of weights: their power's. Weights and the sum [out][in][taps] lie one after the other, the
// gradient's kernels of_out and of_in apart, each whole.
struct PowerGradient {
    int out, in, taps;
    int64_t of_out, of_in;
    const float *gradient, *weights, *power;  // power: [out][in], the gradient of the sums of squares
    float *sum;
};

static const int SIDE = 32;  // of a block of kernels: where inputs and outputs are exchanged, lines are read whole

template <int TAPS>
static void add_block(const PowerGradient &p, int output, int input) {
    const int taps = TAPS ? TAPS : p.taps;
    for (int o = output; o < std::min(output + SIDE, p.out); o++)
        for (int i = input; i < std::min(input + SIDE, p.in); i++) {
            const size_t kernel = (size_t)o * p.in + i, at = kernel * taps;
            const float twice = 2 * p.power[kernel], *gradient = p.gradient + o * p.of_out + i * p.of_in;
            for (int t = 0; t < taps; t++) p.sum[at + t] = gradient[t] + p.weights[at + t] * twice;
        }
}

extern "C" void power_gradient(const PowerGradient *gradient, int threads) {
    const PowerGradient &p = *gradient;
    const int across = (p.in + SIDE - 1) / SIDE;
    in_threads((p.out + SIDE - 1) / SIDE, threads, [&](int begin, int end) {
        const auto add = p.taps == 9 ? add_block<9> : add_block<0>;
        for (int row = begin; row < end; row++)
            for (int k = 0; k < across; k++) add(p, row * SIDE, k * SIDE);
    });
}
