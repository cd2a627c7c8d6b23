// Weights of convolutions in the order in which tiles take them; see amx.py.

#include "amx.h"

#ifdef HAS_AMX

// Asks the system for the matrix units of this process; 0 when they may be used.
extern "C" int amx_permit() {
    const int request = 0x1023, tile_data = 18;
    return (int)syscall(SYS_arch_prctl, request, tile_data);
}

// Some taps of weights, as tiles take them in bfloat16: [out / 32][in / 32][taps][2][16 pairs of inputs][16
// outputs][2].
struct Weights {
    int out, in, taps, floats;  // floats: `from` is in float32, else in bfloat16
    int64_t of_out, of_in;
    const int64_t *offsets;  // [taps]
    const void *from;
    uint16_t *to;
};

// 16 values at `from`, `steps` apart, each in the lower half of a lane.
static inline __m512i gather(const float *from, __m512i steps) {
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_i32gather_ps(steps, from, 4)));
}

// The same of bfloat16: whole words are read, which hold two of them.
static inline __m512i gather(const uint16_t *from, __m512i steps) {
    const int odd = (uintptr_t)from >> 1 & 1;
    const __m512i at = _mm512_add_epi32(steps, _mm512_set1_epi32(odd)), one = _mm512_set1_epi32(1);
    const __m512i words = _mm512_i32gather_epi32(_mm512_srli_epi32(at, 1), (const int *)(from - odd), 4);
    return _mm512_srlv_epi32(words, _mm512_slli_epi32(_mm512_and_si512(at, one), 4));
}

template <class T>
static void pack(const Weights &w, int threads) {
    const int across = w.in / BLOCK;
    const __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i steps = _mm512_mullo_epi32(numbers, _mm512_set1_epi32((int)w.of_out));
    in_threads(w.out / BLOCK * across, threads, [&](int begin, int end) {
        for (int k = begin; k < end; k++) {
            const T *from = (const T *)w.from + k / across * BLOCK * w.of_out + k % across * BLOCK * w.of_in;
            uint16_t *to = w.to + (size_t)k * w.taps * 2 * TILE_VALUES;
            for (int half = 0; half < 2; half++, from += 16 * w.of_out)
                for (int pair = 0; pair < 16; pair++)
                    for (int t = 0; t < w.taps; t++) {
                        const T *a = from + 2 * pair * w.of_in + w.offsets[t];
                        const __m512i first = gather(a, steps), second = gather(a + w.of_in, steps);
                        _mm512_storeu_si512(to + (t * 2 + half) * TILE_VALUES + pair * BLOCK,
                                            _mm512_mask_blend_epi16(0xaaaaaaaa, first, _mm512_slli_epi32(second, 16)));
                    }
        }
    });
}

extern "C" void amx_pack(const Weights *weights, int threads) {
    weights->floats ? pack<float>(*weights, threads) : pack<uint16_t>(*weights, threads);
}

#else

extern "C" void amx_pack(const void *, int) {}
extern "C" int amx_permit() { return -1; }

#endif
