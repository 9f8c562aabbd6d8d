// What the newest query of each head sees.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "session.hpp"

namespace unrolled {

namespace {

constexpr long REMEMBERED = 128;  // positions whose rotary angles a thread keeps

}  // namespace

const Session::Turns& Session::turns(Scratch& scratch, double base, long half, int64_t position) const {
    if (scratch.turns.empty()) scratch.turns.resize(REMEMBERED);
    Turns& found = scratch.turns[position % REMEMBERED];
    if (found.position != position || found.base != base || static_cast<long>(found.cosine.size()) != half) {
        found = {position, base, std::vector<float>(half), std::vector<float>(half)};
        for (long i = 0; i < half; ++i) {
            const double angle = static_cast<double>(position) * std::pow(base, -static_cast<double>(i) / half);
            found.cosine[i] = static_cast<float>(std::cos(angle));
            found.sine[i] = static_cast<float>(std::sin(angle));
        }
    }
    return found;
}

// One head of keys and values, and the group of query heads that share it.
void Session::attention(const Operation& operation, const Active& row, long key_head, Scratch& scratch) const {
    const Buffer &keys = packed->buffers[operation.inputs[1].buffer], &values = packed->buffers[operation.inputs[2].buffer];
    const long key_heads = keys.shape[0], window = keys.shape[1] + 1, width = keys.shape[2], half = width / 2;
    const long heads = static_cast<long>(operation.numbers[0]), group = heads / key_heads;
    const int64_t age = row.counters[packed->buffers[operation.inputs[3].buffer].counter];
    const long slot = age % window, room = Heads::room(window, width);
    const Heads shape{static_cast<long>(std::min<int64_t>(age + 1, window)), width};
    const double base = operation.numbers[2];
    const Turns* angle = base > 0 ? &turns(scratch, base, half, age) : nullptr;
    const auto turned = [&](const float* x, long d) {
        if (!angle) return x[d];
        return d < half ? x[d] * angle->cosine[d] - x[d + half] * angle->sine[d]
                        : x[d] * angle->cosine[d - half] + x[d - half] * angle->sine[d - half];
    };
    const float* queries = at(row, operation.inputs[0]) + key_head * group * width;
    const float* key = at(row, operation.inputs[0]) + (heads + key_head) * width;
    float* key_part = row.memory + keys.offset + key_head * room;
    float* value_part = row.memory + values.offset + key_head * room;
    for (long d = 0; d < width; ++d) key_part[Heads::key_place(slot, d, width)] = turned(key, d);
    std::memcpy(value_part + slot * width, key + key_heads * width, width * sizeof(float));
    float *scores = reinterpret_cast<float*>(scratch.scores.get()), *query = reinterpret_cast<float*>(scratch.query.get());
    for (long head = 0; head < group; ++head) {
        for (long d = 0; d < width; ++d) query[d] = turned(queries + head * width, d);
        packed->kernels->attend(at(row, operation.output) + (key_head * group + head) * width, query, key_part, value_part,
                                scores, shape);
    }
}

}  // namespace unrolled
