#include "packed.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace unrolled {

namespace {

constexpr long MOST_IN_ROW = 1L << 28;  // floats; as in unrolled/engine/validation.py
constexpr long MOST_COPIES = 8;         // of one matrix, packed with another bias or in other parts

void require(bool holds, const char* problem) {
    if (!holds) throw std::invalid_argument(problem);
}

uint16_t to_bfloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);  // to the nearest, ties to even
}

const Kernels* find_kernels(const std::string& name) {
    for (const Kernels* const* set = kernel_sets(); *set; ++set)
        if (name == (*set)->name) return *set;
    throw std::invalid_argument("unknown instruction set");
}

long round_up(long value, long multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

Memory allocate(long bytes) {
    constexpr long LARGE_PAGE = 1L << 21;  // pages of this size, where there are any, spare large arrays the look-up of small ones
    const long alignment = bytes >= LARGE_PAGE ? LARGE_PAGE : 64;
    const long size = round_up(std::max(bytes, 1L) + 64, alignment);  // a vector may be read past the end
    auto* found = static_cast<uint8_t*>(std::aligned_alloc(alignment, size));
    if (!found) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == LARGE_PAGE) madvise(found, size, MADV_HUGEPAGE);
#endif
    std::memset(found, 0, size);
    return Memory(found);
}

Packed::Packed(const std::vector<std::pair<int, std::vector<long>>>& encoded, const std::vector<Weight>& weights,
               const std::vector<EncodedOperation>& before, const std::vector<EncodedOperation>& each,
               EncodedOperand result, long alphabet, const std::string& chosen, const std::string& instructions)
    : symbols(alphabet), kernels(find_kernels(instructions)) {
    require(chosen == "float32" || chosen == "bfloat16" || chosen == "int8", "unknown precision");
    precision = chosen == "float32" ? Precision::float32 : chosen == "bfloat16" ? Precision::bfloat16 : Precision::int8;
    for (const auto& [role, shape] : encoded) add_buffer(static_cast<Role>(role), shape);
    for (const auto& one : before) {
        prologue.push_back(operation(one, weights));
        const Kind kind = prologue.back().kind;
        require(prologue.back().pace < 0, "an operation of the prologue waits");
        require(kind == Kind::linear || kind == Kind::linear_add || kind == Kind::add || kind == Kind::copy || kind == Kind::zero,
                "an operation cannot stand in the prologue");
    }
    for (const auto& one : each) step.push_back(operation(one, weights));
    output = operand(result);
    require(symbols >= 0 && (symbols == 0 || output.width == symbols), "the output is not as wide as the alphabet");
    for (const auto& one : step)
        if (one.kind == Kind::attention)
            for (int cache : {1, 2}) buffers[one.inputs[cache].buffer].clock = one.inputs[3].buffer;
    look_ahead();
    std::map<const float*, long> copies;
    for (auto* operations : {&prologue, &step})
        for (Operation& one : *operations) {
            if (!one.product()) continue;
            const size_t before = memory.size();
            one.matrix = pack(one.weights[0], one.weights.size() > 1 ? &one.weights[1] : nullptr);
            const bool another = memory.size() > before;
            require(!another || ++copies[one.weights[0].data] <= MOST_COPIES, "a matrix is packed too often");
        }
}

void Packed::add_buffer(Role role, std::vector<long> shape) {
    require(role >= Role::registers && role <= Role::clock, "unknown role");
    const size_t axes = role == Role::ring ? 2 : role == Role::cache ? 3 : 0;
    require(axes == 0 || shape.size() == axes, "a buffer has too few axes");
    Buffer buffer{role, shape};
    buffer.width = 1;
    for (long size : shape) {
        require(size >= 0 && size < (1L << 31), "a buffer is too large");
        buffer.width *= size;
        require(buffer.width < (1L << 31), "a buffer is too large");
    }
    buffer.floats = buffer.width;
    if (role == Role::cache) {  // with room for the newest symbol
        const long head = Heads::room(shape[1] + 1, shape[2]);
        require(head == 0 || shape[0] < (1L << 31) / head, "a buffer is too large");
        buffer.floats = shape[0] * head;
    }
    if (role == Role::clock || role == Role::ring) buffer.counter = counters++;
    if (role == Role::ring) ++counters;
    if (role == Role::clock) buffer.floats = 0;
    buffer.offset = row_floats;
    row_floats += round_up(buffer.floats, TILE);
    require(row_floats <= MOST_IN_ROW, "the buffers are too large");
    buffers.push_back(std::move(buffer));
}

