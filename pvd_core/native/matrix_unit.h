// Products in the processor's matrix unit (Intel AMX): 16 rows by 16 columns of float32 sums stay in a tile, to which a
// step adds products of up to 16 pairs of bfloat16 a row. Included by kernels.h where PVD_HAS_TILES is defined.
//
// A float32 is the sum of three bfloat16: its first eight bits, the next eight and the rest. Six products of such parts
// make a product of float32; what the other three would add is below its last bit.
//
// Compilers do not see which memory tiles are read from; hence the fences.

PVD_INLINE void fence() { __asm__ volatile("" ::: "memory"); }

// Shapes of the tiles of this thread, until the end of the scope: sums in tiles 0 to 3, `rows` rows of `depth` pairs in
// 4 and 5, `depth` rows of 16 pairs of columns in 6 and 7.
class TileShapes {
  public:
    PVD_TARGET TileShapes(int64_t rows, int64_t depth) {
        alignas(64) struct {
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {};
            uint8_t rows[16] = {};
        } shapes;
        for (int tile = 0; tile < 8; ++tile) {
            shapes.row_bytes[tile] = static_cast<uint16_t>(tile == 4 || tile == 5 ? depth * 4 : 64);
            shapes.rows[tile] = static_cast<uint8_t>(tile >= 6 ? depth : rows);
        }
        fence();
        _tile_loadconfig(&shapes);
    }
    TileShapes(const TileShapes &) = delete;
    PVD_TARGET ~TileShapes() { _tile_release(); }
};

// Where tiles of an operand lie: bytes between its rows, between neighbouring tiles, between parts of values, and from
// one step to the next.
struct Tiles {
    const void *first;
    int64_t row, neighbour, part, step;

    PVD_TARGET inline const char *at(int64_t some_step, int64_t some_part) const {
        return static_cast<const char *>(first) + some_step * step + some_part * part;
    }
};

// One tile of rows, or two.
template <int COUNT>
PVD_INLINE void load_rows(const Tiles &rows, int64_t step, int64_t part) {
    const char *first = rows.at(step, part);
    _tile_loadd(4, first, rows.row);
    if constexpr (COUNT == 2) _tile_loadd(5, first + rows.neighbour, rows.row);
}

template <int COUNT>
PVD_INLINE void load_columns(const Tiles &columns, int64_t step, int64_t part) {
    const char *first = columns.at(step, part);
    _tile_loadd(6, first, columns.row);
    if constexpr (COUNT == 2) _tile_loadd(7, first + columns.neighbour, columns.row);
}

// Of the rows and columns that are loaded.
template <int A, int B>
PVD_INLINE void add_products() {
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (B == 2) _tile_dpbf16ps(1, 4, 7);
    if constexpr (A == 2) _tile_dpbf16ps(2, 5, 6);
    if constexpr (A == 2 && B == 2) _tile_dpbf16ps(3, 5, 7);
}

// A by B neighbouring tiles of sums += rows @ columns, over `steps` steps; `row` and `neighbour` bytes between rows of
// sums and from the first tile of them to the one below. FRESH sums are zero before.
template <class Ops, int A, int B, bool FRESH>
PVD_TARGET static void multiply_tiles(const Tiles &rows, const Tiles &columns, int64_t steps, float *sums, int64_t row,
                                      int64_t neighbour) {
    char *above = reinterpret_cast<char *>(sums), *below = above + neighbour;
    fence();
    if constexpr (FRESH) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, above, row);
        if constexpr (B == 2) _tile_loadd(1, above + 64, row);
        if constexpr (A == 2) _tile_loadd(2, below, row);
        if constexpr (A == 2 && B == 2) _tile_loadd(3, below + 64, row);
    }
    for (int64_t step = 0; step < steps; ++step) {
        load_columns<B>(columns, step, 0);
        if constexpr (Ops::parts == 3) {  // the least products first; from one to the next one side stays
            load_rows<A>(rows, step, 2);
            add_products<A, B>();
            load_rows<A>(rows, step, 1);
            add_products<A, B>();
            load_columns<B>(columns, step, 1);
            add_products<A, B>();
            load_rows<A>(rows, step, 0);
            add_products<A, B>();
            load_columns<B>(columns, step, 2);
            add_products<A, B>();
            load_columns<B>(columns, step, 0);
        } else {
            load_rows<A>(rows, step, 0);
        }
        add_products<A, B>();
    }
    _tile_stored(0, above, row);
    if constexpr (B == 2) _tile_stored(1, above + 64, row);
    if constexpr (A == 2) _tile_stored(2, below, row);
    if constexpr (A == 2 && B == 2) _tile_stored(3, below + 64, row);
    fence();
}

using MultiplyTiles = void (*)(const Tiles &rows, const Tiles &columns, int64_t steps, float *sums, int64_t row,
                               int64_t neighbour);

template <class Ops, bool FRESH>
PVD_INLINE MultiplyTiles multiply_tiles_of(bool has_tile_below, bool has_tile_beside) {
    static constexpr MultiplyTiles all[2][2] = {
        {multiply_tiles<Ops, 1, 1, FRESH>, multiply_tiles<Ops, 1, 2, FRESH>},
        {multiply_tiles<Ops, 2, 1, FRESH>, multiply_tiles<Ops, 2, 2, FRESH>}};
    return all[has_tile_below][has_tile_beside];
}

// The largest divisor of `length` that a tile has room for: 16 or less.
PVD_INLINE int64_t tile_part(int64_t length) {
    int64_t part = length < 16 ? length : 16;
    while (length % part) --part;
    return part;
}

