// Programs that reach outside of their buffers are refused, and unusual ones are packed without harm.

#include <functional>
#include <stdexcept>

#include "../session.hpp"
#include "check.hpp"
#include "programs.hpp"
#include "tests.hpp"

using unrolled::Kernels;

namespace {

struct Refusal {
    const char* name;
    std::function<void(Draft&)> change;
};

constexpr long LARGE = (1L << 31) - 1;

// One of the parts of a buffer of four numbers.
void pick(Draft& draft, long width, double frame) {
    const long clock = draft.buffer(Role::clock, {1}), from = draft.buffer(Role::vector, {4});
    const long to = draft.buffer(Role::registers, {4});
    draft.step.push_back(
        Draft::operation(Kind::pick, {{to, 0, width}, draft.whole(from), draft.whole(clock)}, {}, {frame}));
}

// Products behind taps, of which 16 steps are made ahead.
void look_ahead(Draft& draft, long outputs, long count) {
    const long to = draft.buffer(Role::registers, {outputs}), gathered = draft.buffer(Role::registers, {6});
    const long matrix = draft.weight({outputs, 6}, std::vector<float>(6 * outputs, 0.5f));
    for (long i = 0; i < count; ++i) {
        const long ring = draft.buffer(Role::ring, {16, 3});
        draft.step.push_back(
            Draft::operation(Kind::taps, {draft.whole(gathered), draft.whole(0), draft.whole(ring)}, {}, {16}));
        draft.step.push_back(Draft::operation(Kind::linear, {draft.whole(to), draft.whole(gathered)}, {matrix}));
    }
}

// One matrix with other biases.
void share(Draft& draft, long count) {
    for (long i = 0; i < count; ++i) {
        const long bias = draft.weight({5}, std::vector<float>(5, 0.5f));
        draft.step.push_back(Draft::operation(Kind::linear, {draft.whole(1), draft.whole(0)}, {0, bias}));
    }
}

// Changes of a program with one linear operation (buffers 0 to 1, 3 to 5 wide) that must not be packed.
const Refusal REFUSALS[] = {
    {"role", [](Draft& draft) { draft.buffers[0].first = 7; }},
    {"axes of a ring", [](Draft& draft) { draft.buffer(Role::ring, {3}); }},
    {"axes of a cache", [](Draft& draft) { draft.buffer(Role::cache, {3, 4}); }},
    {"negative size", [](Draft& draft) { draft.buffer(Role::vector, {-1}); }},
    {"large buffer", [](Draft& draft) { draft.buffer(Role::vector, {LARGE, LARGE}); }},
    {"large empty cache", [](Draft& draft) { draft.buffer(Role::cache, {1L << 30, 0, 1L << 30}); }},
    {"large strides", [](Draft& draft) { draft.buffer(Role::cache, {1L << 15, 1, 1L << 15}); }},
    {"room of an empty cache", [](Draft& draft) { draft.buffer(Role::cache, {16384, 0, 8191}); }},
    {"products ahead", [](Draft& draft) { look_ahead(draft, 1L << 18, 70); }},
    {"copies of a matrix", [](Draft& draft) { share(draft, 8); }},
    {"many buffers", [](Draft& draft) { for (int i = 0; i < 9; ++i) draft.buffer(Role::vector, {1L << 30}); }},
    {"buffer of an operand", [](Draft& draft) { draft.output = {2, 0, 1}; }},
    {"end of an operand", [](Draft& draft) { draft.output = {1, 1, 5}; }},
    {"start of an operand", [](Draft& draft) { draft.output = {1, -1, 5}; }},
    {"kind", [](Draft& draft) { std::get<0>(draft.step[0]) = static_cast<int>(Kind::count); }},
    {"no operands", [](Draft& draft) { std::get<1>(draft.step[0]).clear(); }},
    {"no input", [](Draft& draft) { std::get<1>(draft.step[0]).pop_back(); }},
    {"two inputs", [](Draft& draft) { std::get<1>(draft.step[0]).push_back(draft.whole(0)); }},
    {"weight", [](Draft& draft) { std::get<2>(draft.step[0]) = {9}; }},
    {"no weight", [](Draft& draft) { std::get<2>(draft.step[0]).clear(); }},
    {"bias", [](Draft& draft) { std::get<2>(draft.step[0]) = {0, 0}; }},
    {"matrix", [](Draft& draft) { draft.weights[0].shape = {3, 5}; }},
    {"symbols", [](Draft& draft) { draft.symbols = 4; }},
    {"lookup without symbols",
     [](Draft& draft) {
         const long table = draft.weight({2, 5}, std::vector<float>(10));
         draft.step.push_back(Draft::operation(Kind::lookup, {draft.output}, {table}));
     }},
    {"taps in the prologue",
     [](Draft& draft) {
         const long ring = draft.buffer(Role::ring, {1, 3}), out = draft.buffer(Role::kept, {6});
         draft.prologue.push_back(
             Draft::operation(Kind::taps, {draft.whole(out), draft.whole(0), draft.whole(ring)}, {}, {1}));
     }},
    {"dilation",
     [](Draft& draft) {
         const long ring = draft.buffer(Role::ring, {4, 3}), out = draft.buffer(Role::registers, {6});
         draft.step.push_back(
             Draft::operation(Kind::taps, {draft.whole(out), draft.whole(0), draft.whole(ring)}, {}, {3}));
     }},
    {"clock of a pace", [](Draft& draft) { std::get<4>(draft.step[0]) = {0, 2}; }},
    {"unknown clock", [](Draft& draft) { std::get<4>(draft.step[0]) = {2, 2}; }},
    {"multiple of a clock",
     [](Draft& draft) { std::get<4>(draft.step[0]) = {draft.buffer(Role::clock, {1}), 0}; }},
    {"pace in the prologue",
     [](Draft& draft) {
         const long clock = draft.buffer(Role::clock, {1}), out = draft.buffer(Role::kept, {3});
         draft.prologue.push_back(Draft::operation(Kind::zero, {draft.whole(out)}, {}, {}, {clock, 2}));
     }},
    {"parts of a pick", [](Draft& draft) { pick(draft, 3, 2); }},
    {"frame of a pick", [](Draft& draft) { pick(draft, 2, 0); }},
    {"pick of nothing", [](Draft& draft) { pick(draft, 0, 2); }},
    {"ring as an operand",
     [](Draft& draft) {
         draft.output = draft.whole(draft.buffer(Role::ring, {1, 5}));
         draft.step.push_back(Draft::operation(Kind::zero, {draft.output}));
     }},
};

Draft simple() {
    Draft draft;
    const long from = draft.buffer(Role::vector, {3}), to = draft.buffer(Role::registers, {5});
    const long matrix = draft.weight({5, 3}, std::vector<float>(15, 0.5f));
    draft.output = draft.whole(to);
    draft.step.push_back(Draft::operation(Kind::linear, {draft.whole(to), draft.whole(from)}, {matrix}));
    return draft;
}

// A prologue that is wider than any step, which needs more room for its rounded activations.
void test_wide_prologue(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " wide prologue");
    const long inputs = 4000;
    for (const char* precision : PRECISIONS) {
        Draft draft = simple();
        const long shift = draft.buffer(Role::vector, {inputs}), kept = draft.buffer(Role::kept, {2});
        const long matrix = draft.weight({2, inputs}, std::vector<float>(2 * inputs, 0.25f));
        draft.prologue.push_back(Draft::operation(Kind::linear, {draft.whole(kept), draft.whole(shift)}, {matrix}));
        draft.step.push_back(Draft::operation(Kind::copy, {{1, 0, 2}, draft.whole(kept)}));
        unrolled::Session session(draft.pack(precision, kernels.name), 1, 1);
        session.set_leaf(0, shift, std::vector<float>(inputs, 2.0f).data());
        session.begin(0);
        std::vector<float> found(2);
        session.get_leaf(0, kept, found.data());
        for (float one : found) check.near(one, 2000, 0.1, precision);
    }
}

