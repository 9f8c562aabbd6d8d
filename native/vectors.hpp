// Vectors of the instruction set that this file is compiled for, by the compiler's own vector types.
// Only kernels_body.hpp includes it; nothing here has linkage, so that no set's code is ever used for another.
#pragma once

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif
#include <stdint.h>
#include <string.h>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

#define UNROLLED_INLINE inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef uint32_t Words __attribute__((vector_size(LANES * 4)));
typedef double Doubles __attribute__((vector_size(LANES * 4)));
typedef int64_t Longs __attribute__((vector_size(LANES * 4)));
typedef float HalfFloats __attribute__((vector_size(LANES * 2)));
typedef float LooseFloats __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef float LooseHalf __attribute__((vector_size(LANES * 2), aligned(4), may_alias));
typedef uint32_t LooseWords __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef double LooseDoubles __attribute__((vector_size(LANES * 4), aligned(8), may_alias));

UNROLLED_INLINE Floats load(const float* from) { return *reinterpret_cast<const LooseFloats*>(from); }
UNROLLED_INLINE void store(float* to, Floats value) { *reinterpret_cast<LooseFloats*>(to) = value; }
UNROLLED_INLINE Floats all(float value) { return Floats{} + value; }
UNROLLED_INLINE Floats choose(Ints which, Floats yes, Floats no) { return which ? yes : no; }
// Of `x` and a bound; a not-a-number in `x` stays.
#if defined(__AVX512F__)  // one instruction, which compilers do not find
UNROLLED_INLINE Floats larger(Floats x, Floats bound) { return (Floats)_mm512_max_ps((__m512)bound, (__m512)x); }
UNROLLED_INLINE Floats smaller(Floats x, Floats bound) { return (Floats)_mm512_min_ps((__m512)bound, (__m512)x); }
#else
UNROLLED_INLINE Floats larger(Floats x, Floats bound) { return choose(bound > x, bound, x); }
UNROLLED_INLINE Floats smaller(Floats x, Floats bound) { return choose(bound < x, bound, x); }
#endif
UNROLLED_INLINE Floats magnitude(Floats x) { return (Floats)((Ints)x & 0x7FFFFFFF); }

// The lanes joined by `join`, half by half.
template <typename Lane, typename Vector, typename Join>
UNROLLED_INLINE Lane across(Vector x, Join join) {
    Lane lanes[LANES];
    __builtin_memcpy(lanes, &x, sizeof x);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int lane = 0; lane < half; ++lane) lanes[lane] = join(lanes[lane], lanes[lane + half]);
    return lanes[0];
}
UNROLLED_INLINE float sum(Floats x) {
    return across<float>(x, [](float a, float b) { return a + b; });
}
UNROLLED_INLINE float largest(Floats x) {
    return across<float>(x, [](float a, float b) { return a > b ? a : b; });
}

// A rest of fewer than LANES numbers, as a vector and back.
UNROLLED_INLINE Floats load_rest(const float* from, long n, float filler = 0) {
    float buffer[LANES];
    for (int lane = 0; lane < LANES; ++lane) buffer[lane] = filler;
    memcpy(buffer, from, n * sizeof(float));
    return load(buffer);
}
UNROLLED_INLINE void store_rest(float* to, Floats value, long n) {
    float buffer[LANES];
    store(buffer, value);
    memcpy(to, buffer, n * sizeof(float));
}

constexpr float ROUNDER = 12582912.0f;  // 1.5 * 2^23: adding and taking it away rounds to the nearest whole number

// e^x with a relative error below 2e-7; about 1e-38 below -87.3, and the largest power of two within float32 above 88.
UNROLLED_INLINE Floats exponential(Floats x) {
    x = smaller(larger(x, all(-87.3f)), all(88.0f));
    const Floats whole = (x * 1.44269504f + ROUNDER) - ROUNDER;
    const Floats rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    Floats power = all(1.9875691500e-4f);
    power = power * rest + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
#if defined(__AVX512F__)
    return (Floats)_mm512_scalef_ps((__m512)power, (__m512)whole);
#else
    const Ints exponent = (__builtin_convertvector(whole, Ints) + 127) << 23;
    return power * (Floats)exponent;
#endif
}

// 1 / x for a positive x below 3e38, within 2e-7 of it: several times as fast as the division where there is a guess.
UNROLLED_INLINE Floats reciprocal(Floats x) {
#if defined(__AVX512F__)
    const Floats guess = (Floats)_mm512_rcp14_ps((__m512)x);
    return guess + guess * (1.0f - x * guess);
#else
    return 1.0f / x;
#endif
}

UNROLLED_INLINE Floats logistic(Floats x) { return reciprocal(1.0f + exponential(-x)); }

// Near zero by an odd polynomial, elsewhere by the exponential. Source of the coefficients: Moshier's Cephes, tanhf.
UNROLLED_INLINE Floats hyperbolic(Floats x) {
    const Floats size = magnitude(x), square = x * x;
    Floats near = all(-5.70498872745e-3f);
    near = near * square + 2.06390887954e-2f;
    near = near * square - 5.37397155531e-2f;
    near = near * square + 1.33314422036e-1f;
    near = near * square - 3.33332819422e-1f;
    near = near * square * x + x;
    const Floats far = 1.0f - 2.0f * reciprocal(exponential(size + size) + 1.0f);
    const Floats sign = (Floats)((Ints)x & (int32_t)0x80000000);
    return choose(size < 0.625f, near, (Floats)((Ints)far | (Ints)sign));
}

// Absolute error below 2e-7. Source: Abramowitz and Stegun 1964, formula 7.1.26.
UNROLLED_INLINE Floats error_function(Floats x) {
    const Floats size = magnitude(x), t = reciprocal(1.0f + 0.3275911f * size);
    Floats power = all(1.061405429f);
    power = power * t - 1.453152027f;
    power = power * t + 1.421413741f;
    power = power * t - 0.284496736f;
    power = power * t + 0.254829592f;
    const Floats found = 1.0f - power * t * exponential(-size * size);
    return (Floats)((Ints)found | ((Ints)x & (int32_t)0x80000000));
}

// e^x in float64 for x of 0 and below, with a relative error below 1e-14; 0 below -708.
UNROLLED_INLINE Doubles exponential(Doubles x) {
    const Longs tiny = x < -708.0;
    x = tiny ? Doubles{} : x;
    const Doubles rounder = Doubles{} + 6755399441055744.0;
    const Doubles whole = (x * 1.4426950408889634 + rounder) - rounder;
    const Doubles rest = (x - whole * 0.693147180369123816490) - whole * 1.90821492927058770002e-10;
    Doubles power = Doubles{} + 1.0 / 479001600;
    const double inverse[] = {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
                              1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5,         1.0,        1.0};
    for (double factor : inverse) power = power * rest + factor;
    const Longs exponent = ((Longs)(whole + rounder) - (Longs)rounder + 1023) << 52;
    return tiny ? Doubles{} : power * (Doubles)exponent;
}

}  // namespace
