// Lines of a report, each over many comparisons, and repeatable numbers to compare with.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

inline int passed = 0, failed = 0;

// One line of the report: it takes in comparisons and is printed when it goes out of scope.
class Check {
public:
    explicit Check(std::string text) : name(std::move(text)) {}
    Check(const Check&) = delete;

    ~Check() {
        const bool good = compared > 0 && worst <= 1;
        ++(good ? passed : failed);
        std::printf("%s %s: %ld comparisons, worst %.2g of the tolerance", good ? "ok    " : "FAILED", name.c_str(),
                    compared, worst);
        if (!good) std::printf(" (found %.9g, wanted %.9g, %s)", bad_found, bad_wanted, bad_where.c_str());
        std::printf("\n");
        std::fflush(stdout);
    }

    // Not-a-number is equal to itself; a tolerance of 0 asks for the same number.
    void near(double found, double wanted, double tolerance, const char* where = "", long place = 0) {
        ++compared;
        double share = 0;
        if (std::isnan(found) || std::isnan(wanted))
            share = std::isnan(found) && std::isnan(wanted) ? 0 : std::numeric_limits<double>::infinity();
        else if (found != wanted)
            share = std::fabs(found - wanted) / tolerance;
        if (share <= worst) return;
        worst = share, bad_found = found, bad_wanted = wanted;
        bad_where = std::string(where) + " " + std::to_string(place);
    }

    template <typename Found, typename Wanted>
    void same(Found found, Wanted wanted, const char* where = "", long place = 0) {
        near(static_cast<double>(found), static_cast<double>(wanted), 0, where, place);
    }

    void holds(bool good, const char* where = "") { near(good, 1, 0, where); }

private:
    std::string name, bad_where;
    long compared = 0;
    double worst = 0, bad_found = 0, bad_wanted = 0;
};

class Numbers {
public:
    explicit Numbers(uint32_t seed) : engine(seed) {}

    // Even in [-size, size].
    float one(float size = 1) { return static_cast<float>(static_cast<int32_t>(engine())) * 0x1p-31f * size; }
    long whole(long below) { return static_cast<long>(engine() % static_cast<uint32_t>(below)); }
    std::vector<float> many(long count, float size = 1) {
        std::vector<float> found(count);
        for (float& number : found) number = one(size);
        return found;
    }

private:
    std::mt19937 engine;
};

inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }
