// Matrix products and attention against plain loops in float64.

#include <algorithm>
#include <cstring>

#include "check.hpp"
#include "programs.hpp"
#include "tests.hpp"

using unrolled::Kernels;
using unrolled::Matrix;
using unrolled::Quantised;

namespace {

constexpr int ROWS = 13;

float through_bfloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint32_t low = bits & 0xFFFF, up = low > 0x8000 || (low == 0x8000 && (bits & 0x10000)) ? 0x10000 : 0;
    bits = (bits & 0xFFFF0000u) + up;
    std::memcpy(&value, &bits, 4);
    return value;
}

// A matrix packed as programs pack it, and what its weights then stand for.
struct Layer {
    long outputs, inputs;
    std::vector<float> weight, bias;
    Draft draft;
    std::shared_ptr<Packed> packed;

    Layer(long out, long in, std::vector<float> numbers, std::vector<float> biases, const char* precision,
          const Kernels& kernels)
        : outputs(out), inputs(in), weight(std::move(numbers)), bias(std::move(biases)) {
        const long from = draft.buffer(Role::vector, {inputs}), to = draft.buffer(Role::registers, {outputs});
        std::vector<long> used = {draft.weight({outputs, inputs}, weight)};
        if (!bias.empty()) used.push_back(draft.weight({outputs}, bias));
        draft.output = draft.whole(to);
        draft.step.push_back(Draft::operation(Kind::linear, {draft.whole(to), draft.whole(from)}, used));
        packed = draft.pack(precision, kernels.name);
    }

    const Matrix& matrix() const { return packed->step[0].matrix; }

    double meaning(const char* precision, long output, long input) const {
        const float* row = weight.data() + output * inputs;
        if (precision == PRECISIONS[0]) return row[input];
        if (precision == PRECISIONS[1]) return through_bfloat16(row[input]);
        float most = 0;
        for (long k = 0; k < inputs; ++k) most = std::max(most, std::fabs(row[k]));
        return most > 0 ? std::nearbyint(row[input] * (127 / most)) * (most / 127) : 0;
    }
};

using Rows = std::vector<std::vector<float>>;  // a number behind the end of each is not to be touched

// The layer's panels in `parts` calls, on the first `rows` of x and y.
void apply(const Kernels& kernels, const Layer& layer, int rows, const Rows& x, Rows& y, bool add, int parts) {
    const Matrix& matrix = layer.matrix();
    std::vector<const float*> from;
    std::vector<float*> to;
    std::vector<Quantised> quantised;
    std::vector<std::vector<uint8_t>> bytes(rows, std::vector<uint8_t>(unrolled::quantised_bytes(layer.inputs)));
    for (int row = 0; row < rows; ++row) {
        from.push_back(x[row].data()), to.push_back(y[row].data());
        if (matrix.precision != unrolled::Precision::int8) continue;
        const float scale = kernels.quantise(x[row].data(), layer.inputs, bytes[row].data());
        quantised.push_back({bytes[row].data(), scale});
    }
    for (int part = 0; part < parts; ++part) {
        const long first = matrix.panels() * part / parts, last = matrix.panels() * (part + 1) / parts;
        if (quantised.empty())
            kernels.linear(matrix, first, last, rows, from.data(), to.data(), add);
        else
            kernels.linear_int8(matrix, first, last, rows, quantised.data(), to.data(), add);
    }
}

// One row against the plain sum. Tolerance: 1e-6 of the sum of magnitudes, and half a level of every input in int8.
void compare(Check& check, const Layer& layer, const char* precision, const std::vector<float>& x,
             const std::vector<float>& before, const std::vector<float>& y, bool add) {
    float most = 0;
    for (float number : x) most = std::max(most, std::fabs(number));
    const double half = precision == PRECISIONS[2] ? 0.501 * most / unrolled::LEVELS : 0;
    for (long output = 0; output < layer.outputs; ++output) {
        const double bias = layer.bias.empty() ? 0 : layer.bias[output], kept = add ? before[output] : 0;
        double wanted = bias + kept, size = std::fabs(bias) + std::fabs(kept), rounding = 0;
        for (long k = 0; k < layer.inputs; ++k) {
            const double weight = layer.meaning(precision, output, k);
            wanted += weight * x[k], size += std::fabs(weight * x[k]), rounding += std::fabs(weight) * half;
        }
        check.near(y[output], wanted, 1e-6 * size + rounding + 1e-30, "output", output);
    }
    check.same(y[layer.outputs], 7, "behind the end of", layer.outputs);
}

void test_layer(Check& check, const Kernels& kernels, const Layer& layer, const char* precision, bool add,
                Numbers& numbers) {
    Rows x, before;
    for (int row = 0; row < ROWS; ++row) {
        x.push_back(numbers.many(layer.inputs)), before.push_back(numbers.many(layer.outputs));
        before.back().push_back(7);
    }
    Rows all = before;
    apply(kernels, layer, ROWS, x, all, add, 1);
    for (int row : {0, 5, ROWS - 1}) compare(check, layer, precision, x[row], before[row], all[row], add);
    for (int rows = 1; rows <= ROWS; ++rows) {  // what stands beside a row, and who computes a panel, changes nothing
        Rows some = before;
        apply(kernels, layer, rows, x, some, add, 1 + rows % 3);
        for (int row = 0; row < ROWS; ++row)
            for (long i = 0; i <= layer.outputs; ++i)
                check.same(some[row][i], (row < rows ? all : before)[row][i], "rows", rows);
    }
}

