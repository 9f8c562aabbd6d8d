// Matrix products. Every output of every row is summed in one fixed order, whatever rows stand beside it.
#pragma once

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using unrolled::Matrix;
using unrolled::Precision;
using unrolled::Quantised;
using unrolled::TILE;

constexpr int PER_TILE = TILE / LANES;

// Inputs are dealt out to this many sums, so that there are enough independent chains of additions.
constexpr int splits(Precision precision, int tiles) {
    const int vectors = tiles * PER_TILE;
    if (LANES == 16 && precision == Precision::float32) return vectors >= 3 ? 1 : vectors == 2 ? 2 : 4;
    if (LANES == 16) return vectors >= 3 ? 2 : 4;
    if (LANES == 8) return vectors >= 6 ? 1 : vectors == 4 ? 2 : 4;
    return vectors >= 8 ? 1 : 2;
}
constexpr int MOST_ROWS = 6;
constexpr long NEAR = 8;  // takes of inputs from which weights are fetched early
// How many rows, and how many vectors of outputs, have their sums in registers at once.
constexpr int rows_at_once(Precision precision, int tiles) {
    if (LANES == 16) return MOST_ROWS;
    if (LANES == 8) return splits(precision, tiles) == 1 ? MOST_ROWS : 3;
    return 2;
}
constexpr int columns_at_once(Precision precision, int tiles, int rows) {
    const int vectors = tiles * PER_TILE;
    if (LANES == 16 || (LANES == 8 && rows == 1)) return vectors;
    if (LANES == 8) return splits(precision, tiles) == 4 ? 1 : 2;
    return 4;
}

struct Target {
    const Matrix& matrix;
    bool add;

    // Takes in the sums of LANES outputs from `output` on.
    UNROLLED_INLINE void finish(Floats sums, float* y, long output) const {
        const long left = matrix.outputs - output;
        if (left >= LANES) {
            if (matrix.bias) sums += load(matrix.bias + output);
            if (add) sums += load(y + output);
            store(y + output, sums);
        } else if (left > 0) {
            if (matrix.bias) sums += load_rest(matrix.bias + output, left);
            if (add) sums += load_rest(y + output, left);
            store_rest(y + output, sums, left);
        }
    }
};

// The next inputs of a panel's columns, times those of each row, onto the sums.
template <Precision P>
struct Reader;

template <>
struct Reader<Precision::float32> {
    static constexpr int INPUTS = 1;

    template <int V, int R>
    static UNROLLED_INLINE void take(const uint8_t* at, const float* const* x, long k, Floats (&sums)[R][V]) {
        const float* weights = reinterpret_cast<const float*>(at);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) {
            const Floats weight = load(weights + v * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) sums[r][v] += weight * x[r][k];
        }
    }
};

template <>
struct Reader<Precision::bfloat16> {
    static constexpr int INPUTS = 2;

    template <int V, int R>
    static UNROLLED_INLINE void take(const uint8_t* at, const float* const* x, long k, Floats (&sums)[R][V]) {
        const uint32_t* pairs = reinterpret_cast<const uint32_t*>(at);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) {
            const Words pair = *reinterpret_cast<const LooseWords*>(pairs + v * LANES);
            const Floats even = (Floats)(pair << 16), odd = (Floats)(pair & 0xFFFF0000u);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                sums[r][v] += even * x[r][k];
                sums[r][v] += odd * x[r][k + 1];
            }
        }
    }
};

constexpr int REGISTERS = LANES == 16 ? 24 : 12;  // that sums may take: the others hold weights and inputs

