// Gradients of weights in the processor's matrix unit. Included by kernels.h where PVD_HAS_TILES is defined.

// to[c][r] = from[r][c] for 16 rows of 16 units; `from_row` and `to_row` units between rows.
PVD_INLINE void transpose(const uint32_t *from, int64_t from_row, uint32_t *to, int64_t to_row) {
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int n = 0; n < 16; ++n) a[n] = _mm512_loadu_si512(from + n * from_row);
#pragma GCC unroll 8
    for (int n = 0; n < 16; n += 2) {
        b[n] = _mm512_unpacklo_epi32(a[n], a[n + 1]);
        b[n + 1] = _mm512_unpackhi_epi32(a[n], a[n + 1]);
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
        const __m512i low = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88);    // columns i and 8 + i
        const __m512i high = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);   // columns 4 + i and 12 + i
        const __m512i low2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
        const __m512i high2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
        _mm512_storeu_si512(to + i * to_row, _mm512_shuffle_i32x4(low, low2, 0x88));
        _mm512_storeu_si512(to + (8 + i) * to_row, _mm512_shuffle_i32x4(low, low2, 0xdd));
        _mm512_storeu_si512(to + (4 + i) * to_row, _mm512_shuffle_i32x4(high, high2, 0x88));
        _mm512_storeu_si512(to + (12 + i) * to_row, _mm512_shuffle_i32x4(high, high2, 0xdd));
    }
}

// Adds to `matrix` (channels, outs) what one tap's pairs in `outer` give. The tiles' shapes are set.
PVD_TARGET static void add_outer_in_tiles(const Outer<Pair> &outer, int64_t channels, int64_t out_channels,
                                          float *matrix, int64_t outs) {
    constexpr int64_t most = GRADIENT_ROWS / 2;
    thread_local Scratch space;
    uint32_t *transposed = space.get<uint32_t>((RANGE + 15) * most);
    for (int64_t channel = 0; channel < channels; channel += 16) {
        for (int64_t n = 0; n < outer.count; n += 16)
            transpose(outer.rows[n] + channel, channels, transposed + channel * most + n, most);
    }
    const int64_t part = tile_part(channels);
    for (int64_t tile = 0; tile < num_tiles(out_channels); ++tile) {
        const int64_t width = tile_width(tile, out_channels);
        const Tiles right = {outer.tiles + tile * TILE * GRADIENT_ROWS, width * 4, 64, 16 * width * 4};
        for (int64_t channel = 0; channel < channels; channel += 2 * part) {
            const Tiles left = {transposed + channel * most, most * 4, part * most * 4, 64};
            const bool is_wide = width == TILE, is_high = channel + part < channels;
            (is_wide ? is_high ? multiply_tiles<2, 2, false> : multiply_tiles<1, 2, false>
                     : is_high ? multiply_tiles<2, 1, false> : multiply_tiles<1, 1, false>)(
                left, right, outer.count / 16, matrix + channel * outs + tile * TILE, outs * 4, part * outs * 4);
        }
    }
}