Operand Packed::operand(EncodedOperand encoded) const {
    const auto [buffer, start, width] = encoded;
    require(buffer >= 0 && buffer < static_cast<long>(buffers.size()), "no such buffer");
    require(start >= 0 && width >= 0 && start + width <= buffers[buffer].width, "an operand lies outside its buffer");
    return {buffer, width, buffers[buffer].offset + start};
}

Operation Packed::operation(const EncodedOperation& encoded, const std::vector<Weight>& weights) {
    const auto& [kind, operands, used, numbers, when] = encoded;
    require(kind >= 0 && kind < static_cast<int>(Kind::count) && !operands.empty(), "unknown operation");
    Operation found{static_cast<Kind>(kind), operand(operands[0]), {}, {}, numbers, {}, pace(when)};
    for (size_t i = 1; i < operands.size(); ++i) found.inputs.push_back(operand(operands[i]));
    for (long index : used) {
        require(index >= 0 && index < static_cast<long>(weights.size()), "no such weight");
        found.weights.push_back(weights[index]);
    }
    check_shapes(found);
    return found;
}

long Packed::pace(EncodedPace encoded) {
    const auto [clock, every] = encoded;
    if (clock < 0) return -1;
    require(clock < static_cast<long>(buffers.size()) && buffers[clock].role == Role::clock && every >= 1, "no such pace");
    for (size_t i = 0; i < paces.size(); ++i)
        if (paces[i].clock == clock && paces[i].every == every) return static_cast<long>(i);
    paces.push_back({clock, every});
    return static_cast<long>(paces.size()) - 1;
}

// What the shape rules of unrolled/engine/operations.py have said already, as far as memory is at stake.
void Packed::check_shapes(const Operation& one) const {
    const long out = one.output.width;
    const auto input = [&](size_t i) -> const Operand& {
        require(i < one.inputs.size(), "an input is missing");
        return one.inputs[i];
    };
    const auto weight = [&](size_t i) -> const std::vector<long>& {
        require(i < one.weights.size(), "a weight is missing");
        return one.weights[i].shape;
    };
    const auto state = [&](size_t i, Role role) -> const Buffer& {
        const Buffer& buffer = buffers[input(i).buffer];
        require(buffer.role == role && input(i).width == buffer.width, "an input has the wrong role");
        return buffer;
    };
    const auto plain = [&](const Operand& operand) {
        const Role role = buffers[operand.buffer].role;
        require(role != Role::ring && role != Role::cache && role != Role::clock, "an operand has the wrong role");
    };
    plain(one.output);
    switch (one.kind) {
        case Kind::lookup:
        case Kind::position: {
            if (one.kind == Kind::position) {
                require(input(0).width == out, "widths differ");
                plain(input(0));
                state(1, Role::clock);
            }
            require(weight(0).size() == 2 && weight(0)[1] == out && weight(0)[0] > 0, "a table does not fit");
            require(one.kind == Kind::position || (symbols > 0 && weight(0)[0] >= symbols), "a table is too short");
            break;
        }
        case Kind::linear:
        case Kind::linear_add:
            plain(input(0));
            require(weight(0) == std::vector<long>{out, input(0).width}, "a matrix does not fit");
            require(one.weights.size() < 2 || weight(1) == std::vector<long>{out}, "a bias does not fit");
            break;
        case Kind::lstm:
            plain(input(0)), plain(input(1));
            require(input(0).width == 4 * out && input(1).width == out, "gates do not fit");
            break;
        case Kind::gru:
            plain(input(0)), plain(input(1));
            require(input(0).width == 3 * out && input(1).width == 3 * out, "gates do not fit");
            break;
        case Kind::taps: {
            const Buffer& ring = state(1, Role::ring);
            require(one.numbers.size() == 1 && one.numbers[0] >= 1 && one.numbers[0] < (1 << 25), "no dilation");
            const long dilation = static_cast<long>(one.numbers[0]), reach = ring.shape[0], width = input(0).width;
            plain(input(0));
            require(ring.shape[1] == width && reach % dilation == 0, "a ring does not fit");
            require(out == (reach / dilation + 1) * width, "taps do not fit");
            break;
        }
        case Kind::attention: {
            const Buffer &keys = state(1, Role::cache), &values = state(2, Role::cache);
            state(3, Role::clock), plain(input(0));
            require(one.numbers.size() == 3 && one.numbers[0] >= 1 && one.numbers[0] <= 4096, "no heads");
            const long heads = static_cast<long>(one.numbers[0]), width = keys.shape[2];
            require(keys.shape == values.shape && keys.shape[0] == static_cast<long>(one.numbers[1]), "caches differ");
            require(keys.shape[0] > 0 && heads % keys.shape[0] == 0 && width > 0, "heads do not fit");
            require(out == heads * width && input(0).width == (heads + 2 * keys.shape[0]) * width, "heads do not fit");
            require(one.numbers[2] == 0 || width % 2 == 0, "heads are odd");
            break;
        }
        case Kind::pick:
            plain(input(0)), state(1, Role::clock);
            require(out > 0 && input(0).width % out == 0, "parts do not fit");
            require(one.numbers.size() == 1 && one.numbers[0] >= 1 && one.numbers[0] < (1 << 25), "no frame");
            break;
        default:
            for (const Operand& operand : one.inputs) {
                plain(operand);
                require(operand.width == out, "widths differ");
            }
            for (const Weight& used : one.weights) require(used.shape == std::vector<long>{out}, "a weight does not fit");
            require(one.kind != Kind::layer_norm || one.numbers.size() == 1, "no epsilon");
            require(one.kind != Kind::rms_norm || one.numbers.size() == 1, "no epsilon");
    }
    const size_t inputs[] = {0, 1, 1, 0, 1, 2, 2, 1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 2, 2, 2, 4, 2, 3, 2};
    require(one.inputs.size() == inputs[static_cast<int>(one.kind)], "an input is missing");
}

