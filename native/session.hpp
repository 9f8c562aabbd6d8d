// The states of many rows, and the loop that steps them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "packed.hpp"
#include "sampling.hpp"
#include "schedule.hpp"
#include "team.hpp"

namespace unrolled {

// One call: n rows, up to `time` steps each. Arrays are row-major; those that a call does not use are null.
struct Call {
    long rows, time;
    const int64_t* row;      // n: slots, all different
    int64_t* counts;         // n: steps wanted; on return steps done
    const int64_t* last;     // n: the symbols read first
    const int64_t* forced;   // n time
    const float* control;    // n time width
    Rules rules;
    uint64_t seed;
    const int64_t* streams;    // n
    const int64_t* positions;  // n: of the first draw
    const uint8_t* forbidden;  // v
    uint8_t* seen;             // n v, or null
    int64_t stop;              // a drawn symbol that ends a row
    bool scored;
    int64_t* symbols;  // n time
    double* nats;      // n time
    float* outputs;    // n time width, or null
};

enum class Status { done = 0, interrupted = 1, damaged = 2, outside = 3 };

class Session {
public:
    Session(std::shared_ptr<Packed> packed, long rows, int threads);

    void set_leaf(long row, long buffer, const float* values);
    void get_leaf(long row, long buffer, float* values);
    int64_t& clock(long row, long buffer);
    // After the leaves of a row were set: what follows from them alone.
    void begin(long row);

    // `poll` is asked now and then, between steps, whether to stop early.
    Status run(const Call& call, const std::function<bool()>& poll);

    const std::shared_ptr<Packed> packed;
    const long rows;

private:
    struct Active {
        long index, slot;  // in the call, in the session
        int64_t symbol;    // that it reads now
        float* memory;
        int64_t* counters;
        const float* control;
    };
    struct alignas(64) Progress {  // of a lane, in a step
        std::atomic<long> done{0};
    };
    struct Turns {  // cosines and sines of one position's rotary angles
        int64_t position = -1;
        double base = 0;
        std::vector<float> cosine, sine;
    };
    struct Scratch {  // of one thread
        std::vector<const float*> from;
        std::vector<float*> to;
        std::vector<Quantised> quantised;
        Memory bytes;
        Memory scores, query, gathered;
        std::vector<Turns> turns;
        std::unique_ptr<Sampler> sampler;
    };

    float* at(const Active& row, const Operand& operand) const {
        return row.memory + operand.offset;
    }
    void prepare(const Call& call, long time, const std::vector<int64_t>& wanted);
    void enter(const Active& row) const;
    void follow(int id);
    void execute(const Operation& operation, int id, int threads, const std::vector<Active>& rows_now,
                 Scratch& scratch) const;
    void product(const Operation& operation, long first, long last, const std::vector<Active>& rows_now,
                 Scratch& scratch) const;
    void units(const Operation& operation, const Active& row, long first, long last) const;
    void whole(const Operation& operation, const Active& row) const;
    void taps(const Operation& operation, const Active& row) const;
    void pick(const Operation& operation, const Active& row) const;
    void find_due();
    void remember(const Buffer& ring, const float* x, const Active& row) const;
    long steps_ahead(const Buffer& ring, long dilation, const Active& row) const;
    void past(const Operation& operation, const Active& row) const;
    int gather_ahead(const Operation& operation, const std::vector<Active>& rows_now, Scratch& scratch) const;
    void attention(const Operation& operation, const Active& row, long key_head, Scratch& scratch) const;
    const Turns& turns(Scratch& scratch, double base, long half, int64_t position) const;
    void leave(const Call& call, long time, const Active& row, Scratch& scratch);
    Active locate(long index, long slot);

    std::unique_ptr<Schedule> plan;  // of steps of one row by two threads
    const long row_floats;
    Memory memory;
    std::vector<int64_t> counters;
    long control = -1;                              // the buffer that a call fills
    size_t until_state = 0;                         // operations after these serve the output alone
    std::vector<long> clocks;                       // counters that go on with each step
    std::vector<std::pair<long, int64_t>> limits;   // counters that may not reach a limit
    std::vector<std::unique_ptr<Scratch>> scratches;
    std::vector<Active> active;
    std::vector<std::vector<Active>> due;  // of the active rows, those of each pace
    std::vector<int64_t> pending;  // of each row of a call: the symbol that it reads next, -1 after its end
    std::atomic<Status> status{Status::done};
    std::chrono::steady_clock::time_point asked;
    Progress progress[2];
    Team team;
};

}  // namespace unrolled
