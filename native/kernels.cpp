#include "kernels.hpp"

namespace unrolled {

extern const Kernels kernels_baseline;
#if defined(UNROLLED_X86)
extern const Kernels kernels_avx2, kernels_avx512;
#endif

const Kernels* const* kernel_sets() {
    static const Kernels* sets[4] = {&kernels_baseline};
    static const bool filled = [] {
        int count = 1;
#if defined(UNROLLED_X86)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets[count++] = &kernels_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
            sets[count++] = &kernels_avx512;
#endif
        return count > 0;
    }();
    (void)filled;
    return sets;
}

}  // namespace unrolled
