// Voxels and kernel maps, without sorting and without a table of cells: for each column of cells along z, which of them
// are occupied (a bit each) and the number of the first one. Sites are sorted with z fastest, so the number of any site
// is that of its column's first plus the occupied cells below it. Grids have up to 64 cells along z.
//
// V sites, C columns of all scans, N centres, P points.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "threads.h"

namespace pvd {

struct Columns {
    int32_t *first;      // (C + 1,): number of each column's first site; the last is V
    uint64_t *occupied;  // (C,)
    int64_t batch_size, size_0, size_1, size_2;

    int64_t count() const { return batch_size * size_0 * size_1; }

    // Numbers the sites of all columns, in their order. Returns V.
    int64_t number() const {
        int64_t sites = 0;
        for (int64_t column = 0; column < count(); ++column) {
            first[column] = static_cast<int32_t>(sites);
            sites += __builtin_popcountll(occupied[column]);
        }
        first[count()] = static_cast<int32_t>(sites);
        return sites;
    }

    // Number of the site at `z`, or of the next one above.
    int32_t number_at(int64_t column, int64_t z) const {
        return first[column] + __builtin_popcountll(occupied[column] & ((uint64_t{1} << z) - 1));
    }
};

// Which axis indices of the other grid meet an index under taps 0, 1, 2: -1 where none does.
struct Reach {
    int64_t index[3];

    // From a centre to the cells around it.
    static Reach around(int64_t centre, int64_t stride, int64_t size) {
        Reach result;
        for (int tap = 0; tap < 3; ++tap) {
            const int64_t index = centre * stride + tap - 1;
            result.index[tap] = index >= 0 && index < size ? index : -1;
        }
        return result;
    }

    // From a cell back to the centres that meet it, in reverse order of the taps, so that they ascend.
    static Reach back(int64_t cell, int64_t stride, int64_t size) {
        Reach result;
        for (int tap = 0; tap < 3; ++tap) {
            const int64_t scaled = cell + tap - 1;
            const bool is_hit = scaled >= 0 && scaled % stride == 0 && scaled / stride < size;
            result.index[tap] = is_hit ? scaled / stride : -1;
        }
        return result;
    }
};

// Tap rows (9, N) of `coords` int64 (N, 4): the sites of `columns` that each of them meets.
inline void look_up(const Columns &columns, const int64_t *coords, int64_t num, const int64_t *stride, bool is_back,
                    int32_t *rows, int threads) {
    auto reach = is_back ? Reach::back : Reach::around;
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            const int64_t *at = coords + 4 * n;
            const Reach over_0 = reach(at[1], stride[0], columns.size_0);
            const Reach over_1 = reach(at[2], stride[1], columns.size_1);
            const Reach over_2 = reach(at[3], stride[2], columns.size_2);
            for (int i = 0; i < 3; ++i) {
                for (int j = 0; j < 3; ++j) {
                    int32_t cell = 0;
                    if (over_0.index[i] >= 0 && over_1.index[j] >= 0) {
                        const int64_t column =
                            (at[0] * columns.size_0 + over_0.index[i]) * columns.size_1 + over_1.index[j];
                        const uint64_t occupied = columns.occupied[column];
                        int64_t lowest = -1;
                        for (int k = 2; k >= 0 && occupied; --k) {
                            const int64_t z = over_2.index[k];
                            if (z < 0 || !(occupied >> z & 1)) continue;
                            lowest = z;
                            cell |= 1 << k;
                        }
                        if (cell) cell |= columns.number_at(column, lowest) * 8;
                    }
                    rows[(i * 3 + j) * num + n] = cell;
                }
            }
        }
    };
    parallel_in_parts(num, threads, work);
}

inline bool lies_inside(const int64_t *at, int64_t batch_size, int64_t size_0, int64_t size_1, int64_t size_2) {
    return at[0] >= 0 && at[0] < batch_size && at[1] >= 0 && at[1] < size_0 && at[2] >= 0 && at[2] < size_1 &&
           at[3] >= 0 && at[3] < size_2;
}

// The site in each cell of `coords` int64 (N, 4), -1 where there is none or the cell lies outside the grid.
inline void find(const Columns &columns, const int64_t *coords, int64_t num, int64_t *rows, int threads) {
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            const int64_t *at = coords + 4 * n;
            rows[n] = -1;
            if (!lies_inside(at, columns.batch_size, columns.size_0, columns.size_1, columns.size_2)) continue;
            const int64_t column = (at[0] * columns.size_0 + at[1]) * columns.size_1 + at[2];
            if (columns.occupied[column] >> at[3] & 1) rows[n] = columns.number_at(column, at[3]);
        }
    };
    parallel_in_parts(num, threads, work);
}

