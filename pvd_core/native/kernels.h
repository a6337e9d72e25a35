// Products of gathered rows in registers. Included once for each level of instructions, inside a namespace of its own,
// with PVD_TARGET (function attribute), PVD_VECTOR (bytes of a vector), PVD_NAME, PVD_HAS_DOT where the processor
// multiplies pairs of bfloat16, and PVD_HAS_TILES where it has a matrix unit for them.
//
// A block of output rows at a time: its sums stay in the cache. For each row of taps the outputs are sorted by which
// taps meet a site; a run of taps that meet successive sites is one longer row of the product. A product takes up to
// ROWS rows by two vectors of columns in registers. An output's sums are added in the same order whatever the block,
// so results do not depend on the number of threads.
//
// A tile is one or two vectors of output channels. Packed weights, sums and blocks of gradients lie tile by tile.

typedef float Vec __attribute__((vector_size(PVD_VECTOR)));
typedef float VecInMemory __attribute__((vector_size(PVD_VECTOR), aligned(4), may_alias));
constexpr int LANES = PVD_VECTOR / 4;
constexpr int TILE = 2 * LANES;
constexpr int ROWS = PVD_VECTOR == 64 ? 8 : 6;  // of a product with two vectors: sums fill the registers
constexpr int MOST_ROWS = 8;                    // of a product with one vector
constexpr int64_t BLOCK_BYTES = 1 << 19;        // of a block's sums; each block reads all weights

#define PVD_INLINE PVD_TARGET static inline __attribute__((always_inline))

PVD_INLINE Vec load(const void *from) {
    return *static_cast<const VecInMemory *>(from);
}

PVD_INLINE void store(float *to, Vec value) { *reinterpret_cast<VecInMemory *>(to) = value; }

PVD_INLINE float widened(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float result;
    __builtin_memcpy(&result, &bits, 4);
    return result;
}

// To nearest, ties to even; NaN stays NaN.
PVD_INLINE uint16_t rounded(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    if (value != value) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// exp(x) to about 1e-7 for x between -87 and 87, beyond them as there; in steps that compilers vectorise. NaN stays NaN.
PVD_INLINE float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    constexpr float magic = 12582912.0f;  // 1.5 * 2^23: its last bits are the integer that was added
    const float shifted = x * 1.44269504f + magic;
    const float whole = shifted - magic;
    float rest = x - whole * 0.693359375f;
    rest = rest - whole * -2.12194440e-4f;
    float power = 1.9875691500e-4f;
    power = power * rest + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
    int32_t bits, magic_bits;
    __builtin_memcpy(&bits, &shifted, 4);
    __builtin_memcpy(&magic_bits, &magic, 4);
    // Unsigned, for a NaN leaves bits of any size here; its power is NaN.
    const uint32_t exponent = (static_cast<uint32_t>(bits) - static_cast<uint32_t>(magic_bits) + 127u) << 23;
    float scale;
    __builtin_memcpy(&scale, &exponent, 4);
    return power * scale;
}

// Operands of products: `Stored` values in memory, `Value` in rows that enter a product, `Unit` in packed weights, which
// holds the channels of one step.

// float32, one channel a step.
struct Single {
    using Stored = float;
    using Value = float;
    using Unit = float;
    static constexpr int32_t type = FLOAT32;
    static constexpr int channels = 1, parts = 1;
    PVD_INLINE Vec add_product(Vec sums, Unit value, const Unit *column) { return sums + value * load(column); }
};

#ifdef PVD_HAS_DOT
// bfloat16, two channels a step, sums in float32.
struct Pair {
    using Stored = uint16_t;
    using Value = uint32_t;
    using Unit = uint32_t;
    static constexpr int32_t type = BFLOAT16;
    static constexpr int channels = 2, parts = 1;
    PVD_INLINE Vec add_product(Vec sums, Unit value, const Unit *column) {
        return reinterpret_cast<Vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sums),
                                                      reinterpret_cast<__m512bh>(_mm512_set1_epi32(value)),
                                                      reinterpret_cast<__m512bh>(_mm512_loadu_si512(column))));
    }
};
#endif

#ifdef PVD_HAS_TILES
// float32, two channels a step of products of bfloat16: each value is a sum of three of these.
struct Split {
    using Stored = float;
    using Value = float;
    using Unit = uint32_t;
    static constexpr int32_t type = FLOAT32;
    static constexpr int channels = 2, parts = 3;
};

// Whether rows of so many channels fill tiles.
static bool is_split(int64_t channels) { return channels % 16 == 0; }
#endif

#if PVD_VECTOR == 64
// The first `count` of sixteen lanes, or all.
PVD_INLINE __mmask16 first_lanes(int64_t count) {
    return static_cast<__mmask16>(count >= LANES ? 0xffff : (1u << count) - 1);
}

// Sixteen numbers from `first` on.
PVD_INLINE __m512i numbers_from(int64_t first) {
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(places, _mm512_set1_epi32(static_cast<int32_t>(first)));
}

// Writes the rows and the places that `mask` has, side by side, and whatever behind them. Returns how many.
PVD_INLINE int32_t append(__mmask16 mask, __m512i row, __m512i place, int32_t *rows, int32_t *places) {
    _mm512_storeu_si512(rows, _mm512_maskz_compress_epi32(mask, row));
    _mm512_storeu_si512(places, _mm512_maskz_compress_epi32(mask, place));
    return __builtin_popcount(mask);
}
#endif

template <class Ops>
PVD_INLINE int64_t units(int64_t channels) {
    return (channels + Ops::channels - 1) / Ops::channels;
}

// ---------------------------------------------------------------------------------------------- tiles of channels

PVD_INLINE int64_t num_tiles(int64_t channels) { return (channels + TILE - 1) / TILE; }

