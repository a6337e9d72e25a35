// Products in the processor's matrix unit (Intel AMX): 16 rows by 16 columns of float32 sums stay in a tile, to which a
// step adds products of up to 16 pairs of bfloat16 a row. Included by kernels.h where PVD_HAS_TILES is defined.
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

// Where tiles of an operand lie: bytes between its rows, between neighbouring tiles, and from one step to the next.
struct Tiles {
    const void *first;
    int64_t row, neighbour, step;
    PVD_INLINE const char *at(const Tiles &t, int64_t steps) {
        return static_cast<const char *>(t.first) + steps * t.step;
    }
};

// A by B neighbouring tiles of sums += rows @ columns, over `steps` steps; `row` and `neighbour` bytes between rows of
// sums and from the first tile of them to the one below. FRESH sums are zero before.
template <int A, int B, bool FRESH>
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
        const char *left = Tiles::at(rows, step), *right = Tiles::at(columns, step);
        _tile_loadd(6, right, columns.row);
        _tile_loadd(4, left, rows.row);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (B == 2) {
            _tile_loadd(7, right + columns.neighbour, columns.row);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (A == 2) {
            _tile_loadd(5, left + rows.neighbour, rows.row);
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (A == 2 && B == 2) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, above, row);
    if constexpr (B == 2) _tile_stored(1, above + 64, row);
    if constexpr (A == 2) _tile_stored(2, below, row);
    if constexpr (A == 2 && B == 2) _tile_stored(3, below + 64, row);
    fence();
}

using MultiplyTiles = void (*)(const Tiles &rows, const Tiles &columns, int64_t steps, float *sums, int64_t row,
                               int64_t neighbour);

template <bool FRESH>
PVD_INLINE MultiplyTiles multiply_tiles_of(bool has_tile_below, bool has_tile_beside) {
    static constexpr MultiplyTiles all[2][2] = {{multiply_tiles<1, 1, FRESH>, multiply_tiles<1, 2, FRESH>},
                                                {multiply_tiles<2, 1, FRESH>, multiply_tiles<2, 2, FRESH>}};
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

// Up to 32 rows, one after the other.
PVD_INLINE void gather(const uint32_t *const *rows, int64_t count, int64_t depth, uint32_t *to) {
    const __mmask16 tail = first_lanes(depth % 16);
    for (int64_t n = 0; n < count; ++n, to += depth) {
        int64_t unit = 0;
        for (; unit + 16 <= depth; unit += 16) _mm512_storeu_si512(to + unit, _mm512_loadu_si512(rows[n] + unit));
        if (tail) _mm512_mask_storeu_epi32(to + unit, tail, _mm512_maskz_loadu_epi32(tail, rows[n] + unit));
    }
}

// As `multiply_rows`, in tiles.
template <bool FRESH>
PVD_TARGET static void multiply_rows_in_tiles(const uint32_t *const *rows, const int32_t *locals, int64_t count,
                                              int64_t depth, const uint32_t *packed, int64_t first_unit,
                                              int64_t all_units, int64_t out_channels, float *sums,
                                              int64_t block_rows) {
    thread_local Scratch space;
    uint32_t *gathered = space.get<uint32_t>(TILE_ROWS * depth);
    alignas(64) float product[TILE_ROWS * TILE];
    const int64_t part = tile_part(depth), tiles = num_tiles(out_channels);
    const TileShapes shapes(16, part);
    for (int64_t start = 0; start < count; start += TILE_ROWS) {
        const int64_t some = count - start < TILE_ROWS ? count - start : TILE_ROWS;
        gather(rows + start, some, depth, gathered);
        const Tiles left = {gathered, depth * 4, 16 * depth * 4, part * 4};
        for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t width = tile_width(tile, out_channels);
            const Tiles right = {packed + tile * TILE * all_units + first_unit * width, width * 4, 64, part * width * 4};
            multiply_tiles_of<true>(some > 16, width == TILE)(left, right, depth / part, product, width * 4,
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
