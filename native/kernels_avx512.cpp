// AVX-512 with VNNI: x86-64 of 2019 and later.
#define KERNELS_NAME "avx512"
#define KERNELS_TABLE kernels_avx512
#include "kernels_body.hpp"
