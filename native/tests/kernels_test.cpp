// Every kernel of every instruction set of this machine against plain loops in float64. Exit code 1 where any deviates.

#include <algorithm>
#include <cstring>

#include "../philox.hpp"
#include "check.hpp"
#include "tests.hpp"

using unrolled::Kernels;

namespace {

const float NOT_A_NUMBER = std::numeric_limits<float>::quiet_NaN();

struct Unary {
    const char* name;
    void (*Kernels::*kernel)(float*, const float*, long);
    double (*wanted)(double);
    double relative, absolute;  // tolerances; the absolute one grows with |x|
};

const Unary UNARY[] = {
    {"tanh", &Kernels::tanh, [](double x) { return std::tanh(x); }, 1e-6, 0},
    {"sigmoid", &Kernels::sigmoid, [](double x) { return logistic(x); }, 1e-6, 1e-37},
    {"relu", &Kernels::relu, [](double x) { return std::max(x, 0.0); }, 0, 0},
    {"silu", &Kernels::silu, [](double x) { return x * logistic(x); }, 1e-6, 1e-37},
    {"gelu", &Kernels::gelu, [](double x) { return x * (1 + std::erf(x * std::sqrt(0.5))) / 2; }, 1e-6, 3e-7},
    {"gelu_tanh", &Kernels::gelu_tanh,
     [](double x) { return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2; }, 1e-6, 3e-7},
};

struct Binary {
    const char* name;
    void (*Kernels::*kernel)(float*, const float*, const float*, long);
    double (*wanted)(double, double);
    double relative;
};

const Binary BINARY[] = {
    {"add", &Kernels::add, [](double x, double y) { return x + y; }, 1e-7},
    {"multiply", &Kernels::multiply, [](double x, double y) { return x * y; }, 1e-7},
    {"gate", &Kernels::gate, [](double x, double y) { return logistic(x) * std::tanh(y); }, 2e-6},
    {"keep", &Kernels::keep, [](double x, double y) { return logistic(x) * y; }, 1e-6},
};

std::vector<float> sweep() {
    std::vector<float> x = {0.0f, -0.0f, 1e-30f, -1e-30f, 87.5f, -87.5f, 95.0f, -95.0f, 1e4f, -1e4f, NOT_A_NUMBER};
    for (int i = -3000; i <= 3000; ++i) x.push_back(static_cast<float>(i) * 0.01f);
    return x;
}

std::string label(const Kernels& kernels, const char* name) { return std::string(kernels.name) + " " + name; }

void test_unary(const Kernels& kernels, const Unary& unary) {
    Check check(label(kernels, unary.name));
    const std::vector<float> x = sweep();
    const auto compare = [&](const float* from, long n) {
        std::vector<float> out(n + 1, 7.0f);
        (kernels.*unary.kernel)(out.data(), from, n);
        for (long i = 0; i < n; ++i) {
            const double wanted = unary.wanted(from[i]);
            const double size = std::max(1.0f, std::fabs(from[i]));
            const long place = static_cast<long>(1000.0 * std::fmin(from[i], 1e6));
            const double tolerance = unary.relative * std::fabs(wanted) + unary.absolute * size;
            check.near(out[i], wanted, tolerance, "at x 1000 =", place);
        }
        check.same(out[n], 7, "behind the end of", n);
    };
    compare(x.data(), static_cast<long>(x.size()));
    for (long n = 0; n <= 40; ++n) compare(x.data() + 2900 + n, n);
}

void test_binary(const Kernels& kernels, const Binary& binary) {
    Check check(label(kernels, binary.name));
    Numbers numbers(1);
    for (long n = 0; n <= 70; ++n) {
        std::vector<float> x = numbers.many(n, 8), y = numbers.many(n, 8), out(n + 1, 7.0f);
        if (n % 5 == 1) x[n / 2] = NOT_A_NUMBER;
        (kernels.*binary.kernel)(out.data(), x.data(), y.data(), n);
        for (long i = 0; i < n; ++i) {
            const double wanted = binary.wanted(x[i], y[i]);
            check.near(out[i], wanted, binary.relative * std::fabs(wanted), "of", n);
        }
        check.same(out[n], 7, "behind the end of", n);
        std::vector<float> in_place = x;
        (kernels.*binary.kernel)(in_place.data(), in_place.data(), y.data(), n);
        for (long i = 0; i < n; ++i) check.same(in_place[i], out[i], "in place of", n);
    }
}

void test_blend(const Kernels& kernels) {
    Check check(label(kernels, "blend"));
    Numbers numbers(6);
    for (long n = 0; n <= 70; ++n) {
        const std::vector<float> x = numbers.many(n, 8), y = numbers.many(n, 4), z = numbers.many(n, 2);
        std::vector<float> out(n + 1, 7.0f), in_place = z;
        kernels.blend(out.data(), x.data(), y.data(), z.data(), n);
        kernels.blend(in_place.data(), x.data(), y.data(), in_place.data(), n);
        for (long i = 0; i < n; ++i) {
            const double wanted = z[i] + logistic(x[i]) * (std::tanh(static_cast<double>(y[i])) - z[i]);
            check.near(out[i], wanted, 3e-6, "of", n);
            check.same(in_place[i], out[i], "in place of", n);
        }
        check.same(out[n], 7, "behind the end of", n);
    }
}

void test_copies(const Kernels& kernels) {
    Check check(label(kernels, "zero and copy"));
    Numbers numbers(2);
    for (long n = 0; n <= 40; ++n) {
        std::vector<float> x = numbers.many(n + 1), out(n + 1, 7.0f);
        kernels.copy(out.data(), x.data(), n);
        for (long i = 0; i < n; ++i) check.same(out[i], x[i]);
        kernels.zero(out.data(), n);
        for (long i = 0; i < n; ++i) check.same(out[i], 0);
        check.same(out[n], 7, "behind the end of", n);
    }
}

// Mean and mean square around it, in float64.
std::pair<double, double> moments(const std::vector<float>& x, bool centred) {
    double mean = 0, square = 0;
    for (float number : x) mean += centred ? number / static_cast<double>(x.size()) : 0;
    for (float number : x) square += (number - mean) * (number - mean) / static_cast<double>(x.size());
    return {mean, square};
}

void test_norms(const Kernels& kernels) {
    Check check(label(kernels, "layer_norm and rms_norm"));
    Numbers numbers(3);
    const float epsilon = 1e-5f;
    for (long n = 1; n <= 70; ++n)
        for (int weights = 0; weights <= 2; ++weights) {
            std::vector<float> x = numbers.many(n), scale = numbers.many(n), shift = numbers.many(n), out(n + 1, 7.0f);
            for (float& number : x) number += 0.5f;
            for (bool centred : {true, false}) {
                const float* scales = weights > 0 ? scale.data() : nullptr;
                const float* shifts = weights > 1 && centred ? shift.data() : nullptr;
                if (centred)
                    kernels.layer_norm(out.data(), x.data(), scales, shifts, n, epsilon);
                else
                    kernels.rms_norm(out.data(), x.data(), scales, n, epsilon);
                const auto [mean, square] = moments(x, centred);
                for (long i = 0; i < n; ++i) {
                    const double normal = (x[i] - mean) / std::sqrt(square + epsilon);
                    const double wanted = normal * (scales ? scales[i] : 1) + (shifts ? shifts[i] : 0);
                    const double tolerance = 3e-6 * std::max(1.0, std::fabs(wanted));
                    check.near(out[i], wanted, tolerance, centred ? "centred" : "plain", n);
                }
                check.same(out[n], 7, "behind the end of", n);
            }
        }
}

// Calls `part(first, last)` for the whole of `width` and for shares of it, in whole tiles; the tests compare.
template <typename Part>
void in_parts(long width, int parts, Part part) {
    const long tiles = (width + 15) / 16;
    const auto border = [&](int i) { return std::min(width, tiles * i / parts * 16); };
    for (int i = 0; i < parts; ++i)
        if (border(i) < border(i + 1)) part(border(i), border(i + 1));
}

void test_lstm(const Kernels& kernels) {
    Check check(label(kernels, "lstm"));
    Numbers numbers(4);
    for (long width : {1, 3, 15, 16, 17, 31, 33, 64, 70})
        for (int parts : {1, 2, 3}) {
            const std::vector<float> gates = numbers.many(4 * width, 6), before = numbers.many(width, 2);
            std::vector<float> cell = before, hidden(width + 1, 7.0f);
            in_parts(width, parts, [&](long first, long last) {
                kernels.lstm(hidden.data(), gates.data(), cell.data(), width, first, last);
            });
            for (long i = 0; i < width; ++i) {
                const double kept = logistic(gates[width + i]) * before[i];
                const double now = kept + logistic(gates[i]) * std::tanh(static_cast<double>(gates[2 * width + i]));
                check.near(cell[i], now, 3e-6, "cell of", width);
                check.near(hidden[i], logistic(gates[3 * width + i]) * std::tanh(now), 3e-6, "hidden of", width);
            }
            check.same(hidden[width], 7, "behind the end of", width);
        }
}

void test_gru(const Kernels& kernels) {
    Check check(label(kernels, "gru"));
    Numbers numbers(5);
    for (long width : {1, 3, 15, 16, 17, 31, 33, 64, 70})
        for (int parts : {1, 2, 3}) {
            const std::vector<float> in = numbers.many(3 * width, 4), back = numbers.many(3 * width, 4);
            const std::vector<float> before = numbers.many(width);
            std::vector<float> hidden = before;
            hidden.push_back(7);
            in_parts(width, parts, [&](long first, long last) {
                kernels.gru(hidden.data(), in.data(), back.data(), width, first, last);
            });
            for (long i = 0; i < width; ++i) {
                const double reset = logistic(double{in[i]} + back[i]);
                const double update = logistic(double{in[width + i]} + back[width + i]);
                const double fresh = std::tanh(in[2 * width + i] + reset * back[2 * width + i]);
                check.near(hidden[i], (1 - update) * fresh + update * before[i], 3e-6, "of", width);
            }
            check.same(hidden[width], 7, "behind the end of", width);
        }
}

}  // namespace

