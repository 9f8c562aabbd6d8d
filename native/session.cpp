#include "session.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "philox.hpp"

namespace unrolled {

namespace {

constexpr auto PATIENCE = std::chrono::milliseconds(20);  // between questions whether to stop

// Units [first, last) of `count` for thread `id`, in whole tiles so that the borders do not depend on the threads.
std::pair<long, long> share(long count, int id, int threads) {
    const long tiles = (count + TILE - 1) / TILE;
    return {std::min(count, tiles * id / threads * TILE), std::min(count, tiles * (id + 1) / threads * TILE)};
}

}  // namespace

Session::Session(std::shared_ptr<Packed> program, long count, int threads)
    : packed(std::move(program)), rows(count), plan(threads == 2 ? schedule(*packed) : nullptr),
      row_floats(plan ? plan->row_floats : packed->row_floats), memory(allocate(count * row_floats * 4)),
      counters(count * packed->counters), team(threads) {
    long inputs = 0, window = 0, head_width = 0;
    bool gathered = false;
    const auto& step = packed->step;
    for (const Operation& one : packed->prologue) inputs = std::max(inputs, one.matrix.inputs);
    for (size_t i = 0; i < step.size(); ++i) {
        const Operation& one = step[i];
        inputs = std::max(inputs, one.matrix.inputs), gathered = gathered || one.kind == Kind::ahead;
        if (one.kind == Kind::attention) {
            const Buffer& keys = packed->buffers[one.inputs[1].buffer];
            window = std::max(window, keys.shape[1] + 1), head_width = std::max(head_width, keys.shape[2]);
        }
        const bool timed = one.kind == Kind::attention || one.kind == Kind::position;
        if (one.kind == Kind::position)
            limits.emplace_back(packed->buffers[one.inputs.back().buffer].counter, one.weights[0].shape[0]);
        const bool remembers = one.kind == Kind::taps || one.kind == Kind::past;
        if (timed || remembers || one.kind == Kind::lstm || one.kind == Kind::gru ||
            packed->buffers[one.output.buffer].role != Role::registers)
            until_state = i + 1;
    }
    for (size_t i = 0; i < packed->buffers.size(); ++i) {
        if (packed->buffers[i].role == Role::control) control = static_cast<long>(i);
        if (packed->buffers[i].role == Role::clock) clocks.push_back(packed->buffers[i].counter);
    }
    due.resize(packed->paces.size());
    for (int id = 0; id < threads; ++id) {
        auto scratch = std::make_unique<Scratch>();
        const long most = std::max(count, AHEAD);  // vectors of one product
        scratch->from.resize(most), scratch->to.resize(most), scratch->quantised.resize(most);
        if (packed->precision == Precision::int8) scratch->bytes = allocate(most * quantised_bytes(inputs));
        scratch->gathered = allocate(gathered ? most * inputs * 4 : 0);
        scratch->scores = allocate((window + 8 * TILE) * 4), scratch->query = allocate(head_width * 4);
        scratch->sampler = std::make_unique<Sampler>(packed->symbols);
        scratches.push_back(std::move(scratch));
    }
    for (long row = 0; row < count; ++row) begin(row);
}

Session::Active Session::locate(long index, long slot) {
    return {index, slot, 0, reinterpret_cast<float*>(memory.get()) + slot * row_floats,
            counters.data() + slot * packed->counters, nullptr};
}

void Session::begin(long row) {
    const std::vector<Active> one = {locate(0, row)};
    for (const Operation& operation : packed->prologue) execute(operation, 0, 1, one, *scratches[0]);
    for (const Operation& operation : packed->step)
        if (operation.kind == Kind::ahead) execute(operation, 0, 1, one, *scratches[0]);
}

Status Session::run(const Call& call, const std::function<bool()>& poll) {
    status = Status::done;
    pending.assign(call.last, call.last + call.rows);
    asked = std::chrono::steady_clock::now();
    const std::vector<int64_t> wanted(call.counts, call.counts + call.rows);
    std::fill(call.counts, call.counts + call.rows, 0);
    const size_t used = call.scored || packed->symbols == 0 ? packed->step.size() : until_state;
    team.run([&](int id) {
        for (long time = 0; time < call.time; ++time) {
            team.meet(id, [&] {
                if (std::chrono::steady_clock::now() - asked > PATIENCE) {
                    asked = std::chrono::steady_clock::now();
                    if (poll()) status = Status::interrupted;
                }
                prepare(call, time, wanted);
            });
            if (active.empty()) return;
            if (plan && active.size() == 1) {
                follow(id);
            } else {
                for (size_t i = 0; i < used; ++i) {
                    const Operation& operation = packed->step[i];
                    const auto& now = operation.pace < 0 ? active : due[operation.pace];
                    if (now.empty()) continue;
                    execute(operation, id, team.size, now, *scratches[id]);
                    team.meet();
                }
            }
            for (size_t i = id; i < active.size(); i += team.size) leave(call, time, active[i], *scratches[id]);
        }
    });
    return status;
}

// The rows that take this step, with what they read; none where the call has to end.
void Session::prepare(const Call& call, long time, const std::vector<int64_t>& wanted) {
    active.clear();
    for (Progress& lane : progress) lane.done.store(0, std::memory_order_relaxed);
    if (status != Status::done) return;
    const long width = control < 0 ? 0 : packed->buffers[control].width;
    for (long index = 0; index < call.rows; ++index) {
        if (time >= wanted[index] || pending[index] < 0) continue;
        Active row = locate(index, call.row[index]);
        row.symbol = pending[index];
        for (const auto& [counter, limit] : limits)
            if (row.counters[counter] >= limit) status = Status::outside;
        if (width) {
            const float* from = call.control + (index * call.time + time) * width;
            std::memcpy(row.memory + packed->buffers[control].offset, from, width * sizeof(float));
        }
        active.push_back(row);
    }
    if (status != Status::done) active.clear();
    find_due();
}

void Session::execute(const Operation& operation, int id, int threads, const std::vector<Active>& now,
                      Scratch& scratch) const {
    const int count = static_cast<int>(now.size());
    switch (operation.kind) {
        case Kind::linear:
        case Kind::linear_add:
        case Kind::ahead: {
            const long panels = operation.matrix.panels();
            return product(operation, panels * id / threads, panels * (id + 1) / threads, now, scratch);
        }
        case Kind::attention: {
            const long heads = packed->buffers[operation.inputs[1].buffer].shape[0];
            for (long task = id; task < count * heads; task += threads)
                attention(operation, now[task / heads], task % heads, scratch);
            return;
        }
        case Kind::lookup:
        case Kind::layer_norm:
        case Kind::rms_norm:
        case Kind::taps:
        case Kind::past:
        case Kind::position:
        case Kind::pick:
            for (int i = id; i < count; i += threads) whole(operation, now[i]);
            return;
        default:
            if (count >= threads) {
                for (int i = id; i < count; i += threads) units(operation, now[i], 0, operation.output.width);
            } else {
                const auto [first, last] = share(operation.output.width, id, threads);
                if (first < last)
                    for (const Active& row : now) units(operation, row, first, last);
            }
    }
}

// Threads share the panels, so that each weight is read once for all rows.
void Session::product(const Operation& operation, long first, long last, const std::vector<Active>& now,
                      Scratch& scratch) const {
    if (first == last) return;
    int count = operation.kind == Kind::ahead ? gather_ahead(operation, now, scratch) : 0;
    if (operation.kind != Kind::ahead)
        for (const Active& row : now) {
            scratch.from[count] = at(row, operation.inputs[0]);
            scratch.to[count++] = at(row, operation.output);
        }
    if (count == 0) return;
    const Matrix& matrix = operation.matrix;
    const bool add = operation.kind == Kind::linear_add;
    if (packed->precision != Precision::int8)
        return packed->kernels->linear(matrix, first, last, count, scratch.from.data(), scratch.to.data(), add);
    for (int i = 0; i < count; ++i) {
        uint8_t* bytes = scratch.bytes.get() + i * quantised_bytes(matrix.inputs);
        const float scale = packed->kernels->quantise(scratch.from[i], matrix.inputs, bytes);
        scratch.quantised[i] = {bytes, scale};
    }
    packed->kernels->linear_int8(matrix, first, last, count, scratch.quantised.data(), scratch.to.data(), add);
}

void Session::units(const Operation& operation, const Active& row, long first, long last) const {
    const Kernels& kernels = *packed->kernels;
    const auto input = [&](size_t i) { return at(row, operation.inputs[i]); };
    float* out = at(row, operation.output);
    const long width = operation.output.width, n = last - first;
    switch (operation.kind) {
        case Kind::lstm: return kernels.lstm(out, input(0), input(1), width, first, last);
        case Kind::gru: return kernels.gru(out, input(0), input(1), width, first, last);
        case Kind::zero: return kernels.zero(out + first, n);
        case Kind::copy: return kernels.copy(out + first, input(0) + first, n);
        case Kind::add: return kernels.add(out + first, input(0) + first, input(1) + first, n);
        case Kind::multiply: return kernels.multiply(out + first, input(0) + first, input(1) + first, n);
        case Kind::tanh: return kernels.tanh(out + first, input(0) + first, n);
        case Kind::sigmoid: return kernels.sigmoid(out + first, input(0) + first, n);
        case Kind::relu: return kernels.relu(out + first, input(0) + first, n);
        case Kind::silu: return kernels.silu(out + first, input(0) + first, n);
        case Kind::gelu: return kernels.gelu(out + first, input(0) + first, n);
        case Kind::gelu_tanh: return kernels.gelu_tanh(out + first, input(0) + first, n);
        case Kind::gate: return kernels.gate(out + first, input(0) + first, input(1) + first, n);
        case Kind::blend: return kernels.blend(out + first, input(0) + first, input(1) + first, input(2) + first, n);
        case Kind::keep: return kernels.keep(out + first, input(0) + first, input(1) + first, n);
        default: return;
    }
}

void Session::whole(const Operation& operation, const Active& row) const {
    const Kernels& kernels = *packed->kernels;
    float* out = at(row, operation.output);
    const long width = operation.output.width;
    const auto weight = [&](size_t i) { return i < operation.weights.size() ? operation.weights[i].data : nullptr; };
    switch (operation.kind) {
        case Kind::lookup: return kernels.copy(out, weight(0) + row.symbol * width, width);
        case Kind::position: {
            const int64_t age = row.counters[packed->buffers[operation.inputs[1].buffer].counter];
            return kernels.add(out, at(row, operation.inputs[0]), weight(0) + age * width, width);
        }
        case Kind::layer_norm:
            return kernels.layer_norm(out, at(row, operation.inputs[0]), weight(0), weight(1), width,
                                      static_cast<float>(operation.numbers[0]));
        case Kind::rms_norm:
            return kernels.rms_norm(out, at(row, operation.inputs[0]), weight(0), width,
                                    static_cast<float>(operation.numbers[0]));
        case Kind::pick: return pick(operation, row);
        case Kind::past: return past(operation, row);
        default: return taps(operation, row);
    }
}

void Session::taps(const Operation& operation, const Active& row) const {
    const Buffer& buffer = packed->buffers[operation.inputs[1].buffer];
    const long reach = buffer.shape[0], width = buffer.shape[1], dilation = static_cast<long>(operation.numbers[0]);
    const float* x = at(row, operation.inputs[0]);
    float* out = at(row, operation.output);
    const float* ring = row.memory + buffer.offset;
    const int64_t oldest = row.counters[buffer.counter];
    for (long age = 0, place = oldest; age < reach; age += dilation, place += dilation, out += width) {
        if (place >= reach) place -= reach;
        std::memcpy(out, ring + place * width, width * sizeof(float));
    }
    std::memcpy(out, x, width * sizeof(float));
    if (reach != 0) remember(buffer, x, row);
}

// x takes the place of the oldest vector of a ring.
void Session::remember(const Buffer& buffer, const float* x, const Active& row) const {
    const long reach = buffer.shape[0], width = buffer.shape[1];
    float* ring = row.memory + buffer.offset;
    int64_t& oldest = row.counters[buffer.counter];
    std::memcpy(ring + oldest * width, x, width * sizeof(float));
    oldest = oldest + 1 == reach ? 0 : oldest + 1;
    for (long i = 0; i < width; i += 64 / sizeof(float)) __builtin_prefetch(ring + oldest * width + i);  // for the next step
}

// After the last operation: what came out, the next symbol, and the clocks.
void Session::leave(const Call& call, long time, const Active& row, Scratch& scratch) {
    const long width = packed->output.width, cell = row.index * call.time + time;
    const float* out = at(row, packed->output);
    if (call.outputs) std::memcpy(call.outputs + cell * width, out, width * sizeof(float));
    for (long counter : clocks) ++row.counters[counter];
    int64_t& done = call.counts[row.index];
    const int64_t forced = call.forced[cell];
    if (packed->symbols == 0) {
        ++done;
        return;
    }
    Choice choice{forced, 0};
    if (call.scored) {
        const auto draw = uniform(call.seed, static_cast<uint32_t>(call.streams[row.index]),
                                  static_cast<uint64_t>(call.positions[row.index] + time));
        uint8_t* seen = call.seen ? call.seen + row.index * packed->symbols : nullptr;
        choice = scratch.sampler->choose(*packed->kernels, out, call.rules, forced, draw, call.forbidden, seen);
        if (seen && forced < 0 && choice.symbol >= 0) seen[choice.symbol] = 1;
    }
    pending[row.index] = choice.symbol == call.stop && forced < 0 ? -1 : choice.symbol;
    if (choice.symbol < 0) {
        status = Status::damaged;
        return;
    }
    call.symbols[cell] = choice.symbol;
    call.nats[cell] = choice.nats;
    ++done;
}

}  // namespace unrolled
