// The kernels, compiled once for each instruction set: a file defines KERNELS_NAME and KERNELS_TABLE and includes this.

#include "integers.hpp"
#include "kernels.hpp"
#include "products.hpp"
#include "vectors.hpp"

namespace {

using unrolled::Heads;

// out[i] = function(x[i], ...) for n numbers.
template <typename Function, typename... Inputs>
UNROLLED_INLINE void map(Function function, float* out, long n, const Inputs*... inputs) {
    long i = 0;
    for (; i + LANES <= n; i += LANES) store(out + i, function(load(inputs + i)...));
    if (i < n) store_rest(out + i, function(load_rest(inputs + i, n - i)...), n - i);
}

void zero(float* out, long n) { memset(out, 0, n * sizeof(float)); }
void copy(float* out, const float* x, long n) { memmove(out, x, n * sizeof(float)); }
void add(float* out, const float* x, const float* y, long n) {
    map([](Floats a, Floats b) { return a + b; }, out, n, x, y);
}
void multiply(float* out, const float* x, const float* y, long n) {
    map([](Floats a, Floats b) { return a * b; }, out, n, x, y);
}
void tanh(float* out, const float* x, long n) { map([](Floats a) { return hyperbolic(a); }, out, n, x); }
void sigmoid(float* out, const float* x, long n) { map([](Floats a) { return logistic(a); }, out, n, x); }
void relu(float* out, const float* x, long n) { map([](Floats a) { return larger(a, Floats{}); }, out, n, x); }
void silu(float* out, const float* x, long n) { map([](Floats a) { return a * logistic(a); }, out, n, x); }
void gelu(float* out, const float* x, long n) {
    map([](Floats a) { return 0.5f * a * (1.0f + error_function(a * 0.70710678f)); }, out, n, x);
}
void gelu_tanh(float* out, const float* x, long n) {
    map([](Floats a) { return 0.5f * a * (1.0f + hyperbolic(0.79788456f * (a + 0.044715f * a * a * a))); }, out, n, x);
}
void gate(float* out, const float* x, const float* y, long n) {
    map([](Floats a, Floats b) { return logistic(a) * hyperbolic(b); }, out, n, x, y);
}
void keep(float* out, const float* x, const float* y, long n) {
    map([](Floats a, Floats b) { return logistic(a) * b; }, out, n, x, y);
}
void blend(float* out, const float* x, const float* y, const float* z, long n) {
    map([](Floats a, Floats b, Floats c) { return c + logistic(a) * (hyperbolic(b) - c); }, out, n, x, y, z);
}

float total(const float* x, long n) {
    Floats found = {};
    long i = 0;
    for (; i + LANES <= n; i += LANES) found += load(x + i);
    if (i < n) found += load_rest(x + i, n - i);
    return sum(found);
}

float square_total(const float* x, float mean, long n) {
    Floats found = {};
    long i = 0;
    for (; i + LANES <= n; i += LANES) found += (load(x + i) - mean) * (load(x + i) - mean);
    if (i < n) {
        const Floats rest = load_rest(x + i, n - i, mean) - mean;
        found += rest * rest;
    }
    return sum(found);
}

void normalise(float* out, const float* x, const float* scale, const float* shift, long n, float mean, float square,
               float epsilon) {
    const float inverse = 1.0f / __builtin_sqrtf(square / n + epsilon);
    if (scale && shift)
        map([=](Floats a, Floats s, Floats b) { return (a - mean) * inverse * s + b; }, out, n, x, scale, shift);
    else if (scale)
        map([=](Floats a, Floats s) { return (a - mean) * inverse * s; }, out, n, x, scale);
    else
        map([=](Floats a) { return (a - mean) * inverse; }, out, n, x);
}

void layer_norm(float* out, const float* x, const float* scale, const float* shift, long n, float epsilon) {
    const float mean = total(x, n) / n;
    normalise(out, x, scale, shift, n, mean, square_total(x, mean, n), epsilon);
}

void rms_norm(float* out, const float* x, const float* scale, long n, float epsilon) {
    normalise(out, x, scale, nullptr, n, 0, square_total(x, 0, n), epsilon);
}

// Units [first, last) by vectors of units. `function` maps an offset and a loader/storer pair over a rest of units.
template <typename Function>
UNROLLED_INLINE void units(long first, long last, Function function) {
    long i = first;
    for (; i + LANES <= last; i += LANES)
        function(i, [](const float* from) { return load(from); }, [](float* to, Floats value) { store(to, value); });
    if (const long left = last - i; left > 0)
        function(i, [=](const float* from) { return load_rest(from, left); },
                 [=](float* to, Floats value) { store_rest(to, value, left); });
}

void lstm(float* hidden, const float* gates, float* cell, long width, long first, long last) {
    units(first, last, [=](long i, auto get, auto put) {
        const Floats kept = logistic(get(gates + width + i)) * get(cell + i);
        const Floats now = kept + logistic(get(gates + i)) * hyperbolic(get(gates + 2 * width + i));
        put(cell + i, now);
        put(hidden + i, logistic(get(gates + 3 * width + i)) * hyperbolic(now));
    });
}

void gru(float* hidden, const float* from_input, const float* from_hidden, long width, long first, long last) {
    units(first, last, [=](long i, auto get, auto put) {
        const Floats reset = logistic(get(from_input + i) + get(from_hidden + i));
        const Floats update = logistic(get(from_input + width + i) + get(from_hidden + width + i));
        const Floats fresh = hyperbolic(get(from_input + 2 * width + i) + reset * get(from_hidden + 2 * width + i));
        put(hidden + i, fresh + update * (get(hidden + i) - fresh));
    });
}

// The query's products with the keys of one block of slots; features are dealt out to 4 sums.
UNROLLED_INLINE void score(const float* query, const float* block, float* scores, long head_width, float scale) {
    Floats sums[4][PER_TILE] = {};
    const auto take = [&](long d, int s) {
#pragma GCC unroll 4
        for (int v = 0; v < PER_TILE; ++v) sums[s][v] += load(block + d * TILE + v * LANES) * query[d];
    };
    long d = 0;
    for (; d + 4 <= head_width; d += 4)
#pragma GCC unroll 4
        for (int s = 0; s < 4; ++s) take(d + s, s);
    for (; d < head_width; ++d) take(d, 0);
#pragma GCC unroll 4
    for (int v = 0; v < PER_TILE; ++v)
        store(scores + v * LANES, ((sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v])) * scale);
}

