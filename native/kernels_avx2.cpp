// AVX2 and FMA: x86-64 of 2013 and later.
#define KERNELS_NAME "avx2"
#define KERNELS_TABLE kernels_avx2
#include "kernels_body.hpp"
