// Transposed matrices, a block at a time in the first-level cache: planes to channels-last pictures and back.

#include "vectors.h"

static const int TALL = 16, WIDE = 64;  // of a block: its lines fit, and its rows of results are a cache line

template <class T>
static void transpose_rows(const T *__restrict from, T *__restrict to, int rows, int columns, int begin, int end) {
    for (int c = 0; c < columns; c += WIDE)
        for (int r = begin; r < end; r += TALL) {
            const int last = std::min(c + WIDE, columns), tall = std::min(TALL, end - r);
            for (int k = c; k < last; k++) {
                const T *source = from + (size_t)r * columns + k;
                T *target = to + (size_t)k * rows + r;
                if (tall == TALL)
                    for (int q = 0; q < TALL; q++) target[q] = source[(size_t)q * columns];
                else
                    for (int q = 0; q < tall; q++) target[q] = source[(size_t)q * columns];
            }
        }
}

// `samples` matrices [rows][columns] of values of `bytes` bytes (2 or 4).
extern "C" void transpose(const void *from, void *to, int samples, int rows, int columns, int bytes, int threads) {
    const int bands = (rows + TALL - 1) / TALL;
    in_threads(samples * bands, threads, [=](int begin, int end) {
        while (begin < end) {
            const int sample = begin / bands, first = begin % bands, count = std::min(end - begin, bands - first);
            const size_t at = (size_t)sample * rows * columns;
            const int last = std::min((first + count) * TALL, rows);
            if (bytes == 2)
                transpose_rows((const uint16_t *)from + at, (uint16_t *)to + at, rows, columns, first * TALL, last);
            else
                transpose_rows((const float *)from + at, (float *)to + at, rows, columns, first * TALL, last);
            begin += count;
        }
    });
}

// Pictures whose pixels are `bytes` long each and lie anywhere: strides in bytes.
struct Pixels {
    char *start;
    int64_t of_sample, of_row, of_pixel;
};

extern "C" void copy_pixels(const Pixels *to, const Pixels *from, int samples, int rows, int columns, int bytes,
                            int threads) {
    in_threads(samples * rows, threads, [=](int begin, int end) {
        for (int number = begin; number < end; number++) {
            const int sample = number / rows, row = number % rows;
            char *target = to->start + sample * to->of_sample + row * to->of_row;
            const char *source = from->start + sample * from->of_sample + row * from->of_row;
            for (int k = 0; k < columns; k++)
                std::memcpy(target + k * to->of_pixel, source + k * from->of_pixel, bytes);
        }
    });
}
