// Products of int8 weights and activations of about 14 bits, exact in int32: every set gives the same whole numbers.
// With VNNI an activation is shifted to be positive and cut into two parts of 7 bits, eight bytes for four inputs;
// elsewhere it is an int16.
#pragma once

#include "products.hpp"

namespace {

UNROLLED_INLINE float largest_magnitude(const float* x, long n) {
    Floats most = {};
    long i = 0;
    for (; i + LANES <= n; i += LANES) most = larger(magnitude(load(x + i)), most);
    if (i < n) most = larger(magnitude(load_rest(x + i, n - i)), most);
    return largest(most);
}

float quantise(const float* x, long inputs, int32_t levels, uint8_t* out) {
    const float most = largest_magnitude(x, inputs);
    const float inverse = most > 0 && most < 3e38f ? levels / most : 0;
    for (long k = 0; k < inputs; k += LANES) {
        const long left = inputs - k;
        const Floats value = left >= LANES ? load(x + k) : load_rest(x + k, left);
        // Not-a-number becomes some whole number here, and the scale carries it on.
        const Ints rounded = __builtin_convertvector((value * inverse + ROUNDER) - ROUNDER, Ints);
        const int lanes = left >= LANES ? LANES : static_cast<int>((left + 3) / 4 * 4);
#if defined(__AVX512VNNI__)
        const Ints shifted = rounded + (unrolled::LEVELS + 1);
        const __m128i high = _mm512_cvtepi32_epi8((__m512i)(shifted >> 7)), low = _mm512_cvtepi32_epi8((__m512i)(shifted & 127));
        const __m256i bytes = _mm256_set_m128i(_mm_unpackhi_epi32(high, low), _mm_unpacklo_epi32(high, low));
        if (lanes == LANES) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * k), bytes);
        } else {
            memcpy(out + 2 * k, &bytes, lanes * 2);
        }
#else
        int16_t numbers[LANES];
        for (int lane = 0; lane < LANES; ++lane) numbers[lane] = static_cast<int16_t>(rounded[lane]);
        memcpy(out + 2 * k, numbers, lanes * 2);
#endif
    }
    return most < 3e38f ? most / levels : __builtin_nanf("");
}

#if defined(__AVX512VNNI__)

constexpr int INTEGER_ROWS = 3;

// In assembly, because compilers copy the sums of the intrinsic to and fro.
UNROLLED_INLINE void add_products(__m512i& sums, __m512i activations, __m512i weights) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(activations), "v"(weights));
}

template <int T, int R>
UNROLLED_INLINE void sum_integers(const uint8_t* weights, long quads, const Quantised* x, Words (&out)[R][T * PER_TILE]) {
    __m512i high[R][T] = {}, low[R][T] = {};
    for (long quad = 0; quad < quads; ++quad) {
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) {
            const __m512i weight = _mm512_loadu_si512(weights + (quad * T + t) * 64);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) {
                const int32_t* parts = reinterpret_cast<const int32_t*>(x[r].data + quad * 8);
                add_products(high[r][t], _mm512_set1_epi32(parts[0]), weight);
                add_products(low[r][t], _mm512_set1_epi32(parts[1]), weight);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t)
            out[r][t] = ((Words)high[r][t] << 7) + (Words)low[r][t];
}

// What the shift of the activations has added.
UNROLLED_INLINE Words excess(const int32_t* sums) {
    return *reinterpret_cast<const LooseWords*>(sums) * (uint32_t)(unrolled::LEVELS + 1);
}

#elif defined(__AVX2__)

constexpr int INTEGER_ROWS = 1;

template <int T, int R>
UNROLLED_INLINE void sum_integers(const uint8_t* weights, long quads, const Quantised* x, Words (&out)[R][T * PER_TILE]) {
    for (int t = 0; t < T; ++t) {
        __m256i sums[4] = {};
        for (long quad = 0; quad < quads; ++quad) {
            int64_t four;
            memcpy(&four, x[0].data + quad * 8, 8);
            const __m256i activation = _mm256_set1_epi64x(four);
            const __m128i* from = reinterpret_cast<const __m128i*>(weights + (quad * T + t) * 64);
#pragma GCC unroll 4
            for (int part = 0; part < 4; ++part) {  // 4 outputs of 4 inputs
                const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(from + part));
                sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(wide, activation));
            }
        }
        for (int v = 0; v < 2; ++v) {  // pairs of lanes are halves of one sum
            const __m256i pairs = _mm256_hadd_epi32(sums[2 * v], sums[2 * v + 1]);
            out[0][t * 2 + v] = (Words)_mm256_permute4x64_epi64(pairs, 0b11011000);
        }
    }
}

UNROLLED_INLINE Words excess(const int32_t*) { return Words{}; }

#else

constexpr int INTEGER_ROWS = 1;

template <int T, int R>
UNROLLED_INLINE void sum_integers(const uint8_t* weights, long quads, const Quantised* x, Words (&out)[R][T * PER_TILE]) {
    for (int t = 0; t < T; ++t) {
        int32_t sums[TILE] = {};
        for (long quad = 0; quad < quads; ++quad) {
            int16_t four[4];
            memcpy(four, x[0].data + quad * 8, 8);
            const int8_t* weight = reinterpret_cast<const int8_t*>(weights + (quad * T + t) * 64);
            for (int output = 0; output < TILE; ++output)
                for (int k = 0; k < 4; ++k) sums[output] += weight[output * 4 + k] * four[k];
        }
        memcpy(&out[0][t * PER_TILE], sums, sizeof sums);
    }
}

UNROLLED_INLINE Words excess(const int32_t*) { return Words{}; }

#endif

template <int T, int R>
void integer_rows(const uint8_t* weights, const Matrix& matrix, int rows, const Quantised* x, float* const* y,
                  long output, const Target& target) {
    int row = 0;
    for (; row + R <= rows; row += R) {
        Words sums[R][T * PER_TILE];
        sum_integers<T, R>(weights, (matrix.inputs + 3) / 4, x + row, sums);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
            for (int v = 0; v < T * PER_TILE; ++v) {
                const long at = output + v * LANES;
                const Ints exact = (Ints)(sums[r][v] - excess(matrix.sums + at));
                const Floats whole = __builtin_convertvector(exact, Floats);
                target.finish(whole * (load(matrix.scales + at) * x[row + r].scale), y[row + r], at);
            }
    }
    if constexpr (R > 1)
        if (row < rows) integer_rows<T, R - 1>(weights, matrix, rows - row, x + row, y + row, output, target);
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
