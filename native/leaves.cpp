// States on their way in and out of a session: leaves in the order of the model, oldest symbol first.

#include <algorithm>
#include <cstring>

#include "session.hpp"

namespace unrolled {

namespace {

bool holds_keys(const Packed& packed, long buffer) {
    return std::any_of(packed.step.begin(), packed.step.end(), [&](const Operation& one) {
        return one.kind == Kind::attention && one.inputs[1].buffer == buffer;
    });
}

// For every number of a cache that a row of this age has read: its place in the leaf, and in the session's memory.
template <typename Visit>
void for_each_cached(const Packed& packed, long index, int64_t age, Visit visit) {
    const Buffer& buffer = packed.buffers[index];
    const long heads = buffer.shape[0], kept = buffer.shape[1], width = buffer.shape[2];
    const bool keys = holds_keys(packed, index);
    for (long head = 0; head < heads; ++head)
        for (long entry = std::max<int64_t>(0, kept - age); entry < kept; ++entry) {
            const long slot = (age - kept + entry) % (kept + 1), part = head * Heads::room(kept + 1, width);
            for (long d = 0; d < width; ++d)
                visit((head * kept + entry) * width + d,
                      part + (keys ? Heads::key_place(slot, d, width) : slot * width + d));
        }
}

}  // namespace

int64_t& Session::clock(long row, long buffer) {
    return counters[row * packed->counters + packed->buffers[buffer].counter];
}

void Session::set_leaf(long row, long index, const float* values) {
    const Buffer& buffer = packed->buffers[index];
    float* to = locate(0, row).memory + buffer.offset;
    if (buffer.role == Role::ring) std::fill_n(&counters[row * packed->counters + buffer.counter], 2, 0);
    if (buffer.role != Role::cache)
        std::memcpy(to, values, buffer.width * sizeof(float));
    else if (buffer.clock >= 0)  // else no operation reads it
        for_each_cached(*packed, index, clock(row, buffer.clock), [=](long leaf, long place) { to[place] = values[leaf]; });
}

void Session::get_leaf(long row, long index, float* values) {
    const Buffer& buffer = packed->buffers[index];
    const float* from = locate(0, row).memory + buffer.offset;
    if (buffer.role == Role::ring) {
        const long oldest = counters[row * packed->counters + buffer.counter] * buffer.shape[1];
        std::memcpy(values, from + oldest, (buffer.width - oldest) * sizeof(float));
        std::memcpy(values + buffer.width - oldest, from, oldest * sizeof(float));
    } else if (buffer.role != Role::cache) {
        std::memcpy(values, from, buffer.width * sizeof(float));
    } else {
        std::memset(values, 0, buffer.width * sizeof(float));
        if (buffer.clock >= 0)
            for_each_cached(*packed, index, clock(row, buffer.clock), [=](long leaf, long place) { values[leaf] = from[place]; });
    }
}

}  // namespace unrolled
