// The native sparse engine: convolutions, their gradients and chains of linear layers, with a plain C interface.
//
// The same kernels are compiled for several levels of instructions; the best one that the processor has, and whose
// results agree with plain loops, is chosen when the library is first used.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

// Compilers know the matrix unit from GCC 11 and Clang 12 on; Linux lends its registers to processes that ask.
#if defined(__x86_64__) && defined(__linux__) && __has_include(<amxbf16intrin.h>)
#define PVD_KNOWS_TILES
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "interface.h"
#include "occupied.h"
#include "sites.h"
#include "sorted_sites.h"
#include "threads.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // Vectors are passed within this file only.

namespace pvd {

// Memory of one thread that is kept from one block to the next.
class Scratch {
  public:
    template <class T>
    T *get(int64_t count) {
        const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
        if (bytes > size_) {
            std::free(memory_);
            memory_ = std::aligned_alloc(64, bytes);
            if (!memory_) throw std::bad_alloc();
            size_ = bytes;
        }
        return static_cast<T *>(memory_);
    }
    Scratch() = default;
    Scratch(const Scratch &) = delete;
    ~Scratch() { std::free(memory_); }

  private:
    void *memory_ = nullptr;
    size_t size_ = 0;
};

// Vector code that any processor of the family runs; also the whole of it on arm64.
namespace plain {
#define PVD_TARGET
#define PVD_VECTOR 16
#define PVD_NAME "plain"
#include "kernels.h"
#undef PVD_TARGET
#undef PVD_VECTOR
#undef PVD_NAME
}  // namespace plain

#if defined(__x86_64__)
namespace avx2 {
#define PVD_TARGET __attribute__((target("avx2,fma")))
#define PVD_VECTOR 32
#define PVD_NAME "avx2"
#include "kernels.h"
#undef PVD_TARGET
#undef PVD_VECTOR
#undef PVD_NAME
}  // namespace avx2

#define PVD_AVX512 "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"
namespace avx512 {
#define PVD_TARGET __attribute__((target(PVD_AVX512)))
#define PVD_VECTOR 64
#define PVD_NAME "avx512"
#include "kernels.h"
#undef PVD_TARGET
#undef PVD_NAME
}  // namespace avx512

namespace avx512bf16 {
#define PVD_TARGET __attribute__((target(PVD_AVX512 ",avx512bf16")))
#define PVD_HAS_DOT
#define PVD_NAME "avx512bf16"
#include "kernels.h"
#undef PVD_TARGET
#undef PVD_NAME
}  // namespace avx512bf16

#ifdef PVD_KNOWS_TILES
namespace amx {
#define PVD_TARGET __attribute__((target(PVD_AVX512 ",avx512bf16,amx-tile,amx-bf16")))
#define PVD_HAS_TILES
#define PVD_NAME "amx"
#include "kernels.h"
#undef PVD_TARGET
#undef PVD_NAME
#undef PVD_HAS_TILES
}  // namespace amx
#endif
#undef PVD_VECTOR
#undef PVD_HAS_DOT
#endif

namespace {

#ifdef PVD_KNOWS_TILES
// Whether there is a matrix unit for bfloat16 and the system lets this process use it.
bool has_tiles() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return false;
    constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}
#endif

// Levels that this processor runs, best first.
std::vector<const Level *> levels() {
    std::vector<const Level *> result;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    const bool has_dot = has_avx512 && __builtin_cpu_supports("avx512bf16");
#ifdef PVD_KNOWS_TILES
    if (has_dot && has_tiles()) result.push_back(&amx::LEVEL);
#endif
    if (has_dot) result.push_back(&avx512bf16::LEVEL);
    if (has_avx512) result.push_back(&avx512::LEVEL);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) result.push_back(&avx2::LEVEL);
#endif
    result.push_back(&plain::LEVEL);
    return result;
}

