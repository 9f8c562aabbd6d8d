// The sampler under every rule against a naive one that sorts.

#include "../sampling.hpp"

#include <algorithm>
#include <numeric>

#include "check.hpp"
#include "tests.hpp"

using unrolled::Kernels;
using unrolled::Rules;

namespace {

constexpr double NEVER = -INFINITY;

using Scores = std::vector<double>;

Scores softmax(const Scores& scores) {
    const double most = *std::max_element(scores.begin(), scores.end());
    Scores found(scores.size());
    double total = 0;
    for (size_t i = 0; i < scores.size(); ++i) total += found[i] = std::exp(scores[i] - most);
    for (double& one : found) one /= total;
    return found;
}

// Symbols by a key, the highest first, lower symbols first among equals.
std::vector<size_t> order_by(const Scores& keys) {
    std::vector<size_t> order(keys.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] > keys[b]; });
    return order;
}

void keep_mass(Scores& scores, const std::vector<size_t>& order, double mass) {
    const Scores probabilities = softmax(scores);
    double before = 0;
    for (size_t symbol : order) {
        if (before >= mass) scores[symbol] = NEVER;
        before += probabilities[symbol];
    }
}

void keep_typical(Scores& scores, double mass) {
    const Scores probabilities = softmax(scores);
    double entropy = 0;
    for (double p : probabilities) entropy -= p > 0 ? p * std::log(p) : 0;
    Scores keys;
    for (double p : probabilities) keys.push_back(-std::fabs(-std::log(p) - entropy));
    keep_mass(scores, order_by(keys), mass);
}

Scores naive(const std::vector<float>& logits, const Rules& rules, const std::vector<uint8_t>& forbidden,
             const std::vector<uint8_t>& seen) {
    Scores scores(logits.begin(), logits.end());
    for (size_t i = 0; i < scores.size(); ++i) {
        if (forbidden[i]) scores[i] = NEVER;
        const double penalty = seen[i] ? rules.repetition_penalty : 1;
        scores[i] = scores[i] > 0 ? scores[i] / penalty : scores[i] * penalty;
    }
    if (rules.temperature == 0) {
        const size_t best = order_by(scores)[0];
        for (size_t i = 0; i < scores.size(); ++i) scores[i] = i == best ? 0 : NEVER;
        return softmax(scores);
    }
    for (double& score : scores) score /= rules.temperature;
    if (rules.top_k > 0) {
        const auto order = order_by(scores);
        for (size_t i = static_cast<size_t>(rules.top_k); i < order.size(); ++i) scores[order[i]] = NEVER;
    }
    if (rules.top_p < 1) keep_mass(scores, order_by(scores), rules.top_p);
    const Scores probabilities = softmax(scores);
    const double most = *std::max_element(probabilities.begin(), probabilities.end());
    for (size_t i = 0; i < scores.size(); ++i)
        if (probabilities[i] < rules.min_p * most) scores[i] = NEVER;
    if (rules.typical < 1) keep_typical(scores, rules.typical);
    return softmax(scores);
}

// Whether a uniform number may fall to a symbol, with 1e-9 for the order of sums.
bool fits(const Scores& probabilities, int64_t symbol, double uniform) {
    if (symbol < 0 || probabilities[symbol] <= 0) return false;
    const double before = std::accumulate(probabilities.begin(), probabilities.begin() + symbol, 0.0);
    return before - 1e-9 <= uniform && uniform <= before + probabilities[symbol] + 1e-9;
}

struct Setting {
    const char* name;
    Rules rules;
};

const Setting SETTINGS[] = {
    {"neutral", {}},
    {"temperature 0.7", {0.7}},
    {"temperature 3", {3}},
    {"temperature 0", {0}},
    {"top-k 1", {1, 1}},
    {"top-k 5", {1, 5}},
    {"top-p 0.83", {1, 0, 0.83}},
    {"min-p 0.11", {1, 0, 1, 0.11}},
    {"typical 0.61", {1, 0, 1, 0, 0.61}},
    {"repetition penalty 1.7", {1, 0, 1, 0, 1, 1.7}},
    {"all rules", {0.8, 20, 0.93, 0.013, 0.87, 1.3}},
};

