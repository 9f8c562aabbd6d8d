"""A model lowered once to a step program: a flat list of operations on named buffers, run by native kernels."""
