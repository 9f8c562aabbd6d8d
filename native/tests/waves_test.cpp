// Dilated convolutions: products made ahead against plain loops, and two threads by their schedule against one.

#include "../schedule.hpp"
#include "../session.hpp"

#include <algorithm>
#include <optional>

#include "check.hpp"
#include "programs.hpp"
#include "tests.hpp"

using unrolled::Call;
using unrolled::Kernels;
using unrolled::Operand;
using unrolled::Session;
using unrolled::Status;

namespace {

constexpr long STEPS = 90, INPUTS = 3, WIDTH = 20, SKIP = 700, OUTPUTS = 5;
struct Layer {
    long dilation, taps;
};
constexpr Layer LAYERS[] = {{1, 2}, {2, 2}, {3, 3}, {20, 2}, {17, 3}};

// Gated layers with a residual and a skip path side by side; skips are wide enough to be worth a second thread.
struct Waves : Draft {
    long control, shift;
    std::vector<long> rings;

    Waves() {
        Numbers random(50);
        const auto matrix = [&](long out, long in) { return weight({out, in}, random.many(out * in, 0.5f)); };
        const auto bias = [&](long out) { return weight({out}, random.many(out, 0.5f)); };
        control = buffer(Role::control, {INPUTS}), shift = buffer(Role::vector, {2 * WIDTH});
        const long both = buffer(Role::registers, {WIDTH + SKIP});
        long here = buffer(Role::registers, {3 * WIDTH}), there = buffer(Role::registers, {3 * WIDTH});
        const EncodedOperand residual{both, 0, WIDTH}, skip{both, WIDTH, SKIP};
        step.push_back(operation(Kind::linear, {residual, whole(control)}, {matrix(WIDTH, INPUTS)}));
        step.push_back(operation(Kind::zero, {skip}));
        for (const auto& [dilation, taps] : LAYERS) {
            rings.push_back(buffer(Role::ring, {(taps - 1) * dilation, WIDTH}));
            const EncodedOperand gathered{here, 0, taps * WIDTH}, sums{there, 0, 2 * WIDTH}, gated{here, 0, WIDTH};
            const EncodedOperand entering{there, 0, WIDTH}, gate{there, WIDTH, WIDTH};
            const double apart = static_cast<double>(dilation);
            step.push_back(operation(Kind::taps, {gathered, residual, whole(rings.back())}, {}, {apart}));
            const std::vector<long> used = {matrix(2 * WIDTH, taps * WIDTH), bias(2 * WIDTH)};
            step.push_back(operation(Kind::linear, {sums, gathered}, used));
            step.push_back(operation(Kind::add, {sums, sums, whole(shift)}));
            step.push_back(operation(Kind::gate, {gated, gate, entering}));
            const std::vector<long> paths = {matrix(WIDTH + SKIP, WIDTH), bias(WIDTH + SKIP)};
            step.push_back(operation(Kind::linear_add, {whole(both), gated}, paths));
            std::swap(here, there);
        }
        const long hidden = buffer(Role::registers, {SKIP});
        step.push_back(operation(Kind::relu, {whole(hidden), skip}));
        output = whole(buffer(Role::registers, {OUTPUTS}));
        step.push_back(operation(Kind::linear, {output, whole(hidden)}, {matrix(OUTPUTS, SKIP)}));
    }

