// Convolutions of channels-last bfloat16 pictures on matrix units, with the tail of the layer; see amx.py.
//
// A strip of the picture is laid out with zeros around it, blocks of 32 channels apart, so that a tile is 16 pixels that
// follow each other. From it, all outputs are made 32 pixels x 32 channels at a time: 4 tiles of sums in float32.

#include "amx.h"

// Phase (a, b) of a result: its pixels are source pixels (row stride + dy, column stride + dx) times a tap each, summed.
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

static inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

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
        pitch = valid + margin;  // the zeros left of a row are also those right of the row above
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

// 16 pixels of results: from where on in the laid out strip, of which sample, and the first one's place.
struct Place {
    const uint16_t *from;
    int sample, row, column;
};

static std::vector<Place> places(const Layout &l, const Phase &phase, const Piece &piece, const uint16_t *strip) {
    std::vector<Place> found;
    const int rows = std::min(piece.rows, phase.rows - piece.first);
    for (int s = 0; s < piece.samples && rows > 0; s++) {
        const uint16_t *from = strip + s * l.size(piece.rows);
        auto add = [&](int row, int column) {
            found.push_back({from + ((size_t)row * l.pitch + column) * BLOCK, piece.sample + s, piece.first + row, column});
        };
        if (phase.columns % TILE == 0)
            for (int k = 0; k < rows * (phase.columns / TILE); k++)
                add(k / (phase.columns / TILE), k % (phase.columns / TILE) * TILE);
        else  // pixels between the rows are made and left out
            for (int k = 0; k < (rows - 1) * l.pitch + phase.columns; k += TILE) add(k / l.pitch, k % l.pitch);
    }
    return found;
}

// sums[32 pixels][32 outputs] of two places (or of one), over blocks of channels and taps.
template <int PLACES>
static inline void products(const Place *place, const uint16_t *weights, int blocks, size_t apart,
                            const std::vector<size_t> &taps, const char *next, int ahead, float *sums) {
    const uint16_t *a = place[0].from, *b = place[PLACES - 1].from;
    const size_t *first = taps.data(), *last = first + taps.size();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < blocks; k++, a += apart, b += apart)
        for (const size_t *t = first; t < last; t++, weights += 2 * TILE_VALUES) {
            _tile_loadd(6, weights, 64);
            _tile_loadd(4, a + *t, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, weights + TILE_VALUES, 64);
            _tile_dpbf16ps(1, 4, 7);
            if (PLACES > 1) {
                _tile_loadd(5, b + *t, 64);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            for (int n = 0; n < ahead; n++, next += 64) _mm_prefetch(next, _MM_HINT_T1);
        }
    _tile_stored(0, sums, BLOCK * 4);
    _tile_stored(1, sums + TILE, BLOCK * 4);
    if (PLACES < 2) return;
    _tile_stored(2, sums + TILE * BLOCK, BLOCK * 4);
    _tile_stored(3, sums + TILE * BLOCK + TILE, BLOCK * 4);
}

struct Ends {
    __m512 scale[2], shift[2], slope, least, most;
    Ends(const Convolution &c, int sample, int output) : slope(_mm512_set1_ps(c.slope)) {
        for (int k = 0; k < 2; k++, output += 16) {
            scale[k] = c.after ? _mm512_loadu_ps(c.after + (size_t)sample * c.out + output) : _mm512_set1_ps(1);
            shift[k] = c.shift ? _mm512_loadu_ps(c.shift + output) : _mm512_setzero_ps();
        }
        const float limit = c.clamp < 0 ? __builtin_inff() : c.clamp;
        least = _mm512_set1_ps(-limit), most = _mm512_set1_ps(limit);
    }
    __m512 operator()(__m512 v, int k, __m512 noise) const {
        v = _mm512_fmadd_ps(v, scale[k], _mm512_add_ps(shift[k], noise));
        v = _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ), v, slope);
        return _mm512_min_ps(most, _mm512_max_ps(least, v));  // of NaN and a number the second: NaN stays
    }
};

// The results of one place: calls put(k, row, column) for each of its 16 pixels that there is.
template <class Put>
static inline void each_pixel(const Phase &phase, const Layout &l, const Piece &piece, const Place &place,
                              const Put &put) {
    if (place.column + TILE <= phase.columns) {
        for (int k = 0; k < TILE; k++) put(k, place.row, place.column + k);
        return;
    }
    const int bottom = std::min(piece.first + piece.rows, phase.rows);
    for (int k = 0, row = place.row, column = place.column; k < TILE; k++, column++) {
        if (column == l.pitch) column = 0, row++;
        if (column < phase.columns && row < bottom) put(k, row, column);
    }
}

