// Convolutions of channels-last bfloat16 pictures on matrix units, with the tail of the layer; see amx.py.
//
// A strip of the picture is laid out with zeros around it, blocks of 32 channels apart, so that a tile is 16 pixels
// that follow each other. From it, all outputs are made 32 pixels x 32 channels at a time: 4 tiles of sums in float32.

#include "amx_strip.h"

#ifdef HAS_AMX

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
            const uint16_t *at = from + ((size_t)row * l.pitch + column) * BLOCK;
            found.push_back({at, piece.sample + s, piece.first + row, column});
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
                _tile_loadd(4, b + *t, 64);
                _tile_dpbf16ps(2, 4, 6);
                _tile_dpbf16ps(3, 4, 7);
            }
            for (int n = 0; n < ahead; n++, next += 64) _mm_prefetch(next, _MM_HINT_T1);
        }
    _tile_stored(0, sums, BLOCK * 4);
    _tile_stored(1, sums + TILE, BLOCK * 4);
    if (PLACES < 2) return;
    _tile_stored(2, sums + TILE * BLOCK, BLOCK * 4);
    _tile_stored(3, sums + TILE * BLOCK + TILE, BLOCK * 4);
}

// Three taps below each other: where the uppermost one's pixels begin, and their places among the taps.
struct TapColumn {
    size_t offset;
    int taps[3];
};

// All taps as columns of three; none where they are not. `offsets` are those of all taps.
static std::vector<TapColumn> columns_of_taps(const Phase &phase, const std::vector<size_t> &offsets) {
    auto find = [&](int dy, int dx) {
        for (int t = 0; t < phase.taps; t++)
            if (phase.shifts[2 * t] == dy && phase.shifts[2 * t + 1] == dx) return t;
        return -1;
    };
    std::vector<TapColumn> found;
    for (int t = 0; t < phase.taps; t++) {
        const int dy = phase.shifts[2 * t], dx = phase.shifts[2 * t + 1];
        if (find(dy - 1, dx) >= 0) continue;
        found.push_back({offsets[t], {t, find(dy + 1, dx), find(dy + 2, dx)}});
        if (found.back().taps[1] < 0 || found.back().taps[2] < 0 || find(dy + 3, dx) >= 0) return {};
    }
    return found;
}

#define WEIGHTS(tile, k) _tile_loadd(tile, w + (size_t)column.taps[k] * 2 * TILE_VALUES, 64)
#define PIXELS(row) _tile_loadd(7, pixels + (row) * line, 64)

