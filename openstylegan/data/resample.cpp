// Pillow's resizing of 8-bit pictures, to the bit: sums of bytes with weights of 22 fractional bits, rounded and cut to
// bytes, along the rows first and then down the columns.
//
// Both passes are one: lines of bytes are summed with weights, lane by lane, which compilers make wide vectors of. For
// the pass along the rows the picture is turned first, so that a pixel's neighbours to the left and right are lines.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")  // weights as Pillow's baseline build rounds them
#endif

namespace {

constexpr int FRACTION_BITS = 22;
constexpr ptrdiff_t LANES = 64;
constexpr int TILE = 16;

inline uint8_t to_byte(int32_t sum) {
    return static_cast<uint8_t>(std::clamp(sum >> FRACTION_BITS, 0, 255));
}

// N lanes of one line of the result; N is known, so that the sums stay in registers.
template <ptrdiff_t N>
inline void blend_lanes(const uint8_t* in, ptrdiff_t stride, const int32_t* weights, int taps, uint8_t* out) {
    int32_t sums[N];
    for (ptrdiff_t i = 0; i < N; i++) sums[i] = 1 << (FRACTION_BITS - 1);
    for (int t = 0; t < taps; t++) {
        const uint8_t* line = in + t * stride;
        const int32_t weight = weights[t];
        for (ptrdiff_t i = 0; i < N; i++) sums[i] += line[i] * weight;
    }
    for (ptrdiff_t i = 0; i < N; i++) out[i] = to_byte(sums[i]);
}

template <int C>
void turn(const uint8_t* in, ptrdiff_t stride, int height, int width, uint8_t* out) {
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(height) * C;
    for (int y0 = 0; y0 < height; y0 += TILE) {
        const int y1 = std::min(y0 + TILE, height);
        for (int x = 0; x < width; x++) {
            uint8_t* to = out + x * lanes + static_cast<ptrdiff_t>(y0) * C;
            const uint8_t* from = in + y0 * stride + static_cast<ptrdiff_t>(x) * C;
            for (int y = y0; y < y1; y++, from += stride, to += C)
                for (int c = 0; c < C; c++) to[c] = from[c];
        }
    }
}

constexpr double PI = 3.14159265358979323846;

double sinc(double x) { return x == 0.0 ? 1.0 : std::sin(x * PI) / (x * PI); }

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) { return std::max(1.0 - std::abs(x), 0.0); }

double hamming(double x) {
    x = std::abs(x);
    if (x == 0.0) return 1.0;
    return x >= 1.0 ? 0.0 : std::sin(x * PI) / (x * PI) * (0.54f + 0.46f * std::cos(x * PI));
}

double bicubic(double x) {  // Keys' cubic with a = -1/2
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

constexpr double (*KERNELS[])(double) = {box, bilinear, hamming, bicubic, lanczos};

}  // namespace

extern "C" {

// How `wanted` lines are made of `size`: by a kernel that reaches `half` new lines to either side where lines become
// fewer, else old ones; the weights of a line sum to 1. `table` is zero at first and has `width` places a line.
void openstylegan_weights(int kernel, double half, int size, int wanted, int width, int32_t* first, int32_t* taps,
                          int32_t* table) {
    const double step = static_cast<double>(size) / wanted, stretch = std::max(step, 1.0);
    const double reach = half * stretch, scale = 1.0 / stretch;
    for (int o = 0; o < wanted; o++) {
        const double center = (o + 0.5) * step;
        const int begin = std::max(static_cast<int>(center - reach + 0.5), 0);
        const int end = std::min(static_cast<int>(center + reach + 0.5), size);
        double total = 0.0;
        for (int x = begin; x < end; x++) total += KERNELS[kernel]((x - center + 0.5) * scale);
        first[o] = begin;
        taps[o] = std::max(end - begin, 0);
        for (int x = begin; x < end; x++) {
            double value = KERNELS[kernel]((x - center + 0.5) * scale);
            if (total != 0.0) value /= total;
            value *= 1 << FRACTION_BITS;
            table[static_cast<ptrdiff_t>(o) * width + x - begin] = static_cast<int32_t>(value + (value < 0 ? -0.5 : 0.5));
        }
    }
}

// out[x][y][c] = in[y][x][c]; `stride`: bytes from one row of `in` to the next; 1 or 3 channels.
void openstylegan_turn(const uint8_t* in, ptrdiff_t stride, int height, int width, int channels, uint8_t* out) {
    if (channels == 1) turn<1>(in, stride, height, width, out);
    else turn<3>(in, stride, height, width, out);
}

// out[o][i] = sum over t of in[first[o] + t][i] * weights[o][t], for `lanes` bytes i and `count` lines o; `in` has
// `stride` bytes a line, `weights` has `width` places a line, of which `taps[o]` count.
void openstylegan_blend(const uint8_t* in, ptrdiff_t stride, ptrdiff_t lanes, const int32_t* first, const int32_t* taps,
                        const int32_t* weights, int width, int count, uint8_t* out) {
    for (int o = 0; o < count; o++) {
        const uint8_t* from = in + first[o] * stride;
        const int32_t* own = weights + static_cast<ptrdiff_t>(o) * width;
        uint8_t* to = out + o * lanes;
        ptrdiff_t i = 0;
        for (; i + LANES <= lanes; i += LANES) blend_lanes<LANES>(from + i, stride, own, taps[o], to + i);
        for (; i + 8 <= lanes; i += 8) blend_lanes<8>(from + i, stride, own, taps[o], to + i);
        for (; i < lanes; i++) blend_lanes<1>(from + i, stride, own, taps[o], to + i);
    }
}
}
