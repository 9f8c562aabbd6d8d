// What every processor of the architecture has; on aarch64 that is NEON.
#if defined(__aarch64__)
#define KERNELS_NAME "neon"
#else
#define KERNELS_NAME "baseline"
#endif
#define KERNELS_TABLE kernels_baseline
#include "kernels_body.hpp"