void test_linear(const Kernels& kernels, const char* precision) {
    Check check(std::string(kernels.name) + " linear " + precision);
    Numbers numbers(10);
    const long odd[] = {0, 1, 8, 15};
    for (long tiles = 1; tiles <= 9; ++tiles)
        for (long inputs : {1, 2, 3, 7, 34, 67}) {
            const long outputs = 16 * tiles - odd[(tiles + inputs) % 4];
            const bool biased = (tiles + inputs) % 3 > 0, add = inputs % 2 == tiles % 2;
            const std::vector<float> weight = numbers.many(outputs * inputs), bias = numbers.many(biased ? outputs : 0);
            const Layer layer(outputs, inputs, weight, bias, precision, kernels);
            test_layer(check, kernels, layer, precision, add, numbers);
        }
}

// Weights and activations that are whole numbers already, with the largest of each in place, so that scales are 1.
void test_whole_numbers(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " linear int8 is exact");
    Numbers numbers(11);
    for (long inputs : {1L, 2L, 3L, 4L, 5L, 16L, 33L, 129L, 2067L, unrolled::MOST_INPUTS}) {
        const long outputs = inputs < 2000 ? 16 * (1 + inputs % 9) - inputs % 16 : 21;
        std::vector<float> weight(outputs * inputs);
        for (long i = 0; i < outputs * inputs; ++i)
            weight[i] = i % inputs == 0 || i < inputs ? 127.0f : static_cast<float>(numbers.whole(255) - 127);
        const Layer layer(outputs, inputs, weight, {}, PRECISIONS[2], kernels);
        const long levels = unrolled::LEVELS;
        for (int kind : {0, 1, 2}) {  // at random, all up, all down
            Rows x(1, std::vector<float>(inputs)), y(1, std::vector<float>(outputs + 1, 7.0f));
            for (float& number : x[0]) {
                const long random = numbers.whole(2 * levels + 1) - levels;
                number = static_cast<float>(kind == 0 ? random : kind == 1 ? levels : -levels);
            }
            if (kind == 0) x[0][0] = static_cast<float>(-levels);
            apply(kernels, layer, 1, x, y, false, 1);
            for (long output = 0; output < outputs; ++output) {
                int64_t wanted = 0;
                for (long k = 0; k < inputs; ++k)
                    wanted += static_cast<int64_t>(weight[output * inputs + k]) * static_cast<int64_t>(x[0][k]);
                check.same(y[0][output], static_cast<float>(wanted), "inputs", inputs);
            }
        }
    }
}

void test_quantise(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " scales of activations");
    const float infinite = std::numeric_limits<float>::infinity(), none = std::numeric_limits<float>::quiet_NaN();
    for (long inputs = 1; inputs <= 50; ++inputs) {
        std::vector<uint8_t> bytes(unrolled::quantised_bytes(inputs));
        const auto scale = [&](float number, float rest) {
            std::vector<float> x(inputs, rest);
            x[inputs * 2 / 3] = number;
            return kernels.quantise(x.data(), inputs, bytes.data());
        };
        check.near(scale(-3, 0.5f), 3.0 / unrolled::LEVELS, 1e-8, "of", inputs);
        check.same(scale(0, 0), 0, "of nothing", inputs);
        check.same(scale(infinite, 1), none, "of infinity", inputs);
        check.same(scale(none, 1), none, "of not-a-number", inputs);
    }
}

struct Span {
    float* data;
    float& operator[](long i) const { return data[i]; }
};

// What is not in use is not-a-number. Tolerance: 3e-6, where values lie within [-1, 1], and 2e-7 of `shift`, which moves
// all scores.
void test_heads(Check& check, const Kernels& kernels, long width, long window, long slots, float shift,
                Numbers& numbers) {
    using unrolled::Heads;
    const long room = Heads::room(window, width);
    const auto memory = unrolled::allocate(2 * room * 4), scratch = unrolled::allocate((window + 128) * 4);
    const Span keys{reinterpret_cast<float*>(memory.get())}, values{keys.data + room};
    for (long i = 0; i < 2 * room; ++i) keys[i] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> query = numbers.many(width, 2), out(width + 1, 7.0f);
    if (shift != 0) query[0] = 1;
    std::vector<double> scores(slots);
    for (long slot = 0; slot < slots; ++slot)
        for (long d = 0; d < width; ++d) {
            const float key = shift == 0 ? numbers.one(2) : d == 0 ? shift + numbers.one(9) : 0;
            keys[Heads::key_place(slot, d, width)] = key, values[slot * width + d] = numbers.one();
            scores[slot] += double{query[d]} * key / std::sqrt(width);
        }
    kernels.attend(out.data(), query.data(), keys.data, values.data, reinterpret_cast<float*>(scratch.get()),
                   {slots, width});
    const double most = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - most);
    for (long d = 0; d < width; ++d) {
        double wanted = 0;
        for (long slot = 0; slot < slots; ++slot) wanted += scores[slot] / total * values[slot * width + d];
        check.near(out[d], wanted, 3e-6 + 2e-7 * std::fabs(shift), "slots", slots);
    }
    check.same(out[width], 7, "behind the end of", width);
}

}  // namespace

void test_products(const Kernels& kernels) {
    for (const char* precision : PRECISIONS) test_linear(kernels, precision);
    test_whole_numbers(kernels);
    test_quantise(kernels);
}

void test_attention(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " attend");
    Numbers numbers(12);
    for (long width : {1, 2, 3, 5, 7, 8, 13, 16, 24, 31, 32, 33, 40, 64, 80, 128})
        for (long window : {1, 5, 16, 70, 256})
            for (long slots = 1; slots <= window; slots += 1 + slots / 9 * 3)
                for (float shift : {0.0f, 1000.0f, -1000.0f})
                    test_heads(check, kernels, width, window, slots, shift, numbers);
}
