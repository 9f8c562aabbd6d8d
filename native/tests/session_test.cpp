// Sessions of small programs: against plain loops in float64, alone and side by side, by one thread and by several.

#include "../session.hpp"

#include <algorithm>

#include "../philox.hpp"
#include "check.hpp"
#include "models.hpp"
#include "tests.hpp"

using unrolled::Call;
using unrolled::Kernels;
using unrolled::Session;
using unrolled::Status;

namespace {

constexpr uint64_t SEED = 5;

// The arrays of one call; row i of the session has stream 100 + i and position 1000 i wherever it stands.
struct Arrays {
    long time;
    std::vector<int64_t> rows, counts, last, forced, streams, positions, symbols;
    std::vector<float> control, outputs;
    std::vector<double> nats;
    std::vector<uint8_t> forbidden;
    int64_t stop = -1;
    bool scored = true;

    Arrays(std::vector<long> indices, long steps, long controls, long width) : time(steps), forbidden(SYMBOLS) {
        const long n = static_cast<long>(indices.size());
        for (long index : indices) {
            rows.push_back(index), last.push_back(index % SYMBOLS);
            streams.push_back(100 + index), positions.push_back(1000 * index);
        }
        counts.assign(n, steps), forced.assign(n * steps, -1), symbols.assign(n * steps, -7), nats.resize(n * steps);
        for (long index : indices) {
            const auto x = Numbers(static_cast<uint32_t>(40 + index)).many(steps * controls);
            control.insert(control.end(), x.begin(), x.end());
        }
        outputs.assign(n * steps * width, -7);
    }

    Status run(Session& session, const std::function<bool()>& poll = [] { return false; }) {
        const Call call{static_cast<long>(rows.size()), time, rows.data(), counts.data(), last.data(), forced.data(),
                        control.data(), {}, SEED, streams.data(), positions.data(), forbidden.data(), nullptr, stop,
                        scored, symbols.data(), nats.data(), outputs.empty() ? nullptr : outputs.data()};
        return session.run(call, poll);
    }
};

// Symbols drawn, their log probabilities and the logits against the plain LSTM that is given the same symbols.
void test_language(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " session of an LSTM");
    const Language language;
    Session session(language.pack("float32", kernels.name), 3, 1);
    Arrays call({0, 1, 2}, STEPS, 0, SYMBOLS);
    call.forced[1] = 4, call.forced[STEPS] = 6;
    check.holds(call.run(session) == Status::done, "status");
    for (long row = 0; row < 3; ++row) {
        Language::State state;
        int64_t symbol = call.last[row];
        check.same(call.counts[row], STEPS, "steps of", row);
        for (long time = 0; time < STEPS; ++time) {
            const auto logits = language.logits(state, symbol);
            const long cell = row * STEPS + time;
            double total = 0, before = 0;
            for (long i = 0; i < SYMBOLS; ++i) {
                check.near(call.outputs[cell * SYMBOLS + i], logits[i], 1e-4, "logits", time);
                total += std::exp(logits[i]);
            }
            symbol = call.symbols[cell];
            for (long i = 0; i < symbol; ++i) before += std::exp(logits[i]) / total;
            check.near(call.nats[cell], logits[symbol] - std::log(total), 1e-4, "nats", time);
            const auto stream = static_cast<uint32_t>(100 + row);
            const double uniform = unrolled::uniform(SEED, stream, static_cast<uint64_t>(1000 * row + time));
            const bool within = before - 1e-4 < uniform && uniform < before + std::exp(logits[symbol]) / total + 1e-4;
            if (const int64_t forced = call.forced[cell]; forced < 0)
                check.holds(within, "draw");
            else
                check.same(symbol, forced, "forced", time);
        }
    }
}

void test_mixed(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " session of taps and attention");
    const Mixed mixed;
    Session session(mixed.pack("float32", kernels.name), 2, 1);
    Arrays call({0, 1}, STEPS, WIDTH, HEADS * HEAD);
    check.holds(call.run(session) == Status::done, "status");
    for (long row = 0; row < 2; ++row)
        for (long time = 0; time < STEPS; ++time) {
            const auto wanted = mixed.outputs(call.control.data() + row * STEPS * WIDTH, time);
            for (long i = 0; i < HEADS * HEAD; ++i)
                check.near(call.outputs[(row * STEPS + time) * HEADS * HEAD + i], wanted[i], 1e-5, "step", time);
        }
}

