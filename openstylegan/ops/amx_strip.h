// What a convolution on matrix units is, and how strips of its source are laid out; see amx_convolution.cpp.

#pragma once

#include "amx.h"

// Phase (a, b) of a result: its pixels are source pixels (row stride + dy, column stride + dx) times a tap each,
// summed.
struct Phase {
    int rows, columns, taps;
    const int *shifts;        // [taps] of dy, dx
    const uint16_t *weights;  // as `amx_pack` makes them
    uint16_t *to;
    int64_t of_sample, of_row, of_column;
};

// The result is clip(lrelu(sum after + shift + noise)); pointers may be null.
struct Convolution {
    int samples, in, out, height, width, stride, phases, noises;  // noises: 1 for all samples, or as many as samples
    int present, pitch;  // of `in` channels x has so many (the others are zero), its pixels lie `pitch` values apart
    float slope, clamp;                                           // clamp < 0: none
    const uint16_t *x;
    const float *before, *after, *shift, *noise;  // [samples][in], [samples][out], [out], [noises][rows][columns]
    const Phase *phase;
};

#ifdef HAS_AMX

static const size_t STRIP_BYTES = 3 << 17;  // of a source strip, which shares the second cache with the weights

// How a source is laid out: by blocks of channels, and by the stride^2 interleaved pictures that taps fall on.
struct Layout {
    int blocks, pictures, above, below, margin, pitch, rows, columns;
    explicit Layout(const Convolution &c)
        : blocks(c.in / BLOCK), pictures(c.stride * c.stride), above(0), below(0), margin(0), rows(0), columns(0) {
        const int valid = (c.width + c.stride - 1) / c.stride;
        for (const Phase *p = c.phase; p < c.phase + c.phases; p++) {
            rows = std::max(rows, p->rows), columns = std::max(columns, p->columns);
            for (int t = 0; t < p->taps; t++) {
                const int dy = floor_div(p->shifts[2 * t], c.stride), dx = floor_div(p->shifts[2 * t + 1], c.stride);
                above = std::max(above, -dy), below = std::max(below, dy);
                margin = std::max(margin, std::max(-dx, p->columns + dx - valid));
            }
        }
        // The zeros left of a row are also those right of the row above; with more padding than the kernel spans, a
        // row of results is longer than both together.
        pitch = std::max(valid + margin, columns);
    }
    size_t pixels(int rows_) const { return (size_t)(rows_ + above + below) * pitch + margin + TILE; }
    size_t size(int rows_) const { return pixels(rows_) * BLOCK * pictures * blocks; }
};

// Rows first .. first + rows - 1 of the results of `samples` samples, their outputs (in blocks) begin .. end - 1.
struct Piece {
    int sample, samples, first, rows, begin, end;
};

static void put_pixel(const uint16_t *from, const float *scale, int blocks, __mmask32 last, size_t apart,
                      uint16_t *to) {
    for (int b = 0; b < blocks; b++, from += BLOCK, to += apart) {
        __m512i v = b + 1 < blocks ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi16(last, from);
        if (scale) {
            const float *s = scale + b * BLOCK;
            v = halves(_mm512_mul_ps(low(v), _mm512_loadu_ps(s)), _mm512_mul_ps(high(v), _mm512_loadu_ps(s + 16)));
        }
        _mm512_store_si512(to, v);
    }
}

static void put_zeros(int count, int blocks, size_t apart, uint16_t *to) {
    for (int b = 0; b < blocks; b++) std::memset(to + b * apart, 0, (size_t)count * BLOCK * 2);
}

// One sample of a piece, laid out at `to`.
static void lay_out(const Convolution &c, const Layout &l, const Piece &piece, int sample, uint16_t *to) {
    const size_t picture = l.pixels(piece.rows) * BLOCK, apart = picture * l.pictures;
    const float *scale = c.before ? c.before + (size_t)sample * c.in : nullptr;
    const __mmask32 last = ~(__mmask32)0 >> (c.in - c.present);
    for (int k = 0; k < l.pictures; k++, to += picture) {
        const int py = k / c.stride, px = k % c.stride, rows = piece.rows + l.above + l.below;
        for (int r = 0; r < rows; r++) {
            const int y = (piece.first + r - l.above) * c.stride + py;
            uint16_t *row = to + (size_t)r * l.pitch * BLOCK;
            if (y < 0 || y >= c.height) {
                put_zeros(l.pitch, l.blocks, apart, row);
                continue;
            }
            put_zeros(l.margin, l.blocks, apart, row);
            const uint16_t *from = c.x + ((size_t)sample * c.height + y) * c.width * c.pitch;
            uint16_t *pixel = row + l.margin * BLOCK, *end = row + (size_t)l.pitch * BLOCK;
            for (int x = px; x < c.width; x += c.stride, pixel += BLOCK)
                put_pixel(from + (size_t)x * c.pitch, scale, l.blocks, last, apart, pixel);
            if (pixel < end) put_zeros((int)(end - pixel) / BLOCK, l.blocks, apart, pixel);
        }
        put_zeros(l.margin, l.blocks, apart, to + (size_t)rows * l.pitch * BLOCK);
    }
}

#endif
