// filtered_lrelu of channels-last pictures in one pass; see filtered_lrelu_pixels.py.
//
// A vector is some channels of a pixel, so every tap is a whole vector and nothing is shifted or dealt out. From six
// rows of x come `up` oversampled ones; each is filtered down along x at once, and so kept until the rows it ends in
// are made. Filters down are sums of `rank` separable ones.

#include "filtered_lrelu_pixels.h"

struct Job {
    int samples, channels, height, width, rows, columns;  // rows, columns: of the result
    int pitch, out_pitch;                                 // values from pixel to pixel
    int up, pad_y, pad_x, rank;
    float slope, clamp;  // clamp < 0: none
    float reach, most;   // oversampled values are at most `reach` |x|; above `most`, |x| SCALE may overflow
    const void *x;
    void *y;
    const float *bias;               // [channels], filled up with zeros to whole vectors
    const float *up_y, *up_x;        // [up][6], by phase
    const float *down_y, *down_x;    // [rank][12], [rank][6]: the other half mirrors it
    uint8_t *beyond;                 // [samples], set where |x| is larger than `most`
};

// Some blocks of LINE channels of some columns and rows of a result.
struct Part {
    int sample, block, blocks, left, right, top, bottom;
};

static int pixels_of(int columns, int up) { return whole((2 * columns + DOWN_TAPS) / up + 2, TOGETHER) + UP_TAPS; }

// How the work is cut: so many columns, and blocks of channels whose rows all stay in the second cache.
struct Cut {
    int columns, blocks;
    Cut(const Job &job, int line, int bytes) {
        const int all = (job.channels + line - 1) / line;
        const int widest = std::max(TILE / 2, std::min(TILE, TILE * 4 / (std::min(all, 8) * job.rank)));
        const int tiles = (job.columns + widest - 1) / widest;
        columns = (job.columns + tiles - 1) / tiles;
        const int ring = (AHEAD + job.up) * job.rank * whole(columns, TOGETHER);
        const int pixels = ROWS_OF_X * pixels_of(columns, job.up) + ring;
        const int most = std::max(1, CACHE / (pixels * line * bytes)), times = (all + most - 1) / most;
        blocks = (all + times - 1) / times;
    }
};

// The memory of one thread, and what it does with a part. Group g of oversampled rows (and of pixels of a row) are the
// `up` ones that are made of the rows g + 1 .. g + 6 of x; the first of them is number pad + up g + 1.
template <class K>
struct Worker : Passes<K> {
    typedef Passes<K> Does;
    typedef typename K::Value Value;
    typedef typename K::Given Given;
    static const int LINE = K::LINE;

    const Job &job;
    const int kept, of_ring;
    Rows<K> x, middle, high, ring, nothing;
    std::vector<typename K::Weight> down_y;
    std::vector<float> largest;
    Part part = {};
    int first = 0, pixels = 0, groups = 0, shift = 0, loaded = 0, made = 0;
    bool fits = true;

    Worker(const Job &job, const Cut &cut)
        : job(job), kept(AHEAD + job.up), of_ring(kept * job.rank),
          x(cut.blocks * ROWS_OF_X, pixels_of(cut.columns, job.up)), middle(2, pixels_of(cut.columns, job.up)),
          high(1, pixels_of(cut.columns, job.up) * job.up + 2 * TOGETHER + DOWN_TAPS),
          ring(cut.blocks * of_ring, whole(cut.columns, TOGETHER)), nothing(1, pixels_of(cut.columns, job.up)),
          largest(cut.blocks * ROWS_OF_X) {
        for (int k = 0; k < job.rank * DOWN_TAPS; k++)
            down_y.push_back(K::weight(job.down_y[k % job.rank * DOWN_TAPS + k / job.rank]));
    }

    int slot(int block, int row) const { return block * ROWS_OF_X + row % ROWS_OF_X; }

    Given *result(int row, int column, int block) const {
        const size_t pixel = ((size_t)part.sample * job.rows + row) * job.columns + column;
        return (Given *)job.y + pixel * job.out_pitch + (part.block + block) * LINE;
    }