// Rows whose frames begin at different steps, because each has gone some steps ahead.
void test_framed(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " session of frames");
    const Framed framed;
    for (int threads : {1, 2}) {
        Session session(framed.pack("float32", kernels.name), FRAME + 1, threads);
        std::vector<long> indices;
        for (long row = 0; row <= FRAME; ++row) indices.push_back(row);
        Arrays whole(indices, 2 * STEPS, WIDTH, WIDTH);
        for (long row = 0; row <= FRAME; ++row) {
            Arrays ahead({row}, row, WIDTH, WIDTH);
            ahead.run(session);
            check.same(session.clock(row, framed.clock), row, "clock");
        }
        Arrays together(indices, STEPS, WIDTH, WIDTH);
        for (long row = 0; row <= FRAME; ++row) {
            const float* x = whole.control.data() + row * 2 * STEPS * WIDTH + row * WIDTH;
            std::copy(x, x + STEPS * WIDTH, together.control.begin() + row * STEPS * WIDTH);
        }
        check.holds(together.run(session) == Status::done, "status");
        for (long row = 0; row <= FRAME; ++row)
            for (long time = 0; time < STEPS; ++time) {
                const auto wanted = framed.outputs(whole.control.data() + row * 2 * STEPS * WIDTH, row + time);
                for (long i = 0; i < WIDTH; ++i)
                    check.near(together.outputs[(row * STEPS + time) * WIDTH + i], wanted[i], 1e-5, "step", time);
            }
    }
}

// Rows that leave one after another, beside others and by several threads, give to the last bit what they give alone.
void test_company(const Kernels& kernels, const Draft& draft, const char* name, long controls) {
    Check check(std::string(kernels.name) + " rows in company, " + name);
    const long rows = 9, width = std::get<2>(draft.output);
    for (const char* precision : PRECISIONS) {
        const auto packed = draft.pack(precision, kernels.name);
        std::vector<Arrays> alone;
        for (long row = 0; row < rows; ++row) {
            Session session(packed, rows, 1);
            alone.emplace_back(std::vector<long>{row}, STEPS, controls, width);
            alone.back().run(session);
        }
        for (int threads : {1, 2, 3}) {
            Session session(packed, rows, threads);
            std::vector<long> order;
            for (long i = 0; i < rows; ++i) order.push_back((i * 4 + 2) % rows);
            Arrays call(order, STEPS, controls, width);
            for (long i = 0; i < rows; ++i) call.counts[i] = 1 + order[i] % STEPS;
            check.holds(call.run(session) == Status::done, "status");
            for (long i = 0; i < rows; ++i) {
                const Arrays& one = alone[order[i]];
                check.same(call.counts[i], 1 + order[i] % STEPS, "steps");
                for (long time = 0; time < call.counts[i]; ++time) {
                    const long cell = i * STEPS + time;
                    if (draft.symbols) {
                        check.same(call.symbols[cell], one.symbols[time], "symbol");
                        check.same(call.nats[cell], one.nats[time], "nats");
                    }
                    for (long d = 0; d < width; ++d)
                        check.same(call.outputs[cell * width + d], one.outputs[time * width + d], precision);
                }
            }
        }
    }
}

// A state that was read out and given to another row goes on as if nothing had happened, at every age.
void test_states(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " states out and in");
    const Mixed mixed;
    const auto packed = mixed.pack("float32", kernels.name);
    Session whole(packed, 1, 1);
    Arrays wanted({0}, STEPS, WIDTH, HEADS * HEAD);
    wanted.run(whole);
    for (long split = 0; split < STEPS; ++split) {
        Session session(packed, 2, 1);
        Arrays first({0}, STEPS, WIDTH, HEADS * HEAD), rest({0}, STEPS, WIDTH, HEADS * HEAD);
        first.counts[0] = split, rest.counts[0] = STEPS - split, rest.rows[0] = 1;
        first.run(session);
        session.clock(1, mixed.clock) = session.clock(0, mixed.clock);
        check.same(session.clock(0, mixed.clock), split, "clock");
        for (long buffer : {mixed.ring, mixed.keys, mixed.values}) {
            std::vector<float> leaf(packed->buffers[buffer].width + 1, 7.0f);
            session.get_leaf(0, buffer, leaf.data());
            check.same(leaf.back(), 7, "behind the end of leaf", buffer);
            const long entries = buffer == mixed.ring ? REACH : KEPT, unit = buffer == mixed.ring ? WIDTH : HEAD;
            for (long i = 0; i < packed->buffers[buffer].width; ++i)
                if (i / unit % entries < entries - split) check.same(leaf[i], 0, "before the first symbol", split);
            session.set_leaf(1, buffer, leaf.data());
        }
        session.begin(1);
        rest.control.erase(rest.control.begin(), rest.control.begin() + split * WIDTH);
        rest.control.resize(STEPS * WIDTH);
        rest.run(session);
        for (long i = split * HEADS * HEAD; i < STEPS * HEADS * HEAD; ++i)
            check.same(rest.outputs[i - split * HEADS * HEAD], wanted.outputs[i], "split", split);
    }
}

