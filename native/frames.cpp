// Operations at a slower pace than that of the symbols: which rows they are for, and what is read of their results.

#include "session.hpp"

namespace unrolled {

// Of the active rows, those whose clock stands at a multiple of each pace.
void Session::find_due() {
    for (size_t i = 0; i < due.size(); ++i) {
        const auto [clock, every] = packed->paces[i];
        const long counter = packed->buffers[clock].counter;
        due[i].clear();
        for (const Active& row : active)
            if (row.counters[counter] % every == 0) due[i].push_back(row);
    }
}

void Session::pick(const Operation& operation, const Active& row) const {
    const long width = operation.output.width, parts = operation.inputs[0].width / width;
    const int64_t frame = static_cast<int64_t>(operation.numbers[0]);
    const int64_t turn = row.counters[packed->buffers[operation.inputs[1].buffer].counter] % frame * parts / frame;
    packed->kernels->copy(at(row, operation.output), at(row, operation.inputs[0]) + turn * width, width);
}

}  // namespace unrolled