    // Columns of a row of x that are there, and how many.
    typename Does::Fetch given(int row, int block) const {
        const int begin = std::max(0, first), end = std::min(first + pixels, job.width);
        const size_t pixel = ((size_t)part.sample * job.height + row) * job.width + begin;
        const Given *from = (const Given *)job.x + pixel * job.pitch + (part.block + block) * LINE;
        return {from, std::max(0, end - begin), (size_t)job.pitch};
    }

    // Reads a row of x, pixel by pixel as it lies in memory.
    void load(int row) {
        for (int b = 0; b < part.blocks; b++) {
            const int left = job.channels - (part.block + b) * LINE;
            const typename K::Bias bias(job.bias + (part.block + b) * LINE);
            typename K::Vector most = K::all(0);
            const typename Does::Fetch from = given(row, b);
            Value *out = x(slot(b, row)) + std::max(0, -first) * LINE;
            for (int k = 0; k < from.count; k++) {
                const typename K::Vector v = K::given(from.from + k * from.step, left, bias);
                most = K::largest(most, v);
                Does::put(v, out, k);
            }
            largest[slot(b, row)] = K::largest(most);
            fits = fits && largest[slot(b, row)] <= job.most;
        }
    }

    template <int UP>
    void bend_row(const Value *row, bool clamped) {
        const float clamp = job.clamp * K::SCALE;
        for (int phase = 0; phase < UP; phase += 2) {
            const float *weights = job.up_x + phase * UP_TAPS;
            Value *to = high(0) + phase * LINE;
            clamped ? Does::template up_along_x<UP, true>(row, weights, groups, job.slope, clamp, to)
                    : Does::template up_along_x<UP, false>(row, weights, groups, job.slope, clamp, to);
        }
    }

    void keep_row(int block, int number) {
        Value *out[MOST_RANK];
        for (int r = 0; r < job.rank; r++) out[r] = ring(block * of_ring + number % kept * job.rank + r);
        const Value *row = high(0) + shift * LINE;
        const int columns = whole(part.right - part.left, TOGETHER);
        // Two rows complete one of the result: where it will go, half of it with each of them.
        const int y = (number - DOWN_TAPS + 2) / 2, half = (part.right - part.left) / 2;
        typename Does::Fetch next = {nullptr, y >= part.top && y < part.bottom ? half : 0, (size_t)job.out_pitch};
        next.from = result(y, part.left + number % 2 * half, block);
        for (int r = 0; r < job.rank;) {
            const int left = job.rank - r, many = left > 4 ? 3 : left;
            const float *weights = job.down_x + r * DOWN_TAPS / 2;
            if (many == 1) Does::template down_along_x<1>(row, weights, columns, next, out + r);
            if (many == 2) Does::template down_along_x<2>(row, weights, columns, next, out + r);
            if (many == 3) Does::template down_along_x<3>(row, weights, columns, next, out + r);
            if (many == 4) Does::template down_along_x<4>(row, weights, columns, next, out + r);
            r += many, next.count = 0;
        }
    }

    // Makes a group of oversampled rows of a block, those of `begin .. end - 1`.
    void make(int block, int group, int begin, int end) {
        const Value *rows[UP_TAPS];
        float most = 0;
        for (int k = 0; k < UP_TAPS; k++) {
            const int r = group + 1 + k;
            const bool there = r >= 0 && r < job.height;
            rows[k] = there ? x(slot(block, r)) : nothing(0);
            if (there) most = std::max(most, largest[slot(block, r)]);
        }
        const bool clamped = job.clamp >= 0 && most * job.reach >= job.clamp * K::SCALE;
        for (int phase = 0; phase < job.up; phase += 2) {
            Value *const out[2] = {middle(0), middle(1)};
            typename Does::Fetch next = {};
            if (phase == 0 && loaded < job.height) next = given(loaded, block);
            Does::up_along_y(rows, job.up_y + phase * UP_TAPS, pixels, next, out);
            for (int j = 0; j < 2; j++) {
                const int number = job.pad_y + job.up * group + 1 + phase + j;
                if (number < begin || number >= end) continue;
                job.up == 2 ? bend_row<2>(out[j], clamped) : bend_row<4>(out[j], clamped);
                keep_row(block, number);
            }
        }
    }

