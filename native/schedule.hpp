// Which of two threads does what in a step of one row, so that they wait only for what they read. Products are shared
// by panels of their matrices, and nothing else is: results are those of one thread to the last bit.
#pragma once

#include <memory>
#include <vector>

#include "packed.hpp"

namespace unrolled {

struct Task {
    long operation;    // of the schedule's step
    long first, last;  // panels of a product
    long wait;         // tasks of the other lane that have to be done before, 0 where that is known
    long done;         // tasks of its own lane that are done after it
    bool awaited;      // whether the other lane waits for that
};

struct Schedule {
    std::vector<Operation> step;  // that of the packed program, with results in places of their own
    long row_floats;              // of a row's memory, with these places
    std::vector<Task> lanes[2];   // of which the first also draws,
    long outputs;                 // after so many tasks of the other
};

// None for a program that two threads do sooner, or as soon, when they share each operation.
std::unique_ptr<Schedule> schedule(const Packed& packed);

}  // namespace unrolled
