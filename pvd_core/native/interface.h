// What Python passes to the library, and what each level of instructions provides. See pvd_core/native/__init__.py.
//
// V output rows, I input channels, O output channels, K taps, J rows of L taps (pvd_core/sparse/tap_rows.py), N rows.

#pragma once

#include <cstdint>

namespace pvd {

// Element types of features and results. Sums are float32 always.
enum Type : int32_t { FLOAT32 = 0, BFLOAT16 = 1 };

// result = leaky(sums + bias) * scale + shift + added. Null pointers leave a step out. The leaky ReLU comes last where it
// `activates_last`.
struct Epilogue {
    const float *bias, *scale, *shift;
    const void *added;  // as the result: its type, rows and channels
    float negative_slope;
    int32_t has_slope, activates_last;
};

struct Convolution {
    const void *features;        // (V_in, I)
    const void *packed;          // the weight as `pack` writes it
    const int32_t *tap_rows;     // (J, V)
    void *result;                // (V, O)
    int64_t num_out;             // V
    int32_t in_channels, out_channels, num_rows, row_length;  // I, O, J, L
    int32_t type, threads;
    Epilogue epilogue;
};

struct WeightGradient {
    const void *features;     // (V_in, I)
    const void *gradient;     // (V, O)
    const int32_t *tap_rows;  // (J, V)
    float *result;            // (K, I, O)
    int64_t num_out;
    int32_t in_channels, out_channels, num_rows, row_length;
    int32_t type, threads;
};

struct Linear {
    const void *packed;  // (1, I, O)
    const float *bias;   // (O,) or null
    int32_t in_channels, out_channels, has_relu;
};

// Linear layers one after the other, on blocks of rows. `added[index[n]]` joins row n of the first layer, before ReLU.
struct Chain {
    const void *rows;      // (N, I of the first layer)
    const Linear *layers;
    const float *added;    // (any, O of the first layer) or null
    const int64_t *index;  // (N,) or null
    void *hidden;          // (N, I of the last layer), what enters the last layer; or null
    void *result;          // (N, O of the last layer)
    int64_t num_rows;
    int32_t num_layers, type, threads;
};

// One set of functions a level of instructions. `type` FLOAT32 or BFLOAT16.
struct Level {
    const char *name;
    int64_t (*packed_bytes)(int32_t type, int32_t taps, int32_t in_channels, int32_t out_channels);
    // `strides` of the weight's taps, input and output channels, in elements of float32.
    void (*pack)(int32_t type, const float *weight, const int64_t *strides, int32_t taps, int32_t in_channels,
                 int32_t out_channels, int32_t reverses_taps, void *packed, int32_t threads);
    void (*convolve)(const Convolution &);
    void (*weight_gradient)(const WeightGradient &);
    void (*chain)(const Chain &);
    // Of class scores (N, channels): the best class from 1 on, and its probability among the classes from 1 on, where
    // scores are multiplied by `sharpness`.
    void (*labels)(const float *scores, int64_t num_rows, int32_t channels, float sharpness, uint8_t *labels,
                   float *confidence, int32_t threads);
};

}  // namespace pvd