// Whether a small convolution and weight gradient equal plain loops. All values are integers, which every type holds
// exactly; features in float32 have more bits than bfloat16. A level that fails, on a processor nobody has tried, is not
// used.
bool agrees(const Level &level, Type type, int ins) {
    constexpr int rows = 45, outs = 37, taps = 3;
    auto value = [](int n) { return static_cast<float>(n * 7919 % 13 - 6); };
    auto half = [](float x) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        return static_cast<uint16_t>(bits >> 16);
    };
    std::vector<float> features(rows * ins), weight(taps * ins * outs), gradient(rows * outs);
    for (size_t n = 0; n < features.size(); ++n) features[n] = value(static_cast<int>(n)) * (type == FLOAT32 ? 257 : 1);
    for (size_t n = 0; n < weight.size(); ++n) weight[n] = value(static_cast<int>(n) + 5);
    for (size_t n = 0; n < gradient.size(); ++n) gradient[n] = value(static_cast<int>(n) + 3);
    std::vector<int32_t> cells(rows);  // row n meets rows n - 1, n and n + 1 where bits of n say so
    for (int n = 1; n + 3 < rows; ++n) cells[n] = (n - 1) * 8 + n % 8;
    std::vector<float> expected(rows * outs), expected_gradient(taps * ins * outs);
    for (int n = 0; n < rows; ++n) {
        int row = cells[n] >> 3;
        for (int tap = 0; tap < taps; ++tap) {
            if (!(cells[n] >> tap & 1)) continue;
            for (int i = 0; i < ins; ++i) {
                for (int o = 0; o < outs; ++o) {
                    expected[n * outs + o] += features[row * ins + i] * weight[(tap * ins + i) * outs + o];
                    expected_gradient[(tap * ins + i) * outs + o] += features[row * ins + i] * gradient[n * outs + o];
                }
            }
            ++row;
        }
    }
    std::vector<uint16_t> half_features(features.size()), half_gradient(gradient.size());
    for (size_t n = 0; n < features.size(); ++n) half_features[n] = half(features[n]);
    for (size_t n = 0; n < gradient.size(); ++n) half_gradient[n] = half(gradient[n]);
    const void *x = type == FLOAT32 ? static_cast<const void *>(features.data()) : half_features.data();
    const void *g = type == FLOAT32 ? static_cast<const void *>(gradient.data()) : half_gradient.data();
    std::vector<char> packed(level.packed_bytes(type, taps, ins, outs));
    const int64_t strides[3] = {ins * outs, outs, 1};
    level.pack(type, weight.data(), strides, taps, ins, outs, 0, packed.data(), 1);
    std::vector<float> result(rows * outs), found(taps * ins * outs);
    level.convolve({x, packed.data(), cells.data(), result.data(), rows, ins, outs, 1, taps, type, 1, {}});
    if (type == BFLOAT16) {
        const uint16_t *halves = reinterpret_cast<const uint16_t *>(result.data());
        for (int n = 0; n < rows * outs; ++n) {
            if (std::abs(expected[n]) < 256 && halves[n] != half(expected[n]) && expected[n] != 0) return false;
        }
    } else if (result != expected) {
        return false;
    }
    level.weight_gradient({x, g, cells.data(), found.data(), rows, ins, outs, 1, taps, type, 1});
    return found == expected_gradient;
}

const Level *choose(const char *wanted) {
    for (const Level *level : levels()) {
        if (wanted && *wanted && std::strcmp(wanted, level->name) != 0) continue;
        const bool odd = agrees(*level, FLOAT32, 7) && agrees(*level, BFLOAT16, 7);
        if (odd && agrees(*level, FLOAT32, 32) && agrees(*level, BFLOAT16, 32)) return level;
    }
    return nullptr;
}

const Level *current = nullptr;

}  // namespace
}  // namespace pvd

#ifndef PVD_SOURCE
#define PVD_SOURCE "unknown"
#endif