// Width of a tile, in lanes: the last one has a single vector where that is enough.
PVD_INLINE int64_t tile_width(int64_t tile, int64_t channels) {
    return channels - tile * TILE <= LANES ? LANES : TILE;
}

// Channels of all tiles, with the padding of the last.
PVD_INLINE int64_t padded(int64_t channels) {
    const int64_t last = num_tiles(channels) - 1;
    return last * TILE + tile_width(last, channels);
}

// ------------------------------------------------------------------------------------------- products in registers

template <class Ops>
using Multiply = void (*)(const typename Ops::Value *const *rows, const typename Ops::Unit *panel, int64_t depth,
                          float *const *sums);

// sums[r] += rows[r] @ panel, for R rows of `depth` units and a panel of W vectors of columns; FRESH sums are zero before,
// whatever their memory holds.
template <class Ops, int R, int W, bool FRESH>
PVD_TARGET static void multiply(const typename Ops::Value *const *rows, const typename Ops::Unit *panel, int64_t depth,
                                float *const *sums) {
    Vec sum[R][W];
    const typename Ops::Value *row[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        row[r] = rows[r];
#pragma GCC unroll 2
        for (int w = 0; w < W; ++w) sum[r][w] = FRESH ? Vec{} : load(sums[r] + w * LANES);
    }
    for (int64_t step = 0; step < depth; ++step, panel += W * LANES) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const typename Ops::Value value = row[r][step];
#pragma GCC unroll 2
            for (int w = 0; w < W; ++w) sum[r][w] = Ops::add_product(sum[r][w], value, panel + w * LANES);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int w = 0; w < W; ++w) store(sums[r] + w * LANES, sum[r][w]);
    }
}

template <class Ops, int W, bool FRESH>
PVD_INLINE Multiply<Ops> multiply_of(int rows) {
    static constexpr Multiply<Ops> all[MOST_ROWS + 1] = {
        nullptr,
        multiply<Ops, 1, W, FRESH>, multiply<Ops, 2, W, FRESH>, multiply<Ops, 3, W, FRESH>, multiply<Ops, 4, W, FRESH>,
        multiply<Ops, 5, W, FRESH>, multiply<Ops, 6, W, FRESH>, multiply<Ops, 7, W, FRESH>, multiply<Ops, 8, W, FRESH>};
    return all[rows];
}

#ifdef PVD_HAS_TILES
#include "matrix_unit.h"
#endif

