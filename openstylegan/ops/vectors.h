// What the C++ beside this has in common: vectors as wide as the processor's, memory for them, bfloat16, threads.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef float vec __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
static const int LANES = VECTOR_BYTES / 4;

static inline int padded(int n) { return (n + LANES - 1) / LANES * LANES; }
static inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// A value of a tensor of float32, or of bfloat16 (its upper half).
static inline float value(float v) { return v; }
static inline float value(uint16_t v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}
static inline void put(float v, float *to) { *to = v; }
static inline void put(float v, uint16_t *to) {  // to the nearest, ties to even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *to = (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (uint16_t)rounded;
}

// Floats that are zero, from a cache line on, with room for a vector beyond the last.
struct Floats {
    std::vector<float> memory;
    float *start;
    explicit Floats(size_t size) : memory(size + LANES + 16, 0.0f) {
        start = (float *)(((uintptr_t)memory.data() + 63) & ~(uintptr_t)63);
    }
    Floats(const Floats &) = delete;
};

// work(begin, end) for parts of 0 .. count - 1, each on a thread of its own; on this one where the system has no more.
template <class Work>
static void in_threads(int count, int threads, const Work &work) {
    threads = std::max(1, std::min(threads, count));
    std::vector<std::thread> others;
    others.reserve(threads);
    for (int t = 1; t < threads; t++) {
        const int begin = (int)((int64_t)count * t / threads), end = (int)((int64_t)count * (t + 1) / threads);
        try {
            others.emplace_back(work, begin, end);
        } catch (const std::system_error &) {
            work(begin, end);
        }
    }
    work(0, count / threads);
    for (auto &thread : others) thread.join();
}