// Features [d, d + V vectors) of the mixed values; slots are dealt out to 4 sums.
template <int V>
UNROLLED_INLINE void mix(float* out, const float* values, const float* weights, long d, Heads heads, float inverse) {
    Floats sums[4][V] = {};
    long slot = 0;
    for (; slot + 4 <= heads.slots; slot += 4)
#pragma GCC unroll 4
        for (int s = 0; s < 4; ++s)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
                sums[s][v] += load(values + (slot + s) * heads.head_width + d + v * LANES) * weights[slot + s];
    for (; slot < heads.slots; ++slot)
        for (int v = 0; v < V; ++v) sums[0][v] += load(values + slot * heads.head_width + d + v * LANES) * weights[slot];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
        const Floats mixed = ((sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v])) * inverse;
        const long left = heads.head_width - d - v * LANES;
        if (left >= LANES)
            store(out + d + v * LANES, mixed);
        else if (left > 0)
            store_rest(out + d + v * LANES, mixed, left);
    }
}

void attend(float* out, const float* query, const float* keys, const float* values, float* scores, Heads heads) {
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(heads.head_width));
    long slot = 0;
    for (; slot < heads.slots; slot += TILE)
        score(query, keys + slot * heads.head_width, scores + slot, heads.head_width, scale);

    Floats most = all(scores[0]);
    for (slot = 0; slot + LANES <= heads.slots; slot += LANES) most = larger(load(scores + slot), most);
    if (slot < heads.slots) most = larger(load_rest(scores + slot, heads.slots - slot, scores[0]), most);
    const float highest = largest(most);

    map([=](Floats a) { return exponential(a - highest); }, scores, heads.slots, scores);
    const float inverse = 1.0f / total(scores, heads.slots);
    long d = 0;
    for (; d + 2 * LANES <= heads.head_width; d += 2 * LANES) mix<2>(out, values, scores, d, heads, inverse);
    for (; d < heads.head_width; d += LANES) mix<1>(out, values, scores, d, heads, inverse);
}

double exponentials(const float* x, long n, double highest, double scale, double* out) {
    constexpr int WIDE = LANES / 2;
    Doubles sums = {};
    long i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        const HalfFloats part = *reinterpret_cast<const LooseHalf*>(x + i);
        const Doubles found = exponential((__builtin_convertvector(part, Doubles) - highest) * scale);
        *reinterpret_cast<LooseDoubles*>(out + i) = found;
        sums += found;
    }
    if (i < n) {
        HalfFloats part = {};
        for (int lane = 0; lane < WIDE; ++lane) part[lane] = i + lane < n ? x[i + lane] : static_cast<float>(highest);
        const Doubles found = exponential((__builtin_convertvector(part, Doubles) - highest) * scale);
        for (int lane = 0; i + lane < n; ++lane) {
            out[i + lane] = found[lane];
            sums[0] += found[lane];
        }
    }
    double total = 0;
    for (int lane = 0; lane < WIDE; ++lane) total += sums[lane];
    return total;
}

float highest(const float* x, long n) {
    Floats most = all(-__builtin_inff());
    long i = 0;
    for (; i + LANES <= n; i += LANES) {
        const Floats next = load(x + i);
        most = choose(next > most, next, most);
    }
    float found = largest(most);
    for (; i < n; ++i) found = x[i] > found ? x[i] : found;
    return found;
}

}  // namespace

namespace unrolled {

extern const Kernels KERNELS_TABLE;
const Kernels KERNELS_TABLE = {
    KERNELS_NAME, linear, linear_int8, quantise, zero,     copy,       add,      multiply, tanh, sigmoid, relu,   silu,
    gelu,         gelu_tanh, gate,     keep,     blend,    layer_norm, rms_norm, lstm,     gru,      attend, exponentials, highest,
};

}  // namespace unrolled