    // The results from `row` on, TOGETHER rows, pixel by pixel as they lie in memory.
    void finish(int row, int end) {
        const int of_block = AHEAD * job.rank;
        std::vector<const Value *> lines(part.blocks * of_block);
        for (int b = 0; b < part.blocks; b++)
            for (int i = 0; i < of_block; i++) {
                const int number = std::min(2 * row + i / job.rank, end - 1);  // beyond are those of results left out
                lines[b * of_block + i] = ring(b * of_ring + number % kept * job.rank + i % job.rank);
            }
        const size_t of_column = job.out_pitch, of_row = of_column * job.columns;
        const int rows = std::min(TOGETHER, part.bottom - row), columns = part.right - part.left;
        for (int c = 0; c < columns; c += TOGETHER)
            for (int b = 0; b < part.blocks; b++)
                Does::down_along_y(lines.data() + b * of_block, down_y.data(), job.rank, c, rows, columns - c,
                                   result(row, part.left + c, b), of_row, of_column);
    }

    void start(const Part &next) {
        part = next;
        const int left = 2 * part.left - job.pad_x - 1, right = 2 * part.right + DOWN_TAPS - 3 - job.pad_x - 1;
        const int group = floor_div(left, job.up);
        first = group + 1, shift = left - job.up * group;
        groups = whole(floor_div(right, job.up) - group + 1, TOGETHER), pixels = groups + UP_TAPS - 1;
        std::memset(x(0), 0, x.length * ROWS_OF_X * part.blocks * sizeof(Value));
        made = floor_div(2 * part.top - job.pad_y - 1, job.up);
        loaded = std::max(0, made + 1);
    }

    // Returns whether all of x was small enough.
    bool run(const Part &next) {
        start(next);
        const int begin = 2 * part.top, end = 2 * part.bottom + DOWN_TAPS - 2;
        for (int row = part.top; row < part.bottom; row += TOGETHER) {
            const int last = floor_div(std::min(2 * row + AHEAD, end) - 1 - job.pad_y - 1, job.up);
            for (; made <= last; made++) {
                for (; loaded <= std::min(made + UP_TAPS, job.height - 1); loaded++) load(loaded);
                for (int b = 0; b < part.blocks; b++) make(b, made, begin, end);
            }
            finish(row, end);
        }
        return fits;
    }
};

// All parts, at least one a thread.
static std::vector<Part> parts(const Job &job, const Cut &cut, int line, int threads) {
    const int blocks = (job.channels + line - 1) / line, tiles = (job.columns + cut.columns - 1) / cut.columns;
    const int count = job.samples * tiles * ((blocks + cut.blocks - 1) / cut.blocks);
    const int bands = std::min((threads + count - 1) / count, (job.rows + TOGETHER - 1) / TOGETHER);
    const int rows = whole((job.rows + bands - 1) / bands, TOGETHER);
    std::vector<Part> found;
    for (int s = 0; s < job.samples; s++)
        for (int b = 0; b < blocks; b += cut.blocks)
            for (int t = 0; t < tiles; t++)
                for (int r = 0; r < job.rows; r += rows)
                    found.push_back({s, b, std::min(cut.blocks, blocks - b), cut.columns * t,
                                     std::min(cut.columns * (t + 1), job.columns), r, std::min(r + rows, job.rows)});
    return found;
}

template <class K>
static void work(const Job &job, int threads) {
    const Cut cut(job, K::LINE, sizeof(typename K::Value));
    const std::vector<Part> all = parts(job, cut, K::LINE, threads);
    in_threads((int)all.size(), threads, [&](int begin, int end) {
        Worker<K> worker(job, cut);
        for (int k = begin; k < end; k++) {
            worker.fits = true;
            if (!worker.run(all[k])) __atomic_store_n(job.beyond + all[k].sample, 1, __ATOMIC_RELAXED);
        }
    });
}

extern "C" void filtered_lrelu_pixels_of_floats(const Job *job, int threads) { work<Singles>(*job, threads); }

#ifdef HAS_HALVES

extern "C" void filtered_lrelu_pixels_of_halves(const Job *job, int threads) { work<Halves>(*job, threads); }
extern "C" int filtered_lrelu_pixels_has_halves() { return 1; }

#else

extern "C" void filtered_lrelu_pixels_of_halves(const Job *, int) {}
extern "C" int filtered_lrelu_pixels_has_halves() { return 0; }

#endif
