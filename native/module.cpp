// The module `_unrolled_native`, which unrolled/engine/runtime.py wraps.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <mutex>
#include <stdexcept>

#include "session.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace unrolled;

namespace {

template <typename T, int Axes>
using Array = nb::ndarray<T, nb::numpy, nb::ndim<Axes>, nb::c_contig, nb::device::cpu>;
using AnyFloats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

// A program together with the arrays that its tables point into.
struct Owner {
    std::shared_ptr<Packed> packed;
    std::vector<AnyFloats> weights;
};

void require(bool holds, const char* problem) {
    if (!holds) throw std::invalid_argument(problem);
}

Owner pack(const std::vector<std::pair<int, std::vector<long>>>& buffers, std::vector<AnyFloats> weights,
           const std::vector<EncodedOperation>& prologue, const std::vector<EncodedOperation>& step,
           EncodedOperand output, long symbols, const std::string& precision, const std::string& instructions) {
    std::vector<Weight> views;
    for (const AnyFloats& weight : weights) {
        Weight view{{}, weight.data()};
        for (size_t axis = 0; axis < weight.ndim(); ++axis) view.shape.push_back(static_cast<long>(weight.shape(axis)));
        views.push_back(std::move(view));
    }
    nb::gil_scoped_release release;
    auto packed = std::make_shared<Packed>(buffers, views, prologue, step, output, symbols, precision, instructions);
    return {std::move(packed), std::move(weights)};
}

struct Holder {
    Owner owner;
    Session session;
    std::mutex running;  // one call at a time: the interpreter's lock is not held while it runs

    Holder(const Owner& program, long rows, int threads) : owner(program), session(program.packed, rows, threads) {}

    void check(long row, long buffer, Role role) const {
        const auto& buffers = owner.packed->buffers;
        require(row >= 0 && row < session.rows, "no such row");
        require(buffer >= 0 && buffer < static_cast<long>(buffers.size()), "no such buffer");
        require((buffers[buffer].role == Role::clock) == (role == Role::clock), "a leaf has the wrong type");
    }
};

void set_floats(Holder& holder, long row, long buffer, Array<const float, 1> values) {
    holder.check(row, buffer, Role::vector);
    require(static_cast<long>(values.size()) == holder.owner.packed->buffers[buffer].width, "a leaf has the wrong size");
    holder.session.set_leaf(row, buffer, values.data());
}

void set_clock(Holder& holder, long row, long buffer, Array<const int64_t, 1> values) {
    holder.check(row, buffer, Role::clock);
    require(values.size() == 1 && values(0) >= 0 && values(0) < (1L << 62), "a clock is out of range");
    holder.session.clock(row, buffer) = values(0);
}

void get_floats(Holder& holder, long row, long buffer, Array<float, 1> values) {
    holder.check(row, buffer, Role::vector);
    require(static_cast<long>(values.size()) == holder.owner.packed->buffers[buffer].width, "a leaf has the wrong size");
    holder.session.get_leaf(row, buffer, values.data());
}

void get_clock(Holder& holder, long row, long buffer, Array<int64_t, 1> values) {
    holder.check(row, buffer, Role::clock);
    require(values.size() == 1, "a leaf has the wrong size");
    values(0) = holder.session.clock(row, buffer);
}

void check_rows(const Holder& holder, const int64_t* rows, long count) {
    std::vector<bool> taken(holder.session.rows);
    for (long i = 0; i < count; ++i) {
        require(rows[i] >= 0 && rows[i] < holder.session.rows && !taken[rows[i]], "rows must be different ones of the session");
        taken[rows[i]] = true;
    }
}

void check_symbols(const Call& call, long symbols) {
    for (long row = 0; row < call.rows; ++row) {
        require(call.counts[row] >= 0 && call.counts[row] <= call.time, "steps are out of range");
        require(symbols == 0 || (call.last[row] >= 0 && call.last[row] < symbols), "a symbol is out of range");
        for (long time = 0; symbols && time < call.counts[row]; ++time) {
            const int64_t forced = call.forced[row * call.time + time];
            require(forced < symbols && (forced >= 0 || call.scored), "a forced symbol is out of range");
        }
    }
}

int run(Holder& holder, Array<const int64_t, 1> rows, Array<int64_t, 1> counts, Array<const int64_t, 1> last,
        Array<const int64_t, 2> forced, Array<const float, 3> control, const std::vector<double>& rules, uint64_t seed,
        Array<const int64_t, 1> streams, Array<const int64_t, 1> positions, Array<const uint8_t, 1> forbidden,
        Array<uint8_t, 2> seen, int64_t stop, bool scored, Array<int64_t, 2> symbols, Array<double, 2> nats,
        Array<float, 3> outputs) {
    const Packed& packed = *holder.owner.packed;
    const size_t n = rows.size(), time = forced.shape(1), width = packed.output.width;
    size_t controls = 0;
    for (const Buffer& buffer : packed.buffers)
        if (buffer.role == Role::control) controls = buffer.width;
    require(rules.size() == 6, "there are six rules");
    require(counts.size() == n && last.size() == n && streams.size() == n && positions.size() == n, "rows differ");
    require(forced.shape(0) == n && symbols.shape(0) == n && nats.shape(0) == n && outputs.shape(0) == n, "rows differ");
    require(symbols.shape(1) == time && nats.shape(1) == time, "steps differ");
    require(control.shape(0) == n && control.shape(1) == time && control.shape(2) == controls, "the control does not fit");
    require(static_cast<long>(forbidden.size()) >= packed.symbols, "the alphabet differs");
    require(outputs.shape(1) == 0 || (outputs.shape(1) == time && outputs.shape(2) == width), "the outputs do not fit");
    require(seen.shape(0) == n && (seen.shape(1) == 0 || static_cast<long>(seen.shape(1)) == packed.symbols), "seen does not fit");
    const Call call{static_cast<long>(n), static_cast<long>(time), rows.data(), counts.data(), last.data(), forced.data(),
                    control.data(), {rules[0], rules[1], rules[2], rules[3], rules[4], rules[5]}, seed, streams.data(),
                    positions.data(), forbidden.data(), seen.shape(1) ? seen.data() : nullptr, stop, scored,
                    symbols.data(), nats.data(), outputs.shape(1) ? outputs.data() : nullptr};
    const std::unique_lock lock(holder.running, std::try_to_lock);
    require(lock.owns_lock(), "the session is running in another thread");
    check_rows(holder, call.row, call.rows);
    check_symbols(call, packed.symbols);
    nb::gil_scoped_release release;
    return static_cast<int>(holder.session.run(call, [] {
        nb::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() == 0) return false;
        PyErr_Clear();
        return true;
    }));
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* const* set = kernel_sets(); *set; ++set) names.emplace_back((*set)->name);
    return names;
}

}  // namespace