// Adds the products of `count` rows to the sums of their outputs. `first_unit`: where the first tap of these rows begins
// in a tile of the packed weight; `all_units`: of all taps; both over the width of a tile.
template <class Ops, bool FRESH>
PVD_TARGET static void multiply_rows(const typename Ops::Value *const *rows, const int32_t *locals, int64_t count,
                                     int64_t depth, const typename Ops::Unit *packed, int64_t first_unit,
                                     int64_t all_units, int64_t out_channels, float *sums, int64_t block_rows) {
#ifdef PVD_HAS_TILES
    if constexpr (Ops::channels == 2) {
        if (Ops::parts > 1 || suits_tiles(depth))
            return multiply_rows_in_tiles<Ops, FRESH>(rows, locals, count, depth, packed, first_unit, all_units,
                                                      out_channels, sums, block_rows);
    }
#endif
    if constexpr (Ops::parts == 1) {
        for (int64_t tile = 0, tiles = num_tiles(out_channels); tile < tiles; ++tile) {
            const int64_t width = tile_width(tile, out_channels);
            const typename Ops::Unit *panel = packed + tile * TILE * all_units + first_unit * width;
            float *tile_sums = sums + tile * TILE * block_rows;
            const int most = width == TILE ? ROWS : MOST_ROWS;
            for (int64_t start = 0; start < count; start += most) {
                const int some = static_cast<int>(count - start < most ? count - start : most);
                float *targets[MOST_ROWS];
                for (int r = 0; r < some; ++r) targets[r] = tile_sums + locals[start + r] * width;
                (width == TILE ? multiply_of<Ops, 2, FRESH>(some) : multiply_of<Ops, 1, FRESH>(some))(
                    rows + start, panel, depth, targets);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------- packed weights

// The bits of the next bfloat16 that `value` is a sum of, and what is left of it.
PVD_INLINE uint16_t take_part(float &value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    const uint16_t part = static_cast<uint16_t>(bits >> 16);
    value -= widened(part);
    return part;
}

// One tile of one tap: panel number `number` of all. All panels of a tile lie together, and all of a part before the next
// part of the tile.
template <class Ops>
PVD_TARGET static void pack_panel(const float *weight, const int64_t *strides, int64_t taps, int64_t in_channels,
                                  int64_t out_channels, bool reverses_taps, int64_t number,
                                  typename Ops::Unit *packed) {
    const int64_t tile = number / taps, tap = number % taps, first = tile * TILE, width = tile_width(tile, out_channels);
    const int64_t columns = out_channels - first < width ? out_channels - first : width;
    const float *matrix = weight + (reverses_taps ? taps - 1 - tap : tap) * strides[0] + first * strides[2];
    const int64_t part_units = taps * width * units<Ops>(in_channels);
    packed += (first * taps * Ops::parts + tap * width) * units<Ops>(in_channels);
    float values[Ops::channels][TILE] = {};
    for (int64_t step = 0; step < units<Ops>(in_channels); ++step, packed += width) {
        for (int64_t channel = 0; channel < Ops::channels; ++channel) {
            const int64_t in = step * Ops::channels + channel;
            const float *row = matrix + in * strides[1];
            if (in >= in_channels)
                for (int64_t c = 0; c < columns; ++c) values[channel][c] = 0;
            else if (strides[2] == 1)
                for (int64_t c = 0; c < columns; ++c) values[channel][c] = row[c];
            else
                for (int64_t c = 0; c < columns; ++c) values[channel][c] = row[c * strides[2]];
        }
        for (int64_t part = 0; part < Ops::parts; ++part) {
            typename Ops::Unit *to = packed + part * part_units;
            if constexpr (Ops::channels == 1)
                for (int64_t c = 0; c < width; ++c) to[c] = values[0][c];
            else if constexpr (Ops::parts == 1)
                for (int64_t c = 0; c < width; ++c)
                    to[c] = rounded(values[0][c]) | static_cast<uint32_t>(rounded(values[1][c])) << 16;
            else
                for (int64_t c = 0; c < width; ++c)
                    to[c] = take_part(values[0][c]) | static_cast<uint32_t>(take_part(values[1][c])) << 16;
        }
    }
}

template <class Ops>
PVD_TARGET static void pack_as(const float *weight, const int64_t *strides, int32_t taps, int32_t in_channels,
                               int32_t out_channels, int32_t reverses_taps, void *packed, int threads) {
    auto work = [&](int64_t number) {
        pack_panel<Ops>(weight, strides, taps, in_channels, out_channels, reverses_taps, number,
                        static_cast<typename Ops::Unit *>(packed));
    };
    parallel((out_channels + TILE - 1) / TILE * taps, threads, work);
}

// ------------------------------------------------------------------------------------------ rows that enter products

// Channels of one row, as products read them.
template <class Ops>
PVD_INLINE void convert(const void *source, int32_t type, int64_t channels, typename Ops::Value *to) {
    const float *singles = static_cast<const float *>(source);
    const uint16_t *halves = static_cast<const uint16_t *>(source);
    if constexpr (Ops::channels == 1) {
        if (type == FLOAT32)
            for (int64_t i = 0; i < channels; ++i) to[i] = singles[i];
        else
            for (int64_t i = 0; i < channels; ++i) to[i] = widened(halves[i]);
    } else {
        for (int64_t i = 0; i < channels; i += 2) {
            const uint32_t low = type == FLOAT32 ? rounded(singles[i]) : halves[i];
            const uint32_t high = i + 1 == channels ? 0 : type == FLOAT32 ? rounded(singles[i + 1]) : halves[i + 1];
            to[i / 2] = low | high << 16;
        }
    }
}

// Whether rows of this type lie in memory as the product reads them.
template <class Ops>
PVD_INLINE bool is_direct(int32_t type, int64_t channels) {
    return Ops::parts > 1 || (type == Ops::type && channels % Ops::channels == 0);
}

// Pointers to runs of `taps` successive rows, converted into `space` where they do not lie there as they are read.
template <class Ops>
PVD_TARGET static void find_rows(const void *features, int32_t type, int64_t channels, const int32_t *first,
                                 int64_t count, int64_t taps, typename Ops::Value *space,
                                 const typename Ops::Value **rows) {
    const int64_t bytes = channels * (type == FLOAT32 ? 4 : 2), depth = units<Ops>(channels);
    for (int64_t n = 0; n < count; ++n) {
        const char *source = static_cast<const char *>(features) + first[n] * bytes;
        if (is_direct<Ops>(type, channels)) {
            rows[n] = reinterpret_cast<const typename Ops::Value *>(source);
            continue;
        }
        rows[n] = space;
        for (int64_t tap = 0; tap < taps; ++tap, space += depth)
            convert<Ops>(source + tap * bytes, type, channels, space);
    }
}

// ------------------------------------------------------------------------------------------------------ convolution

// Which taps of a row of three make a run, by the bits of those that meet a site; bits 101 make two runs.
struct Run {
    int first, taps;
};
constexpr Run RUNS[6] = {{0, 1}, {1, 1}, {2, 1}, {0, 2}, {1, 2}, {0, 3}};

// Output rows of a block, at most `LARGEST`; of a small layer so many that each thread gets two blocks.
constexpr int64_t LARGEST = 1024;

PVD_INLINE int64_t rows_of_block(const Convolution &call) {
    const int64_t fitting = BLOCK_BYTES / 4 / padded(call.out_channels), blocks = call.threads < 1 ? 2 : 2 * call.threads;
    const int64_t shared = (call.num_out + blocks - 1) / blocks, rows = (fitting < shared ? fitting : shared) / 8 * 8;
    return rows < 64 ? 64 : rows > LARGEST ? LARGEST : rows;
}

// The runs of a block under one row of taps: first input row and output row within the block, by kind of run.
struct Runs {
    int32_t count[6];
    int32_t first[6][LARGEST + LANES], local[6][LARGEST + LANES];  // room for a whole vector behind the last

    PVD_TARGET void find(const int32_t *cells, int64_t num_cells) {
        for (int kind = 0; kind < 6; ++kind) count[kind] = 0;
        int64_t n = 0;
#if PVD_VECTOR == 64
        for (; n + LANES <= num_cells; n += LANES) {
            const __m512i cell = _mm512_loadu_si512(cells + n), bits = _mm512_and_si512(cell, _mm512_set1_epi32(7));
            const __m512i row = _mm512_srli_epi32(cell, 3), place = numbers_from(n), one = _mm512_set1_epi32(1);
            const __mmask16 two_runs = those(bits, 5);
            const __m512i row_of_last = _mm512_mask_add_epi32(row, two_runs, row, one);
            add(0, those(bits, 1) | two_runs, row, place);
            add(1, those(bits, 2), row, place);
            add(2, those(bits, 4) | two_runs, row_of_last, place);
            add(3, those(bits, 3), row, place);
            add(4, those(bits, 6), row, place);
            add(5, those(bits, 7), row, place);
        }
#endif
        // Kind of run for the bits of a cell; 0 meets nothing and is overwritten by the next.
        static constexpr int8_t kinds[8] = {0, 0, 1, 3, 2, 0, 4, 5};
        for (; n < num_cells; ++n) {
            const int32_t cell = cells[n], bits = cell & 7;
            const int kind = kinds[bits];
            first[kind][count[kind]] = cell >> 3;
            local[kind][count[kind]] = static_cast<int32_t>(n);
            count[kind] += bits != 0;
            first[2][count[2]] = (cell >> 3) + 1;
            local[2][count[2]] = static_cast<int32_t>(n);
            count[2] += bits == 5;
        }
    }

#if PVD_VECTOR == 64
  private:
    PVD_TARGET static inline __mmask16 those(__m512i bits, int wanted) {
        return _mm512_cmpeq_epi32_mask(bits, _mm512_set1_epi32(wanted));
    }

    PVD_TARGET inline void add(int kind, unsigned mask, __m512i row, __m512i place) {
        const int32_t found = count[kind];
        count[kind] += append(static_cast<__mmask16>(mask), row, place, first[kind] + found, local[kind] + found);
    }
#endif
};

// The steps of an epilogue with a value for every channel of every tile, so that none has to be asked for.
struct Finish {
    float *bias, *scale, *shift;
    float slope, last_slope;

    PVD_TARGET Finish(const Epilogue &epilogue, int64_t channels, float *space) {
        const int64_t size = padded(channels);
        bias = space, scale = space + size, shift = space + 2 * size;
        for (int64_t c = 0; c < size; ++c) {
            bias[c] = epilogue.bias && c < channels ? epilogue.bias[c] : 0;
            scale[c] = epilogue.scale && c < channels ? epilogue.scale[c] : 1;
            shift[c] = epilogue.shift && c < channels ? epilogue.shift[c] : 0;
        }
        slope = epilogue.has_slope && !epilogue.activates_last ? epilogue.negative_slope : 1;
        last_slope = epilogue.has_slope && epilogue.activates_last ? epilogue.negative_slope : 1;
    }

    // One vector of sums, from channel `c` on, and what is added to it.
    PVD_INLINE Vec of(Vec sums, int64_t c, Vec added, const Finish &f) {
        sums += load(f.bias + c);
        const Vec scaled = sums * f.slope;
        sums = sums >= 0 ? sums : scaled;
        sums = sums * load(f.scale + c) + load(f.shift + c) + added;
        const Vec last = sums * f.last_slope;
        return sums >= 0 ? sums : last;
    }
};

// The first `count` values of a vector, or all of it, from `place` on of values of that type.
PVD_INLINE Vec load_as(int32_t type, const void *from, int64_t place, int64_t count) {
    const float *singles = static_cast<const float *>(from) + place;
    const uint16_t *halves = static_cast<const uint16_t *>(from) + place;
    if (type == FLOAT32 && count >= LANES) return load(singles);
#ifdef PVD_HAS_DOT
    if (type == BFLOAT16) {
        const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(count), halves));
        return reinterpret_cast<Vec>(_mm512_slli_epi32(wide, 16));
    }
#endif
    float values[LANES] = {};
    for (int64_t c = 0; c < count && c < LANES; ++c) values[c] = type == FLOAT32 ? singles[c] : widened(halves[c]);
    return load(values);
}

PVD_INLINE void store_as(int32_t type, void *to, int64_t place, int64_t count, Vec value) {
    float *singles = static_cast<float *>(to) + place;
    uint16_t *halves = static_cast<uint16_t *>(to) + place;
    if (type == FLOAT32 && count >= LANES) return store(singles, value);
#ifdef PVD_HAS_DOT
    if (type == BFLOAT16) {
        const __m256bh narrow = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(value));
        return _mm256_mask_storeu_epi16(halves, first_lanes(count), reinterpret_cast<__m256i>(narrow));
    }
#endif
    float values[LANES];
    store(values, value);
    for (int64_t c = 0; c < count && c < LANES; ++c) {
        if (type == FLOAT32)
            singles[c] = values[c];
        else
            halves[c] = rounded(values[c]);
    }
}

// Writes the sums of `count` rows, from `row` on, to the result. `added` as the result, or null.
PVD_TARGET static void finish(const float *sums, int64_t block_rows, int64_t row, int64_t count, int64_t channels,
                              const Finish &steps, const void *added, int32_t type, void *result) {
    for (int64_t tile = 0; tile < num_tiles(channels); ++tile) {
        const int64_t width = tile_width(tile, channels), start = tile * TILE;
        for (int64_t n = 0; n < count; ++n) {
            const float *from = sums + start * block_rows + n * width;
            for (int64_t c = 0; c < width && start + c < channels; c += LANES) {
                const int64_t place = (row + n) * channels + start + c, some = channels - start - c;
                const Vec more = added ? load_as(type, added, place, some) : Vec{};
                store_as(type, result, place, some, Finish::of(load(from + c), start + c, more, steps));
            }
        }
    }
}

template <class Ops>
PVD_TARGET static void convolve_block(const Convolution &call, int64_t block_rows, int64_t block) {
    using Value = typename Ops::Value;
    const int64_t start = block * block_rows;
    const int64_t count = call.num_out - start < block_rows ? call.num_out - start : block_rows;
    const int64_t depth = units<Ops>(call.in_channels), all_units = depth * call.num_rows * call.row_length;
    const int64_t num_sums = padded(call.out_channels) * block_rows;
    thread_local Scratch sums_space, runs_space, pointers_space, rows_space, steps_space;
    float *sums = sums_space.get<float>(num_sums);
    Runs &runs = *runs_space.get<Runs>(1);
    const Value **rows = pointers_space.get<const Value *>(block_rows);
    const bool converts = !is_direct<Ops>(call.type, call.in_channels);
    Value *space = converts ? rows_space.get<Value>(block_rows * 3 * depth) : nullptr;
    __builtin_memset(sums, 0, num_sums * sizeof(float));
    for (int64_t number = 0; number < call.num_rows; ++number) {
        runs.find(call.tap_rows + number * call.num_out + start, count);
        for (int kind = 0; kind < (call.row_length == 1 ? 1 : 6); ++kind) {
            if (runs.count[kind] == 0) continue;
            const int64_t taps = RUNS[kind].taps;
            find_rows<Ops>(call.features, call.type, call.in_channels, runs.first[kind], runs.count[kind], taps, space,
                           rows);
            multiply_rows<Ops, false>(rows, runs.local[kind], runs.count[kind], taps * depth,
                               static_cast<const typename Ops::Unit *>(call.packed),
                               (number * call.row_length + RUNS[kind].first) * depth, all_units, call.out_channels,
                               sums, block_rows);
        }
    }
    const Finish steps(call.epilogue, call.out_channels, steps_space.get<float>(3 * padded(call.out_channels)));
    finish(sums, block_rows, start, count, call.out_channels, steps, call.epilogue.added, call.type, call.result);
}

template <class Ops>
PVD_TARGET static void convolve_as(const Convolution &call) {
    const int64_t block_rows = rows_of_block(call);
    auto work = [&](int64_t block) { convolve_block<Ops>(call, block_rows, block); };
    parallel((call.num_out + block_rows - 1) / block_rows, call.threads, work);
}

// -------------------------------------------------------------------------------------------- gradient of the weight

// sums (R, W vectors) += outer products of R channels of each row and a tile of its gradient.
template <class Ops, int R, int W>
PVD_TARGET static void add_outer(const typename Ops::Unit *const *rows, int64_t first_channel,
                                 const typename Ops::Unit *tile, const int32_t *locals, int64_t count, float *sums,
                                 int64_t stride) {
    Vec sum[R][W];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int w = 0; w < W; ++w) sum[r][w] = load(sums + r * stride + w * LANES);
    }
    for (int64_t n = 0; n < count; ++n) {
        const typename Ops::Unit *row = rows[n] + first_channel;
        const typename Ops::Unit *column = tile + static_cast<int64_t>(locals[n]) * W * LANES;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
            for (int w = 0; w < W; ++w) sum[r][w] = Ops::add_product(sum[r][w], row[r], column + w * LANES);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int w = 0; w < W; ++w) store(sums + r * stride + w * LANES, sum[r][w]);
    }
}

