// Products of the past taps of dilated convolutions, made for several steps at once: these taps are known a dilation's
// steps before they count, so that one read of the weights serves all of these steps.

#include <algorithm>
#include <cstring>

#include "session.hpp"

namespace unrolled {

namespace {

long dilation(const Operation& one) { return static_cast<long>(one.numbers[0]); }

Weight columns(const Weight& matrix, long first, long count) {
    return {{matrix.shape[0], count}, matrix.data + first, matrix.shape[1]};
}

bool same(const Operand& one, const Operand& other) { return one.offset == other.offset && one.width == other.width; }

// What is left of a range when another is cut off at its beginning or end.
Operand without(Operand range, const Operand& other) {
    const long end = range.offset + range.width, cut = other.offset + other.width;
    if (other.offset <= range.offset && cut > range.offset) {
        range.offset = std::min(cut, end);
        range.width = end - range.offset;
    } else if (cut >= end && other.offset < end) {
        range.width = other.offset - range.offset;
    }
    return range;
}

}  // namespace

// Whether an operation gathers taps from 2 and more steps ago for the product behind it, and for that alone.
bool Packed::can_look_ahead(size_t index) const {
    if (index + 1 >= step.size()) return false;
    const Operation &taps = step[index], &product = step[index + 1];
    if (taps.kind != Kind::taps || product.kind != Kind::linear || taps.pace >= 0 || product.pace >= 0) return false;
    const Operand &x = taps.inputs[0], &ring = taps.inputs[1];
    if (dilation(taps) < 2 || x.width == 0 || buffers[taps.output.buffer].role != Role::registers) return false;
    if (!same(product.inputs[0], taps.output) || overlap(product.output, x)) return false;
    Operand left = taps.output;  // of what was gathered, until others write there
    for (size_t i = index + 1; i < index + step.size(); ++i) {
        const Operation& other = step[i % step.size()];
        for (const Operand& input : other.inputs)
            if (input.buffer == ring.buffer || (&other != &product && overlap(input, left))) return false;
        if (other.reads_output() && overlap(other.output, left)) return false;
        if (other.pace < 0) left = without(left, other.output);
        if (i + 1 == step.size() && overlap(output, left)) return false;
    }
    return true;
}

// taps, linear  ->  past: the product made before, and x into the ring; linear_add of x; ahead: products of later steps
void Packed::look_ahead() {
    std::vector<Operation> found;
    for (size_t i = 0; i < step.size(); ++i) {
        if (!can_look_ahead(i)) {
            found.push_back(step[i]);
            continue;
        }
        const Operation &taps = step[i], &product = step[++i];
        const Operand &x = taps.inputs[0], &ring = taps.inputs[1];
        const long steps = std::min(dilation(taps), AHEAD), older = taps.output.width - x.width;
        add_buffer(Role::kept, {steps, product.output.width});
        const Operand prepared = operand({static_cast<long>(buffers.size()) - 1, 0, buffers.back().width});
        std::vector<Weight> weights = product.weights;
        weights[0] = columns(product.weights[0], 0, older);
        found.push_back({Kind::past, product.output, {x, ring, prepared}, {}, taps.numbers, {}});
        found.push_back({Kind::linear_add, product.output, {x}, {columns(product.weights[0], older, x.width)}, {}, {}});
        found.push_back({Kind::ahead, prepared, {ring}, std::move(weights), taps.numbers, {}});
    }
    step = std::move(found);
}

// Steps from this one on whose products are made at once: fewer for many rows, which share a read of the weights
// anyway. Each ring has its turn at other steps, so that the work of many layers is spread.
long Session::steps_ahead(const Buffer& ring, long dilation, const Active& row) const {
    const long most = std::min({dilation, AHEAD, std::max(1L, AHEAD / rows)});
    return most - (row.counters[ring.counter] + ring.counter / 2) % most;
}

// Products lie with the latest step first, and the second number of the ring counts down those that are left; at 0 the
// next ones have been made.
void Session::past(const Operation& operation, const Active& row) const {
    const Buffer& ring = packed->buffers[operation.inputs[1].buffer];
    const long width = operation.output.width;
    int64_t& left = row.counters[ring.counter + 1];
    if (left == 0) left = steps_ahead(ring, dilation(operation), row);
    --left;
    packed->kernels->copy(at(row, operation.output), at(row, operation.inputs[2]) + left * width, width);
    remember(ring, at(row, operation.inputs[0]), row);
}

// The past taps of the rows that have used up what was made, and where the products go; gives how many there are.
int Session::gather_ahead(const Operation& operation, const std::vector<Active>& now, Scratch& scratch) const {
    const Buffer& ring = packed->buffers[operation.inputs[0].buffer];
    const long reach = ring.shape[0], width = ring.shape[1], apart = dilation(operation);
    float* gathered = reinterpret_cast<float*>(scratch.gathered.get());
    int count = 0;
    for (const Active& row : now) {
        if (row.counters[ring.counter + 1] != 0) continue;
        const float* values = row.memory + ring.offset;
        const long steps = steps_ahead(ring, apart, row);
        for (long next = 0; next < steps; ++next) {
            scratch.from[count] = gathered;
            scratch.to[count++] = at(row, operation.output) + (steps - 1 - next) * operation.matrix.outputs;
            for (long age = next; age < reach; age += apart, gathered += width) {
                const long place = (row.counters[ring.counter] + age) % reach;
                std::memcpy(gathered, values + place * width, width * sizeof(float));
            }
        }
    }
    return count;
}

}  // namespace unrolled
