#include "sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace unrolled {

namespace {

constexpr double FAR = 600;  // e^-600 is still a number, and so are its products with what softmax keeps
constexpr double NEVER = -std::numeric_limits<double>::infinity();

// The first symbol at which the cumulative weight exceeds `uniform` times the total; -1 where there is no total.
int64_t draw(const std::vector<double>& weights, double uniform) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    if (!(total > 0) || !std::isfinite(total)) return -1;
    const double target = std::min(uniform * total, std::nextafter(total, 0.0));
    double sum = 0;
    int64_t last = -1;
    for (size_t i = 0; i < weights.size(); ++i) {
        if (weights[i] > 0) last = static_cast<int64_t>(i);
        sum += weights[i];
        if (sum > target) return static_cast<int64_t>(i);
    }
    return last;
}

}  // namespace

Choice Sampler::choose(const Kernels& kernels, const float* logits, const Rules& rules, int64_t forced, double uniform,
                       const uint8_t* forbidden, const uint8_t* seen) {
    const long size = static_cast<long>(weights.size());
    const double highest = kernels.highest(logits, size);
    const double total = std::isfinite(highest) ? kernels.exponentials(logits, size, highest, 1, weights.data()) : NAN;
    if (!std::isfinite(total)) return {-1, 0};
    int64_t symbol = forced;
    if (forced < 0) {
        if (rules.only_temperature() && rules.temperature > 0) {
            double most = NEVER;
            for (long i = 0; i < size; ++i)
                if (!forbidden[i]) most = std::max(most, static_cast<double>(logits[i]));
            if (highest - most > FAR * rules.temperature)  // beside a forbidden symbol all others would vanish
                for (long i = 0; i < size; ++i) weights[i] = std::exp((logits[i] - most) / rules.temperature);
            else if (rules.temperature != 1)
                kernels.exponentials(logits, size, highest, 1 / rules.temperature, weights.data());
            for (long i = 0; i < size; ++i)
                if (forbidden[i]) weights[i] = 0;
        } else {
            apply(logits, rules, forbidden, seen);
        }
        symbol = draw(weights, uniform);
    }
    return {symbol, symbol < 0 ? 0 : logits[symbol] - highest - std::log(total)};
}

void Sampler::apply(const float* logits, const Rules& rules, const uint8_t* forbidden, const uint8_t* seen) {
    const long size = static_cast<long>(weights.size());
    for (long i = 0; i < size; ++i) {
        scores[i] = forbidden[i] ? NEVER : logits[i];
        if (rules.repetition_penalty != 1 && seen && seen[i])
            scores[i] = scores[i] > 0 ? scores[i] / rules.repetition_penalty : scores[i] * rules.repetition_penalty;
    }
    if (rules.temperature == 0) {
        const long first = std::max_element(scores.begin(), scores.end()) - scores.begin();
        std::fill(weights.begin(), weights.end(), 0.0);
        weights[first] = 1;
        return;
    }
    if (rules.temperature != 1) {
        const double most = highest_score();
        for (double& score : scores) score = (score - most) / rules.temperature;
    }
    if (rules.top_k > 0 && rules.top_k < size) keep_most_probable(static_cast<long>(rules.top_k));
    if (rules.top_p != 1) {
        softmax();
        keys = weights;
        keep_first(rules.top_p, [this](long a, long b) { return keys[a] != keys[b] ? keys[a] < keys[b] : a > b; });
    }
    if (rules.min_p != 0) keep_above(rules.min_p);
    if (rules.typical != 1) keep_typical(rules.typical);
    softmax();
}

double Sampler::highest_score() const { return *std::max_element(scores.begin(), scores.end()); }

// The weights become the probabilities of the scores; gives the entropy.
double Sampler::softmax() {
    const double most = highest_score();
    double total = 0, mean = 0;
    for (size_t i = 0; i < scores.size(); ++i) total += weights[i] = std::exp(scores[i] - most);
    for (size_t i = 0; i < scores.size(); ++i) {
        weights[i] /= total;
        if (weights[i] > 0) mean += weights[i] * (scores[i] - most);
    }
    return std::log(total) - mean;
}

void Sampler::keep_most_probable(long count) {
    order.resize(scores.size());
    std::iota(order.begin(), order.end(), 0L);
    std::nth_element(order.begin(), order.begin() + count, order.end(), [this](long a, long b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    for (size_t i = count; i < order.size(); ++i) scores[order[i]] = NEVER;
}

void Sampler::keep_above(double share) {
    softmax();
    const double least = share * *std::max_element(weights.begin(), weights.end());
    for (size_t i = 0; i < scores.size(); ++i)
        if (weights[i] < least) scores[i] = NEVER;
}

void Sampler::keep_typical(double mass) {
    const double entropy = softmax();
    keys.resize(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) keys[i] = std::fabs(-std::log(weights[i]) - entropy);
    keep_first(mass, [this](long a, long b) { return keys[a] != keys[b] ? keys[a] > keys[b] : a > b; });
}

// Keeps the shortest beginning, in the order where `before` says which of two comes later, that holds `mass`.
template <typename Before>
void Sampler::keep_first(double mass, Before before) {
    order.resize(scores.size());
    std::iota(order.begin(), order.end(), 0L);
    std::make_heap(order.begin(), order.end(), before);
    kept.assign(scores.size(), 0);
    double held = 0;
    for (auto end = order.end(); end != order.begin(); --end) {
        std::pop_heap(order.begin(), end, before);
        kept[*(end - 1)] = 1;
        held += weights[*(end - 1)];
        if (!(held < mass)) break;
    }
    keep_kept();
}

void Sampler::keep_kept() {
    for (size_t i = 0; i < scores.size(); ++i)
        if (!kept[i]) scores[i] = NEVER;
}

}  // namespace unrolled
