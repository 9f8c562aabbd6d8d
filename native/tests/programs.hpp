// Small step programs for tests.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "../packed.hpp"

using unrolled::EncodedOperand;
using unrolled::EncodedOperation;
using unrolled::EncodedPace;
using unrolled::Kind;
using unrolled::Packed;
using unrolled::Role;

// What a program is packed from; it keeps the weights that the packed program points to.
struct Draft {
    std::vector<std::pair<int, std::vector<long>>> buffers;
    std::deque<std::vector<float>> numbers;
    std::vector<unrolled::Weight> weights;
    std::vector<EncodedOperation> prologue, step;
    EncodedOperand output{0, 0, 0};
    long symbols = 0;

    Draft() = default;
    Draft(Draft&&) = default;  // and no copies, whose weights would be those of the original

    long buffer(Role role, std::vector<long> shape) {
        buffers.emplace_back(static_cast<int>(role), std::move(shape));
        return static_cast<long>(buffers.size()) - 1;
    }

    long weight(std::vector<long> shape, std::vector<float> values) {
        numbers.push_back(std::move(values));
        weights.push_back({std::move(shape), numbers.back().data()});
        return static_cast<long>(weights.size()) - 1;
    }

    EncodedOperand whole(long index) const {
        long width = 1;
        for (long size : buffers[index].second) width *= size;
        return {index, 0, width};
    }

    // The first operand is what it writes.
    static EncodedOperation operation(Kind kind, std::vector<EncodedOperand> operands, std::vector<long> used = {},
                                      std::vector<double> settings = {}, EncodedPace pace = {-1, 1}) {
        return {static_cast<int>(kind), std::move(operands), std::move(used), std::move(settings), pace};
    }

    std::shared_ptr<Packed> pack(const std::string& precision, const std::string& instructions) const {
        return std::make_shared<Packed>(buffers, weights, prologue, step, output, symbols, precision, instructions);
    }
};

constexpr const char* PRECISIONS[] = {"float32", "bfloat16", "int8"};
