// Philox4x32-10 keyed by (seed, stream, position, draw), as in unrolled/core/draws.py.
// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
#pragma once

#include <array>
#include <cstdint>

namespace unrolled {

inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t seed) {
    uint32_t first = static_cast<uint32_t>(seed), second = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = 0xD2511F53ull * counter[0], c = 0xCD9E8D57ull * counter[2];
        counter = {static_cast<uint32_t>(c >> 32) ^ counter[1] ^ first, static_cast<uint32_t>(c),
                   static_cast<uint32_t>(a >> 32) ^ counter[3] ^ second, static_cast<uint32_t>(a)};
        first += 0x9E3779B9u;
        second += 0xBB67AE85u;
    }
    return counter;
}

// In [0, 1), a multiple of 2^-53.
inline double uniform(uint64_t seed, uint32_t stream, uint64_t position, uint32_t draw = 0) {
    const auto words =
        philox({draw, static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), stream}, seed);
    return static_cast<double>((static_cast<uint64_t>(words[0] >> 5) << 26) + (words[1] >> 6)) * 0x1p-53;
}

}  // namespace unrolled