static inline void finish(const Convolution &c, const Phase &phase, const Layout &l, const Piece &piece,
                          const Place &place, int output, const float *sums) {
    uint16_t *to = phase.to + place.sample * phase.of_sample + output;
    if (!c.after && !c.shift && !c.noise && c.slope == 1 && c.clamp < 0) {
        each_pixel(phase, l, piece, place, [&](int k, int row, int column) {
            const float *sum = sums + k * BLOCK;
            _mm512_storeu_si512(to + row * phase.of_row + column * phase.of_column,
                                halves(_mm512_load_ps(sum), _mm512_load_ps(sum + 16)));
        });
        return;
    }
    const Ends ends(c, place.sample, output);
    const float none = 0, *noise = c.noise ? c.noise : &none;
    if (c.noise && c.noises > 1) noise += (size_t)place.sample * phase.rows * phase.columns;
    const int of_row = c.noise ? phase.columns : 0, of_column = c.noise ? 1 : 0;
    each_pixel(phase, l, piece, place, [&](int k, int row, int column) {
        const __m512 n = _mm512_set1_ps(noise[(size_t)row * of_row + column * of_column]);
        const __m512 a = ends(_mm512_load_ps(sums + k * BLOCK), 0, n);
        const __m512 b = ends(_mm512_load_ps(sums + k * BLOCK + 16), 1, n);
        _mm512_storeu_si512(to + row * phase.of_row + column * phase.of_column, halves(a, b));
    });
}

static void run_phase(const Convolution &c, const Layout &l, const Phase &phase, const Piece &piece,
                      const uint16_t *strip) {
    const std::vector<Place> all = places(l, phase, piece, strip);
    const size_t picture = l.pixels(piece.rows) * BLOCK, panel = (size_t)l.blocks * phase.taps * 2 * TILE_VALUES;
    std::vector<size_t> taps;
    for (int t = 0; t < phase.taps; t++) {
        const int dy = phase.shifts[2 * t], dx = phase.shifts[2 * t + 1];
        const int y = floor_div(dy, c.stride), x = floor_div(dx, c.stride);
        const int number = (dy - y * c.stride) * c.stride + (dx - x * c.stride);
        taps.push_back(number * picture + ((size_t)(y + l.above) * l.pitch + x + l.margin) * BLOCK);
    }
    // While one block of outputs is made, the weights of the next are fetched, a few lines a product.
    const int pairs = (int)(all.size() + 1) / 2, ahead = pairs ? std::min((32 + pairs - 1) / pairs, 8) : 0;
    const size_t lines = (size_t)ahead * l.blocks * phase.taps;
    alignas(64) float sums[2 * TILE * BLOCK];
    for (int block = piece.begin; block < piece.end; block++) {
        const uint16_t *weights = phase.weights + block * panel;
        const char *next = (const char *)(block + 1 < piece.end ? weights + panel : weights);
        for (int k = 0; k < pairs; k++) {
            const bool two = 2 * k + 1 < (int)all.size(), fetches = (k + 1) * lines * 64 <= panel * 2;
            const char *from = next + k * lines * 64;
            for (int n = 2 * k; n < 2 * k + 1 + two; n++) {  // where results will go is fetched meanwhile
                uint16_t *to = phase.to + all[n].sample * phase.of_sample + block * BLOCK;
                each_pixel(phase, l, piece, all[n], [&](int, int row, int column) {
                    __builtin_prefetch(to + row * phase.of_row + column * phase.of_column, 1, 3);
                });
            }
            const auto make = two ? products<2> : products<1>;
            make(&all[2 * k], weights, l.blocks, picture * l.pictures, taps, from, fetches ? ahead : 0, sums);
            finish(c, phase, l, piece, all[2 * k], block * BLOCK, sums);
            if (two) finish(c, phase, l, piece, all[2 * k + 1], block * BLOCK, sums + TILE * BLOCK);
        }
    }
}