extern "C" {

// Digest of the source that this library was built from.
const char *pvd_source() { return PVD_SOURCE; }

// Chooses the level of instructions of that name, or the best one for null or "". Returns its name; null, and no
// change, where this processor has no such level.
const char *pvd_use_level(const char *name) {
    const pvd::Level *level = pvd::choose(name);
    if (level) pvd::current = level;
    return level ? level->name : nullptr;
}

// Name of the level in use.
const char *pvd_level() { return pvd::current->name; }

int64_t pvd_packed_bytes(int32_t type, int32_t taps, int32_t in_channels, int32_t out_channels) {
    return pvd::current->packed_bytes(type, taps, in_channels, out_channels);
}

void pvd_pack(int32_t type, const float *weight, const int64_t *strides, int32_t taps, int32_t in_channels,
              int32_t out_channels, int32_t reverses_taps, void *packed, int32_t threads) {
    pvd::current->pack(type, weight, strides, taps, in_channels, out_channels, reverses_taps, packed, threads);
}

void pvd_convolve(const pvd::Convolution *call) { pvd::current->convolve(*call); }

void pvd_weight_gradient(const pvd::WeightGradient *call) { pvd::current->weight_gradient(*call); }

void pvd_chain(const pvd::Chain *call) { pvd::current->chain(*call); }

void pvd_labels(const float *scores, int64_t num_rows, int32_t channels, float sharpness, uint8_t *labels,
                float *confidence, int32_t threads) {
    pvd::current->labels(scores, num_rows, channels, sharpness, labels, confidence, threads);
}

// Fills the columns of `coords` int64 (V, 4); `occupied` is zero before.
void pvd_columns(const pvd::Columns *columns, const int64_t *coords, int64_t num_sites) {
    for (const int64_t *at = coords; at < coords + 4 * num_sites; at += 4)
        columns->occupied[(at[0] * columns->size_0 + at[1]) * columns->size_1 + at[2]] |= uint64_t{1} << at[3];
    columns->number();
}

void pvd_look_up(const pvd::Columns *columns, const int64_t *coords, int64_t num, const int64_t *stride,
                 int32_t is_back, int32_t *rows, int32_t threads) {
    pvd::look_up(*columns, coords, num, stride, is_back, rows, threads);
}

void pvd_find(const pvd::Columns *columns, const int64_t *coords, int64_t num, int64_t *rows, int32_t threads) {
    pvd::find(*columns, coords, num, rows, threads);
}

void pvd_list_columns(pvd::SortedColumns *columns, const int64_t *coords, int64_t num) {
    pvd::list_columns(*columns, coords, num);
}

void pvd_look_up_sorted(const pvd::SortedColumns *columns, const int64_t *coords, int64_t num, const int64_t *stride,
                        int32_t is_back, int32_t *rows, int32_t threads) {
    pvd::look_up(*columns, coords, num, stride, is_back, rows, threads);
}

void pvd_find_sorted(const pvd::SortedColumns *columns, const int64_t *coords, int64_t num, int64_t *rows,
                     int32_t threads) {
    pvd::find(*columns, coords, num, rows, threads);
}

int64_t pvd_find_blocks(const int64_t *coords, int64_t num, const int64_t *stride, int64_t *blocks,
                        int64_t *block_of_site, int64_t *tap_of_site) {
    return pvd::find_blocks(coords, num, stride, blocks, block_of_site, tap_of_site);
}

int64_t pvd_occupied(const int64_t *scans, const int64_t *indices, int64_t num, const int64_t *shape, int32_t cell_bits,
                     int32_t point_bits, uint64_t *space, int64_t *coords, int64_t *cell_of_point, int64_t *num_points) {
    return pvd::occupied(scans, indices, num, shape, cell_bits, point_bits, space, coords, cell_of_point, num_points);
}

void pvd_block_rows(const int64_t *block_of_site, const int64_t *tap_of_site, int64_t num_sites, int64_t num_blocks,
                    int64_t num_taps, int32_t is_back, int32_t *rows) {
    pvd::block_rows(block_of_site, tap_of_site, num_sites, num_blocks, num_taps, is_back, rows);
}

// Fills the coarse columns. Returns the number of coarse sites.
int64_t pvd_coarsen(const pvd::Columns *fine, const int64_t *stride, const pvd::Columns *coarse, int32_t threads) {
    pvd::coarsen(*fine, stride, *coarse, threads);
    return coarse->number();
}

void pvd_list(const pvd::Columns *columns, int64_t *coords) { pvd::list(*columns, coords); }

// Returns the number of voxels; `occupied` is zero before.
int64_t pvd_occupy(const pvd::Voxelisation *call, const pvd::Columns *columns, int32_t threads) {
    pvd::occupy(*call, *columns, threads);
    return columns->number();
}

void pvd_assign(const pvd::Voxelisation *call, const pvd::Columns *columns, int64_t *num_points) {
    pvd::assign(*call, *columns, num_points);
}

void pvd_maximum(const float *features, const int64_t *point_to_voxel, int64_t num_points, int64_t channels,
                 int64_t num_voxels, int64_t *ends, int64_t *order, float *result, int32_t threads) {
    pvd::maximum(features, point_to_voxel, num_points, channels, num_voxels, ends, order, result, threads);
}

void pvd_maximum_gradient(const float *features, const int64_t *point_to_voxel, int64_t num_points, int64_t channels,
                          int64_t num_voxels, int64_t *ends, int64_t *order, const float *result,
                          const float *gradient, float *to, int32_t threads) {
    pvd::maximum_gradient(features, point_to_voxel, num_points, channels, num_voxels, ends, order, result, gradient, to,
                          threads);
}

void pvd_moments(const float *points, const int64_t *point_to_voxel, int64_t num_points, int64_t width,
                 int64_t num_voxels, int64_t *ends, int64_t *order, float *result, float size, float steps, float most,
                 int32_t threads) {
    pvd::moments(points, point_to_voxel, num_points, width, num_voxels, ends, order, result, size, steps, most,
                 threads);
}

}  // extern "C"