// V vectors of outputs of R rows. `step`: bytes from one take of inputs to the next. Sums that do not fit in registers
// together are made one after the other. `next`: weights that are wanted soon, a cache line for each take.
template <Precision P, int V, int S, int R>
UNROLLED_INLINE void block(const uint8_t* weights, long step, long inputs, const float* const* rows, float* const* y,
                           long output, const Target& target, const uint8_t* next) {
    using Read = Reader<P>;
    constexpr int PASSES = S * R * V <= REGISTERS ? 1 : S, TOGETHER = S / PASSES;
    const float* x[R];
    for (int r = 0; r < R; ++r) x[r] = rows[r];
    const long takes = inputs / Read::INPUTS;
    Floats totals[R][V];
#pragma GCC unroll 4
    for (int pass = 0; pass < PASSES; ++pass) {
        Floats sums[TOGETHER][R][V] = {};
        long take = 0;
        for (; take + S <= takes; take += S) {
            if constexpr (R == MOST_ROWS) {
#pragma GCC unroll 8
                for (int v = 0; v < V * TOGETHER; ++v)
                    __builtin_prefetch(weights + (take + pass + NEAR) * step + v * LANES * 4);
                __builtin_prefetch(next + (take + pass) * 64, 0, 2);
            }
#pragma GCC unroll 4
            for (int s = 0; s < TOGETHER; ++s)
                Read::template take<V, R>(weights + (take + pass + s) * step, x, (take + pass + s) * Read::INPUTS,
                                          sums[s]);
        }
        if (pass == 0) {
            for (; take < takes; ++take)
                Read::template take<V, R>(weights + take * step, x, take * Read::INPUTS, sums[0]);
            if (takes * Read::INPUTS < inputs) {  // one input is left over from pairs
                float rest[R][2];
                const float* last[R];
                for (int r = 0; r < R; ++r) {
                    rest[r][0] = x[r][inputs - 1];
                    rest[r][1] = 0;
                    last[r] = rest[r];
                }
                Read::template take<V, R>(weights + takes * step, last, 0, sums[0]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
            for (int v = 0; v < V; ++v) {
                totals[r][v] = pass == 0 ? sums[0][r][v] : totals[r][v] + sums[0][r][v];
#pragma GCC unroll 4
                for (int s = 1; s < TOGETHER; ++s) totals[r][v] += sums[s][r][v];
            }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) target.finish(totals[r][v], y[r], output + v * LANES);
}

// As many of the rows as go R at a time through a panel of T tiles; the rest by smaller groups.
template <Precision P, int T, int R>
void panel_rows(const uint8_t* weights, const Matrix& matrix, int rows, const float* const* x, float* const* y,
                long output, const Target& target) {
    constexpr int V = columns_at_once(P, T, R), ALL = T * PER_TILE;
    const long step = T * TILE * 4, takes = (matrix.inputs + Reader<P>::INPUTS - 1) / Reader<P>::INPUTS;
    int row = 0;
    for (; row + R <= rows; row += R)
        for (int v = 0; v < ALL; v += V) {
            const uint8_t* next = weights + takes * step + row / R * takes * 64;  // of the panel that comes
            block<P, V, splits(P, T), R>(weights + v * LANES * 4, step, matrix.inputs, x + row, y + row,
                                         output + v * LANES, target, next);
        }
    if constexpr (R > 1)
        if (row < rows)
            panel_rows<P, T, R == 6 ? 4 : R / 2>(weights, matrix, rows - row, x + row, y + row, output, target);
}

template <Precision P>
void linear_panels(const Matrix& matrix, long first, long last, int rows, const float* const* x, float* const* y,
                   bool add) {
    const Target target{matrix, add};
    for (long panel = first; panel < last; ++panel) {
        const uint8_t* weights = matrix.data + panel * unrolled::PANEL_TILES * matrix.tile_bytes();
        const long output = panel * unrolled::PANEL_TILES * TILE, tiles = matrix.tiles() - panel * unrolled::PANEL_TILES;
        if (tiles >= 4)
            panel_rows<P, 4, rows_at_once(P, 4)>(weights, matrix, rows, x, y, output, target);
        else if (tiles == 3)
            panel_rows<P, 3, rows_at_once(P, 3)>(weights, matrix, rows, x, y, output, target);
        else if (tiles == 2)
            panel_rows<P, 2, rows_at_once(P, 2)>(weights, matrix, rows, x, y, output, target);
        else
            panel_rows<P, 1, rows_at_once(P, 1)>(weights, matrix, rows, x, y, output, target);
    }
}

void linear(const Matrix& matrix, long first, long last, int rows, const float* const* x, float* const* y, bool add) {
    if (matrix.precision == Precision::float32)
        linear_panels<Precision::float32>(matrix, first, last, rows, x, y, add);
    else
        linear_panels<Precision::bfloat16>(matrix, first, last, rows, x, y, add);
}

}  // namespace
