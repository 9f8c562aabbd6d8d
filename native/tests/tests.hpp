// The parts of the test binary.
#pragma once

#include "../kernels.hpp"

void test_products(const unrolled::Kernels& kernels);
void test_elementwise(const unrolled::Kernels& kernels);
void test_recurrent(const unrolled::Kernels& kernels);
void test_attention(const unrolled::Kernels& kernels);
void test_exponentials(const unrolled::Kernels& kernels);
void test_draws();
void test_sampler(const unrolled::Kernels& kernels);
void test_session(const unrolled::Kernels& kernels);
void test_waves(const unrolled::Kernels& kernels);
void test_refusals(const unrolled::Kernels& kernels);