// Weights that are almost nothing round to nothing in int8.
void test_tiny_weights(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " tiny weights");
    for (float size : {0.0f, 1e-45f, 1e-38f, 1e-36f, 1e-30f, 1e30f})
        for (const char* precision : PRECISIONS) {
            Draft draft = simple();
            for (size_t i = 0; i < 15; ++i) draft.numbers[0][i] = i % 2 ? size : i % 3 ? -size : 0;
            unrolled::Session session(draft.pack(precision, kernels.name), 1, 1);
            session.set_leaf(0, 0, std::vector<float>{1, 1, 1}.data());
            const int64_t row = 0, none = 0;
            int64_t count = 1, symbol = 0;
            double nats = 0;
            std::vector<float> found(5);
            const unrolled::Call call{1, 1, &row, &count, &none, &none, nullptr, {}, 0, &none, &none,
                                      nullptr, nullptr, -1, false, &symbol, &nats, found.data()};
            session.run(call, [] { return false; });
            for (long i = 0; i < 5; ++i) {
                double wanted = 0;
                for (long k = 0; k < 3; ++k) wanted += draft.numbers[0][i * 3 + k];
                check.near(found[i], wanted, 0.02 * size + 1e-35, precision, i);
            }
        }
}

// One array of numbers under two shapes is packed for each.
void test_shared_numbers(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " shared numbers");
    Draft draft = simple();
    draft.weights.push_back({{3, 5}, draft.weights[0].data});
    draft.step.push_back(Draft::operation(Kind::linear, {draft.whole(0), draft.whole(1)}, {1}));
    const auto packed = draft.pack("float32", kernels.name);
    check.holds(packed->step[0].matrix.inputs == 3 && packed->step[1].matrix.inputs == 5, "inputs");
}

bool refused(const Draft& draft, const char* precision, const Kernels& kernels) {
    try {
        draft.pack(precision, kernels.name);
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

// Sums of int8 products that int32 might not hold.
void test_most_inputs(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " most inputs of int8");
    for (long inputs : {unrolled::MOST_INPUTS, unrolled::MOST_INPUTS + 1}) {
        Draft draft;
        const long from = draft.buffer(Role::vector, {inputs}), to = draft.buffer(Role::registers, {1});
        const long matrix = draft.weight({1, inputs}, std::vector<float>(inputs, 0.5f));
        draft.output = draft.whole(to);
        draft.step.push_back(Draft::operation(Kind::linear, {draft.whole(to), draft.whole(from)}, {matrix}));
        check.holds(!refused(draft, PRECISIONS[0], kernels), "float32");
        check.holds(refused(draft, PRECISIONS[2], kernels) == (inputs > unrolled::MOST_INPUTS), "int8");
    }
}

}  // namespace

void test_refusals(const Kernels& kernels) {
    {
        Check check(std::string(kernels.name) + " refusals");
        check.holds(!refused(simple(), PRECISIONS[0], kernels), "the program that is changed");
        Draft fewer = simple();
        look_ahead(fewer, 1L << 18, 3), share(fewer, 7);
        check.holds(!refused(fewer, PRECISIONS[0], kernels), "fewer products ahead and copies");
        for (const Refusal& refusal : REFUSALS) {
            Draft draft = simple();
            refusal.change(draft);
            check.holds(refused(draft, PRECISIONS[0], kernels), refusal.name);
        }
    }
    test_wide_prologue(kernels);
    test_tiny_weights(kernels);
    test_shared_numbers(kernels);
    test_most_inputs(kernels);
}