void reset(Session& session, const Language& language) {
    const std::vector<float> zeros(HIDDEN);
    for (long row = 0; row < session.rows; ++row)
        for (long buffer : {language.hidden, language.cell}) session.set_leaf(row, buffer, zeros.data());
}

void test_endings(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " ends of calls");
    const Language language;
    const auto packed = language.pack("float32", kernels.name);
    Session session(packed, 2, 2), other(packed, 2, 1);
    Arrays free({0, 1}, STEPS, 0, SYMBOLS), stopped = free, unscored = free, scored = free;
    free.run(session);
    stopped.stop = free.symbols[5];
    reset(session, language);
    check.holds(stopped.run(session) == Status::done, "status after a stop");
    const auto begin = free.symbols.begin();
    check.same(stopped.counts[0], std::find(begin, begin + STEPS, stopped.stop) - begin + 1, "steps until the stop");
    reset(session, language);
    unscored.forced.assign(2 * STEPS, 3), scored.forced = unscored.forced, unscored.scored = false;
    check.holds(unscored.run(session) == Status::done && scored.run(other) == Status::done, "status of what is forced");
    std::vector<float> one(HIDDEN), same(HIDDEN);
    session.get_leaf(1, language.hidden, one.data()), other.get_leaf(1, language.hidden, same.data());
    for (long i = 0; i < HIDDEN; ++i) check.same(one[i], same[i], "state without logits");
}

void test_interruption(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " interruption");
    const Mixed mixed;
    Session slow(mixed.pack("float32", kernels.name), 1, 2);
    Arrays many({0}, 2000000, 0, 0);
    many.control.resize(many.time * WIDTH);
    check.holds(many.run(slow, [] { return true; }) == Status::interrupted, "interrupted");
    check.holds(many.counts[0] > 0 && many.counts[0] < many.time, "steps until the interruption");
}

void test_limits(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " limits of positions, and damaged logits");
    Draft draft;
    const long control = draft.buffer(Role::control, {2}), clock = draft.buffer(Role::clock, {1});
    draft.output = draft.whole(draft.buffer(Role::registers, {2}));
    draft.step.push_back(Draft::operation(Kind::position, {draft.output, draft.whole(control), draft.whole(clock)},
                                          {draft.weight({3, 2}, {1, 2, 3, 4, 5, 6})}));
    Session session(draft.pack("float32", kernels.name), 1, 1);
    Arrays call({0}, 5, 2, 2);
    check.holds(call.run(session) == Status::outside && call.counts[0] == 3, "outside");
    for (long i = 0; i < 6; ++i) check.near(call.outputs[i], call.control[i] + i + 1.0, 1e-6, "position", i);

    Language language;
    language.numbers[language.bias][5] = std::numeric_limits<float>::quiet_NaN();
    Session damaged(language.pack("float32", kernels.name), 2, 2);
    Arrays drawn({0, 1}, STEPS, 0, SYMBOLS);
    check.holds(drawn.run(damaged) == Status::damaged && drawn.counts[0] == 0, "damaged");
}

}  // namespace

void test_session(const Kernels& kernels) {
    test_language(kernels);
    test_mixed(kernels);
    test_framed(kernels);
    test_company(kernels, Language(), "an LSTM", 0);
    test_company(kernels, Mixed(), "taps and attention", WIDTH);
    test_company(kernels, Framed(), "frames", WIDTH);
    test_states(kernels);
    test_endings(kernels);
    test_interruption(kernels);
    test_limits(kernels);
}
