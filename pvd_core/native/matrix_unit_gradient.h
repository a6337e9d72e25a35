// Gradients of weights in the processor's matrix unit. Included by kernels.h where PVD_HAS_TILES is defined.

// Rows of 16 units become columns: to[c][n] = rows[n][c], `to_row` units between rows.
PVD_INLINE void transpose(const __m512i *rows, uint32_t *to, int64_t to_row) {
    __m512i a[16], b[16];
#pragma GCC unroll 8
    for (int n = 0; n < 16; n += 2) {
        b[n] = _mm512_unpacklo_epi32(rows[n], rows[n + 1]);
        b[n + 1] = _mm512_unpackhi_epi32(rows[n], rows[n + 1]);
    }
#pragma GCC unroll 4
    for (int n = 0; n < 16; n += 4) {  // a[n + i]: rows n to n + 3 of columns i, 4 + i, 8 + i and 12 + i
        a[n] = _mm512_unpacklo_epi64(b[n], b[n + 2]);
        a[n + 1] = _mm512_unpackhi_epi64(b[n], b[n + 2]);
        a[n + 2] = _mm512_unpacklo_epi64(b[n + 1], b[n + 3]);
        a[n + 3] = _mm512_unpackhi_epi64(b[n + 1], b[n + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m512i even = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88);  // rows 0 to 7 of columns i and 8 + i
        const __m512i odd = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);   // of columns 4 + i and 12 + i
        const __m512i even_below = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
        const __m512i odd_below = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
        _mm512_storeu_si512(to + i * to_row, _mm512_shuffle_i32x4(even, even_below, 0x88));
        _mm512_storeu_si512(to + (4 + i) * to_row, _mm512_shuffle_i32x4(odd, odd_below, 0x88));
        _mm512_storeu_si512(to + (8 + i) * to_row, _mm512_shuffle_i32x4(even, even_below, 0xdd));
        _mm512_storeu_si512(to + (12 + i) * to_row, _mm512_shuffle_i32x4(odd, odd_below, 0xdd));
    }
}

// As Outer, in tiles: columns of the features' rows by rows of the gradients, both of two pairs a unit. Zeros fill up the
// last 16 units.
template <class Ops>
class OuterInTiles {
  public:
    using Stored = typename Ops::Stored;
    static constexpr int64_t BLOCK_ROWS = GRADIENT_ROWS<Ops>;

    PVD_TARGET OuterInTiles(const WeightGradient &call, int64_t first_channel, int64_t channels)
        : call_(call), features_(static_cast<const Stored *>(call.features) + first_channel), channels_(channels),
          high_(tile_part(channels)), columns_part_((channels + 15) / 16 * 16 * COLUMN),
          tiles_part_(MOST_UNITS * padded(call.out_channels)), shapes_(high_, 16) {
        thread_local Scratch columns, tiles;
        columns_ = columns.get<uint32_t>(Ops::parts * columns_part_);
        tiles_ = tiles.get<uint32_t>(Ops::parts * tiles_part_);
    }

    PVD_TARGET void take_block(int64_t start, int64_t) {
        gradient_ = static_cast<const Stored *>(call_.gradient) + start * call_.out_channels;
    }

    PVD_TARGET void take_tap(const int32_t *first, const int32_t *local, int64_t pairs) {
        count_ = (pairs + 31) / 32 * 16;
        const int64_t outs = call_.out_channels;
        for (int64_t n = 0; n < count_; n += 16) {
            for (int64_t channel = 0; channel < channels_; channel += 16) {
                __m512i rows[Ops::parts][16];
#pragma GCC unroll 16
                for (int r = 0; r < 16; ++r) {
                    const Units units = two_rows(features_ + channel, call_.in_channels, first, 2 * (n + r), pairs,
                                                 channels_ - channel);
                    for (int part = 0; part < Ops::parts; ++part) rows[part][r] = units.part[part];
                }
                for (int part = 0; part < Ops::parts; ++part)
                    transpose(rows[part], columns_ + part * columns_part_ + channel * COLUMN + n, COLUMN);
            }
            for (int64_t channel = 0; channel < padded(outs); channel += 16) {
                const int64_t tile = channel / TILE, width = tile_width(tile, outs);
                uint32_t *to = tiles_ + tile * TILE * MOST_UNITS + n * width + channel % TILE;
                for (int r = 0; r < 16; ++r) {
                    const Units units = two_rows(gradient_ + channel, outs, local, 2 * (n + r), pairs, outs - channel);
                    for (int part = 0; part < Ops::parts; ++part)
                        _mm512_storeu_si512(to + part * tiles_part_ + r * width, units.part[part]);
                }
            }
        }
    }

    PVD_TARGET void add_to(float *matrix, int64_t outs) const {
        for (int64_t tile = 0; tile < num_tiles(call_.out_channels); ++tile) {
            const int64_t width = tile_width(tile, call_.out_channels);
            const Tiles right = {tiles_ + tile * TILE * MOST_UNITS, width * 4, 64, tiles_part_ * 4, 16 * width * 4};
            for (int64_t channel = 0; channel < channels_; channel += 2 * high_) {
                const Tiles left = {columns_ + channel * COLUMN, COLUMN * 4, high_ * COLUMN * 4, columns_part_ * 4, 64};
                multiply_tiles_of<Ops, false>(channel + high_ < channels_, width == TILE)(
                    left, right, count_ / 16, matrix + channel * outs + tile * TILE, outs * 4, high_ * outs * 4);
            }
        }
    }

  private:
    static constexpr int64_t MOST_UNITS = BLOCK_ROWS / 2;
    // Units from one column to the next: the lines of a tile fall into different sets of the first cache.
    static constexpr int64_t COLUMN = MOST_UNITS + 16;

    struct Units {
        __m512i part[Ops::parts];
    };

    // The first 16 or `channels` values of rows number `pair` and the next of `pairs`, interleaved. Rows behind the last
    // are zero.
    PVD_INLINE Units two_rows(const Stored *rows, int64_t row, const int32_t *numbers, int64_t pair, int64_t pairs,
                              int64_t channels) {
        const __mmask16 mask = first_lanes(channels);
        const int64_t last = pairs - 1, one = pair < last ? pair : last, other = pair + 1 < last ? pair + 1 : last;
        const __mmask16 low_mask = pair < pairs ? mask : __mmask16{0}, high_mask = pair + 1 < pairs ? mask : __mmask16{0};
        const Stored *low_row = rows + static_cast<int64_t>(numbers[one]) * row;
        const Stored *high_row = rows + static_cast<int64_t>(numbers[other]) * row;
        if constexpr (Ops::parts == 1) {
            const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(low_mask, low_row));
            const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(high_mask, high_row));
            return {{_mm512_or_si512(low, _mm512_slli_epi32(high, 16))}};
        } else {
            const Three low = split(_mm512_maskz_loadu_epi32(low_mask, low_row));
            const Three high = split(_mm512_maskz_loadu_epi32(high_mask, high_row));
            Units units;
#pragma GCC unroll 3
            for (int part = 0; part < 3; ++part)
                units.part[part] =
                    _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(low.part[part], 16), high.part[part]);
            return units;
        }
    }

    const WeightGradient &call_;
    const Stored *features_, *gradient_ = nullptr;
    int64_t channels_, high_, columns_part_, tiles_part_, count_ = 0;
    uint32_t *columns_, *tiles_;
    TileShapes shapes_;
};
