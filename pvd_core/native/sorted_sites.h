// Kernel maps on grids that are too large for a table of columns: a sorted list of the columns that hold sites. Sites are
// sorted with z fastest, so those of a column follow each other. See sites.h for bounded grids.
//
// V sites, C columns with sites, N centres or cells.

#pragma once

#include <algorithm>
#include <cstdint>

#include "sites.h"
#include "threads.h"

namespace pvd {

struct SortedColumns {
    int64_t *keys;       // (C,), ascending
    int32_t *first;      // (C + 1,): number of each column's first site; the last is V
    int32_t *heights;    // (V,): index of each site along z
    uint64_t *occupied;  // (C,): a bit for each of the 64 cells from a column's first site on; 0 where it has others too
    int64_t count;     // C
    int64_t batch_size, size_0, size_1, size_2;

    int64_t key(int64_t scan, int64_t i, int64_t j) const { return (scan * size_0 + i) * size_1 + j; }

    // The first column whose key is at least `key`. It is searched for around column `near`, in steps that double.
    int64_t column_from(int64_t key, int64_t near) const {
        int64_t low = near, high = near;
        if (near < count && keys[near] < key) {
            low = high = near + 1;
            for (int64_t step = 1; high < count && keys[high] < key; step *= 2) {
                low = high + 1;
                high = high + step < count ? high + step : count;
            }
        } else {
            for (int64_t step = 1; low > 0 && keys[low - 1] >= key; step *= 2) {
                high = low - 1;
                low = low > step ? low - step : 0;
            }
        }
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (keys[middle] < key) low = middle + 1;
            else high = middle;
        }
        return low;
    }
};

inline bool is_same_column(const int64_t *one, const int64_t *other) {
    return one[0] == other[0] && one[1] == other[1] && one[2] == other[2];
}

// Lists the columns of `coords` int64 (V, 4), sorted. There is room for V columns.
inline void list_columns(SortedColumns &columns, const int64_t *coords, int64_t num) {
    columns.count = 0;
    for (int64_t n = 0; n < num; ++n) {
        const int64_t *at = coords + 4 * n;
        columns.heights[n] = static_cast<int32_t>(at[3]);
        if (n == 0 || !is_same_column(at, at - 4)) {
            columns.keys[columns.count] = columns.key(at[0], at[1], at[2]);
            columns.occupied[columns.count] = 1;
            columns.first[columns.count++] = static_cast<int32_t>(n);
            continue;
        }
        uint64_t &occupied = columns.occupied[columns.count - 1];
        const int64_t above = at[3] - columns.heights[columns.first[columns.count - 1]];
        occupied = above < 64 && occupied ? occupied | uint64_t{1} << above : 0;
    }
    columns.first[columns.count] = static_cast<int32_t>(num);
}

// The entry of a tap row (pvd_core/sparse/tap_rows.py) for three cells, the first `above` the column's first site, which is
// site number `first`.
inline int32_t cell_of(uint64_t occupied, int32_t first, int64_t above) {
    if (above < -2 || above > 63) return 0;
    const uint64_t from_first = above < 0 ? occupied << -above : occupied >> above;
    const int32_t bits = static_cast<int32_t>(from_first & 7);
    const uint64_t below = above > 0 ? occupied & ((uint64_t{1} << above) - 1) : 0;
    return bits ? (first + __builtin_popcountll(below)) * 8 | bits : 0;
}

// As `look_up` of sites.h. Consecutive coordinates mostly lie in one column and ascend there: the nine columns around it
// are found once, close to those of the column before, and are then walked upwards.
inline void look_up(const SortedColumns &columns, const int64_t *coords, int64_t num, const int64_t *stride,
                    bool is_back, int32_t *rows, int threads) {
    auto reach = is_back ? Reach::back : Reach::around;
    const bool has_neighbours = stride[2] == 1;  // the taps meet three cells in a row
    auto work = [&](int64_t begin, int64_t end) {
        int64_t near[3] = {};
        int32_t next[9] = {}, ends[9] = {};  // of each column: the lowest site that may still be met, and its end
        int32_t first[9] = {}, lowest[9] = {};  // the first site and its height
        uint64_t occupied[9] = {};
        for (int64_t n = begin; n < end; ++n) {
            const int64_t *at = coords + 4 * n;
            if (n == begin || !is_same_column(at, at - 4) || at[3] < at[-1]) {
                const Reach over_0 = reach(at[1], stride[0], columns.size_0);
                const Reach over_1 = reach(at[2], stride[1], columns.size_1);
                for (int row = 0; row < 9; ++row) {
                    const int64_t i = over_0.index[row / 3], j = over_1.index[row % 3];
                    next[row] = ends[row] = first[row] = lowest[row] = 0;
                    occupied[row] = 0;
                    if (i < 0 || j < 0) continue;
                    const int64_t key = columns.key(at[0], i, j);
                    const int64_t column = near[row / 3] = columns.column_from(key, near[row / 3]);
                    if (column == columns.count || columns.keys[column] != key) continue;
                    next[row] = first[row] = columns.first[column], ends[row] = columns.first[column + 1];
                    occupied[row] = columns.occupied[column], lowest[row] = columns.heights[first[row]];
                }
            }
            const Reach over_2 = reach(at[3], stride[2], columns.size_2);
            for (int row = 0; row < 9; ++row) {
                if (has_neighbours && (occupied[row] || next[row] == ends[row])) {
                    rows[row * num + n] = cell_of(occupied[row], first[row], at[3] - 1 - lowest[row]);
                    continue;
                }
                int32_t cell = 0, site = next[row];
                for (int tap = 0; tap < 3 && site < ends[row]; ++tap) {
                    const int64_t z = over_2.index[tap];
                    if (z < 0) continue;
                    while (site < ends[row] && columns.heights[site] < z) ++site;
                    if (!cell) next[row] = site;  // sites below are below all that comes later
                    if (site == ends[row] || columns.heights[site] != z) continue;
                    cell = (cell ? cell : site * 8) | 1 << tap;
                }
                rows[row * num + n] = cell;
            }
        }
    };
    parallel_in_parts(num, threads, work);
}