template <class Ops>
using AddOuter = void (*)(const typename Ops::Unit *const *, int64_t, const typename Ops::Unit *, const int32_t *,
                          int64_t, float *, int64_t);

template <class Ops, int W>
PVD_INLINE AddOuter<Ops> add_outer_of(int rows) {
    static constexpr AddOuter<Ops> all[MOST_ROWS + 1] = {
        nullptr,
        add_outer<Ops, 1, W>, add_outer<Ops, 2, W>, add_outer<Ops, 3, W>, add_outer<Ops, 4, W>,
        add_outer<Ops, 5, W>, add_outer<Ops, 6, W>, add_outer<Ops, 7, W>, add_outer<Ops, 8, W>};
    return all[rows];
}

// The pairs of a block under the taps of one row of taps.
struct Pairs {
    int32_t count[3];
    int32_t first[3][LARGEST + LANES], local[3][LARGEST + LANES];  // room for a whole vector behind the last

    PVD_TARGET void find(const int32_t *cells, int64_t num_cells, int taps) {
        for (int tap = 0; tap < taps; ++tap) {
            int32_t found = 0;
            int64_t n = 0;
#if PVD_VECTOR == 64
            for (; n + LANES <= num_cells; n += LANES) {
                const __m512i cell = _mm512_loadu_si512(cells + n), one = _mm512_set1_epi32(1);
                const __mmask16 mask = _mm512_test_epi32_mask(cell, _mm512_set1_epi32(1 << tap));
                __m512i row = _mm512_srli_epi32(cell, 3);
                if (tap > 0) row = _mm512_add_epi32(row, _mm512_and_si512(cell, one));
                if (tap > 1) row = _mm512_add_epi32(row, _mm512_and_si512(_mm512_srli_epi32(cell, 1), one));
                found += append(mask, row, numbers_from(n), first[tap] + found, local[tap] + found);
            }
#endif
            for (; n < num_cells; ++n) {
                const int32_t cell = cells[n], before = tap == 0 ? 0 : tap == 1 ? cell & 1 : (cell & 1) + (cell >> 1 & 1);
                first[tap][found] = (cell >> 3) + before;
                local[tap][found] = static_cast<int32_t>(n);
                found += cell >> tap & 1;
            }
            count[tap] = found;
        }
    }
};

