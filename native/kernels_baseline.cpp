// What every processor of the architecture has.
#define KERNELS_NAME "baseline"
#define KERNELS_TABLE kernels_baseline
#include "kernels_body.hpp"
