#include "schedule.hpp"

#include <algorithm>

#include "session.hpp"

namespace unrolled {

namespace {

// Nanoseconds, about; wrong guesses make a schedule slower, not wrong. SIGNAL is from the end of a part to the beginning
// of one that reads it on the other thread, set high so that what belongs together stays together.
constexpr double OPERATION = 30, BYTE = 1.0 / 64, DRAW = 1500, BARRIER = 400, SIGNAL = 1000;
constexpr double WORTHWHILE = 0.9;  // of the time of shared operations
constexpr long PARTS = 8;           // of one product, at most
constexpr long MOST_PARTS = 4096;   // of a step, whose pairs are compared: large models have about 2,000
constexpr long APART = 1 << 16;     // floats of places of their own, beyond as many as a row has anyway
constexpr long DRAWN = -1;          // instead of an operation: what follows the last one

struct Range {
    long first, last;
    bool written;
};

struct Part {
    Task task;
    double cost;
    std::vector<Range> ranges;
    std::vector<size_t> after;  // parts that wait for this one
    long missing = 0;           // parts that this one waits for and that have no lane yet
    double rank = 0;            // time from its beginning to the end of the step
    double ready[2] = {0, 0};
    int lane = -1;
};

double cost(const Operation& one, long first, long last) {
    if (!one.product()) return OPERATION;
    const long tiles = std::min(one.matrix.tiles(), last * PANEL_TILES) - first * PANEL_TILES;
    return OPERATION + static_cast<double>(tiles * one.matrix.tile_bytes()) * BYTE;
}

// What a part reads and writes of a row's memory; the counters of a ring go with it, and clocks stand still in a step.
std::vector<Range> ranges(const Packed& packed, const Operation& one, long first, long last) {
    std::vector<Range> found;
    const auto take = [&](const Operand& operand, bool written) {
        const Buffer& buffer = packed.buffers[operand.buffer];
        const bool moving = buffer.role == Role::ring || buffer.role == Role::cache;
        if (buffer.role == Role::clock) return;
        found.push_back({operand.offset, operand.offset + (moving ? buffer.floats : operand.width), written || moving});
    };
    for (size_t i = 0; i < one.inputs.size(); ++i)
        take(one.inputs[i], (one.kind == Kind::lstm && i == 1) || (one.kind == Kind::past && i == 2));
    Operand output = one.output;
    if (one.kind == Kind::linear || one.kind == Kind::linear_add) {
        output.width = std::min(output.width, last * PANEL_TILES * TILE) - first * PANEL_TILES * TILE;
        output.offset += first * PANEL_TILES * TILE;
    }
    take(output, true);
    return found;
}

bool conflict(const Part& one, const Part& other) {
    if (one.task.operation == other.task.operation) return false;
    for (const Range& a : one.ranges)
        for (const Range& b : other.ranges)
            if ((a.written || b.written) && a.first < b.last && b.first < a.last) return true;
    return false;
}

// Results in places of their own, wherever all that read them can find them there: else the thread that is ahead would
// wait until the other has read what stands in its way.
void set_apart(const Packed& packed, Schedule& plan) {
    auto& step = plan.step;
    for (size_t i = 0; i < step.size(); ++i) {
        const Operand place = step[i].output;
        if (packed.buffers[place.buffer].role != Role::registers || step[i].reads_output()) continue;
        std::vector<Operand*> uses = {&step[i].output};
        bool movable = true, ended = false;
        const auto use = [&](Operand& operand) {
            if (!overlap(operand, place)) return;
            movable = movable && within(operand, place);
            uses.push_back(&operand);
        };
        for (size_t j = i + 1; j < step.size() && movable && !ended; ++j) {
            for (Operand& input : step[j].inputs)
                if (packed.buffers[input.buffer].role == Role::registers) use(input);
            ended = !step[j].reads_output() && within(place, step[j].output);
            if (!ended) use(step[j].output);
        }
        if (!movable || (!ended && overlap(packed.output, place))) continue;
        for (Operand* one : uses) one->offset += plan.row_floats - place.offset;
        plan.row_floats += (place.width + TILE - 1) / TILE * TILE;
    }
}

long part_count(const Operation& one) {
    if (!one.product()) return 1;
    return std::min(one.matrix.panels(), one.kind == Kind::ahead ? 2 : PARTS);
}

// Products made ahead have their lanes already: half of each for either, after all else, because few steps have many.
std::vector<Part> parts(const Packed& packed, const std::vector<Operation>& step) {
    std::vector<Part> found;
    for (size_t i = 0; i < step.size(); ++i) {
        const bool ahead = step[i].kind == Kind::ahead;
        const long panels = step[i].product() ? step[i].matrix.panels() : 1, count = part_count(step[i]);
        for (long part = 0; part < count; ++part) {
            const long first = panels * part / count, last = panels * (part + 1) / count;
            Part one{{static_cast<long>(i), first, last, 0, 0, false}, cost(step[i], first, last),
                     ranges(packed, step[i], first, last), {}};
            if (ahead) one.lane = static_cast<int>(count == 2 ? part : i % 2);
            found.push_back(std::move(one));
        }
    }
    found.push_back({{DRAWN, 0, 0, 0, 0, false}, DRAW, {}, {}});
    for (size_t i = found.size(); i-- > 0;) {
        for (size_t j = i + 1; j < found.size(); ++j) {
            if (!(found[j].task.operation == DRAWN ? found[i].lane < 0 : conflict(found[i], found[j]))) continue;
            found[i].after.push_back(j);
            found[i].rank = std::max(found[i].rank, found[j].rank);
            ++found[j].missing;
        }
        found[i].rank += found[i].cost;
    }
    return found;
}

// The part that can begin first, on the lane where it can; of several the one that most depends on. Gives the time that
// all of them take.
double deal_out(std::vector<Part>& parts, std::vector<size_t> (&order)[2]) {
    double free[2] = {0, 0};
    while (true) {
        size_t chosen = parts.size();
        double start = 0;
        int lane = 0;
        for (size_t i = 0; i < parts.size(); ++i) {
            const Part& part = parts[i];
            if (part.lane >= 0 || part.missing > 0) continue;
            const double begin[] = {std::max(free[0], part.ready[0]), std::max(free[1], part.ready[1])};
            const int id = begin[1] < begin[0] && part.task.operation != DRAWN ? 1 : 0;
            const bool later = chosen < parts.size() && begin[id] >= start;
            if (later && (begin[id] > start || part.rank <= parts[chosen].rank)) continue;
            chosen = i, start = begin[id], lane = id;
        }
        if (chosen == parts.size()) break;
        parts[chosen].lane = lane;
        free[lane] = start + parts[chosen].cost;
        order[lane].push_back(chosen);
        for (size_t next : parts[chosen].after) {
            --parts[next].missing;
            for (int id : {0, 1})
                parts[next].ready[id] = std::max(parts[next].ready[id], free[lane] + (id == lane ? 0 : SIGNAL));
        }
    }
    return std::max(free[0], free[1]);
}

double shared_time(const std::vector<Operation>& step) {
    double found = DRAW;
    for (const Operation& one : step)
        found += BARRIER + (one.product() ? cost(one, 0, (one.matrix.panels() + 1) / 2) : OPERATION);
    return found;
}

// The lanes, with what a task waits for and no earlier one of its lane has; neighbours of a product are joined.
void line_up(Schedule& plan, std::vector<Part>& parts, const std::vector<size_t> (&order)[2]) {
    for (const auto& lane : order)
        for (size_t i = 0; i < lane.size(); ++i) {
            Task& task = parts[lane[i]].task;
            task.done = static_cast<long>(i) + 1;
            for (size_t next : parts[lane[i]].after)
                if (parts[next].lane != parts[lane[i]].lane)
                    parts[next].task.wait = std::max(parts[next].task.wait, task.done);
        }
    for (int id : {0, 1}) {
        long known = 0;
        for (size_t index : order[id]) {
            Task task = parts[index].task;
            if (task.operation == DRAWN) {
                plan.outputs = task.wait;
                continue;
            }
            task.wait = task.wait > known ? task.wait : 0;
            known = std::max(known, task.wait);
            auto& lane = plan.lanes[id];
            Task* before = lane.empty() ? nullptr : &lane.back();
            if (before && task.wait == 0 && before->operation == task.operation && before->last == task.first)
                before->last = task.last, before->done = task.done;
            else
                lane.push_back(task);
        }
    }
}

void mark_awaited(Schedule& plan) {
    for (int id : {0, 1}) {
        long before = 0;
        for (Task& task : plan.lanes[id]) {
            const auto inside = [&](long wait) { return before < wait && wait <= task.done; };
            task.awaited = id == 1 && inside(plan.outputs);
            for (const Task& other : plan.lanes[1 - id]) task.awaited = task.awaited || inside(other.wait);
            before = task.done;
        }
    }
}

}  // namespace

std::unique_ptr<Schedule> schedule(const Packed& packed) {
    if (!packed.paces.empty()) return nullptr;  // whose operations take time in some steps only
    long count = 0;
    for (const Operation& one : packed.step) count += part_count(one);
    if (count > MOST_PARTS) return nullptr;
    const double shared = shared_time(packed.step);
    if (shared - BARRIER * static_cast<double>(packed.step.size()) > WORTHWHILE * shared) return nullptr;
    auto plan = std::make_unique<Schedule>(Schedule{packed.step, packed.row_floats, {}, 0});
    set_apart(packed, *plan);
    if (plan->row_floats > 2 * packed.row_floats + APART) return nullptr;
    std::vector<Part> found = parts(packed, plan->step);
    std::vector<size_t> order[2];
    if (deal_out(found, order) > WORTHWHILE * shared) return nullptr;
    for (size_t i = 0; i < found.size(); ++i)
        if (found[i].task.operation != DRAWN && plan->step[found[i].task.operation].kind == Kind::ahead)
            order[found[i].lane].push_back(i);
    line_up(*plan, found, order);
    mark_awaited(*plan);
    return plan;
}

// A thread's lane of a step of one row; the first thread returns when the outputs are there.
void Session::follow(int id) {
    Scratch& scratch = *scratches[id];
    const auto wait = [&](long tasks) {
        wait_until([&] { return progress[1 - id].done.load(std::memory_order_acquire) >= tasks; });
    };
    for (const Task& task : plan->lanes[id]) {
        if (task.wait) wait(task.wait);
        const Operation& one = plan->step[task.operation];
        if (one.product())
            product(one, task.first, task.last, active, scratch);
        else
            execute(one, 0, 1, active, scratch);
        if (task.awaited) progress[id].done.store(task.done, std::memory_order_release);
    }
    if (id == 0) wait(plan->outputs);
}

}  // namespace unrolled