// Output rows are cut into parts and input channels into ranges. A task adds up one range over one part, in order of
// the rows; the parts are added in their order afterwards. Neither depends on the number of threads.
constexpr int64_t MOST_PARTS = 8, PART_ROWS = 4096;

// Rows of a block, and channels of a range. In registers a block's rows of a tile and of six channels fit the first cache
// together; the matrix unit has the sums of more channels at hand and is fast enough for the second cache to do.
template <class Ops> constexpr int64_t GRADIENT_ROWS = 256;
template <class Ops> constexpr int64_t RANGE = 48;
#ifdef PVD_HAS_TILES
template <> constexpr int64_t GRADIENT_ROWS<Pair> = LARGEST;
template <> constexpr int64_t GRADIENT_ROWS<Split> = LARGEST / 2;
template <> constexpr int64_t RANGE<Pair> = 64;
template <> constexpr int64_t RANGE<Split> = 128;
#endif

// Sums of one range of channels: for each tap of a block the rows that meet a site, and for each its place among the rows
// of a tile of gradients.
template <class Ops>
class Outer {
  public:
    using Unit = typename Ops::Unit;
    static constexpr int64_t BLOCK_ROWS = GRADIENT_ROWS<Ops>;

    PVD_TARGET Outer(const WeightGradient &call, int64_t first_channel, int64_t channels)
        : call_(call), first_(first_channel), range_(channels) {
        thread_local Scratch pointers, space, tiles;
        pointers_ = pointers.template get<const Unit *>(GRADIENT_ROWS<Ops>);
        const bool converts = Ops::channels == 2 || call.type != FLOAT32;
        space_ = converts ? space.template get<Unit>(GRADIENT_ROWS<Ops> * call.in_channels) : nullptr;
        tiles_ = tiles.template get<Unit>(GRADIENT_ROWS<Ops> * padded(call.out_channels));
    }