// Pieces whose source fits into the cache: some rows of a sample, or some samples; at least one a thread.
static std::vector<Piece> pieces(const Convolution &c, const Layout &l, int threads) {
    const int blocks = c.out / BLOCK;
    const size_t whole = l.size(l.rows) * 2;
    int samples = 1, rows = l.rows;
    if (whole <= STRIP_BYTES)
        samples = std::min((int)(STRIP_BYTES / whole), (c.samples + threads - 1) / threads);
    else {
        const int parts = (int)((whole + STRIP_BYTES - 1) / STRIP_BYTES);
        rows = (l.rows + parts - 1) / parts;
    }
    const int count = ((c.samples + samples - 1) / samples) * ((l.rows + rows - 1) / rows);
    const int cuts = std::min((threads + count - 1) / count, blocks);
    std::vector<Piece> found;
    for (int s = 0; s < c.samples; s += samples)
        for (int r = 0; r < l.rows; r += rows)
            for (int k = 0; k < cuts; k++)
                found.push_back({s, std::min(samples, c.samples - s), r, std::min(rows, l.rows - r), blocks * k / cuts,
                                 blocks * (k + 1) / cuts});
    return found;
}

extern "C" void amx_convolve(const Convolution *convolution, int threads) {
    const Convolution &c = *convolution;
    const Layout l(c);
    const std::vector<Piece> all = pieces(c, l, threads);
    in_threads((int)all.size(), threads, [&](int begin, int end) {
        const Tiles tiles;
        for (int k = begin; k < end; k++) {
            const size_t size = l.size(all[k].rows);
            Halves strip(size * all[k].samples);
            for (int s = 0; s < all[k].samples; s++)
                lay_out(c, l, all[k], all[k].sample + s, strip.start + s * size);
            for (int p = 0; p < c.phases; p++) run_phase(c, l, c.phase[p], all[k], strip.start);
        }
    });
}

// Asks the system for the matrix units of this process; 0 when they may be used.
extern "C" int amx_permit() {
    const int request = 0x1023, tile_data = 18;
    return (int)syscall(SYS_arch_prctl, request, tile_data);
}

// Some taps of weights in bfloat16, as tiles take them: [out / 32][in / 32][taps][2][16 pairs of inputs][16 outputs][2].
struct Weights {
    int out, in, taps;
    int64_t of_out, of_in;
    const int64_t *offsets;  // [taps]
    const uint16_t *from;
    uint16_t *to;
};

// 16 values at `from`, `steps` apart, each in the lower half of a lane. Whole words are read, which hold two of them.
static inline __m512i gather(const uint16_t *from, __m512i steps) {
    const int odd = (uintptr_t)from >> 1 & 1;
    const __m512i at = _mm512_add_epi32(steps, _mm512_set1_epi32(odd)), one = _mm512_set1_epi32(1);
    const __m512i words = _mm512_i32gather_epi32(_mm512_srli_epi32(at, 1), (const int *)(from - odd), 4);
    return _mm512_srlv_epi32(words, _mm512_slli_epi32(_mm512_and_si512(at, one), 4));
}

extern "C" void amx_pack(const Weights *weights, int threads) {
    const Weights w = *weights;
    const int across = w.in / BLOCK;
    const __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i steps = _mm512_mullo_epi32(numbers, _mm512_set1_epi32((int)w.of_out));
    in_threads(w.out / BLOCK * across, threads, [&](int begin, int end) {
        for (int k = begin; k < end; k++) {
            const uint16_t *from = w.from + k / across * BLOCK * w.of_out + k % across * BLOCK * w.of_in;
            uint16_t *to = w.to + (size_t)k * w.taps * 2 * TILE_VALUES;
            for (int half = 0; half < 2; half++, from += 16 * w.of_out)
                for (int pair = 0; pair < 16; pair++)
                    for (int t = 0; t < w.taps; t++) {
                        const uint16_t *a = from + 2 * pair * w.of_in + w.offsets[t];
                        const __m512i first = gather(a, steps), second = gather(a + w.of_in, steps);
                        _mm512_storeu_si512(to + (t * 2 + half) * TILE_VALUES + pair * BLOCK,
                                            _mm512_mask_blend_epi16(0xaaaaaaaa, first, _mm512_slli_epi32(second, 16)));
                    }
        }
    });
}

#else

extern "C" void amx_convolve(const void *, int) {}
extern "C" void amx_pack(const void *, int) {}
extern "C" int amx_permit() { return -1; }

#endif
