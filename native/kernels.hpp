// What every instruction set implements: one table of functions, chosen when a program is packed.
// Weights lie in panels of up to 4 tiles of 16 outputs, so that a matrix is read once, from front to back:
//   float32   for each input k: the weights of the panel's outputs
//   bfloat16  for each pair of inputs: one 32-bit word per output, the even input in the low half
//   int8      for each four inputs: 4 bytes per output
#pragma once

#include <cstdint>

namespace unrolled {

constexpr int TILE = 16, PANEL_TILES = 4;

enum class Precision { float32, bfloat16, int8 };

struct Matrix {
    long outputs = 0, inputs = 0;
    Precision precision = Precision::float32;
    const uint8_t* data = nullptr;
    const float* bias = nullptr;     // per output, or null
    const float* scales = nullptr;   // int8: per output, padded to tiles
    const int32_t* sums = nullptr;   // int8: of each output's weights, padded to tiles

    long tiles() const { return (outputs + TILE - 1) / TILE; }
    long panels() const { return (tiles() + PANEL_TILES - 1) / PANEL_TILES; }
    // Bytes of one tile of 16 outputs over all inputs.
    long tile_bytes() const {
        if (precision == Precision::float32) return inputs * TILE * 4;
        if (precision == Precision::bfloat16) return (inputs + 1) / 2 * TILE * 4;
        return (inputs + 3) / 4 * TILE * 4;
    }
};

// Activations of one row, rounded to whole numbers within [-LEVELS, LEVELS] times `scale`: a byte for each input.
struct Quantised {
    const uint8_t* data;
    float scale;
};

constexpr int32_t LEVELS = 127;
constexpr long MOST_INPUTS = 0x7FFFFFFF / (LEVELS * LEVELS);  // whose products int32 holds
constexpr long quantised_bytes(long inputs) { return (inputs + 3) / 4 * 4; }

// Keys of one head stand in blocks of 16 slots, in which each feature has its 16 numbers; values slot by slot.
struct Heads {
    long slots, head_width;  // slots that are in use

    static long key_place(long slot, long feature, long head_width) {
        return (slot / TILE * head_width + feature) * TILE + slot % TILE;
    }
    // Numbers that the keys, or the values, of one head take.
    static long room(long window, long head_width) { return (window + TILE - 1) / TILE * TILE * head_width; }
};

struct Kernels {
    const char* name;
    // Panels [first, last) of y = W x + bias (or y += ...) for `rows` rows.
    void (*linear)(const Matrix&, long first, long last, int rows, const float* const* x, float* const* y, bool add);
    void (*linear_int8)(const Matrix&, long first, long last, int rows, const Quantised* x, float* const* y, bool add);
    float (*quantise)(const float* x, long inputs, uint8_t* out);  // gives the scale

    void (*zero)(float* out, long n);
    void (*copy)(float* out, const float* x, long n);
    void (*add)(float* out, const float* x, const float* y, long n);
    void (*multiply)(float* out, const float* x, const float* y, long n);
    void (*tanh)(float* out, const float* x, long n);
    void (*sigmoid)(float* out, const float* x, long n);
    void (*relu)(float* out, const float* x, long n);
    void (*silu)(float* out, const float* x, long n);
    void (*gelu)(float* out, const float* x, long n);
    void (*gelu_tanh)(float* out, const float* x, long n);
    void (*gate)(float* out, const float* x, const float* y, long n);
    void (*keep)(float* out, const float* x, const float* y, long n);
    void (*blend)(float* out, const float* x, const float* y, const float* z, long n);
    void (*layer_norm)(float* out, const float* x, const float* scale, const float* shift, long n, float epsilon);
    void (*rms_norm)(float* out, const float* x, const float* scale, long n, float epsilon);
    // Units [first, last) of a layer of `width` units.
    void (*lstm)(float* hidden, const float* gates, float* cell, long width, long first, long last);
    void (*gru)(float* hidden, const float* from_input, const float* from_hidden, long width, long first, long last);
    // One query head: `scores` has room for the slots, rounded up to tiles.
    void (*attend)(float* out, const float* query, const float* keys, const float* values, float* scores, Heads heads);
    // out[i] = exp((x[i] - highest) * scale) in float64; gives the sum.
    double (*exponentials)(const float* x, long n, double highest, double scale, double* out);
    float (*highest)(const float* x, long n);  // not-a-number is passed over
};

// The sets that were built and that this machine has, from the plainest to the fastest; ends with null.
const Kernels* const* kernel_sets();

}  // namespace unrolled