    // Gradients of a block of `count` output rows, before any of its taps.
    PVD_TARGET void take_block(int64_t start, int64_t count) {
        start_ = start;
        if constexpr (Ops::channels == 1) {
            for (int64_t tile = 0; tile < num_tiles(call_.out_channels); ++tile) {
                const int64_t width = tile_width(tile, call_.out_channels), first = tile * TILE;
                const int64_t some = call_.out_channels - first < width ? call_.out_channels - first : width;
                for (int64_t n = 0; n < count; ++n) {
                    Unit *to = tiles_ + first * GRADIENT_ROWS<Ops> + n * width;
                    const int64_t place = (start + n) * call_.out_channels + first;
                    const char *gradient = static_cast<const char *>(call_.gradient);
                    convert<Ops>(gradient + place * (call_.type == FLOAT32 ? 4 : 2), call_.type, some, to);
                    for (int64_t c = some; c < width; ++c) to[c] = 0;
                }
            }
        }
    }

    // In bfloat16 two pairs make a row: of each channel a unit holds both values. A pair that is left over has zeros.
    PVD_TARGET void take_tap(const int32_t *first, const int32_t *local, int64_t pairs) {
        if constexpr (Ops::channels == 1) {
            find_rows<Ops>(call_.features, call_.type, call_.in_channels, first, pairs, 1, space_, pointers_);
            locals_ = local;
            count_ = pairs;
        } else {
            const uint16_t *features = static_cast<const uint16_t *>(call_.features) + first_;
            const uint16_t *gradient = static_cast<const uint16_t *>(call_.gradient) + start_ * call_.out_channels;
            count_ = (pairs + 1) / 2;
            for (int64_t n = 0; n < count_; ++n) {
                const bool is_odd = 2 * n + 1 == pairs;
                const int64_t other = is_odd ? 2 * n : 2 * n + 1;
                const uint32_t mask = is_odd ? 0xffff : 0xffffffff;
                Unit *row = space_ + n * range_;
                interleave(features + static_cast<int64_t>(first[2 * n]) * call_.in_channels,
                           features + static_cast<int64_t>(first[other]) * call_.in_channels, range_, mask, row);
                pointers_[n] = row;
                for (int64_t tile = 0; tile < num_tiles(call_.out_channels); ++tile) {
                    const int64_t width = tile_width(tile, call_.out_channels), begin = tile * TILE;
                    const int64_t some = call_.out_channels - begin < width ? call_.out_channels - begin : width;
                    Unit *to = tiles_ + begin * GRADIENT_ROWS<Ops> + n * width;
                    interleave(gradient + static_cast<int64_t>(local[2 * n]) * call_.out_channels + begin,
                               gradient + static_cast<int64_t>(local[other]) * call_.out_channels + begin, some, mask,
                               to);
                    for (int64_t c = some; c < width; ++c) to[c] = 0;
                }
                places_[n] = static_cast<int32_t>(n);
            }
            locals_ = places_;
        }
    }

    // Adds the tap's products to `matrix` (channels, outs).
    PVD_TARGET void add_to(float *matrix, int64_t outs) const {
        const int64_t begin = Ops::channels == 2 ? 0 : first_;  // where the range's channels begin in a row
        for (int64_t tile = 0; tile < num_tiles(call_.out_channels); ++tile) {
            const int64_t width = tile_width(tile, call_.out_channels);
            const int most = width == TILE ? ROWS : MOST_ROWS;
            for (int64_t channel = 0; channel < range_; channel += most) {
                const int some = static_cast<int>(range_ - channel < most ? range_ - channel : most);
                (width == TILE ? add_outer_of<Ops, 2>(some) : add_outer_of<Ops, 1>(some))(
                    pointers_, begin + channel, tiles_ + tile * TILE * GRADIENT_ROWS<Ops>, locals_, count_,
                    matrix + channel * outs + tile * TILE, outs);
            }
        }
    }

  private:
    PVD_INLINE void interleave(const uint16_t *low, const uint16_t *high, int64_t channels, uint32_t mask, Unit *to) {
        for (int64_t c = 0; c < channels; ++c)
            to[c] = static_cast<Unit>((low[c] | static_cast<uint32_t>(high[c]) << 16) & mask);
    }

    const WeightGradient &call_;
    int64_t first_, range_, start_ = 0, count_ = 0;
    const int32_t *locals_ = nullptr;
    const Unit **pointers_;
    Unit *space_, *tiles_;
    int32_t places_[GRADIENT_ROWS<Ops> / 2];
};

// One range of channels over one part of the rows.
template <class Outers>
PVD_TARGET static void add_up(const WeightGradient &call, int64_t first_channel, int64_t channels, int64_t first_block,
                              int64_t end, float *partial) {
    const int64_t ins = call.in_channels, outs = padded(call.out_channels), taps = call.row_length;
    thread_local Scratch pairs_space;
    Pairs &pairs = *pairs_space.get<Pairs>(1);
    Outers outers(call, first_channel, channels);
    for (int64_t block = first_block; block < end; ++block) {
        const int64_t start = block * Outers::BLOCK_ROWS;
        const int64_t count = call.num_out - start < Outers::BLOCK_ROWS ? call.num_out - start : Outers::BLOCK_ROWS;
        outers.take_block(start, count);
        for (int64_t number = 0; number < call.num_rows; ++number) {
            pairs.find(call.tap_rows + number * call.num_out + start, count, call.row_length);
            for (int64_t tap = 0; tap < taps; ++tap) {
                if (pairs.count[tap] == 0) continue;
                outers.take_tap(pairs.first[tap], pairs.local[tap], pairs.count[tap]);
                outers.add_to(partial + ((number * taps + tap) * ins + first_channel) * outs, outs);
            }
        }
    }
}