// One distribution: what is drawn for many uniform numbers, and the log probability of what is forced.
void test_distribution(Check& check, const Kernels& kernels, const Rules& rules, long size, Numbers& numbers) {
    std::vector<float> logits = numbers.many(size, 4);
    std::vector<uint8_t> forbidden(size), seen(size);
    for (long i = 0; i < size; ++i) {
        if (size % 2) logits[i] = std::nearbyint(2 * logits[i]) / 2;  // with equal ones among them
        forbidden[i] = i > 0 && numbers.whole(6) == 0, seen[i] = numbers.whole(3) == 0;
    }
    unrolled::Sampler sampler(size);
    const Scores wanted = naive(logits, rules, forbidden, seen), own = softmax(Scores(logits.begin(), logits.end()));
    for (int i = 0; i <= 24; ++i) {
        const double uniform = i == 24 ? 1 - 0x1p-53 : i / 24.0;
        const auto [symbol, nats] =
            sampler.choose(kernels, logits.data(), rules, -1, uniform, forbidden.data(), seen.data());
        check.holds(fits(wanted, symbol, uniform), "symbol");
        if (symbol >= 0) check.near(nats, std::log(own[symbol]), 1e-12, "nats of", symbol);
    }
    const auto [symbol, nats] =
        sampler.choose(kernels, logits.data(), rules, size / 2, 0.5, forbidden.data(), seen.data());
    check.same(symbol, size / 2, "forced");
    check.near(nats, std::log(own[symbol]), 1e-12, "nats of the forced");
}

void test_damaged(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " sampler of what is no distribution");
    const float infinite = std::numeric_limits<float>::infinity(), none = std::numeric_limits<float>::quiet_NaN();
    const std::vector<uint8_t> free(40), nothing(40, 1);
    unrolled::Sampler sampler(40);
    const auto symbol = [&](const std::vector<float>& logits, const Rules& rules, const auto& forbidden) {
        return sampler.choose(kernels, logits.data(), rules, -1, 0.3, forbidden.data(), free.data()).symbol;
    };
    for (const Setting& setting : SETTINGS)
        for (float bad : {infinite, none}) {
            std::vector<float> logits(40, 0.5f);
            logits[33] = bad;
            check.same(symbol(logits, setting.rules, free), -1, setting.name);
        }
    check.same(symbol(std::vector<float>(40, 0.5f), {}, nothing), -1, "all forbidden");
    check.same(symbol(std::vector<float>(40, -infinite), {}, free), -1, "all impossible");
}

// What is forbidden is far more probable than all else.
void test_overshadowed(const Kernels& kernels) {
    Check check(std::string(kernels.name) + " sampler beside a forbidden symbol");
    for (float height : {5.0f, 100.0f, 690.0f, 2000.0f})
        for (double temperature : {0.5, 1.0, 2.0}) {
            std::vector<float> logits(9, 0.0f);
            std::vector<uint8_t> forbidden(9);
            logits[4] = height, forbidden[4] = 1;
            unrolled::Sampler sampler(9);
            for (int i = 0; i < 8; ++i) {
                Rules rules;
                rules.temperature = temperature;
                const auto found =
                    sampler.choose(kernels, logits.data(), rules, -1, (i + 0.5) / 8, forbidden.data(), nullptr);
                check.same(found.symbol, i < 4 ? i : i + 1, "height", static_cast<long>(height));
            }
        }
}

}  // namespace

void test_sampler(const Kernels& kernels) {
    for (const Setting& setting : SETTINGS) {
        Check check(std::string(kernels.name) + " sampler, " + setting.name);
        Numbers numbers(20);
        for (long size = 1; size <= 50; ++size) test_distribution(check, kernels, setting.rules, size, numbers);
        for (long size : {255, 256, 1031}) test_distribution(check, kernels, setting.rules, size, numbers);
    }
    test_damaged(kernels);
    test_overshadowed(kernels);
}
