// A step program in numbers, with its weights packed for one precision and instruction set.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "kernels.hpp"

namespace unrolled {

// In the order of unrolled/engine/runtime.py.
enum class Role { registers, kept, control, vector, ring, cache, clock };

// In the order of unrolled/engine/operations.py.
enum class Kind {
    lookup, linear, linear_add, zero, copy, add, multiply, tanh, sigmoid, relu, silu, gelu, gelu_tanh, gate, keep,
    layer_norm, rms_norm, lstm, gru, taps, attention, position, blend, pick, count,
    past, ahead  // made of taps and the product behind them, see ahead.cpp; no program holds them
};

struct Buffer {
    Role role;
    std::vector<long> shape;
    long width = 0;    // numbers in the program
    long offset = 0;   // of its floats in a row's memory
    long floats = 0;   // that it takes there
    long counter = -1; // of clocks and rings: index of its number among the row's counters; a ring has two
    long clock = -1;   // of caches: the buffer that tells the age of the row
};

struct Operand {
    long buffer, width;
    long offset;  // of its floats in a row's memory
};

inline bool within(const Operand& part, const Operand& whole) {
    return part.offset >= whole.offset && part.offset + part.width <= whole.offset + whole.width;
}
inline bool overlap(const Operand& one, const Operand& other) {
    return one.offset < other.offset + other.width && other.offset < one.offset + one.width;
}

struct Weight {
    std::vector<long> shape;
    const float* data;
    long stride = 0;  // from one row of a matrix to the next; 0 where its rows are neighbours
};

// When an operation runs: in the steps where a clock, a buffer, stands at a multiple of `every`.
struct Pace {
    long clock, every;
};

struct Operation {
    Kind kind;
    Operand output;
    std::vector<Operand> inputs;
    std::vector<Weight> weights;
    std::vector<double> numbers;
    Matrix matrix;   // of products
    long pace = -1;  // of Packed::paces; -1 for every step

    bool product() const { return kind == Kind::linear || kind == Kind::linear_add || kind == Kind::ahead; }
    // Whether the output is more than written.
    bool reads_output() const { return kind == Kind::linear_add || kind == Kind::lstm || kind == Kind::gru; }
};

constexpr long AHEAD = 16;  // steps that the products of past taps are made ahead, at most

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<uint8_t[], Free>;

// Zeroed, and aligned for every instruction set.
Memory allocate(long bytes);

using EncodedOperand = std::tuple<long, long, long>;
using EncodedPace = std::pair<long, long>;  // clock, -1 for every step, and multiple
using EncodedOperation =
    std::tuple<int, std::vector<EncodedOperand>, std::vector<long>, std::vector<double>, EncodedPace>;

struct Packed {
    std::vector<Buffer> buffers;
    std::vector<Operation> prologue, step;
    std::vector<Pace> paces;
    Operand output;
    long symbols, row_floats = 0, counters = 0;
    Precision precision;
    const Kernels* kernels;

    // Throws std::invalid_argument for anything that would reach outside of a buffer. `weights` must outlive this.
    Packed(const std::vector<std::pair<int, std::vector<long>>>& buffers, const std::vector<Weight>& weights,
           const std::vector<EncodedOperation>& prologue, const std::vector<EncodedOperation>& step,
           EncodedOperand output, long symbols, const std::string& precision, const std::string& instructions);

    // Bytes that a step of one row reads in which every operation runs: packed matrices, vectors, and one row of each
    // table; of products made ahead the share of one step.
    long bytes() const;

private:
    std::vector<Memory> memory;
    std::map<std::pair<const float*, const float*>, Matrix> matrices;  // those that operations share are packed once

    void add_buffer(Role role, std::vector<long> shape);
    Operand operand(EncodedOperand encoded) const;
    Operation operation(const EncodedOperation& encoded, const std::vector<Weight>& weights);
    long pace(EncodedPace encoded);
    void check_shapes(const Operation& operation) const;
    bool can_look_ahead(size_t index) const;
    void look_ahead();
    Matrix pack(const Weight& weight, const Weight* bias);
    void pack_tile(const Weight& weight, const Matrix& matrix, long tile, long tiles, uint8_t* panel, float* scales,
                   int32_t* sums) const;
};

}  // namespace unrolled
