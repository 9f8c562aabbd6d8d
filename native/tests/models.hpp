// Three small models, as step programs and as plain loops in float64.
#pragma once

#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "programs.hpp"

constexpr long SYMBOLS = 37, HIDDEN = 40, STEPS = 12;

// An LSTM over symbols with its logits; the widths are odd on purpose.
struct Language : Draft {
    long table, recurrent, matrix, bias, hidden, cell, gates;

    Language() {
        Numbers numbers(30);
        table = weight({SYMBOLS, 4 * HIDDEN}, numbers.many(SYMBOLS * 4 * HIDDEN));
        recurrent = weight({4 * HIDDEN, HIDDEN}, numbers.many(4 * HIDDEN * HIDDEN, 0.3f));
        matrix = weight({SYMBOLS, HIDDEN}, numbers.many(SYMBOLS * HIDDEN, 2));
        bias = weight({SYMBOLS}, numbers.many(SYMBOLS));
        hidden = buffer(Role::vector, {HIDDEN}), cell = buffer(Role::vector, {HIDDEN});
        gates = buffer(Role::registers, {4 * HIDDEN});
        output = whole(buffer(Role::registers, {SYMBOLS})), symbols = SYMBOLS;
        step.push_back(operation(Kind::lookup, {whole(gates)}, {table}));
        step.push_back(operation(Kind::linear_add, {whole(gates), whole(hidden)}, {recurrent}));
        step.push_back(operation(Kind::lstm, {whole(hidden), whole(gates), whole(cell)}));
        step.push_back(operation(Kind::linear, {output, whole(hidden)}, {matrix, bias}));
    }

    struct State {
        std::vector<double> hidden = std::vector<double>(HIDDEN), cell = hidden;
    };

    std::vector<double> logits(State& state, int64_t symbol) const {
        std::vector<double> sums(4 * HIDDEN), found(SYMBOLS);
        for (long i = 0; i < 4 * HIDDEN; ++i) {
            sums[i] = numbers[table][symbol * 4 * HIDDEN + i];
            for (long k = 0; k < HIDDEN; ++k) sums[i] += numbers[recurrent][i * HIDDEN + k] * state.hidden[k];
        }
        for (long i = 0; i < HIDDEN; ++i) {
            const double kept = logistic(sums[HIDDEN + i]) * state.cell[i];
            state.cell[i] = kept + logistic(sums[i]) * std::tanh(sums[2 * HIDDEN + i]);
            state.hidden[i] = logistic(sums[3 * HIDDEN + i]) * std::tanh(state.cell[i]);
        }
        for (long i = 0; i < SYMBOLS; ++i) {
            found[i] = numbers[bias][i];
            for (long k = 0; k < HIDDEN; ++k) found[i] += numbers[matrix][i * HIDDEN + k] * state.hidden[k];
        }
        return found;
    }
};

constexpr long WIDTH = 6, REACH = 4, DILATION = 2, HEADS = 4, KEY_HEADS = 2, HEAD = 6, KEPT = 4;

// Dilated taps, then attention with rotary angles over a window of KEPT + 1; vectors in and out.
struct Mixed : Draft {
    long control, ring, keys, values, clock, matrix;

    Mixed() {
        Numbers random(31);
        const long taps = (REACH / DILATION + 1) * WIDTH, joined = (HEADS + 2 * KEY_HEADS) * HEAD;
        control = buffer(Role::control, {WIDTH}), ring = buffer(Role::ring, {REACH, WIDTH});
        keys = buffer(Role::cache, {KEY_HEADS, KEPT, HEAD}), values = buffer(Role::cache, {KEY_HEADS, KEPT, HEAD});
        clock = buffer(Role::clock, {1});
        const long tapped = buffer(Role::registers, {taps}), queries = buffer(Role::registers, {joined});
        matrix = weight({joined, taps}, random.many(joined * taps));
        output = whole(buffer(Role::registers, {HEADS * HEAD}));
        step.push_back(operation(Kind::taps, {whole(tapped), whole(control), whole(ring)}, {}, {double{DILATION}}));
        step.push_back(operation(Kind::linear, {whole(queries), whole(tapped)}, {matrix}));
        const std::vector<double> settings = {double{HEADS}, double{KEY_HEADS}, 100};
        step.push_back(operation(
            Kind::attention, {output, whole(queries), whole(keys), whole(values), whole(clock)}, {}, settings));
    }

