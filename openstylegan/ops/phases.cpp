// Kernels of 3x3 taps for pictures whose pixels are repeated, the gradient of these, and the phases of the results; see
// upsampled_conv.py. All sums in float32.

#include "vectors.h"

static const int WIDE = 32;         // channels at a time
static const int LONG = 256;        // what is written in one run
static const int LINE = LONG + 32;  // where runs lie in a block: not in the same places of the cache

// Kernels [outputs][inputs][3][3], and for each of 4 x 4 taps a matrix whose place and strides are given (in values).
struct Taps {
    int outputs, inputs, bfloat16;
    int64_t of_output, of_input, places[16];
    const void *from;
    void *to;
};

// The three taps of an axis fall on four: k2, k1 + k2, k0 + k1, k0.
static inline void spread(const float *__restrict k, float *__restrict four, int step, int wide) {
    for (int n = 0; n < wide; n++) {
        const float a = k[n], b = k[step + n], c = k[2 * step + n];
        four[n] = c, four[step + n] = b + c, four[2 * step + n] = a + b, four[3 * step + n] = a;
    }
}

static inline void gather_back(const float *__restrict four, float *__restrict k, int step, int wide) {
    for (int n = 0; n < wide; n++) {
        const float a = four[n], b = four[step + n], c = four[2 * step + n], d = four[3 * step + n];
        k[n] = c + d, k[step + n] = b + c, k[2 * step + n] = a + b;
    }
}

// 16 lines of WIDE values from 9 (`taps`), by way of 12; and back.
static void spread_both(const float *taps, float *sixteen) {
    float rows[12 * WIDE];
    spread(taps, rows, 3 * WIDE, 3 * WIDE);
    for (int a = 0; a < 4; a++) spread(rows + a * 3 * WIDE, sixteen + a * 4 * WIDE, WIDE, WIDE);
}

static void gather_both(const float *sixteen, float *taps) {
    float rows[12 * WIDE];
    for (int a = 0; a < 4; a++) gather_back(sixteen + a * 4 * WIDE, rows + a * 3 * WIDE, WIDE, WIDE);
    gather_back(rows, taps, 3 * WIDE, 3 * WIDE);
}

// Of one output, the taps of up to WIDE inputs from `first` on: sixteen[k * WIDE + n].
template <class S> static void spread_inputs(const Taps &t, int output, int first, int count, float *sixteen) {
    float taps[9 * WIDE] = {};
    const S *from = (const S *)t.from + ((size_t)output * t.inputs + first) * 9;
    for (int n = 0; n < count; n++)
        for (int k = 0; k < 9; k++) taps[k * WIDE + n] = value(from[n * 9 + k]);
    spread_both(taps, sixteen);
}

// What lies far apart is written in long runs, or memory is slow: first into `block`, [16][LINE].
template <class S> static void spread_row(const Taps &t, int output, int first, int count, S *block) {
    float sixteen[16 * WIDE];
    for (int n = 0; n < count; n += WIDE) {
        spread_inputs<S>(t, output, first + n, std::min(WIDE, count - n), sixteen);
        for (int k = 0; k < 16; k++)
            for (int i = 0; i < WIDE; i++) put(sixteen[k * WIDE + i], block + k * LINE + n + i);
    }
    for (int k = 0; k < 16; k++)
        std::memcpy((S *)t.to + t.places[k] + output * t.of_output + first, block + k * LINE, count * sizeof(S));
}

// The gradient of the kernels, from that of the 4 x 4 taps.
template <class S> static void gather_block(const Taps &t, int output, int high, int first, int count) {
    float sixteen[16 * WIDE] = {}, taps[9 * WIDE];
    for (int o = output; o < output + high; o++) {
        const S *from = (const S *)t.from + o * t.of_output + first * t.of_input;
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < count; n++) sixteen[k * WIDE + n] = value(from[t.places[k] + n * t.of_input]);
        gather_both(sixteen, taps);
        S *to = (S *)t.to + ((size_t)o * t.inputs + first) * 9;
        for (int n = 0; n < count; n++)
            for (int k = 0; k < 9; k++) put(taps[k * WIDE + n], to + n * 9 + k);
    }
}

