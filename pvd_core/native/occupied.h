// The occupied cells of scans, by a radix sort of the points' cell numbers. P points, V cells.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace pvd {

// Sorts `values`, (P,), by their bits from `low` up to `high`; what was equal there keeps its order. `space` (P,).
inline void sort_by_bits(uint64_t *values, uint64_t *space, int64_t num, int low, int high) {
    constexpr int MOST_BITS = 11;
    const int num_passes = std::max(1, (high - low + MOST_BITS - 1) / MOST_BITS);
    const int bits = (high - low + num_passes - 1) / num_passes;
    std::vector<int64_t> place(size_t{1} << bits);
    uint64_t *from = values, *to = space;
    for (int shift = low; shift < high; shift += bits, std::swap(from, to)) {
        auto digit = [shift, bits](uint64_t value) { return value >> shift & ((uint64_t{1} << bits) - 1); };
        std::fill(place.begin(), place.end(), 0);
        for (int64_t n = 0; n < num; ++n) ++place[digit(from[n])];
        int64_t before = 0;
        for (int64_t &count : place) {
            const int64_t first = before;
            before += count;
            count = first;
        }
        for (int64_t n = 0; n < num; ++n) to[place[digit(from[n])]++] = from[n];
    }
    if (from != values) std::copy(from, from + num, values);
}

// As `occupied_cells` (pvd_core/voxels/occupied.py): coordinates int64 (V, 4), the cell of each point (P,) and the number
// of points of each cell (V,), for which there is room for P cells. `indices` int64 (P, 3) inside `shape`. A cell's number,
// below 2^cell_bits, and a point's, below 2^point_bits, fit 64 bits together. `space` is (2 P,). Returns V.
inline int64_t occupied(const int64_t *scans, const int64_t *indices, int64_t num, const int64_t *shape, int cell_bits,
                        int point_bits, uint64_t *space, int64_t *coords, int64_t *cell_of_point, int64_t *num_points) {
    for (int64_t p = 0; p < num; ++p) {
        const int64_t *at = indices + 3 * p;
        const int64_t cell = ((scans[p] * shape[0] + at[0]) * shape[1] + at[1]) * shape[2] + at[2];
        space[p] = static_cast<uint64_t>(cell) << point_bits | static_cast<uint64_t>(p);
    }
    sort_by_bits(space, space + num, num, point_bits, point_bits + cell_bits);
    const uint64_t point_mask = (uint64_t{1} << point_bits) - 1;
    int64_t count = 0;
    for (int64_t n = 0; n < num; ++n) {
        const int64_t p = static_cast<int64_t>(space[n] & point_mask);
        if (n == 0 || space[n] >> point_bits != space[n - 1] >> point_bits) {
            int64_t *at = coords + 4 * count;
            at[0] = scans[p];
            std::copy_n(indices + 3 * p, 3, at + 1);
            num_points[count++] = 0;
        }
        cell_of_point[p] = count - 1;
        ++num_points[count - 1];
    }
    return count;
}

}  // namespace pvd