NB_MODULE(_unrolled_native, module) {
    module.def("instruction_sets", &instruction_sets);
    nb::class_<Owner>(module, "Packed")
        .def("__init__", [](Owner* self, const std::vector<std::pair<int, std::vector<long>>>& buffers,
                            std::vector<AnyFloats> weights, const std::vector<EncodedOperation>& prologue,
                            const std::vector<EncodedOperation>& step, EncodedOperand output, long symbols,
                            const std::string& precision, const std::string& instructions) {
            new (self) Owner(pack(buffers, std::move(weights), prologue, step, output, symbols, precision, instructions));
        })
        .def("bytes", [](const Owner& owner) { return owner.packed->bytes(); });
    nb::class_<Holder>(module, "Session")
        .def(nb::init<const Owner&, long, int>())
        .def("set_leaf", &set_floats, "row"_a, "buffer"_a, "values"_a.noconvert())
        .def("set_leaf", &set_clock, "row"_a, "buffer"_a, "values"_a.noconvert())
        .def("get_leaf", &get_floats, "row"_a, "buffer"_a, "values"_a.noconvert())
        .def("get_leaf", &get_clock, "row"_a, "buffer"_a, "values"_a.noconvert())
        .def("begin", [](Holder& holder, const std::vector<long>& rows) {
            for (long row : rows) {
                require(row >= 0 && row < holder.session.rows, "no such row");
                holder.session.begin(row);
            }
        })
        .def("run", &run, "rows"_a.noconvert(), "counts"_a.noconvert(), "last"_a.noconvert(), "forced"_a.noconvert(),
             "control"_a.noconvert(), "rules"_a, "seed"_a, "streams"_a.noconvert(), "positions"_a.noconvert(),
             "forbidden"_a.noconvert(), "seen"_a.noconvert(), "stop"_a, "scored"_a, "symbols"_a.noconvert(),
             "nats"_a.noconvert(), "outputs"_a.noconvert());
}