// Of taps that lie beside each other, as matrix units give them: first into a block, for inputs are pages apart.
template <class S> static void gather_near(const Taps &t, int output, int high, int first, int count) {
    S block[WIDE * (WIDE + 1) * 16];
    for (int n = 0; n < count; n++)
        std::memcpy(block + n * (WIDE + 1) * 16,
                    (const S *)t.from + (first + n) * t.of_input + output * t.of_output, high * 16 * sizeof(S));
    Taps inside = t;
    inside.from = block - (output * 16 + first * (WIDE + 1) * 16);
    inside.of_output = 16, inside.of_input = (WIDE + 1) * 16;
    gather_block<S>(inside, output, high, first, count);
}

static int parts(int all, int part) { return (all + part - 1) / part; }

template <class S> static void spread_some(const Taps &t, int begin, int end) {
    std::vector<S> block(16 * LINE);
    const int across = parts(t.inputs, LONG);
    for (int number = begin; number < end; number++) {
        const int first = number % across * LONG;
        spread_row<S>(t, number / across, first, std::min(LONG, t.inputs - first), block.data());
    }
}

// To kernels whose inputs lie beside each other.
extern "C" void spread_taps(const Taps *taps, int threads) {
    const Taps t = *taps;
    in_threads(t.outputs * parts(t.inputs, LONG), threads, [&](int begin, int end) {
        t.bfloat16 ? spread_some<uint16_t>(t, begin, end) : spread_some<float>(t, begin, end);
    });
}

template <class S> static void gather_some(const Taps &t, int begin, int end) {
    bool near = t.of_output == 16;
    for (int k = 0; k < 16; k++) near = near && t.places[k] == k;
    for (int number = begin; number < end; number++) {
        const int across = parts(t.inputs, WIDE), output = number / across * WIDE, first = number % across * WIDE;
        const int high = std::min(WIDE, t.outputs - output), count = std::min(WIDE, t.inputs - first);
        near ? gather_near<S>(t, output, high, first, count) : gather_block<S>(t, output, high, first, count);
    }
}

extern "C" void gather_taps(const Taps *taps, int threads) {
    const Taps t = *taps;
    in_threads(parts(t.inputs, WIDE) * parts(t.outputs, WIDE), threads, [&](int begin, int end) {
        t.bfloat16 ? gather_some<uint16_t>(t, begin, end) : gather_some<float>(t, begin, end);
    });
}

// Phases [samples][height + 1][width + 1][4][bytes] and the picture [samples][2 height][2 width][bytes] made of them: an
// odd phase begins a pixel later. Back, the pixels of phases that no picture has are zero.
struct Phases {
    int samples, height, width, bytes;
    char *phases, *picture;
};

static inline char *of_phase(const Phases &p, int sample, int y, int x, int phase) {
    return p.phases + ((((size_t)sample * (p.height + 1) + y) * (p.width + 1) + x) * 4 + phase) * p.bytes;
}

extern "C" void put_together(const Phases *phases, int threads) {
    const Phases p = *phases;
    in_threads(p.samples * 2 * p.height, threads, [&](int begin, int end) {
        for (int number = begin; number < end; number++) {
            const int sample = number / (2 * p.height), y = number % (2 * p.height);
            char *to = p.picture + (size_t)number * 2 * p.width * p.bytes;
            for (int x = 0; x < 2 * p.width; x++, to += p.bytes)
                std::memcpy(to, of_phase(p, sample, (y + 1) / 2, (x + 1) / 2, y % 2 * 2 + x % 2), p.bytes);
        }
    });
}

extern "C" void take_apart(const Phases *phases, int threads) {
    const Phases p = *phases;
    in_threads(p.samples * (p.height + 1), threads, [&](int begin, int end) {
        for (int number = begin; number < end; number++) {
            const int sample = number / (p.height + 1), row = number % (p.height + 1);
            for (int column = 0; column <= p.width; column++)
                for (int phase = 0; phase < 4; phase++) {
                    const int y = 2 * row - phase / 2, x = 2 * column - phase % 2;
                    char *to = of_phase(p, sample, row, column, phase);
                    if (y < 0 || x < 0 || y >= 2 * p.height || x >= 2 * p.width)
                        std::memset(to, 0, p.bytes);
                    else
                        std::memcpy(to, p.picture + (((size_t)sample * 2 * p.height + y) * 2 * p.width + x) * p.bytes,
                                    p.bytes);
                }
        }
    });
}
