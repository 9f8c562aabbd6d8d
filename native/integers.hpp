// Products of int8 weights and activations of 8 bits, exact in int32: every set gives the same whole numbers.
// Four activations are one 32-bit word: signed bytes, or with VNNI bytes that a shift by 128 has made positive.
#pragma once

#include "products.hpp"

namespace {

// Not-a-number counts as larger than all else, as its bits are.
UNROLLED_INLINE float largest_magnitude(const float* x, long n) {
    Ints most = {};
    const auto take = [&](Floats next) {
        const Ints bits = (Ints)magnitude(next);
        most = bits > most ? bits : most;
    };
    long i = 0;
    for (; i + LANES <= n; i += LANES) take(load(x + i));
    if (i < n) take(load_rest(x + i, n - i));
    const int32_t found = across<int32_t>(most, [](int32_t a, int32_t b) { return a > b ? a : b; });
    float value;
    memcpy(&value, &found, sizeof value);
    return value;
}

#if defined(__AVX512VNNI__)
constexpr int32_t SHIFT = 128;
#else
constexpr int32_t SHIFT = 0;
#endif

float quantise(const float* x, long inputs, uint8_t* out) {
    typedef uint8_t Bytes __attribute__((vector_size(LANES)));
    const float most = largest_magnitude(x, inputs);
    if (!(most < 3e38f)) return __builtin_nanf("");  // which the scale carries on
    const float inverse = most > 1e-36f ? unrolled::LEVELS / most : 0;
    for (long k = 0; k < inputs; k += LANES) {
        const long left = inputs - k;
        const Floats value = left >= LANES ? load(x + k) : load_rest(x + k, left);
        const Ints rounded = __builtin_convertvector((value * inverse + ROUNDER) - ROUNDER, Ints) + SHIFT;
        const Bytes bytes = __builtin_convertvector(rounded, Bytes);
        memcpy(out + k, &bytes, left >= LANES ? LANES : (left + 3) / 4 * 4);
    }
    return most / unrolled::LEVELS;
}

UNROLLED_INLINE int32_t four(const Quantised& x, long quad) {
    int32_t found;
    memcpy(&found, x.data + quad * 4, 4);
    return found;
}

#if defined(__AVX512VNNI__)

constexpr int INTEGER_ROWS = 6;

// In assembly, because compilers copy the sums of the intrinsic to and fro.
UNROLLED_INLINE void add_products(__m512i& sums, __m512i activations, __m512i weights) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(activations), "v"(weights));
}

template <int T, int R>
UNROLLED_INLINE void sum_integers(const uint8_t* weights, long quads, const Quantised* x, Words (&out)[R][T * PER_TILE]) {
    __m512i sums[R][T] = {};
    for (long quad = 0; quad < quads; ++quad) {
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) {
            const __m512i weight = _mm512_loadu_si512(weights + (quad * T + t) * 64);
#pragma GCC unroll 6
            for (int r = 0; r < R; ++r) add_products(sums[r][t], _mm512_set1_epi32(four(x[r], quad)), weight);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) out[r][t] = (Words)sums[r][t];
}

#elif defined(__AVX2__)

constexpr int INTEGER_ROWS = 1;

template <int T, int R>
UNROLLED_INLINE void sum_integers(const uint8_t* weights, long quads, const Quantised* x, Words (&out)[R][T * PER_TILE]) {
    __m256i sums[T * 2] = {};
    for (long quad = 0; quad < quads; ++quad) {
        const __m256i activation = _mm256_set1_epi32(four(x[0], quad)), size = _mm256_abs_epi8(activation);
#pragma GCC unroll 8
        for (int v = 0; v < T * 2; ++v) {
            const __m256i weight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + (quad * T * 2 + v) * 32));
            // Magnitudes times weights with the activations' signs: pairs stay below 2^15.
            const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(weight, activation));
            sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < T * 2; ++v) out[0][v] = (Words)sums[v];
}

#else

constexpr int INTEGER_ROWS = 1;

template <int T, int R>
UNROLLED_INLINE void sum_integers(const uint8_t* weights, long quads, const Quantised* x, Words (&out)[R][T * PER_TILE]) {
    for (int t = 0; t < T; ++t) {
        int32_t sums[TILE] = {};
        for (long quad = 0; quad < quads; ++quad) {
            const int8_t* activation = reinterpret_cast<const int8_t*>(x[0].data + quad * 4);
            const int8_t* weight = reinterpret_cast<const int8_t*>(weights + (quad * T + t) * 64);
            for (int output = 0; output < TILE; ++output)
                for (int k = 0; k < 4; ++k) sums[output] += weight[output * 4 + k] * activation[k];
        }
        memcpy(&out[0][t * PER_TILE], sums, sizeof sums);
    }
}

#endif

template <int T, int R>
void integer_rows(const uint8_t* weights, const Matrix& matrix, int rows, const Quantised* x, float* const* y,
                  long output, const Target& target) {
    int row = 0;
    for (; row + R <= rows; row += R) {
        Words sums[R][T * PER_TILE];
        sum_integers<T, R>(weights, (matrix.inputs + 3) / 4, x + row, sums);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
            for (int v = 0; v < T * PER_TILE; ++v) {
                const long at = output + v * LANES;
                const Words shifted = *reinterpret_cast<const LooseWords*>(matrix.sums + at) * (uint32_t)SHIFT;
                const Floats whole = __builtin_convertvector((Ints)(sums[r][v] - shifted), Floats);
                target.finish(whole * (load(matrix.scales + at) * x[row + r].scale), y[row + r], at);
            }
    }
    if constexpr (R > 1)
        if (row < rows)
            integer_rows<T, R == 6 ? 4 : R / 2>(weights, matrix, rows - row, x + row, y + row, output, target);
}

void linear_int8(const Matrix& matrix, long first, long last, int rows, const Quantised* x, float* const* y, bool add) {
    const Target target{matrix, add};
    for (long panel = first; panel < last; ++panel) {
        const uint8_t* weights = matrix.data + panel * unrolled::PANEL_TILES * matrix.tile_bytes();
        const long output = panel * unrolled::PANEL_TILES * TILE, tiles = matrix.tiles() - panel * unrolled::PANEL_TILES;
        if (tiles >= 4)
            integer_rows<4, INTEGER_ROWS>(weights, matrix, rows, x, y, output, target);
        else if (tiles == 3)
            integer_rows<3, INTEGER_ROWS>(weights, matrix, rows, x, y, output, target);
        else if (tiles == 2)
            integer_rows<2, INTEGER_ROWS>(weights, matrix, rows, x, y, output, target);
        else
            integer_rows<1, INTEGER_ROWS>(weights, matrix, rows, x, y, output, target);
    }
}

}  // namespace