Matrix Packed::pack(const Weight& weight, const Weight* bias) {
    const auto key = std::make_pair(weight.data, bias ? bias->data : nullptr);
    require(precision != Precision::int8 || weight.shape[1] <= MOST_INPUTS, "a matrix has too many inputs for int8");
    Matrix matrix{weight.shape[0], weight.shape[1], precision};
    if (const auto found = matrices.find(key); found != matrices.end() && found->second.inputs == matrix.inputs &&
                                               found->second.outputs == matrix.outputs)
        return found->second;
    matrix.bias = bias ? bias->data : nullptr;
    const long tiles = matrix.tiles();
    Memory data = allocate(tiles * matrix.tile_bytes()), scales = allocate(tiles * TILE * 4), sums = allocate(tiles * TILE * 4);
    for (long tile = 0; tile < tiles; ++tile) {
        const long panel = tile / PANEL_TILES * PANEL_TILES;
        pack_tile(weight, matrix, tile, std::min<long>(PANEL_TILES, tiles - panel),
                  data.get() + panel * matrix.tile_bytes(), reinterpret_cast<float*>(scales.get()),
                  reinterpret_cast<int32_t*>(sums.get()));
    }
    matrix.data = data.get();
    matrix.scales = reinterpret_cast<float*>(scales.get());
    matrix.sums = reinterpret_cast<int32_t*>(sums.get());
    for (Memory* one : {&data, &scales, &sums}) memory.push_back(std::move(*one));
    return matrices[key] = matrix;
}

// One tile's share of a panel of `tiles` tiles.
void Packed::pack_tile(const Weight& weight, const Matrix& matrix, long tile, long tiles, uint8_t* panel, float* scales,
                       int32_t* sums) const {
    const long inputs = matrix.inputs, column = tile % PANEL_TILES * TILE, stride = weight.stride ? weight.stride : inputs;
    for (long o = 0; o < TILE && tile * TILE + o < matrix.outputs; ++o) {
        const float* row = weight.data + (tile * TILE + o) * stride;
        float most = 0;
        for (long k = 0; k < inputs; ++k) most = std::max(most, std::fabs(row[k]));
        const float scale = most / LEVELS, inverse = most > 1e-36f ? LEVELS / most : 0;  // which is finite
        int32_t sum = 0;
        for (long k = 0; k < inputs; ++k) {
            if (precision == Precision::float32) {
                std::memcpy(panel + ((k * tiles * TILE) + column + o) * 4, row + k, 4);
            } else if (precision == Precision::bfloat16) {
                const uint16_t half = to_bfloat16(row[k]);
                std::memcpy(panel + ((k / 2 * tiles * TILE) + column + o) * 4 + k % 2 * 2, &half, 2);
            } else {
                const int whole = static_cast<int>(std::nearbyint(row[k] * inverse));
                panel[((k / 4 * tiles * TILE) + column + o) * 4 + k % 4] = static_cast<uint8_t>(static_cast<int8_t>(whole));
                sum += whole;
            }
        }
        scales[tile * TILE + o] = scale;
        sums[tile * TILE + o] = sum;
    }
}

long Packed::bytes() const {
    long found = 0;
    for (const Operation& one : step) {
        if (one.matrix.data) {
            const long steps = one.kind == Kind::ahead ? one.output.width / one.matrix.outputs : 1;
            found += (one.matrix.tiles() * one.matrix.tile_bytes() + (one.matrix.bias ? one.matrix.outputs * 4 : 0)) / steps;
        } else {
            for (const Weight& weight : one.weights) found += 4 * weight.shape.back();
        }
    }
    return found;
}

}  // namespace unrolled