void test_elementwise(const Kernels& kernels) {
    for (const Unary& unary : UNARY) test_unary(kernels, unary);
    for (const Binary& binary : BINARY) test_binary(kernels, binary);
    test_blend(kernels);
    test_copies(kernels);
    test_norms(kernels);
}

void test_recurrent(const Kernels& kernels) {
    test_lstm(kernels);
    test_gru(kernels);
}

void test_exponentials(const Kernels& kernels) {
    Check check(label(kernels, "exponentials and highest"));
    Numbers numbers(6);
    for (long n = 1; n <= 70; ++n)
        for (double scale : {1.0, 0.3, 40.0}) {
            std::vector<float> x = numbers.many(n, n % 3 == 0 ? 400.0f : 9.0f);
            if (n % 4 == 1) x[n / 2] = -std::numeric_limits<float>::infinity();
            std::vector<double> out(n + 1, 7.0);
            const float most = *std::max_element(x.begin(), x.end());
            if (!std::isfinite(most)) continue;
            check.same(kernels.highest(x.data(), n), most, "highest of", n);
            const double sum = kernels.exponentials(x.data(), n, most, scale, out.data());
            double wanted_sum = 0;
            for (long i = 0; i < n; ++i) {
                const double wanted = std::exp((x[i] - static_cast<double>(most)) * scale);
                check.near(out[i], wanted, 2e-14 * wanted + 1e-300, "of", n);
                wanted_sum += wanted;
            }
            check.near(sum, wanted_sum, 3e-14 * wanted_sum, "sum of", n);
            check.same(out[n], 7, "behind the end of", n);
            x[0] = NOT_A_NUMBER;
            check.holds(n == 1 || kernels.highest(x.data(), n) <= most, "highest passes over not-a-number");
            check.holds(std::isnan(kernels.exponentials(x.data(), n, most, scale, out.data())), "not-a-number stays");
        }
}