// The coarse columns of a 3x3x3 convolution: a cell is occupied where a fine one in its receptive field is.
inline void coarsen(const Columns &fine, const int64_t *stride, const Columns &coarse, int threads) {
    const uint64_t inside = coarse.size_2 == 64 ? ~uint64_t{0} : (uint64_t{1} << coarse.size_2) - 1;
    auto work = [&](int64_t row) {  // a scan and an index along the first axis
        const int64_t scan = row / coarse.size_0;
        const Reach over_0 = Reach::around(row % coarse.size_0, stride[0], fine.size_0);
        for (int64_t column = 0; column < coarse.size_1; ++column) {
            const Reach over_1 = Reach::around(column, stride[1], fine.size_1);
            uint64_t seen = 0;
            for (int i = 0; i < 3; ++i)
                for (int j = 0; j < 3; ++j)
                    if (over_0.index[i] >= 0 && over_1.index[j] >= 0)
                        seen |= fine.occupied[(scan * fine.size_0 + over_0.index[i]) * fine.size_1 + over_1.index[j]];
            seen |= seen << 1 | seen >> 1;
            uint64_t kept = stride[2] == 1 ? seen : 0;
            if (stride[2] != 1)
                for (int64_t z = 0; z < coarse.size_2; ++z) kept |= (seen >> (z * stride[2]) & 1) << z;
            coarse.occupied[row * coarse.size_1 + column] = kept & inside;
        }
    };
    parallel(coarse.batch_size * coarse.size_0, threads, work);
}

// Coordinates int64 (V, 4) of all sites.
inline void list(const Columns &columns, int64_t *coords) {
    for (int64_t column = 0; column < columns.count(); ++column) {
        const int64_t row = column / columns.size_1;
        for (uint64_t left = columns.occupied[column]; left; left &= left - 1, coords += 4) {
            coords[0] = row / columns.size_0;
            coords[1] = row % columns.size_0;
            coords[2] = column % columns.size_1;
            coords[3] = __builtin_ctzll(left);
        }
    }
}

// Bounds and sizes of the cells of a grid, in float64, for where the borders lie is part of the trained networks.
struct Grid {
    double minimum[3], maximum[3], cell[3];
};

struct Voxelisation {
    const float *points;       // (P, 4): x, y, z, intensity
    const float *cylindrical;  // (P, 3)
    const int32_t *scans;      // (P,)
    float *features;           // (P, 9)
    int64_t *column_of_point, *point_to_voxel;  // (P,) each; the first is working space
    int64_t num_points;
    Grid grid;
    const double *borders;  // (size_0 + 1,) of the cells along the first axis; null where these are of one size
};

// Cells, features (pvd_core/voxels/features.py) and occupied columns of all points.
inline void occupy(const Voxelisation &call, const Columns &columns, int threads) {
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
            const float *at = call.cylindrical + 3 * p, *point = call.points + 4 * p;
            float *features = call.features + 9 * p;
            int64_t index[3];
            for (int axis = 0; axis < 3; ++axis) {
                const double low = call.grid.minimum[axis], high = call.grid.maximum[axis], cell = call.grid.cell[axis];
                double position = at[axis];
                position = position < low ? low : position > high ? high : position;
                const int64_t last = (axis == 0 ? columns.size_0 : axis == 1 ? columns.size_1 : columns.size_2) - 1;
                const double number = std::floor((position - low) / cell);
                // A NaN, which no caller should bring, must not leave the table.
                index[axis] = number > 0 ? number < last ? static_cast<int64_t>(number) : last : 0;
                const double half = static_cast<double>(index[axis]) + 0.5;
                double centre = half * cell + low;
                if (axis == 0 && call.borders) {
                    const double *inner = call.borders + 1, *end = call.borders + columns.size_0;
                    index[0] = std::upper_bound(inner, end, static_cast<double>(at[0])) - inner;
                    centre = (call.borders[index[0]] + call.borders[index[0] + 1]) / 2;
                }
                features[axis] = static_cast<float>(at[axis] - centre);
                features[3 + axis] = at[axis];
            }
            features[6] = point[0], features[7] = point[1], features[8] = point[3];
            const int64_t column =
                (call.scans[p] * columns.size_0 + index[0]) * columns.size_1 + index[1];
            call.column_of_point[p] = column;
            call.point_to_voxel[p] = index[2];
        }
    };
    parallel_in_parts(call.num_points, threads, work);
    for (int64_t p = 0; p < call.num_points; ++p)
        columns.occupied[call.column_of_point[p]] |= uint64_t{1} << call.point_to_voxel[p];
}

// The voxel of each point and the number of points of each voxel, int64 (V,), zero before.
inline void assign(const Voxelisation &call, const Columns &columns, int64_t *num_points) {
    for (int64_t p = 0; p < call.num_points; ++p) {
        const int64_t voxel = columns.number_at(call.column_of_point[p], call.point_to_voxel[p]);
        call.point_to_voxel[p] = voxel;
        ++num_points[voxel];
    }
}

// The points of each voxel, one voxel after the other: `order` int64 (P,), and `ends` int64 (V + 1,), where those of each
// voxel end.
inline void sort_by_voxel(const int64_t *point_to_voxel, int64_t num_points, int64_t num_voxels, int64_t *ends,
                          int64_t *order) {
    std::memset(ends, 0, (num_voxels + 1) * sizeof *ends);
    for (int64_t p = 0; p < num_points; ++p) ++ends[point_to_voxel[p] + 1];
    for (int64_t v = 0; v < num_voxels; ++v) ends[v + 1] += ends[v];
    for (int64_t p = 0; p < num_points; ++p) order[ends[point_to_voxel[p]]++] = p;  // each start becomes an end
}

// Maximum of each channel over the points of each voxel, (V, C); NaN where a point has NaN, -inf where there are none.
// `ends` and `order` as those of `sort_by_voxel`, which are worked out here.
inline void maximum(const float *features, const int64_t *point_to_voxel, int64_t num_points, int64_t channels,
                    int64_t num_voxels, int64_t *ends, int64_t *order, float *result, int threads) {
    sort_by_voxel(point_to_voxel, num_points, num_voxels, ends, order);
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t v = begin; v < end; ++v) {
            float *to = result + v * channels;
            const int64_t start = v == 0 ? 0 : ends[v - 1];
            if (start == ends[v]) {
                for (int64_t c = 0; c < channels; ++c) to[c] = -INFINITY;
                continue;
            }
            std::memcpy(to, features + order[start] * channels, channels * sizeof(float));
            for (int64_t n = start + 1; n < ends[v]; ++n) {
                const float *from = features + order[n] * channels;
                for (int64_t c = 0; c < channels; ++c) to[c] = from[c] > to[c] || from[c] != from[c] ? from[c] : to[c];
            }
        }
    };
    parallel_in_parts(num_voxels, threads, work);
}

// Gradient of `maximum` for the features, (P, C), from that for its result, (V, C): points that share the maximum share its
// gradient equally.
inline void maximum_gradient(const float *features, const int64_t *point_to_voxel, int64_t num_points,
                             int64_t channels, int64_t num_voxels, int64_t *ends, int64_t *order, const float *result,
                             const float *gradient, float *to, int threads) {
    sort_by_voxel(point_to_voxel, num_points, num_voxels, ends, order);
    auto work = [&](int64_t begin, int64_t end) {
        std::vector<float> share(channels);
        for (int64_t v = begin; v < end; ++v) {
            const int64_t start = v == 0 ? 0 : ends[v - 1];
            const float *largest = result + v * channels;
            std::fill(share.begin(), share.end(), 0.0f);
            for (int64_t n = start; n < ends[v]; ++n) {
                const float *from = features + order[n] * channels;
                for (int64_t c = 0; c < channels; ++c) share[c] += from[c] == largest[c] ? 1.0f : 0.0f;
            }
            for (int64_t c = 0; c < channels; ++c) share[c] = gradient[v * channels + c] / share[c];
            for (int64_t n = start; n < ends[v]; ++n) {
                const float *from = features + order[n] * channels;
                float *here = to + order[n] * channels;
                for (int64_t c = 0; c < channels; ++c) here[c] = (from[c] == largest[c] ? 1.0f : 0.0f) * share[c];
            }
        }
    };
    parallel_in_parts(num_voxels, threads, work);
}

// To the nearest whole number, half to the even one; nearbyintf without its call.
inline float nearest(float value) {
    const float shift = 12582912.0f;  // 1.5 * 2^23: sums have no bits for fractions
    return std::fabs(value) < 4194304.0f ? (value + shift) - shift : std::nearbyintf(value);
}

// Moments of the points (P, width) of each voxel, (V, 8), as moments_of_points (pvd_core/voxels/moments.py) has them, in
// whole numbers until the last step. `ends` and `order` as those of `sort_by_voxel`, which are worked out here.
inline void moments(const float *points, const int64_t *point_to_voxel, int64_t num_points, int64_t width,
                    int64_t num_voxels, int64_t *ends, int64_t *order, float *result, float size, float steps,
                    float most, int threads) {
    sort_by_voxel(point_to_voxel, num_points, num_voxels, ends, order);
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t v = begin; v < end; ++v) {
            const int64_t start = v == 0 ? 0 : ends[v - 1], count = ends[v] - start;
            int64_t sums[4] = {}, squares[4] = {};
            float cell[4] = {};
            for (int64_t n = start; n < ends[v]; ++n) {
                const float *point = points + order[n] * width;
                for (int c = 0; c < 4; ++c) {
                    float value = point[3];
                    if (c < 3) {
                        value = point[c] / size;
                        cell[c] = nearest(value);
                        value -= cell[c];
                    }
                    const int64_t step = static_cast<int64_t>(nearest(std::min(std::max(value, -most), most) * steps));
                    sums[c] += step;
                    squares[c] += step * step;
                }
            }
            const double all = static_cast<double>(steps) * static_cast<double>(std::max<int64_t>(count, 1));
            for (int c = 0; c < 4; ++c) {
                const double mean = static_cast<double>(sums[c]) / all;
                const int64_t spread = std::max<int64_t>(count * squares[c] - sums[c] * sums[c], 0);
                result[8 * v + c] = static_cast<float>(c < 3 ? (cell[c] + mean) * size : mean);
                result[8 * v + 4 + c] = static_cast<float>(std::sqrt(static_cast<double>(spread)) / all);
            }
        }
    };
    parallel_in_parts(num_voxels, threads, work);
}

}  // namespace pvd