    // What all steps give, from the whole of x: t by outputs.
    std::vector<double> outputs(const std::vector<float>& x, const std::vector<float>& shifts) const {
        long next = 0;
        std::vector<double> residual = product(next++, {}, std::vector<double>(x.begin(), x.end()), INPUTS, {0});
        std::vector<double> skip(STEPS * SKIP);
        for (const auto& [dilation, taps] : LAYERS) {
            std::vector<long> ages;
            for (long tap = taps - 1; tap >= 0; --tap) ages.push_back(tap * dilation);
            const std::vector<double> sums = product(next, next + 1, residual, WIDTH, ages);
            std::vector<double> gated(STEPS * WIDTH);
            for (long t = 0; t < STEPS; ++t)
                for (long d = 0; d < WIDTH; ++d) {
                    const double entering = sums[t * 2 * WIDTH + d] + shifts[d];
                    const double gate = sums[t * 2 * WIDTH + WIDTH + d] + shifts[WIDTH + d];
                    gated[t * WIDTH + d] = logistic(gate) * std::tanh(entering);
                }
            const std::vector<double> paths = product(next + 2, next + 3, gated, WIDTH, {0});
            next += 4;
            for (long t = 0; t < STEPS; ++t)
                for (long d = 0; d < WIDTH + SKIP; ++d)
                    (d < WIDTH ? residual[t * WIDTH + d] : skip[t * SKIP + d - WIDTH]) += paths[t * (WIDTH + SKIP) + d];
        }
        for (double& number : skip) number = std::max(number, 0.0);
        return product(next, {}, skip, SKIP, {0});
    }

private:
    // matrix times the vectors of x at these ages, side by side, plus bias, for all steps.
    std::vector<double> product(long matrix, std::optional<long> bias, const std::vector<double>& x, long width,
                                const std::vector<long>& ages) const {
        const long outputs = weights[matrix].shape[0], inputs = weights[matrix].shape[1];
        std::vector<double> found(STEPS * outputs);
        for (long t = 0; t < STEPS; ++t)
            for (long o = 0; o < outputs; ++o) {
                double& sum = found[t * outputs + o] = bias ? numbers[*bias][o] : 0.0f;
                const float* from = numbers[matrix].data() + o * inputs;
                for (long age : ages)
                    for (long k = 0; k < width; ++k, ++from)
                        if (age <= t) sum += double{*from} * x[(t - age) * width + k];
            }
        return found;
    }
};

std::vector<float> inputs(long row) { return Numbers(static_cast<uint32_t>(60 + row)).many(STEPS * INPUTS, 2); }
std::vector<float> shifts(long row) { return Numbers(static_cast<uint32_t>(80 + row)).many(2 * WIDTH, 0.5f); }

void start(Session& session, const Waves& waves, long row) {
    for (long ring : waves.rings)
        session.set_leaf(row, ring, std::vector<float>(session.packed->buffers[ring].width).data());
    session.set_leaf(row, waves.shift, shifts(row).data());
    session.begin(row);
}

// Rows of a session from `time` on, each for as many steps as `counts` says; gives each row's outputs.
std::vector<std::vector<float>> go(Session& session, const std::vector<int64_t>& rows, long time,
                                   std::vector<int64_t> counts) {
    const long n = static_cast<long>(rows.size()), most = *std::max_element(counts.begin(), counts.end());
    std::vector<int64_t> zeros(n * most), symbols(n * most);
    std::vector<double> nats(n * most);
    std::vector<float> control(n * most * INPUTS), found(n * most * OUTPUTS);
    const std::vector<uint8_t> forbidden(1);
    for (long i = 0; i < n; ++i)
        std::copy_n(inputs(rows[i]).begin() + time * INPUTS, counts[i] * INPUTS, control.begin() + i * most * INPUTS);
    const Call call{n, most, rows.data(), counts.data(), zeros.data(), zeros.data(), control.data(), {}, 1,
                    zeros.data(), zeros.data(), forbidden.data(), nullptr, -1, true, symbols.data(), nats.data(),
                    found.data()};
    session.run(call, [] { return false; });
    std::vector<std::vector<float>> parts;
    for (long i = 0; i < n; ++i)
        parts.emplace_back(found.begin() + i * most * OUTPUTS, found.begin() + (i * most + counts[i]) * OUTPUTS);
    return parts;
}

void test_plain(const Kernels& kernels, const Waves& waves) {
    Check check(std::string(kernels.name) + " convolutions ahead");
    Session session(waves.pack("float32", kernels.name), 1, 1);
    const auto& step = session.packed->step;
    const auto ahead = [](const unrolled::Operation& one) { return one.kind == Kind::ahead; };
    check.same(std::count_if(step.begin(), step.end(), ahead), 4, "products ahead");
    start(session, waves, 0);
    const auto found = go(session, {0}, 0, {STEPS})[0];
    const auto wanted = waves.outputs(inputs(0), shifts(0));
    for (long i = 0; i < STEPS * OUTPUTS; ++i) check.near(found[i], wanted[i], 2e-4, "step", i / OUTPUTS);
}

// The same alone, beside others that leave early, by several threads, and where the state moves to another session.
void test_same(const Kernels& kernels, const Waves& waves, const char* precision) {
    Check check(std::string(kernels.name) + " convolutions in company, " + precision);
    const auto packed = waves.pack(precision, kernels.name);
    constexpr long ROWS = 5;
    std::vector<std::vector<float>> wanted;
    for (long row = 0; row < ROWS; ++row) {
        Session alone(packed, ROWS, 1);
        start(alone, waves, row);
        wanted.push_back(go(alone, {row}, 0, {STEPS})[0]);
    }
    const auto compare = [&](const std::vector<float>& found, long row, long time) {
        for (size_t i = 0; i < found.size(); ++i) check.same(found[i], wanted[row][time * OUTPUTS + i], "row", row);
    };
    for (int threads : {1, 2, 3}) {
        Session together(packed, ROWS, threads);
        for (long row = 0; row < ROWS; ++row) start(together, waves, row);
        const std::vector<int64_t> order = {3, 0, 4, 1, 2};
        const auto found = go(together, order, 0, {STEPS / 2, STEPS, 7, 21, 1});
        for (size_t i = 0; i < order.size(); ++i) compare(found[i], order[i], 0);
        auto session = std::make_unique<Session>(packed, 1, threads);
        start(*session, waves, 0);
        for (long time = 0, steps = 1; time < STEPS; time += steps, steps = std::min(steps + 4, STEPS - time)) {
            compare(go(*session, {0}, time, {steps})[0], 0, time);
            auto other = std::make_unique<Session>(packed, 1, threads);
            std::vector<long> leaves = waves.rings;
            leaves.push_back(waves.shift);
            for (long leaf : leaves) {
                std::vector<float> values(packed->buffers[leaf].width);
                session->get_leaf(0, leaf, values.data());
                other->set_leaf(0, leaf, values.data());
            }
            other->begin(0);
            session = std::move(other);
        }
    }
}

// Both lanes have work, and all panels are done once.
void test_schedule(const Kernels& kernels, const Waves& waves) {
    Check check(std::string(kernels.name) + " schedule of two lanes");
    const auto packed = waves.pack("float32", kernels.name);
    const auto plan = unrolled::schedule(*packed);
    check.holds(plan != nullptr, "worthwhile");
    if (!plan) return;
    std::vector<long> panels(packed->step.size());
    for (const auto& lane : plan->lanes) {
        long done = 0;
        for (const unrolled::Task& task : lane) {
            panels[task.operation] += task.last - task.first;
            check.holds(task.done > done, "order");
            done = task.done;
        }
        check.holds(done > 0, "work for both");
    }
    for (size_t i = 0; i < panels.size(); ++i) {
        const unrolled::Operation& one = packed->step[i];
        check.same(panels[i], one.product() ? one.matrix.panels() : 1, "panels of operation", static_cast<long>(i));
    }
}

// Steps of so many parts, or with so many places of their own, that a schedule would take much memory have none.
void test_no_schedule(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " steps without a schedule");
    const auto scheduled = [&](Role role, long operations, long width) {
        Draft draft;
        const long from = draft.buffer(Role::vector, {width}), to = draft.buffer(role, {width});
        draft.output = draft.whole(to);
        for (long i = 0; i < operations; ++i)
            draft.step.push_back(Draft::operation(Kind::tanh, {draft.output, draft.whole(from)}));
        return unrolled::schedule(*draft.pack("float32", kernels.name)) != nullptr;
    };
    check.holds(scheduled(Role::vector, 1000, 1), "some parts");
    check.holds(!scheduled(Role::vector, 5000, 1), "many parts");
    check.holds(scheduled(Role::registers, 100, 256), "some places");
    check.holds(!scheduled(Role::registers, 100, 4096), "many places");
}

}  // namespace

void test_waves(const Kernels& kernels) {
    const Waves waves;
    test_plain(kernels, waves);
    for (const char* precision : PRECISIONS) test_same(kernels, waves, precision);
    test_schedule(kernels, waves);
    test_no_schedule(kernels);
}