// As `find` of sites.h.
inline void find(const SortedColumns &columns, const int64_t *coords, int64_t num, int64_t *rows, int threads) {
    auto work = [&](int64_t begin, int64_t end) {
        int64_t near[2] = {};  // for even and odd indices: the cells around a point alternate between two
        for (int64_t n = begin; n < end; ++n) {
            const int64_t *at = coords + 4 * n;
            rows[n] = -1;
            if (!lies_inside(at, columns.batch_size, columns.size_0, columns.size_1, columns.size_2)) continue;
            const int64_t key = columns.key(at[0], at[1], at[2]);
            const int64_t column = near[at[1] & 1] = columns.column_from(key, near[at[1] & 1]);
            if (column == columns.count || columns.keys[column] != key) continue;
            int32_t low = columns.first[column], high = columns.first[column + 1];
            while (low < high) {
                const int32_t middle = low + (high - low) / 2;
                if (columns.heights[middle] < at[3]) low = middle + 1;
                else high = middle;
            }
            if (low < columns.first[column + 1] && columns.heights[low] == at[3]) rows[n] = low;
        }
    };
    parallel_in_parts(num, threads, work);
}

// Tap rows of one tap each of the map from V sites to the C blocks that hold them, int32 (K, C); or, `is_back`, of the map
// from the blocks back to the sites, in reverse order of the taps, int32 (K, V).
inline void block_rows(const int64_t *block_of_site, const int64_t *tap_of_site, int64_t num_sites, int64_t num_blocks,
                       int64_t num_taps, bool is_back, int32_t *rows) {
    const int64_t num_out = is_back ? num_sites : num_blocks;
    std::fill_n(rows, num_taps * num_out, 0);
    for (int64_t site = 0; site < num_sites; ++site) {
        const int64_t block = block_of_site[site], tap = tap_of_site[site];
        if (is_back)
            rows[(num_taps - 1 - tap) * num_out + site] = static_cast<int32_t>(block * 8 + 1);
        else
            rows[tap * num_out + block] = static_cast<int32_t>(site * 8 + 1);
    }
}

// The blocks of `stride` cells that hold sites (pvd_core/sparse/blocks.py): coordinates int64 (V, 4) of which the first
// are used, sorted; for each site the number of its block and its place there, int64 (V,). Returns the number of blocks.
//
// The sites of a block lie in `stride[0] * stride[1]` columns. Along each of the first axis' `stride[0]` indices columns
// ascend, so the blocks are found in order by merging.
inline int64_t find_blocks(const int64_t *coords, int64_t num, const int64_t *stride, int64_t *blocks,
                           int64_t *block_of_site, int64_t *tap_of_site) {
    constexpr int MOST = 2;  // largest step
    int64_t count = 0;
    for (int64_t slab = 0, slab_end; slab < num; slab = slab_end) {
        // Sites with the same scan and the same block index along the first axis, cut by their index there.
        const int64_t scan = coords[4 * slab], first = coords[4 * slab + 1] / stride[0];
        int64_t next[MOST], ends[MOST];
        slab_end = slab;
        for (int64_t i = 0; i < stride[0]; ++i) {
            next[i] = slab_end;
            while (slab_end < num && coords[4 * slab_end] == scan && coords[4 * slab_end + 1] == first * stride[0] + i)
                ++slab_end;
            ends[i] = slab_end;
        }
        for (;;) {
            int64_t second = INT64_MAX;
            for (int64_t i = 0; i < stride[0]; ++i)
                if (next[i] < ends[i] && coords[4 * next[i] + 2] / stride[1] < second)
                    second = coords[4 * next[i] + 2] / stride[1];
            if (second == INT64_MAX) break;
            int64_t at[MOST * MOST], stops[MOST * MOST];
            for (int64_t i = 0; i < stride[0]; ++i) {
                for (int64_t j = 0; j < stride[1]; ++j) {
                    at[i * stride[1] + j] = next[i];
                    while (next[i] < ends[i] && coords[4 * next[i] + 2] == second * stride[1] + j) ++next[i];
                    stops[i * stride[1] + j] = next[i];
                }
            }
            for (;;) {
                int64_t third = INT64_MAX;
                for (int64_t column = 0; column < stride[0] * stride[1]; ++column)
                    if (at[column] < stops[column] && coords[4 * at[column] + 3] / stride[2] < third)
                        third = coords[4 * at[column] + 3] / stride[2];
                if (third == INT64_MAX) break;
                int64_t *block = blocks + 4 * count;
                block[0] = scan, block[1] = first, block[2] = second, block[3] = third;
                for (int64_t column = 0; column < stride[0] * stride[1]; ++column) {
                    for (; at[column] < stops[column] && coords[4 * at[column] + 3] / stride[2] == third; ++at[column]) {
                        block_of_site[at[column]] = count;
                        tap_of_site[at[column]] = column * stride[2] + coords[4 * at[column] + 3] % stride[2];
                    }
                }
                ++count;
            }
        }
    }
    return count;
}

}  // namespace pvd