// sums[ROWS][16 pixels][32 outputs] of as many places below each other, `line` apart: a tile of pixels is read once for
// three taps, one of weights for all places. ROWS is at most 3, so that a tile is left over: with all eight in use, it takes
// a fifth longer where neighbours use the matrix units too.
template <int ROWS>
static inline void products_of_rows(const uint16_t *from, size_t line, const uint16_t *weights, int blocks,
                                    size_t apart, const std::vector<TapColumn> &columns, const char *next, int ahead,
                                    float *sums) {
    for (int half = 0; half < 2; half++, weights += TILE_VALUES, sums += TILE) {
        const uint16_t *w = weights, *a = from;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        for (int k = 0; k < blocks; k++, a += apart, w += columns.size() * 3 * 2 * TILE_VALUES)
            for (const TapColumn &column : columns) {
                const uint16_t *pixels = a + column.offset;
                WEIGHTS(4, 0);
                WEIGHTS(5, 1);
                WEIGHTS(6, 2);
                PIXELS(0);
                _tile_dpbf16ps(0, 7, 4);
                PIXELS(1);
                _tile_dpbf16ps(0, 7, 5);
                if (ROWS > 1) _tile_dpbf16ps(1, 7, 4);
                PIXELS(2);
                _tile_dpbf16ps(0, 7, 6);
                if (ROWS > 1) _tile_dpbf16ps(1, 7, 5);
                if (ROWS > 2) _tile_dpbf16ps(2, 7, 4);
                if (ROWS > 1) {
                    PIXELS(3);
                    _tile_dpbf16ps(1, 7, 6);
                    if (ROWS > 2) _tile_dpbf16ps(2, 7, 5);
                }
                if (ROWS > 2) {
                    PIXELS(4);
                    _tile_dpbf16ps(2, 7, 6);
                }
                for (int n = 0; n < ahead; n++, next += 64) _mm_prefetch(next, _MM_HINT_T1);
            }
        _tile_stored(0, sums, BLOCK * 4);
        if (ROWS > 1) _tile_stored(1, sums + TILE * BLOCK, BLOCK * 4);
        if (ROWS > 2) _tile_stored(2, sums + 2 * TILE * BLOCK, BLOCK * 4);
    }
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

// Where results will go is fetched while they are made.
static inline void fetch(const Phase &phase, const Layout &l, const Piece &piece, const Place &place, int output) {
    uint16_t *to = phase.to + place.sample * phase.of_sample + output;
    each_pixel(phase, l, piece, place, [&](int, int row, int column) {
        __builtin_prefetch(to + row * phase.of_row + column * phase.of_column, 1, 3);
    });
}

// Places that are made together.
struct Group {
    size_t first;
    int places;
};

// Pairs of places that follow each other.
static std::vector<Group> pairs(const std::vector<Place> &places) {
    std::vector<Group> found;
    for (size_t k = 0; k < places.size(); k += 2) found.push_back({k, k + 1 < places.size() ? 2 : 1});
    return found;
}

// Up to three places below each other, of `places` in rows of `across`; puts them in that order.
static std::vector<Group> stacks(std::vector<Place> &places, int across, int rows) {
    std::vector<Place> ordered;
    std::vector<Group> found;
    const int parts = (rows + 2) / 3;
    for (size_t sample = 0; sample < places.size(); sample += (size_t)across * rows)
        for (int part = 0; part < parts; part++)
            for (int column = 0; column < across; column++) {
                const int begin = rows * part / parts, end = rows * (part + 1) / parts;
                found.push_back({ordered.size(), end - begin});
                for (int row = begin; row < end; row++) ordered.push_back(places[sample + row * across + column]);
            }
    places = ordered;
    return found;
}

static void run_phase(const Convolution &c, const Layout &l, const Phase &phase, const Piece &piece,
                      const uint16_t *strip) {
    const size_t picture = l.pixels(piece.rows) * BLOCK, panel = (size_t)l.blocks * phase.taps * 2 * TILE_VALUES;
    const size_t apart = picture * l.pictures, line = (size_t)l.pitch * BLOCK;
    std::vector<size_t> taps;
    for (int t = 0; t < phase.taps; t++) {
        const int dy = phase.shifts[2 * t], dx = phase.shifts[2 * t + 1];
        const int y = floor_div(dy, c.stride), x = floor_div(dx, c.stride);
        const int number = (dy - y * c.stride) * c.stride + (dx - x * c.stride);
        taps.push_back(number * picture + ((size_t)(y + l.above) * l.pitch + x + l.margin) * BLOCK);
    }
    std::vector<Place> all = places(l, phase, piece, strip);
    if (all.empty()) return;
    std::vector<TapColumn> columns;
    if (c.stride == 1 && phase.columns % TILE == 0) columns = columns_of_taps(phase, taps);
    const bool stacked = !columns.empty();
    const std::vector<Group> groups =
        stacked ? stacks(all, phase.columns / TILE, std::min(piece.rows, phase.rows - piece.first)) : pairs(all);
    // While one block of outputs is made, the weights of the next are fetched, a few lines at each of the steps.
    const int steps = l.blocks * (stacked ? 2 * (int)columns.size() : phase.taps), count = steps * (int)groups.size();
    const size_t lines = panel / 32, ahead = std::min((lines + count - 1) / count, (size_t)16), fetched = ahead * steps;
    alignas(64) float sums[3 * TILE * BLOCK];
    for (int block = piece.begin; block < piece.end; block++) {
        const uint16_t *weights = phase.weights + block * panel;
        const char *next = (const char *)(block + 1 < piece.end ? weights + panel : weights);
        size_t left = lines;
        for (const Group &group : groups) {
            const Place *place = &all[group.first];
            for (int n = 0; n < group.places; n++) fetch(phase, l, piece, place[n], block * BLOCK);
            const int fetching = left >= fetched ? (int)ahead : 0;
            if (stacked) {
                const auto make = group.places == 3   ? products_of_rows<3>
                                  : group.places == 2 ? products_of_rows<2>
                                                      : products_of_rows<1>;
                make(place->from, line, weights, l.blocks, apart, columns, next, fetching, sums);
            } else {
                const auto make = group.places == 2 ? products<2> : products<1>;
                make(place, weights, l.blocks, apart, taps, next, fetching, sums);
            }
            if (fetching) next += fetched * 64, left -= fetched;
            for (int n = 0; n < group.places; n++)
                finish(c, phase, l, piece, place[n], block * BLOCK, sums + n * TILE * BLOCK);
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
    if (!l.rows || !l.columns) return;
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

#else

extern "C" void amx_convolve(const void *, int) {}

#endif