#ifdef PVD_HAS_TILES
#include "matrix_unit_gradient.h"
#endif

template <class Ops>
PVD_TARGET static void weight_gradient_task(const WeightGradient &call, float *partials, int64_t num_parts,
                                            int64_t num_ranges, int64_t task) {
    const int64_t part = task / num_ranges, first_channel = task % num_ranges * RANGE<Ops>;
    const int64_t ins = call.in_channels, outs = padded(call.out_channels);
    const int64_t taps = static_cast<int64_t>(call.row_length) * call.num_rows;
    const int64_t channels = ins - first_channel < RANGE<Ops> ? ins - first_channel : RANGE<Ops>;
    const int64_t num_blocks = (call.num_out + GRADIENT_ROWS<Ops> - 1) / GRADIENT_ROWS<Ops>;
    const int64_t blocks_a_part = (num_blocks + num_parts - 1) / num_parts, first_block = part * blocks_a_part;
    const int64_t end = first_block + blocks_a_part < num_blocks ? first_block + blocks_a_part : num_blocks;
    float *partial = partials + part * taps * ins * outs;
    for (int64_t tap = 0; tap < taps; ++tap)
        __builtin_memset(partial + (tap * ins + first_channel) * outs, 0, channels * outs * sizeof(float));
#ifdef PVD_HAS_TILES
    if constexpr (Ops::channels == 2) {
        if (Ops::parts > 1 || suits_tiles(channels))
            return add_up<OuterInTiles<Ops>>(call, first_channel, channels, first_block, end, partial);
    }
#endif
    if constexpr (Ops::parts == 1) add_up<Outer<Ops>>(call, first_channel, channels, first_block, end, partial);
}

template <class Ops>
PVD_TARGET static void weight_gradient_as(const WeightGradient &call) {
    const int64_t ins = call.in_channels, outs = padded(call.out_channels);
    const int64_t taps = static_cast<int64_t>(call.row_length) * call.num_rows;
    int64_t num_parts = (call.num_out + PART_ROWS - 1) / PART_ROWS;
    num_parts = num_parts < 1 ? 1 : num_parts > MOST_PARTS ? MOST_PARTS : num_parts;
    const int64_t num_ranges = (ins + RANGE<Ops> - 1) / RANGE<Ops>;
    Scratch space;
    float *partials = space.get<float>(num_parts * taps * ins * outs);
    auto work = [&](int64_t task) { weight_gradient_task<Ops>(call, partials, num_parts, num_ranges, task); };
    parallel(num_parts * num_ranges, call.threads, work);
    auto add = [&](int64_t tap) {
        for (int64_t channel = tap * ins; channel < (tap + 1) * ins; ++channel) {
            float *to = call.result + channel * call.out_channels;
            for (int64_t c = 0; c < call.out_channels; ++c) {
                float sum = partials[channel * outs + c];
                for (int64_t part = 1; part < num_parts; ++part)
                    sum += partials[(part * taps * ins + channel) * outs + c];
                to[c] = sum;
            }
        }
    };
    parallel(taps, call.threads, add);
}

// ------------------------------------------------------------------------------------------- chains of linear layers

constexpr int64_t CHAIN_ROWS = 240;  // a multiple of the rows of any product

// sums = rows @ the layer's weight.
template <class Ops>
PVD_TARGET static void multiply_layer(const typename Ops::Value *const *rows, const int32_t *locals, int64_t count,
                                      const Linear &layer, float *sums) {
#ifdef PVD_HAS_TILES
    if constexpr (Ops::type == FLOAT32 && Ops::parts == 1) {
        if (is_split(layer.in_channels)) return multiply_layer<Split>(rows, locals, count, layer, sums);
    }
#endif
    const int64_t depth = units<Ops>(layer.in_channels);
    multiply_rows<Ops, true>(rows, locals, count, depth, static_cast<const typename Ops::Unit *>(layer.packed), 0,
                             depth, layer.out_channels, sums, CHAIN_ROWS);
}

