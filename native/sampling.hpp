// From logits to the next symbol under sampling rules, as in unrolled/generation/sampling.py: in float64, in the order
// forbidden symbols, repetition penalty, temperature, top-k, top-p, min-p, typical.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace unrolled {

struct Rules {
    double temperature = 1, top_k = 0, top_p = 1, min_p = 0, typical = 1, repetition_penalty = 1;

    bool only_temperature() const {
        return top_k == 0 && top_p == 1 && min_p == 0 && typical == 1 && repetition_penalty == 1;
    }
};

struct Choice {
    int64_t symbol;  // -1 where the logits are no distribution
    double nats;     // log probability under the model's own distribution
};

class Sampler {
public:
    explicit Sampler(long symbols) : weights(symbols), scores(symbols) {}

    // `forced` is taken where it is 0 or more, else `uniform` in [0, 1) decides. `seen` may be null.
    Choice choose(const Kernels& kernels, const float* logits, const Rules& rules, int64_t forced, double uniform,
                  const uint8_t* forbidden, const uint8_t* seen);

private:
    void apply(const float* logits, const Rules& rules, const uint8_t* forbidden, const uint8_t* seen);
    void keep_most_probable(long count);
    void keep_typical(double mass);
    void keep_above(double share);
    template <typename Before>
    void keep_first(double mass, Before before);
    void keep_kept();
    double highest_score() const;
    double softmax();

    std::vector<double> weights, scores;
    std::vector<double> keys;
    std::vector<long> order;
    std::vector<uint8_t> kept;
};

}  // namespace unrolled
