// What this machine can do at most: reading memory, and multiplying in registers. Nothing of the package is in here.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 64;
#elif defined(__AVX__)
constexpr int WIDTH = 32;
#else
constexpr int WIDTH = 16;
#endif
constexpr int CHAINS = 12;  // independent sums: more than latency times ports, fewer than registers

typedef float Floats __attribute__((vector_size(WIDTH)));
typedef uint32_t Words __attribute__((vector_size(WIDTH)));

struct Integers {  // the widest dot product of bytes, or of 16-bit numbers, that the machine has
#if defined(__AVX512VNNI__)
    using Vector = __m512i;
    static constexpr int PRODUCTS = 64;
    static constexpr const char* NAME = "vpdpbusd, 512 bits";
    static Vector first(int seed) { return _mm512_set1_epi32(seed); }
    static Vector take(Vector sum, Vector x, Vector y) { return _mm512_dpbusd_epi32(sum, x, y); }
#elif defined(__AVXVNNI__)
    using Vector = __m256i;
    static constexpr int PRODUCTS = 32;
    static constexpr const char* NAME = "vpdpbusd, 256 bits";
    static Vector first(int seed) { return _mm256_set1_epi32(seed); }
    static Vector take(Vector sum, Vector x, Vector y) { return _mm256_dpbusd_avx_epi32(sum, x, y); }
#elif defined(__AVX2__)
    using Vector = __m256i;
    static constexpr int PRODUCTS = 16;
    static constexpr const char* NAME = "vpmaddwd and vpaddd, 256 bits";
    static Vector first(int seed) { return _mm256_set1_epi32(seed); }
    static Vector take(Vector sum, Vector x, Vector y) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, y)); }
#elif defined(__ARM_FEATURE_DOTPROD)
    using Vector = int8x16_t;
    static constexpr int PRODUCTS = 16;
    static constexpr const char* NAME = "sdot, 128 bits";
    static Vector first(int seed) { return vdupq_n_s8(static_cast<int8_t>(seed)); }
    static Vector take(Vector sum, Vector x, Vector y) {
        return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), x, y));
    }
#else
    using Vector = Words;
    static constexpr int PRODUCTS = 0;
    static constexpr const char* NAME = "";
    static Vector first(int seed) { return Vector{} + static_cast<uint32_t>(seed); }
    static Vector take(Vector sum, Vector x, Vector y) { return sum + x * y; }
#endif
};

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds from when all threads are there until the last has done `task(id)`.
template <class Task>
double together(int threads, const Task& task) {
    std::vector<std::thread> others;
    std::vector<double> began(threads), ended(threads);
    std::atomic<int> missing{threads};
    const auto timed = [&](int id) {
        for (--missing; missing > 0;) std::this_thread::yield();
        began[id] = now();
        task(id);
        ended[id] = now();
    };
    for (int id = 1; id < threads; ++id) others.emplace_back(timed, id);
    timed(0);
    for (std::thread& other : others) other.join();
    return *std::max_element(ended.begin(), ended.end()) - *std::min_element(began.begin(), began.end());
}

// Hides from the compiler what a value is, so that it leaves no work out and keeps the value in a register.
template <class Value>
void keep(Value& value) {
#if defined(__AVX512F__)
    asm volatile("" : "+v"(value));
#elif defined(__x86_64__)
    asm volatile("" : "+x"(value));
#else
    asm volatile("" : "+w"(value));
#endif
}

// Sums are named by constants alone, or the compiler would leave them in memory.
template <size_t... I>
void read_slice(const uint8_t* from, long bytes, long passes, std::index_sequence<I...>) {
    Words sums[] = {(void(I), Words{})...};
    const long step = sizeof...(I) * WIDTH;
    for (long pass = 0; pass < passes; ++pass) {
        for (long at = 0; at + step <= bytes; at += step)
            ((sums[I] += *reinterpret_cast<const Words*>(from + at + I * WIDTH)), ...);
        (keep(sums[I]), ...);
    }
}

template <class Vector, class Take, size_t... I>
void multiply(Vector first, Vector x, long rounds, const Take& take, std::index_sequence<I...>) {
    Vector sums[] = {(void(I), first)...};
    for (long round = 0; round < rounds; ++round) {
        ((keep(x), sums[I] = take(sums[I], x), keep(sums[I])), ...);
    }
}

using Chains = std::make_index_sequence<CHAINS>;
using Loads = std::make_index_sequence<8>;

}  // namespace

extern "C" {

// Bytes per second of reading `bytes`, a slice for each thread, `passes` times after a first; 0 without memory.
double read_rate(long bytes, int threads, long passes) {
    const long unit = 8 * WIDTH, slice = (bytes / threads + unit - 1) / unit * unit;
    const long page = 2 << 20, size = (slice * threads + page - 1) / page * page;
    uint8_t* memory = static_cast<uint8_t*>(std::aligned_alloc(page, size));
    if (!memory) return 0;
#if defined(MADV_HUGEPAGE)
    madvise(memory, size, MADV_HUGEPAGE);  // whatever makes reading faster belongs into a bound
#endif
    std::memset(memory, 1, slice * threads);
    together(threads, [&](int id) { read_slice(memory + id * slice, slice, 1, Loads()); });
    const double seconds = together(threads, [&](int id) { read_slice(memory + id * slice, slice, passes, Loads()); });
    std::free(memory);
    return static_cast<double>(slice) * threads * passes / seconds;
}

// Multiply-adds per second in registers.
double float_rate(int threads, long rounds) {
    const Floats y = Floats{} + 0.001f, x = Floats{} + 0.999f;
    const auto take = [&](Floats sum, Floats by) { return sum * by + y; };
    const double seconds = together(threads, [&](int) { multiply(y, x, rounds, take, Chains()); });
    return static_cast<double>(rounds) * threads * CHAINS * (WIDTH / 4) / seconds;
}

// The same of integers; 0 where the machine has no dot product of them.
double integer_rate(int threads, long rounds) {
    const auto x = Integers::first(3), y = Integers::first(4);
    const auto take = [&](auto sum, auto by) { return Integers::take(sum, by, y); };
    const double seconds = together(threads, [&](int) { multiply(y, x, rounds, take, Chains()); });
    return static_cast<double>(rounds) * threads * CHAINS * Integers::PRODUCTS / seconds;
}

// The instructions that integer_rate times.
const char* integer_name() { return Integers::NAME; }
}