// Source: kat_vectors of Random123 (Salmon et al. 2011).
void test_draws() {
    Check check("philox");
    using Words = std::array<uint32_t, 4>;
    const auto known = [&](Words counter, uint64_t seed, Words answer) {
        const Words found = unrolled::philox(counter, seed);
        for (int i = 0; i < 4; ++i) check.same(found[i], answer[i], "word", i);
    };
    known({0, 0, 0, 0}, 0, {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8});
    known({~0u, ~0u, ~0u, ~0u}, ~0ull, {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD});
    known({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, 0x299F31D0A4093822ull,
          {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1});
    const auto words = unrolled::philox({3, 0x89ABCDEF, 0x01234567, 42}, 99);
    const double wanted = static_cast<double>((uint64_t{words[0] >> 5} << 26) | (words[1] >> 6)) / 9007199254740992.0;
    check.same(unrolled::uniform(99, 42, 0x0123456789ABCDEFull, 3), wanted, "uniform");
}

int main() {
    test_draws();
    for (const Kernels* const* set = unrolled::kernel_sets(); *set; ++set) {
        test_products(**set);
        test_elementwise(**set);
        test_recurrent(**set);
        test_attention(**set);
        test_exponentials(**set);
        test_sampler(**set);
        test_session(**set);
        test_waves(**set);
        test_refusals(**set);
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