// Whether tiles are full enough to be worth their while.
PVD_INLINE bool suits_tiles(int64_t length) { return length <= 16 || tile_part(length) >= 8; }

constexpr int TILE_ROWS = 32;  // rows of two neighbouring tiles

// The parts of sixteen float32, each as float32.
struct Three {
    __m512i part[3];
};

PVD_INLINE __m512i difference(__m512i a, __m512i b) {
    return _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

PVD_INLINE Three split(__m512i values) {
    const __m512i upper_half = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000));
    const __m512i first = _mm512_and_si512(values, upper_half), rest = difference(values, first);
    const __m512i second = _mm512_and_si512(rest, upper_half);
    return {{first, second, difference(rest, second)}};
}

// Up to 32 rows of pairs, one after the other.
PVD_INLINE void gather(const uint32_t *const *rows, int64_t count, int64_t depth, uint32_t *to) {
    const __mmask16 tail = first_lanes(depth % 16);
    for (int64_t n = 0; n < count; ++n, to += depth) {
        int64_t unit = 0;
        for (; unit + 16 <= depth; unit += 16) _mm512_storeu_si512(to + unit, _mm512_loadu_si512(rows[n] + unit));
        if (tail) _mm512_mask_storeu_epi32(to + unit, tail, _mm512_maskz_loadu_epi32(tail, rows[n] + unit));
    }
}

// Sixteen pairs of float32 become pairs of their parts, `part` units from one part to the next. `mask`: of pairs to write;
// `low` and `high`: of values to read.
PVD_INLINE void split_pairs(const float *from, __mmask16 low, __mmask16 high, __mmask16 mask, uint32_t *to,
                            int64_t part) {
    const __m512i places = _mm512_mullo_epi32(numbers_from(0), _mm512_set1_epi32(0x40004));
    const __m512i upper_halves = _mm512_add_epi32(places, _mm512_set1_epi32(0x30001));
    const Three first = split(_mm512_maskz_loadu_epi32(low, from));
    const Three second = split(_mm512_maskz_loadu_epi32(high, from + LANES));
#pragma GCC unroll 3
    for (int p = 0; p < 3; ++p)
        _mm512_mask_storeu_epi32(to + p * part, mask,
                                 _mm512_permutex2var_epi16(first.part[p], upper_halves, second.part[p]));
}

// Up to 32 rows of pairs of float32: the first parts of all rows, then the second, then the third.
PVD_INLINE void gather(const float *const *rows, int64_t count, int64_t depth, uint32_t *to) {
    const int64_t part = TILE_ROWS * depth, whole = depth / 16 * 16, rest = depth - whole;
    const __mmask16 low = first_lanes(2 * rest), high = first_lanes(rest > 8 ? 2 * rest - LANES : 0);
    const __mmask16 tail = first_lanes(rest), all = 0xffff;
    for (int64_t n = 0; n < count; ++n, to += depth) {
        for (int64_t unit = 0; unit < whole; unit += 16)
            split_pairs(rows[n] + 2 * unit, all, all, all, to + unit, part);
        if (rest) split_pairs(rows[n] + 2 * whole, low, high, tail, to + whole, part);
    }
}

// Has the next 32 of `count` rows brought to the cache while tiles are multiplied.
template <class Ops>
PVD_INLINE void prefetch(const typename Ops::Value *const *rows, int64_t count, int64_t depth) {
    const int64_t bytes = depth * Ops::channels * static_cast<int64_t>(sizeof(typename Ops::Stored));
    for (int64_t n = 0; n < count && n < TILE_ROWS; ++n)
        for (int64_t byte = 0; byte < bytes; byte += 64)
            __builtin_prefetch(reinterpret_cast<const char *>(rows[n]) + byte);
}

// As `multiply_rows`, in tiles.
template <class Ops, bool FRESH>
PVD_TARGET static void multiply_rows_in_tiles(const typename Ops::Value *const *rows, const int32_t *locals,
                                              int64_t count, int64_t depth, const uint32_t *packed, int64_t first_unit,
                                              int64_t all_units, int64_t out_channels, float *sums,
                                              int64_t block_rows) {
    thread_local Scratch space;
    uint32_t *gathered = space.get<uint32_t>(Ops::parts * TILE_ROWS * depth);
    alignas(64) float product[TILE_ROWS * TILE];
    const int64_t deep = tile_part(depth), tiles = num_tiles(out_channels);
    const TileShapes shapes(16, deep);
    for (int64_t start = 0; start < count; start += TILE_ROWS) {
        const int64_t some = count - start < TILE_ROWS ? count - start : TILE_ROWS;
        gather(rows + start, some, depth, gathered);
        prefetch<Ops>(rows + start + some, count - start - some, depth);
        const Tiles left = {gathered, depth * 4, 16 * depth * 4, TILE_ROWS * depth * 4, deep * 4};
        for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t width = tile_width(tile, out_channels);
            const uint32_t *panel = packed + tile * TILE * all_units * Ops::parts + first_unit * width;
            const Tiles right = {panel, width * 4, 64, all_units * width * 4, deep * width * 4};
            multiply_tiles_of<Ops, true>(some > 16, width == TILE)(left, right, depth / deep, product, width * 4,
                                                                   16 * width * 4);
            float *tile_sums = sums + tile * TILE * block_rows;
            for (int64_t r = 0; r < some; ++r) {
                float *to = tile_sums + locals[start + r] * width;
                for (int64_t c = 0; c < width; c += LANES) {
                    const Vec value = load(product + r * width + c);
                    store(to + c, FRESH ? value : load(to + c) + value);
                }
            }
        }
    }
}