    // What step `time` of a row that is given x gives, from the whole of x.
    std::vector<double> outputs(const float* x, long time) const {
        const long group = HEADS / KEY_HEADS, first = std::max(0L, time - KEPT);
        std::vector<double> found(HEADS * HEAD);
        const std::vector<double> now = joined(x, time);
        for (long head = 0; head < HEADS; ++head) {
            double total = 0;
            std::vector<double> mixed(HEAD);
            for (long other = first; other <= time; ++other) {
                const std::vector<double> then = joined(x, other);
                const double* key = then.data() + (HEADS + head / group) * HEAD;
                double score = 0;
                for (long d = 0; d < HEAD; ++d) score += now[head * HEAD + d] * key[d] / std::sqrt(HEAD);
                total += score = std::exp(score);
                for (long d = 0; d < HEAD; ++d) mixed[d] += score * key[KEY_HEADS * HEAD + d];
            }
            for (long d = 0; d < HEAD; ++d) found[head * HEAD + d] = mixed[d] / total;
        }
        return found;
    }

private:
    // Queries, keys and values of one step, turned.
    std::vector<double> joined(const float* x, long time) const {
        const long taps = REACH / DILATION + 1, outputs = (HEADS + 2 * KEY_HEADS) * HEAD;
        std::vector<double> found(outputs);
        for (long i = 0; i < outputs; ++i)
            for (long tap = 0; tap < taps; ++tap) {
                const long from = time - (taps - 1 - tap) * DILATION;
                for (long k = 0; k < WIDTH && from >= 0; ++k)
                    found[i] += double{numbers[matrix][(i * taps + tap) * WIDTH + k]} * x[from * WIDTH + k];
            }
        for (long head = 0; head < HEADS + KEY_HEADS; ++head)
            for (long d = 0; d < HEAD / 2; ++d) {
                const double angle = static_cast<double>(time) * std::pow(100.0, -static_cast<double>(d) / (HEAD / 2));
                double &one = found[head * HEAD + d], &other = found[head * HEAD + d + HEAD / 2];
                const double before = one;
                one = one * std::cos(angle) - other * std::sin(angle);
                other = other * std::cos(angle) + before * std::sin(angle);
            }
        return found;
    }
};

constexpr long FRAME = 6, PARTS = 3;

// A leaky sum of controls that every sixth step reads, and three maps of it of which each is heard for two steps.
struct Framed : Draft {
    long control, clock, sum, made, matrix;

    Framed() {
        Numbers random(32);
        control = buffer(Role::control, {WIDTH}), clock = buffer(Role::clock, {1});
        sum = buffer(Role::vector, {WIDTH}), made = buffer(Role::vector, {PARTS, WIDTH});
        matrix = weight({PARTS * WIDTH, WIDTH}, random.many(PARTS * WIDTH * WIDTH));
        output = whole(buffer(Role::registers, {WIDTH}));
        step.push_back(operation(Kind::blend, {whole(sum), whole(control), whole(control), whole(sum)}, {}, {}, {clock, FRAME}));
        step.push_back(operation(Kind::linear, {whole(made), whole(sum)}, {matrix}, {}, {clock, FRAME}));
        step.push_back(operation(Kind::pick, {output, whole(made), whole(clock)}, {}, {double{FRAME}}));
    }

    // What step `time` of a row that is given x gives, from the whole of x.
    std::vector<double> outputs(const float* x, long time) const {
        std::vector<double> total(WIDTH), found(WIDTH);
        for (long from = 0; from <= time; from += FRAME)
            for (long k = 0; k < WIDTH; ++k) {
                const double number = x[from * WIDTH + k];
                total[k] += logistic(number) * (std::tanh(number) - total[k]);
            }
        const long part = time % FRAME / (FRAME / PARTS);
        for (long i = 0; i < WIDTH; ++i)
            for (long k = 0; k < WIDTH; ++k) found[i] += numbers[matrix][(part * WIDTH + i) * WIDTH + k] * total[k];
        return found;
    }
};