template <class Ops>
PVD_TARGET static void chain_block(const Chain &call, int64_t block) {
    using Value = typename Ops::Value;
    const int64_t start = block * CHAIN_ROWS;
    const int64_t count = call.num_rows - start < CHAIN_ROWS ? call.num_rows - start : CHAIN_ROWS;
    const int64_t element = call.type == FLOAT32 ? 4 : 2;
    int64_t widest = call.layers[0].in_channels;
    for (int layer = 0; layer < call.num_layers; ++layer) {
        const int64_t channels = call.layers[layer].out_channels;
        widest = channels > widest ? channels : widest;
    }
    thread_local Scratch sums_space, rows_space, values_space, steps_space;
    float *sums = sums_space.get<float>(CHAIN_ROWS * padded(widest));
    Value *inputs = rows_space.get<Value>(CHAIN_ROWS * units<Ops>(widest));
    float *values = values_space.get<float>(CHAIN_ROWS * widest);
    const Value *rows[CHAIN_ROWS];
    int32_t locals[CHAIN_ROWS];
    for (int64_t n = 0; n < count; ++n) locals[n] = static_cast<int32_t>(n);
    for (int number = 0; number < call.num_layers; ++number) {
        const Linear &layer = call.layers[number];
        const int64_t ins = layer.in_channels, outs = layer.out_channels;
        const int32_t type = number > 0 ? static_cast<int32_t>(FLOAT32) : call.type;
        const char *before = reinterpret_cast<const char *>(values);
        const void *source = number > 0 ? before : static_cast<const char *>(call.rows) + start * ins * element;
        find_rows<Ops>(source, type, ins, locals, count, 1, inputs, rows);
        multiply_layer<Ops>(rows, locals, count, layer, sums);
        const bool is_last = number + 1 == call.num_layers, is_joined = number == 0 && call.added;
        const Epilogue epilogue = {layer.bias, nullptr, nullptr, nullptr, 0, layer.has_relu && !is_joined, 0};
        const Finish steps(epilogue, outs, steps_space.get<float>(3 * padded(outs)));
        if (is_last && !is_joined) {
            finish(sums, CHAIN_ROWS, start, count, outs, steps, nullptr, call.type, call.result);
        } else {
            finish(sums, CHAIN_ROWS, 0, count, outs, steps, nullptr, FLOAT32, values);
        }
        if (is_joined) {
            for (int64_t n = 0; n < count; ++n) {
                const float *added = call.added + call.index[start + n] * outs;
                for (int64_t c = 0; c < outs; ++c) {
                    const float value = values[n * outs + c] + added[c];
                    values[n * outs + c] = layer.has_relu && value < 0 ? 0 : value;
                }
                if (is_last)
                    for (int64_t c = 0; c < outs; c += LANES)
                        store_as(call.type, call.result, (start + n) * outs + c, outs - c,
                                 load_as(FLOAT32, values, n * outs + c, outs - c));
            }
        }
        if (call.hidden && number + 2 == call.num_layers) {
            for (int64_t n = 0; n < count * outs; ++n) {
                if (call.type == FLOAT32)
                    static_cast<float *>(call.hidden)[start * outs + n] = values[n];
                else
                    static_cast<uint16_t *>(call.hidden)[start * outs + n] = rounded(values[n]);
            }
        }
    }
}

template <class Ops>
PVD_TARGET static void chain_as(const Chain &call) {
    auto work = [&](int64_t block) { chain_block<Ops>(call, block); };
    parallel((call.num_rows + CHAIN_ROWS - 1) / CHAIN_ROWS, call.threads, work);
}

// ----------------------------------------------------------------------------------------------------------- labels

PVD_TARGET static void label_rows(const float *scores, int64_t num_rows, int64_t channels, float sharpness,
                                  uint8_t *labels, float *confidence) {
    for (int64_t n = 0; n < num_rows; ++n, scores += channels) {
        int64_t best = 1;
        for (int64_t c = 2; c < channels; ++c) {
            if (scores[c] > scores[best]) best = c;
        }
        float values[256], sum = 0;
        for (int64_t c = 1; c < channels; ++c) values[c] = exponential((scores[c] - scores[best]) * sharpness);
        for (int64_t c = 1; c < channels; ++c) sum += values[c];
        labels[n] = static_cast<uint8_t>(best);
        confidence[n] = 1.0f / sum;
    }
}

PVD_TARGET static void labels(const float *scores, int64_t num_rows, int32_t channels, float sharpness,
                              uint8_t *labels, float *confidence, int32_t threads) {
    auto work = [&](int64_t begin, int64_t end) {
        label_rows(scores + begin * channels, end - begin, channels, sharpness, labels + begin, confidence + begin);
    };
    parallel_in_parts(num_rows, threads, work);
}

// ------------------------------------------------------------------------------------------------- by element type

PVD_TARGET static void convolve(const Convolution &call) {
#ifdef PVD_HAS_DOT
    if (call.type == BFLOAT16) return convolve_as<Pair>(call);
#endif
#ifdef PVD_HAS_TILES
    if (is_split(call.in_channels)) return convolve_as<Split>(call);
#endif
    convolve_as<Single>(call);
}

PVD_TARGET static void weight_gradient(const WeightGradient &call) {
#ifdef PVD_HAS_DOT
    if (call.type == BFLOAT16) return weight_gradient_as<Pair>(call);
#endif
#ifdef PVD_HAS_TILES
    if (is_split(call.in_channels)) return weight_gradient_as<Split>(call);
#endif
    weight_gradient_as<Single>(call);
}

PVD_TARGET static void chain(const Chain &call) {
#ifdef PVD_HAS_DOT
    if (call.type == BFLOAT16) return chain_as<Pair>(call);
#endif
    chain_as<Single>(call);
}

PVD_TARGET static void pack(int32_t type, const float *weight, const int64_t *strides, int32_t taps,
                            int32_t in_channels, int32_t out_channels, int32_t reverses_taps, void *packed,
                            int32_t threads) {
#ifdef PVD_HAS_DOT
    if (type == BFLOAT16)
        return pack_as<Pair>(weight, strides, taps, in_channels, out_channels, reverses_taps, packed, threads);
#endif
#ifdef PVD_HAS_TILES
    if (is_split(in_channels))
        return pack_as<Split>(weight, strides, taps, in_channels, out_channels, reverses_taps, packed, threads);
#endif
    (void)type;
    pack_as<Single>(weight, strides, taps, in_channels, out_channels, reverses_taps, packed, threads);
}

static int64_t packed_bytes(int32_t type, int32_t taps, int32_t in_channels, int32_t out_channels) {
    int64_t depth = in_channels;
#ifdef PVD_HAS_DOT
    if (type == BFLOAT16) depth = (depth + 1) / 2;
#endif
#ifdef PVD_HAS_TILES
    if (type == FLOAT32 && is_split(in_channels)) depth = depth / 2 * Split::parts;
#endif
    (void)type;
    const int64_t tiles = (out_channels + TILE - 1) / TILE;
    const int64_t last = out_channels - (tiles - 1) * TILE <= LANES ? LANES : TILE;
    return 4 * taps * depth * ((tiles - 1) * TILE + last);
}

static constexpr Level LEVEL = {PVD_NAME, packed_bytes, pack, convolve, weight_gradient, chain, labels};

#undef PVD_INLINE
